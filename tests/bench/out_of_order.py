"""Ten million rows out of order over 30 files, beside the same rows in order: `python -m bench.out_of_order`.

    PYTHONPATH=tests .venv/bin/python -m bench.out_of_order [rows] [files]

Prints the ratio of processor time a row (in order / out of order), and the peak of memory.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

START_MS = 1_740_614_400_000
#: Rows that come one after the other in a file before it goes to another place in time.
TOGETHER = 5_000
_READ = """
import json, resource, sys, time
from pathlib import Path
from streams.sources.open import open_source
began = time.process_time()
count, late, last = 0, 0, 0
for topic, record in open_source(Path(sys.argv[1])).items:
    count += 1
    late += record.ts_event < last
    last = max(last, record.ts_event)
print(json.dumps({
    "rows": count, "late": late, "cpu_s": time.process_time() - began,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def rows(first: int, last: int) -> Iterator[str]:
    """Yield aggregate trades, ten a second."""
    for n in range(first, last):
        yield f"{n},100.5,0.25,{n},{n},{START_MS + 100 * n},{'true' if n % 2 else 'false'}\n"


def write(folder: Path, count: int, files: int, ordered: bool) -> None:
    """Write the rows: each file a span of time, or pieces of all of it in any order."""
    pieces = [(at, min(at + TOGETHER, count)) for at in range(0, count, TOGETHER)]
    if not ordered:
        random.Random(7).shuffle(pieces)
    for number in range(files):
        share = pieces[number * len(pieces) // files : (number + 1) * len(pieces) // files]
        with (folder / f"BTCUSDT-aggTrades-2025-{number:03}.csv").open("w") as file:
            for first, last in share:
                file.writelines(rows(first, last))


def measured(count: int, files: int, ordered: bool) -> dict[str, float]:
    """Return what one reading took, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), count, files, ordered)
        done = subprocess.run(
            [sys.executable, "-c", _READ, folder], check=True, capture_output=True, text=True
        )
        result: dict[str, float] = json.loads(done.stdout)
        return result


def main(args: list[str]) -> None:
    """Measure both, and print them."""
    count = int(args[0]) if args else 10_000_000
    files = int(args[1]) if len(args) > 1 else 30
    ordered, shuffled = (measured(count, files, way) for way in (True, False))
    ratio = ordered["cpu_s"] / shuffled["cpu_s"]
    print(
        json.dumps({"ordered": ordered, "out_of_order": shuffled, "speed_ratio": round(ratio, 3)})
    )


if __name__ == "__main__":
    main(sys.argv[1:])
