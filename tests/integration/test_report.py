"""A night on one page: its figures are those of the SQL beside them, its bytes those of the night."""

import html
import json
import shutil
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from nights import disturbed_night, night, write_ndjson
from runs import run, write_recording

from schemas.market import Liquidation
from sinks.alerts.message import usd
from sinks.report import charts, questions
from sinks.report.night import Night, NothingThere, read
from sinks.report.page import day_of, page, shown
from sinks.sql.endpoint import serve
from sinks.sql.reader import Reader
from streams.cli import main


def stored(folder: Path, *, of: Any = None) -> Path:
    """Run a night into a data directory."""
    environ = write_recording(folder / "recording")
    if of is not None:
        shutil.rmtree(folder / "recording")
        write_ndjson(of, folder / "recording")
    code, said = run(folder / "data", environ, "--no-serve", "--source", str(folder / "recording"))
    assert code in (0, 3), said
    return folder / "data"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def reader(data_dir: Path) -> Iterator[Reader]:
    reader = Reader(data_dir / "clickhouse")
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def whole_night(reader: Reader) -> Night:
    return read(lambda sql: reader.run(sql, "JSONCompact").body.decode())


def report(data_dir: Path, out: Path, *args: str) -> Result:
    return CliRunner().invoke(
        main, ["report", "--data-dir", str(data_dir), "--out", str(out), *args]
    )


class Page(HTMLParser):
    """Tables by the name of their answer, queries in order, and every attribute that fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.queries: list[str] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.images: list[str] = []
        self._into: list[str] | None = None
        self._name = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = {key: value or "" for key, value in attrs}
        self.fetched += [given[name] for name in ("src", "href", "action") if name in given]
        if tag == "img":
            self.images.append(given["alt"])
        if tag == "table":
            self._name = given["data-answer"]
            self.tables[self._name] = []
        if tag == "tr":
            self.tables[self._name].append([])
        if tag in ("td", "pre"):
            self._into = []

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._into is not None and tag in ("td", "pre"):
            text = "".join(self._into)
            (self.tables[self._name][-1] if tag == "td" else self.queries).append(text)
            self._into = None


def differing(night: Night, reader: Reader) -> list[str]:
    """Name the tables of a night's page that are not what their queries give now."""
    drawn = Page(page(night, {}))
    wrong_cells = []
    for name, rows in drawn.tables.items():
        answer = json.loads(reader.run(night.answers[name].sql, "JSONCompact").body)
        columns = [column["name"] for column in answer["meta"]]
        wanted = [
            [
                html.unescape(shown(column, value, day_of(night)))
                for column, value in zip(columns, row, strict=True)
            ]
            for row in answer["data"]
        ]
        if rows[1:] != wanted:
            wrong_cells.append(name)
    return wrong_cells


def test_every_cell_is_what_the_query_under_its_table_gives(
    whole_night: Night, reader: Reader
) -> None:
    drawn = Page(page(whole_night, charts.charts(whole_night)))
    shown_beside = {
        answer.sql for name, answer in whole_night.answers.items() if name != "by_venue"
    }
    assert set(drawn.queries) >= shown_beside
    assert {"episodes", "assets", "venues", "waves", "verdicts", "coverage"} <= drawn.tables.keys()
    assert differing(whole_night, reader) == []


def test_a_figure_that_is_changed_is_found(whole_night: Night, reader: Reader) -> None:
    assets = whole_night.answers["assets"]
    changed = [[*row[:2], row[2] * 1.01, *row[3:]] for row in assets.rows]
    answers = whole_night.answers | {"assets": assets._replace(rows=changed)}
    assert differing(whole_night._replace(answers=answers), reader) == ["assets"]


def test_the_sums_are_those_of_the_orders(whole_night: Night) -> None:
    orders = [record for _, topic, record in night() if topic == "liquidations"]
    [totals] = whole_night.answers["totals"].records()
    assert totals["orders"] == len(orders)
    assert totals["notional_usd"] == pytest.approx(sum(o.notional_usd for o in orders), abs=0.01)
    by_asset = {
        row["asset"]: row["notional_usd"] for row in whole_night.answers["assets"].records()
    }
    for asset, worth in by_asset.items():
        of_asset = [o.notional_usd for o in orders if o.asset == asset]
        assert worth == pytest.approx(sum(of_asset), abs=0.01)
    text = page(whole_night, {})
    assert f"at least ${totals['notional_usd'] / 1e6:,.1f}M were liquidated" in text
    assert f"{totals['orders']:,} forced orders" in text


def test_what_throttles_hid_is_what_the_view_of_the_last_day_says(
    whole_night: Night, reader: Reader
) -> None:
    columns = ("notional_usd", "estimate_usd", "estimate_low_usd", "estimate_high_usd")
    sums = ", ".join(f"sum({column})" for column in columns)
    answer = reader.run(f"SELECT venue, {sums} FROM totals_24h GROUP BY venue", "JSONCompact")
    by_venue = {row[0]: row[1:] for row in json.loads(answer.body)["data"]}
    hidden = whole_night.answers["hidden"].records()
    assert {row["venue"] for row in hidden} == {"binance", "bybit"}
    for row in hidden:
        assert [row[column] for column in columns] == pytest.approx(
            by_venue[row["venue"]], abs=0.02
        )
    low, high = (sum(v[n] for v in by_venue.values()) for n in (2, 3))
    assert f"between {usd(low)} and {usd(high)}" in page(whole_night, {})


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("notional_usd", 12_345_678.9, "$12.3M"),
        ("notional_usd", None, ""),
        ("notional_usd", 0.0, "$0"),
        ("long_share", 0.8964, "89.6 %"),
        ("drawdown_bps", 231.0, "2.31 %"),
        ("ts_onset", "2025-11-21 07:34:18.123456", "2025-11-21 07:34:18"),
        ("p_value", 0.00634, "0.0063"),
        ("estimate_unknown", 1, "yes"),
        ("orders", 12_345, "12,345"),
        ("venues", ["a", "<b>"], "a, &lt;b&gt;"),
        ("reason", "<script>", "&lt;script&gt;"),
        ("verdict", "no_evidence", "no evidence"),
    ],
)
def test_a_value_is_written_for_people_and_none_is_never_zero(
    column: str, value: Any, text: str
) -> None:
    assert shown(column, value) == text


def test_a_day_that_goes_without_saying_is_left_out() -> None:
    moment = "2025-11-21 07:34:18.123456"
    assert shown("ts_onset", moment, "2025-11-21") == "07:34:18"
    assert shown("ts_onset", moment, "2025-11-20") == "2025-11-21 07:34:18"


def test_the_same_night_gives_the_same_bytes(data_dir: Path, tmp_path: Path) -> None:
    other = stored(tmp_path / "again")
    outs = [tmp_path / name for name in ("one", "two", "three")]
    for out, of in zip(outs, (data_dir, data_dir, other), strict=True):
        assert report(of, out).exit_code == 0
    files = sorted(path.name for path in outs[0].iterdir())
    assert files == ["report.html", "timeline.png", "venues.png"]
    for name in files:
        assert len({(out / name).read_bytes() for out in outs}) == 1, name


def test_an_episode_is_looked_at_with_its_waterfall(
    data_dir: Path, reader: Reader, tmp_path: Path
) -> None:
    sql = "SELECT episode_id, notional_usd FROM episodes WHERE asset = 'BTC'"
    [[episode, usd]] = json.loads(reader.run(sql, "JSONCompact").body)["data"]
    assert report(data_dir, tmp_path, episode).exit_code == 0
    drawn = Page((tmp_path / "report.html").read_text())
    assert (tmp_path / "waterfall.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    one = read(lambda q: reader.run(q, "JSONCompact").body.decode(), episode_id=episode)
    assert one.episode is not None
    assert one.episode.episode_id == episode
    levels = one.answers["waterfall"].records()
    assert sum(row["notional_usd"] for row in levels) == pytest.approx(usd, rel=0.02)
    prices = [row["price_from"] for row in levels]
    assert prices == sorted(prices, reverse=True)
    assert prices[0] > 99.5 > 97.5 > prices[-1]
    assert any("Forced dollars of BTC by price level" in words for words in drawn.images)


def test_the_page_asks_nobody_for_anything(whole_night: Night) -> None:
    text = page(whole_night, charts.charts(whole_night))
    drawn = Page(text)
    assert not drawn.tags & {"script", "link", "iframe", "object", "form"}
    assert all(one.startswith("data:image/png;base64,") for one in drawn.fetched)
    assert "default-src 'none'" in text
    assert all(drawn.images)


def test_names_that_are_html_stay_text(whole_night: Night) -> None:
    evil = "<img src=x onerror=alert(1)>"
    answers = whole_night.answers | {
        "letters": whole_night.answers["letters"]._replace(
            columns=["topic", "why", "records"], rows=[[evil, evil, 1]], sql=f"SELECT '{evil}'"
        )
    }
    drawn = Page(page(whole_night._replace(answers=answers), {}))
    assert drawn.tables["letters"][1][:2] == [evil, evil]
    assert drawn.images == []


def test_what_was_corrected_and_taken_back_is_told_so(tmp_path: Path) -> None:
    data = stored(tmp_path / "disturbed", of=disturbed_night())
    reader = Reader(data / "clickhouse")
    try:
        night = read(lambda sql: reader.run(sql, "JSONCompact").body.decode())
        assert differing(night, reader) == []
        [[stands]] = json.loads(
            reader.run(
                "SELECT sum(orders) FROM liquidations FINAL WHERE NOT removed", "JSONCompact"
            ).body
        )["data"]
    finally:
        reader.close()
    drawn = Page(page(night, {}))
    assert [row[5] for row in drawn.tables["verdicts"][1:]] == ["retracted", "retracted"]
    assert "inflows" not in drawn.tables
    corrected = {row["asset"]: row["corrections"] for row in night.answers["known_then"].records()}
    assert corrected["BTC"] == 2
    assert night.answers["totals"].records()[0]["orders"] == stands
    assert "judged by shipped thresholds" in page(night, {})


def test_over_http_it_is_the_same_page(data_dir: Path, tmp_path: Path) -> None:
    assert report(data_dir, tmp_path / "inside").exit_code == 0
    endpoint = serve(data_dir / "clickhouse")
    try:
        asked = ["--clickhouse-url", endpoint.url]
        assert report(tmp_path, tmp_path / "outside", *asked).exit_code == 0
        with urllib.request.urlopen(f"{endpoint.url}/ping", timeout=10) as answer:
            assert answer.read() == b"Ok.\n"
    finally:
        endpoint.stop()
    inside, outside = ((tmp_path / n / "report.html").read_bytes() for n in ("inside", "outside"))
    assert inside == outside


def test_orders_of_unknown_side_are_neither_longs_nor_shorts(tmp_path: Path) -> None:
    unsided = [
        (second, topic, msgspec.structs.replace(record, position_side="unknown", order_side=None))
        if isinstance(record, Liquidation) and record.asset == "ETH"
        else (second, topic, record)
        for second, topic, record in night()
    ]
    data = stored(tmp_path / "unsided", of=unsided)
    reader = Reader(data / "clickhouse")
    try:
        whole_night = read(lambda sql: reader.run(sql, "JSONCompact").body.decode())
    finally:
        reader.close()
    [row] = whole_night.answers["totals"].records()
    assert row["unknown_usd"] == pytest.approx(row["notional_usd"] - row["long_usd"], abs=0.02)
    assert row["unknown_usd"] > 0
    assert "and of what has a known side 100.0 % were longs" in page(whole_night, {})
    assert charts.charts(whole_night)["timeline.png"]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["nope"], "no episode 'nope' is stored"),
        (["--from", "yesterday"], "Invalid isoformat string: 'yesterday'"),
        (["--from", "2030-01-01"], "is not before"),
        (["--from", "2020-01-01", "--to", "2020-01-02"], "no liquidation is stored"),
        (["x", "--from", "2025-01-01"], "an episode says its own time"),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    data_dir: Path, tmp_path: Path, args: list[str], why: str
) -> None:
    done = report(data_dir, tmp_path / "out", *args)
    assert done.exit_code == 2
    assert why in done.output
    assert done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_times_are_read_with_their_zone(reader: Reader) -> None:
    ask = lambda sql: reader.run(sql, "JSONCompact").body.decode()  # noqa: E731
    one = read(ask, "2025-11-21T02:20:00+02:00", "2025-11-21 00:35")
    assert one.window == questions.Window(
        "2025-11-21 00:20:00.000000", "2025-11-21 00:35:00.000000"
    )
    with pytest.raises(NothingThere):
        read(ask, "2019-01-01", "2019-01-02")
