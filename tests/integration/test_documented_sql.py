"""Every documented query runs, in the process and over HTTP, and answers under the names shown."""

import json
import os
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import run, write_recording

from sinks.sql.endpoint import Endpoint, serve
from sinks.sql.reader import Reader

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "sinks" / "VIEWS.md"
#: What this short night has none of: open interest, a silent feed, a known sender, bad records.
EMPTY = (
    "feed_gaps",
    "leverage_rebuild",
    "whale_senders",
    "dead_letters",
    "deliveries",
    "p_value IS NOT NULL",
)
#: `python tests/integration/test_documented_sql.py DATA_DIR` writes the answers of that run anew.
_BLOCK = re.compile(r"```sql\n(.*?)```\n(?:\n```\n(.*?)```\n)?", re.S)
_FORMAT = " FORMAT PrettySpaceNoEscapesMonoBlock SETTINGS output_format_pretty_row_numbers = 0, output_format_pretty_color = 0, output_format_pretty_display_footer_column_names = 0"


def documented() -> list[str]:
    blocks = [sql.strip() for sql, _ in _BLOCK.findall(PAGE.read_text())]
    plates = (ROOT / "README.md", ROOT / "sinks" / "README.md")
    asked = [
        sql
        for plate in plates
        for sql in re.findall(r'undertow sql "(.*?)"$', plate.read_text(), re.M)
    ]
    return blocks + asked


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    environ = write_recording(folder / "recording")
    code, said = run(folder / "data", environ, "--no-serve", "--source", str(folder / "recording"))
    assert code == 0, said
    return folder / "data" / "clickhouse"


@pytest.fixture(scope="module")
def endpoint(stored: Path) -> Iterator[Endpoint]:
    endpoint = serve(stored)
    yield endpoint
    endpoint.stop()


@pytest.fixture(scope="module")
def reader(stored: Path) -> Iterator[Reader]:
    reader = Reader(stored)
    yield reader
    reader.close()


@pytest.mark.parametrize("sql", documented())
def test_a_documented_query_gives_the_same_in_the_process_and_over_http(
    endpoint: Endpoint, reader: Reader, sql: str
) -> None:
    inside = json.loads(reader.run(sql, "JSONCompact").body)
    request = urllib.request.Request(f"{endpoint.url}/?default_format=JSONCompact", sql.encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        outside = json.loads(answer.read())
    assert (outside["meta"], outside["data"]) == (inside["meta"], inside["data"])
    assert inside["data"] or any(name in sql for name in EMPTY)


def test_each_query_stands_with_its_question_and_its_answer(reader: Reader) -> None:
    text = PAGE.read_text()
    parts = text.split("\n## ")[1:]
    assert len(parts) >= 14
    for part in parts:
        assert re.match(r"[^\n]+\? `", part), part[:60]
        [(sql, answer)] = _BLOCK.findall(part)
        names = [
            column["name"] for column in json.loads(reader.run(sql, "JSONCompact").body)["meta"]
        ]
        if answer.strip() != "(no rows)":
            assert answer.split("\n")[0].split() == names
            assert len(answer.strip().split("\n")) > 1
    # Answers are as wide as they are.
    assert max(map(len, _BLOCK.sub(lambda block: block[1], text).splitlines())) <= 100


def test_every_view_is_documented(reader: Reader) -> None:
    query = "SELECT name FROM system.tables WHERE database = 'undertow' AND engine = 'View'"
    views = set(reader.run(query).body.decode().split())
    internal = {"hidden_multipliers", "shown_and_hidden", "known_nights", "what_triggered"}
    assert views - internal <= set(re.findall(r"`(\w+)`", PAGE.read_text()))


def answered(reader: Reader, sql: str) -> str:
    """An answer as the page shows it."""
    lines = reader.run(sql.strip() + _FORMAT).body.decode().splitlines()
    kept = [line.rstrip() for line in lines if line.strip()]
    cut = min((len(line) - len(line.lstrip()) for line in kept), default=0)
    return "\n".join(line[cut:] for line in kept) or "(no rows)"


if __name__ == "__main__":
    of_run = Reader(Path(sys.argv[1]) / "clickhouse")
    written = _BLOCK.sub(
        lambda block: f"```sql\n{block[1]}```\n\n```\n{answered(of_run, block[1])}\n```\n",
        PAGE.read_text(),
    )
    of_run.close()
    PAGE.write_text(written)
    os._exit(0)
