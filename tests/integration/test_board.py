"""The board over a real chDB and HTTP: its figures are the views', and its events lose nothing."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from clickhouse_server import running
from nights import PARAMS, an_alert, disturbed_night, write_ndjson
from runs import OFTEN, run

from schemas.notifications import NotificationStep
from sinks.board import live as live_module
from sinks.board.live import Live
from sinks.board.pages import Board
from sinks.board.queries import SHARED
from sinks.board.serve import EmbeddedBoard, server, serving
from sinks.clickhouse.client import Batch, Writer, chdb_path, open_client
from sinks.clickhouse.migrate import migrate
from sinks.sql.protocol import QueryError
from sinks.sql.reader import Reader

T = an_alert().ts_event


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night in which orders and deposits were corrected and taken back, stored."""
    folder = tmp_path_factory.mktemp("board")
    write_ndjson(disturbed_night(), folder / "night")
    params = folder / "params.json"
    params.write_bytes(msgspec.json.encode(PARAMS))
    environ = OFTEN | {"UNDERTOW_PARAMS": str(params)}
    code, said = run(folder / "data", environ, "--source", str(folder / "night"), "--no-serve")
    assert code == 0, said
    return folder / "data"


def path_of(data_dir: Path) -> Path:
    path = chdb_path("chdb", data_dir)
    assert path is not None
    return path


@pytest.fixture(scope="module")
def address(data_dir: Path) -> Any:
    with serving(EmbeddedBoard(path_of(data_dir), ""), "127.0.0.1", 0, "") as url:
        yield url


@pytest.fixture(scope="module")
def reader(data_dir: Path) -> Any:
    one = Reader(path_of(data_dir))
    yield one
    one.close()


def get(url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Any:
    request = urllib.request.Request(url, body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.headers, problem.read()


def shown(address: str, **query: str) -> dict[str, Any]:
    text = "&".join(f"{k}={v}" for k, v in query.items())
    status, _, body = get(f"{address}data/now.json?{text}")
    assert status == 200, body
    whole: dict[str, Any] = json.loads(body)
    return whole


def to_the_cent(whole: dict[str, Any]) -> Any:
    """The same with floats as far as the order in which SQL adds does not show."""
    return json.loads(json.dumps(whole), parse_float=lambda text: round(float(text), 2))


def rows(reader: Reader, sql: str) -> list[dict[str, Any]]:
    answer = json.loads(reader.run(sql, "JSON").body)
    panel_rows: list[dict[str, Any]] = answer["data"]
    return panel_rows


def events(address: str, after: str = "", least: int = 1) -> list[tuple[str, str, Any]]:
    """Read that many events that carry an id: (kind, id, data)."""
    read: list[tuple[str, str, Any]] = []
    with urllib.request.urlopen(f"{address}events?after={after}", timeout=60) as stream:
        event: dict[str, str] = {}
        while len(read) < least:
            line = stream.readline().decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
                continue
            if "id" in event:
                read.append((event["event"], event["id"], json.loads(event["data"])))
            event = {}
    return read


def test_at_the_end_of_the_data_the_board_shows_what_the_views_say(
    address: str, reader: Reader
) -> None:
    panels = shown(address)["panels"]
    view = {row["episode_id"]: row for row in rows(reader, "SELECT * FROM episodes")}
    assert {row["episode_id"] for row in panels["episodes"]} == view.keys() != set()
    for row in panels["episodes"]:
        for name in row.keys() & view[row["episode_id"]].keys():
            assert row[name] == pytest.approx(view[row["episode_id"]][name]), name
    seen = {(r["asset"], r["venue"]): r for r in rows(reader, "SELECT * FROM totals_24h")}
    assert {(r["asset"], r["venue"]) for r in panels["totals"]} == seen.keys()
    for row in panels["totals"]:
        for name in ("notional_usd", "estimate_usd", "estimate_low_usd", "estimate_high_usd"):
            assert row[name] == pytest.approx(seen[row["asset"], row["venue"]][name]), name
    sides = {
        (r["asset"], r["venue"], r["position_side"]): r["notional_usd"]
        for r in rows(reader, "SELECT * FROM board_24h")
    }
    for row in panels["totals"]:
        where = row["asset"], row["venue"]
        assert row["long_usd"] == pytest.approx(sides[*where, "long"])
    verdicts = {
        (r["event_id"], r["venue"]): (r["verdict"], r["p_value"])
        for r in rows(reader, "SELECT * FROM whale_verdicts")
    }
    judged = {
        (r["event_id"], r["venue"]): (r["verdict"], r["p_value"])
        for r in panels["whales"]
        if r["verdict"] not in ("awaited", "not_judged")
    }
    assert judged == verdicts != {}


def test_a_retraction_and_a_correction_are_shown_beside_what_was_told(address: str) -> None:
    panels = shown(address)["panels"]
    retracted = {
        r["event_id"]: r["retracted_verdict"]
        for r in panels["whales"]
        if r["verdict"] == "retracted"
    }
    assert retracted["seller"] == "consistent_with_selling"
    changed = {row["episode_id"]: row for row in panels["changed"]}
    assert changed
    for row in panels["episodes"]:
        assert (row["corrections"] > 0) == (row["episode_id"] in changed)
    for row in changed.values():
        assert row["now_usd"] < row["counted_usd"]
        assert row["changed"] + row["removed"] > 0


def test_what_is_shown_of_a_past_moment_is_what_was_known_then(
    address: str, reader: Reader
) -> None:
    [first] = rows(
        reader, "SELECT toString(min(ts_detect)) AS at FROM cascades WHERE phase = 'onset'"
    )
    at = first["at"].replace(" ", "T")
    panels = shown(address, at=at)["panels"]
    assert any(row["ts_detected"] and row["phase"] != "closed" for row in panels["episodes"])
    assert all(row["ts_end"] is None for row in panels["episodes"])
    assert all(row["ts_event"] <= first["at"] for row in panels["tape"])
    whole = shown(address)
    assert sum(r["notional_usd"] for r in panels["totals"]) < sum(
        r["notional_usd"] for r in whole["panels"]["totals"]
    )
    before = shown(address, at="2020-01-01T00:00:00Z")
    assert before["state"]["level"] == "unknown"  # nothing was told then: that is not calm


def test_each_panel_is_had_as_csv_and_as_the_sql_that_gives_it(
    address: str, reader: Reader
) -> None:
    whole = shown(address)
    episodes = whole["panels"]["episodes"]
    # An asset without trades has no price levels.
    episode = next(row["episode_id"] for row in episodes if row["price_before"] is not None)
    for name in [*whole["panels"], "chart", "marks", "waterfall", "levels"]:
        query = (
            f"?asset=BTC&span=3600&episode={episode}&at={whole['state']['at'].replace(' ', 'T')}"
        )
        status, headers, text = get(f"{address}data/{name}.csv{query}")
        assert status == 200, text
        assert "attachment" in headers["Content-Disposition"]
        _, _, sql = get(f"{address}data/{name}.sql{query}")
        again = reader.run(sql.decode(), "CSVWithNames").body
        assert len(again.splitlines()) == len(text.splitlines())
        assert again.splitlines()[0] == text.splitlines()[0]
    status, _, text = get(f"{address}data/waterfall.csv?episode={episode}")
    assert len(text.splitlines()) > 2


def test_levels_add_up_to_the_asset_s_last_24_h(address: str, reader: Reader) -> None:
    for asset in ("BTC", "ETH"):
        _, _, body = get(f"{address}data/levels.json?asset={asset}")
        levels = json.loads(body)["rows"]
        assert levels
        totals = [r for r in shown(address)["panels"]["totals"] if r["asset"] == asset]
        for name in ("notional_usd", "orders"):
            told = sum(int(r[name]) if name == "orders" else r[name] or 0 for r in totals)
            stood = sum(int(r[name]) if name == "orders" else r[name] for r in levels)
            assert stood == pytest.approx(told, abs=0.01)
        priced = [r for r in levels if r["price_from"] is not None]
        assert priced == sorted(priced, key=lambda r: -r["price_from"])
        assert all(
            r["price_to"] / r["price_from"] == pytest.approx(1.0025, abs=1e-4) for r in priced
        )


def test_a_waterfall_adds_up_to_what_was_forced_in_the_episode(
    address: str, reader: Reader
) -> None:
    row = max(shown(address)["panels"]["episodes"], key=lambda e: e["notional_usd"])
    if row["asset"] != "BTC":  # the only one with trades
        [row] = [e for e in shown(address)["panels"]["episodes"] if e["asset"] == "BTC"]
    _, _, body = get(f"{address}data/waterfall.json?episode={row['episode_id']}")
    levels = json.loads(body)["rows"]
    [truth] = rows(
        reader,
        "SELECT sum(notional_usd) AS usd FROM liquidations FINAL WHERE NOT removed"
        f" AND asset = 'BTC' AND position_side = '{row['position_side']}'"
        f" AND ts_event >= '{row['ts_onset']}' AND ts_event < toDateTime64('{row['ts_end']}', 6, 'UTC') + 1",
    )
    assert sum(level["notional_usd"] for level in levels) == pytest.approx(truth["usd"])


def test_on_a_terminal_a_run_ends_by_naming_its_board(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "run", "--hours", "0.1", "--data-dir", str(tmp_path)],
        env=os.environ | {"UNDERTOW_SQL_PORT": "0"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = ""
    while not re.search(r"serving the board on (\S+); Ctrl-C ends it", said):
        said += os.read(ours, 4096).decode(errors="replace")
    url = re.findall(r"serving the board on (\S+);", said)[0]
    assert url.endswith("/board/")
    assert get(url)[0] == 200
    assert json.loads(get(f"{url}data/now.json")[2])["panels"]["totals"]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    os.close(ours)


def test_over_a_server_it_shows_the_same_as_over_the_embedded_database(
    data_dir: Path, address: str, tmp_path: Path
) -> None:
    """The real engine behind ClickHouse's HTTP interface, asked through clickhouse-connect."""
    shutil.copytree(path_of(data_dir), tmp_path / "clickhouse", symlinks=True)
    with running(tmp_path / "clickhouse") as server_url:
        client = open_client(f"{server_url}/undertow", tmp_path)
        with serving(Board(server(client), ""), "127.0.0.1", 0, "") as url:
            assert to_the_cent(shown(url)) == to_the_cent(shown(address))
            query = "data/chart.json?asset=BTC&span=3600"
            assert (
                json.loads(get(url + query)[2]).keys() == json.loads(get(address + query)[2]).keys()
            )
            assert get(f"{url}data/tape.csv")[0] == 200
            assert events(url)[0][0] == "whole"
        client.close()


def test_an_alert_says_what_its_receivers_took_of_it(tmp_path: Path) -> None:
    client = open_client("chdb", tmp_path)
    migrate(client, "undertow")
    alerts = [an_alert(), an_alert(alert_id="a2", finding_id="f2"), an_alert(alert_id="a3")]
    common = {"action": "trigger", "alert_ids": ["a1", "a2"], "ts_event": alerts[0].ts_event}
    steps = [
        NotificationStep(
            notification_id="n", endpoint="a.example-1", state="waiting", ts_noted=T, **common
        ),
        NotificationStep(
            notification_id="n", endpoint="slack-2", state="waiting", ts_noted=T, **common
        ),
        NotificationStep(
            notification_id="n", endpoint="a.example-1", state="delivered", ts_noted=T + 1
        ),
        NotificationStep(
            notification_id="n", endpoint="slack-2", state="dead", ts_noted=T + 1, error="404"
        ),
    ]
    writer = Writer(client)
    writer.insert(Batch("alerts", "alerts", 0, 0, 2, alerts, range(3)))
    writer.insert(Batch("notifications", "notifications", 0, 0, 3, steps, range(4)))
    with serving(EmbeddedBoard(Path(client.path), ""), "127.0.0.1", 0, "") as url:
        rows_of = {row["alert_id"]: row["delivery"] for row in shown(url)["panels"]["alerts"]}
    client.close()
    both = "a.example-1: delivered; slack-2: given up, 404"
    assert rows_of == {"a1": both, "a2": both, "a3": "not known here"}


def test_a_value_that_is_none_is_refused_by_name(address: str) -> None:
    for query, name in (("at=yesterday", "at="), ("span=0", "span"), ("usd=many", "many")):
        status, _, body = get(f"{address}data/chart.json?asset=BTC&{query}")
        assert (status, name in body.decode()) == (400, True), body
    assert get(f"{address}data/nonsense.json")[0] == 404
    assert get(f"{address}../etc/passwd")[0] == 404
    status, _, body = get(f"{address}data/chart.json?asset=%27%20OR%201%3D1")
    assert json.loads(body)["rows"] == []


def test_other_pages_may_link_to_the_page_and_read_nothing(address: str) -> None:
    foreign = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    status, headers, _ = get(address, foreign)
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert get(f"{address}data/letters.json", foreign)[0] == 403
    assert get(address, foreign | {"Sec-Fetch-Dest": "iframe"})[0] == 403
    assert get(address, foreign | {"Host": "evil.example"})[0] == 403
    assert get(f"{address}login", {"Origin": "https://evil.example"}, b"{}")[0] == 403


def test_with_a_token_data_are_for_whoever_logged_in(data_dir: Path) -> None:
    with serving(EmbeddedBoard(path_of(data_dir), "s3cret"), "127.0.0.1", 0, "s3cret") as url:
        assert get(url)[0] == 200
        assert get(f"{url}data/letters.json")[0] == 401
        assert get(f"{url}events")[0] == 401
        assert get(f"{url}login", body=b'{"token": "guess"}')[0] == 401
        assert get(f"{url}login", body=b"guess")[0] == 400
        status, headers, _ = get(f"{url}login", body=b'{"token": "s3cret"}')
        assert status == 204
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "s3cret" not in cookie
        shown_cookie = {"Cookie": cookie.partition(";")[0]}
        assert get(f"{url}data/letters.json", shown_cookie)[0] == 200
        assert get(f"{url}data/letters.json", {"Authorization": "Bearer s3cret"})[0] == 200


def test_the_first_event_is_everything_and_one_who_missed_nothing_is_sent_nothing_twice(
    address: str,
) -> None:
    [(kind, _, whole)] = events(address)
    assert kind == "whole"
    assert whole["state"]["at"] == shown(address)["state"]["at"]
    assert whole["panels"]["tape"]
    stranger = events(address, "another-7")
    assert stranger[0][0] == "whole"


class _Store:
    """A store whose rows a test sets: answers the board's statements."""

    def __init__(self) -> None:
        self.stored = 0
        self.over_shards = False
        self.tape: list[str] = []
        self.asked = 0

    def ask(self, sql: str, values: Any, fmt: str) -> bytes:
        self.asked += 1
        if "AS stored" in sql:
            tables = {table for panel in SHARED.values() for table in panel.tables}
            stored = [[table, self.stored, 10 * self.stored] for table in sorted(tables)]
            stored = [] if self.over_shards else stored
            rows = [["2025-11-21 07:00:00.000000", stored]]
            return json.dumps({"meta": [{"name": "at"}, {"name": "stored"}], "data": rows}).encode()
        names = ["event_id", "notional_usd"] if "multiIf(l.notional_usd" in sql else ["episode_id"]
        rows = [[one, 1.0] for one in self.tape] if names[0] == "event_id" else []
        return json.dumps({"meta": [{"name": n} for n in names], "data": rows}).encode()

    def add(self, name: str) -> None:
        self.tape.append(name)
        self.stored += 1


async def _call(ask: Any) -> Any:
    return ask()


def put(reader: Any) -> list[str]:
    """Take what waits for a reader: the orders that it is told."""
    names = []
    while reader.waiting:
        payload = json.loads(reader.waiting.popleft().content.split(b"data: ")[1])
        names += [row["event_id"] for row in payload["changes"]["tape"]["put"]]
    return names


def test_whoever_comes_back_is_told_what_was_missed_once_and_others_all_anew() -> None:
    async def scene() -> None:
        store = _Store()
        board = Live(store.ask, _call)
        board.listeners.add(first := live_module.Listener())
        store.add("a")
        await board.refresh()
        assert first.stale
        first.stale = False
        seen = board.whole()
        store.add("b")
        await board.refresh()
        store.add("c")
        await board.refresh()
        assert put(first) == ["b", "c"]
        [last] = [line[4:] for line in seen.content.decode().split("\n") if line.startswith("id: ")]
        back = board.join(last)
        assert (put(back), back.stale) == (["b", "c"], False)
        now = board.whole().content.decode().split("id: ")[1].split("\n")[0]
        assert put(board.join(now)) == []
        for unknown in ("", "other-3", f"{now}9", "x-y"):
            assert board.join(unknown).stale
        asked = store.asked
        await board.refresh()
        assert store.asked == asked + 1  # nothing is stored anew: the clock alone was asked
        store.over_shards = True  # tables that do not say what they hold are always asked
        await board.refresh()
        await board.refresh()
        assert store.asked == asked + 1 + 2 * (1 + len(SHARED))
        await board.close()

    asyncio.run(scene())


def test_a_reader_that_stalls_is_given_everything_anew_and_holds_up_nobody() -> None:
    async def scene() -> None:
        store = _Store()
        board = Live(store.ask, _call)
        stalled, quick = live_module.Listener(), live_module.Listener()
        board.listeners |= {stalled, quick}
        await board.refresh()
        stalled.stale = quick.stale = False
        names = []
        for number in range(live_module.QUEUED + 10):
            store.add(f"o{number}")
            await board.refresh()
            names += put(quick)
        assert len(names) == live_module.QUEUED + 10
        assert stalled.stale
        assert not stalled.waiting

    asyncio.run(scene())


@pytest.mark.parametrize(
    "problem", [KeyError("a bug"), OSError("gone"), QueryError(60, "no table")]
)
def test_a_poll_that_fails_is_told_as_not_known_and_tried_again(
    problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "EVERY_S", 0.0)
    monkeypatch.setattr(live_module, "REST", 0.0)

    async def scene() -> None:
        store = _Store()
        fails = True

        def ask(sql: str, values: Any, fmt: str) -> bytes:
            if fails:
                raise problem
            return store.ask(sql, values, fmt)

        board = Live(ask, _call)
        listener = board.join("")
        while not listener.waiting:
            await asyncio.sleep(0.001)
        event = json.loads(listener.waiting[-1].content.split(b"data: ")[1])
        assert event["level"] == "unknown"
        assert "does not answer" in event["problem"]
        assert ("undertow migrate" in event["problem"]) == isinstance(problem, QueryError)
        fails = False
        while not listener.stale:
            await asyncio.sleep(0.001)
        assert json.loads(board.whole().content.split(b"data: ")[1])["state"]["problem"] is None
        await board.close()

    asyncio.run(scene())
