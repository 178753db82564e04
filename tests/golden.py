"""What a run leaves, as hashes: `PYTHONPATH=tests python -m golden` writes them anew.

Do so only when findings, rows or alerts were meant to change, and say in the commit why.
"""

import hashlib
import json
import tempfile
from pathlib import Path

from runs import OFTEN, report_of, run, stored

EXPECTED = Path(__file__).parent / "data" / "golden.json"
RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"
#: The first eight hours of the default night hold ten cascades; the recordings are real.
INPUTS = {
    "night": ("--hours", "8"),
    **{
        name: ("--source", str(RECORDINGS / name))
        for name in (
            "binance_liqs_2023-01_krishna",
            "binance_ws_2025-12_riftfern",
            "binance_ws_2025-06_neoparth",
        )
    },
}
Hashes = dict[str, str]


def hashes(data_dir: Path, name: str) -> Hashes:
    """Run the input and return the hash of its report and of every table's rows."""
    code, output = run(
        data_dir, OFTEN | {"UNDERTOW_CHECKPOINT_S": "30"}, "--no-serve", *INPUTS[name]
    )
    assert code in (0, 3), output  # 3: a file beside the recording is in no form that we read
    texts = {"report": json.dumps(report_of(data_dir), sort_keys=True)}
    texts |= {table: "\n".join(rows) for table, rows in sorted(stored(data_dir).items()) if rows}
    return {
        part: f"{text.count(chr(10)) + 1} lines, sha256 {hashlib.sha256(text.encode()).hexdigest()[:24]}"
        for part, text in texts.items()
    }


def is_here(name: str) -> bool:
    """Return whether the input's recording lies beside the checkout (a night needs none)."""
    return name == "night" or (RECORDINGS / name).is_dir()


if __name__ == "__main__":
    expected: dict[str, Hashes] = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    for name in filter(is_here, INPUTS):
        with tempfile.TemporaryDirectory() as folder:
            expected[name] = hashes(Path(folder), name)
    EXPECTED.write_text(json.dumps(expected, indent=2, sort_keys=True) + "\n")
