"""The live board in a real Chromium: what is there, that it moves, and that its figures are SQL's."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import NARROW, WIDE, Watched, launched, opened
from cut_off import proxied
from nights import PARAMS, START, complete_night, disturbed_night, liquidation, write_ndjson
from playwright.sync_api import Browser, Page, expect
from runs import OFTEN

from schemas.findings import FeedFinding
from schemas.words import SECOND
from sinks.board.pages import STATIC, Board
from sinks.board.serve import EmbeddedBoard, serving
from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.migrate import migrate
from streams.core.alerts import alert_of

WAIT_S = 300
HOURS = "8"
RECORDING = Path(__file__).resolve().parents[3] / "shared/data/binance_ws_2025-12_riftfern"
expect.set_options(timeout=60_000)


class Night(NamedTuple):
    """A run that serves: its board's address, its process, where its data lie."""

    board: str
    process: subprocess.Popen[str]
    data_dir: Path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as one:
        yield one


def command(*args: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *args],
        env=os.environ | (environ or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def address_told(process: subprocess.Popen[str]) -> str:
    """Return the board's address as the process says it on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if address := re.search(r"http://\S+/board/", line):
            return address[0]
    raise AssertionError("the process ended without a board")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """The default night while it is played, served afterwards too."""
    data_dir = tmp_path_factory.mktemp("night")
    process = command(
        "run", "--hours", HOURS, "--serve", "--data-dir", str(data_dir),
        environ={"UNDERTOW_SQL_PORT": "0"},
    )  # fmt: skip
    yield Night(address_told(process), process, data_dir)
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def played(night: Night) -> Night:
    """The night when all of it is stored."""
    until(lambda: (night.data_dir / "run.json").exists())
    return night


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def sql(board: str, statement: str) -> list[dict[str, Any]]:
    """Ask the SQL endpoint beside a run's board."""
    where = urlsplit(board)
    request = urllib.request.Request(
        f"http://{where.netloc}/?default_format=JSON", statement.encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        rows: list[dict[str, Any]] = json.loads(answer.read())["data"]
    return rows


def statement(board: str, panel: str, **query: str) -> str:
    text = "&".join(f"{k}={v}" for k, v in query.items())
    with urllib.request.urlopen(f"{board}data/{panel}.sql?{text}", timeout=60) as answer:
        body: bytes = answer.read()
    return body.decode()


def ready(page: Page) -> None:
    """Wait until a page has its data and its charts."""
    expect(page.locator("#state-word")).not_to_have_text("…")
    expect(page.locator("#totals tbody tr").first).to_be_visible()
    expect(page.locator("#chart canvas")).to_have_count(4)


def text_of(page: Page, selector: str) -> str:
    return page.locator(selector).inner_text()


def sound(watched: Watched, board: str) -> None:
    """Nothing was said on the console, and nothing asked of another place."""
    assert watched.said == []
    origin = urlsplit(board).netloc
    assert {urlsplit(url).netloc for url in watched.asked if not url.startswith("data:")} == {
        origin
    }


def shown_usd(worth: float) -> str:
    """Dollars as the page writes them."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(worth) >= size:
            return f"${worth / size:,.1f}{unit}"
    return f"${worth:,.0f}"


# ---- a night as it is played


def test_the_board_shows_the_night_while_it_is_played(browser: Browser, night: Night) -> None:
    with opened(browser, night.board) as watched:
        page = watched.page
        clocks = set()
        deadline = time.monotonic() + WAIT_S
        while len(clocks) < 3:
            assert time.monotonic() < deadline, clocks
            if (clock_text := text_of(page, "#clock")).startswith("Replay, now at"):
                clocks.add(clock_text)
            page.wait_for_timeout(200)
        until(lambda: (night.data_dir / "run.json").exists() or page.wait_for_timeout(200))
        expect(page.locator("#clock")).to_have_text(re.compile("07:59:5|08:00"))
        expect(page.locator("#clock")).to_have_text(re.compile(r"^Data end .* ago$"))
        ready(page)
        sound(watched, night.board)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1440", "390"])
def test_all_that_a_board_must_have_is_there(browser: Browser, played: Night, size: Any) -> None:
    at = "2025-11-21T07:40:00Z"  # in the midst of ten cascades
    with opened(browser, f"{played.board}?at={at}&asset=BTC", size) as watched:
        page = watched.page
        ready(page)
        state = text_of(page, "#state")
        assert "Then: Cascade" in state
        assert "BTC longs: " in state
        [market] = sql(played.board, statement(played.board, "market", at=at))
        since = f"since {market['ts_onset'][11:19]}: {', '.join(market['assets'])}"
        assert f"Market-wide cascade {since}" in text_of(page, "#market")
        assert {"BTC", "XRP"} <= set(market["assets"])
        assert "As of 2025-11-21 07:40:00 UTC" in text_of(page, "#facts")
        assert "full, latest a second" in text_of(page, "#coverage")
        episode = page.locator(".episode", has_text="BTC longs").inner_text()
        episodes = sql(played.board, statement(played.board, "episodes", at=at))
        [row] = [row for row in episodes if row["asset"] == "BTC"]
        for words in (
            f"{row['phase']}, 5 min old", f"onset {row['ts_onset'][:19]}",
            f"called {row['ts_detected'][11:19]}, {row['delay_s']} s later", "a second", "about $",
            " bps, ", " to ", "score", f"against {row['threshold']:.2f} (default)",
            "coverage latest a second", "branching", "impact", "led by", "open interest", "again",
        ):  # fmt: skip
            assert words in episode, words
        for one in episodes:
            card = page.locator(f'.episode[data-key="{one["episode_id"]}"]').inner_text()
            limit = f"at their limit: {', '.join(one['saturated'])}" if one["saturated"] else ""
            assert limit in card
        totals = text_of(page, "#totals")
        for words in ("longs", "shorts", "in all, with what is hidden", "≥ $", "largest"):
            assert words in totals, words
        assert "largest $" in text_of(page, "#totals-note")
        tape = text_of(page, "#tape")
        for words in ("bybit", "longs", "latest a second", "full"):
            assert words in tape, words
        assert "imbalance" in text_of(page, "#reading")
        assert "awaited" in text_of(page, "#whales")
        assert "no receiver is set" in text_of(page, "#alerts")
        assert "Z30" in text_of(page, "#scores")
        assert page.locator("#waterfall tbody tr").count() > 5
        assert "binance" in text_of(page, "#feeds")
        expect(page.locator("#levels tbody tr").first).to_be_visible()
        assert "bankruptcy" in text_of(page, "#levels")
        assert page.locator(".tools").count() == 13
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        page.locator("#usd").select_option("100000")
        values = page.locator("#tape [data-value]").evaluate_all(
            "cells => cells.filter(c => c.textContent.startsWith('$')).map(c => Number(c.dataset.value))"
        )
        assert values
        assert min(values) >= 100_000
        page.locator("#zone").click()
        assert text_of(page, "#zone") != "UTC" or "UTC" in text_of(page, "#clock")
        sound(watched, played.board)


def test_its_figures_are_those_of_the_sql_beside_it(browser: Browser, played: Night) -> None:
    at = "2025-11-21T07:40:00Z"
    with opened(browser, f"{played.board}?at={at}&asset=BTC") as watched:
        page = watched.page
        ready(page)
        rows = sql(played.board, statement(played.board, "totals", at=at))
        shown = page.locator("#totals tbody tr")
        assert shown.count() == len(rows)
        for row in rows:
            line = page.locator(f'#totals tr[data-key="{row["asset"]}|{row["venue"]}"] td')
            figures = line.locator("[data-value]").evaluate_all(
                "cells => cells.map(c => [c.dataset.value, c.textContent])"
            )
            names = ("long_usd", "short_usd", "unknown_usd", "notional_usd")
            bound = "" if row["coverage"] == "full" else "≥ "
            for name, (value, text) in zip(names, figures, strict=False):
                if row[name] is None:
                    assert (value, text) == ("null", "none shown")
                else:
                    assert float(value) == pytest.approx(row[name])
                    assert text == bound + shown_usd(row[name])
            if row["coverage"] != "full":
                ends = (row["estimate_usd"], row["estimate_low_usd"], row["estimate_high_usd"])
                middle, low, high = map(shown_usd, ends)
                assert figures[4][1] == f"about {middle} ({low} to {high})"
        for row in sql(played.board, statement(played.board, "episodes", at=at)):
            card = page.locator(f'.episode[data-key="{row["episode_id"]}"]')
            forced = card.locator('dd[data-fact="forced"] [data-value]')
            assert float(forced.get_attribute("data-value") or 0) == pytest.approx(
                row["notional_usd"]
            )
            assert forced.inner_text() == "≥ " + shown_usd(row["notional_usd"])
            assert card.locator('dd[data-fact="orders"]').inner_text() == f"{row['orders']:,}"
        tape = sql(played.board, statement(played.board, "tape", at=at, usd="0"))
        newest = [row["event_id"] for row in tape][:200]
        keys = page.locator("#tape tbody tr").evaluate_all("rows => rows.map(r => r.dataset.key)")
        assert set(keys) == set(newest)
        assert len(keys) == len(set(keys))
        scores = sql(played.board, statement(played.board, "scores", at=at))
        for row in scores:
            cell = page.locator(
                f'#scores tr[data-key="{row["asset"]}|{row["position_side"]}"] [data-threshold]'
            )
            assert cell.inner_text() == f"{row['log_rate']:.2f} of {row['threshold']:.2f}"
        expect(page.locator("#levels tbody tr").first).to_be_visible()
        levels = sql(played.board, statement(played.board, "levels", at=at, asset="BTC"))
        assert page.locator("#levels tbody tr").count() == len(levels) > 5
        for row in levels:
            line = page.locator(f'#levels tr[data-key="{row["quote"]}|{row["price_from"]}"]')
            figures = line.locator("[data-value]").evaluate_all(
                "cells => cells.map(c => [c.dataset.value, c.textContent])"
            )
            bound = "" if row["coverage"] == "full" else "≥ "
            for name, (value, text) in zip(("long_usd", "short_usd"), figures[1:3], strict=True):
                told = bound + shown_usd(row[name]) if row[name] else "none shown"
                assert text == told
                assert value == "null" or float(value) == pytest.approx(row[name])
        page.get_by_label("Last 24 h by asset, venue, side as SQL").click()
        expect(page.locator("#sql")).to_contain_text("FROM liquidations AS l FINAL")
        assert len(sql(played.board, page.locator("#sql").inner_text())) == len(rows)


def test_a_real_recording_is_shown_as_well(browser: Browser, tmp_path: Path) -> None:
    if not RECORDING.is_dir():
        pytest.skip("the recording does not lie beside the checkout")
    process = command(
        "run", "--source", str(RECORDING), "--serve", "--data-dir", str(tmp_path),
        environ={"UNDERTOW_SQL_PORT": "0"},
    )  # fmt: skip
    try:
        url = address_told(process)
        until(lambda: (tmp_path / "run.json").exists())
        for size in (WIDE, NARROW):
            with opened(browser, url, size) as watched:
                page = watched.page
                ready(page)
                assert text_of(page, "#clock").startswith("Data end ")
                assert "binance" in text_of(page, "#totals")
                [total] = sql(url, "SELECT sum(notional_usd) AS usd FROM board_24h")
                value = page.locator("#sum").get_attribute("data-value")
                assert float(value or 0) == pytest.approx(total["usd"])
                assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
                sound(watched, url)
    finally:
        process.kill()
        process.wait()


# ---- who uses it


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1440", "390"])
def test_axe_sees_nothing_serious(browser: Browser, played: Night, size: Any, scheme: str) -> None:
    with opened(browser, f"{played.board}?at=2025-11-21T07:40:00Z", size, scheme) as watched:
        ready(watched.page)
        violations = Axe().run(watched.page).response["violations"]
        serious = [
            (v["id"], v["impact"], [node["html"][:120] for node in v["nodes"]][:3])
            for v in violations
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_the_keyboard_reaches_everything(browser: Browser, played: Night) -> None:
    with opened(browser, f"{played.board}?at=2025-11-21T07:40:00Z&asset=BTC") as watched:
        page = watched.page
        ready(page)
        page.evaluate(
            "document.querySelectorAll('a, button, select, input, [tabindex]').forEach((e, i) => {"
            " if (e.offsetParent !== null) e.dataset.n = i; })"
        )
        wanted = page.locator("[data-n]").evaluate_all("all => all.map(e => e.dataset.n)")
        reached: set[str] = set()
        for _ in range(3 * len(wanted)):
            page.keyboard.press("Tab")
            if number := page.evaluate("document.activeElement.dataset.n"):
                reached.add(number)
            if reached >= set(wanted):
                break
        missed = [n for n in wanted if n not in reached]
        names = [
            page.locator(f'[data-n="{n}"]').evaluate("e => e.outerHTML.slice(0, 90)")
            for n in missed
        ]
        assert names == []
        page.locator("#chart").focus()
        before = text_of(page, "#reading")
        page.keyboard.press("PageUp")
        assert text_of(page, "#reading") != before
        page.get_by_role("button", name="ETH longs").press("Enter")
        expect(page.locator("#asset")).to_have_value("ETH")
        expect(page.locator("#waterfall-note")).to_have_text(re.compile("^ETH longs, onset"))


def test_a_link_of_it_shows_the_same_and_a_night_is_played_on(
    browser: Browser, played: Night
) -> None:
    with opened(browser, f"{played.board}?at=2025-11-21T07:30:00Z&asset=SOL&span=900") as watched:
        page = watched.page
        ready(page)
        assert page.locator("#asset").input_value() == "SOL"
        assert page.locator("#span").input_value() == "900"
        assert "Calm" in text_of(page, "#state")
        page.locator("#speed").select_option("300")
        page.locator("#play").click()
        expect(page.locator("#state-word")).to_have_text("Then: Cascade")
        page.locator("#play").click()
        expect(page.locator("#play")).to_have_text("Play")
        here = page.url
        [at] = parse_qs(urlsplit(here).query)["at"]
        expect(page.locator("#clock")).to_have_text(f"As of {at[:10]} {at[11:19]} UTC")
        assert "at=2025-11-21T07%3A3" in here or "at=2025-11-21T07%3A4" in here
        shown_texts = [text_of(page, s) for s in ("#state", "#clock", "#totals", "#tape")]
        with opened(browser, here) as other:
            ready(other.page)
            assert [
                text_of(other.page, s) for s in ("#state", "#clock", "#totals", "#tape")
            ] == shown_texts
        page.locator("#live").click()
        expect(page.locator("#clock")).to_have_text(re.compile("^Data end"))
        assert "at=" not in page.url
        sound(watched, played.board)


# ---- what goes wrong


def test_the_page_comes_back_by_itself_after_the_server_was_killed(
    browser: Browser, played: Night
) -> None:
    def board(port: str) -> subprocess.Popen[str]:
        return command("board", "--data-dir", str(played.data_dir), "--board-port", port)

    first = board("0")
    second = None
    try:
        url = address_told(first)
        with opened(browser, url) as watched:
            page = watched.page
            ready(page)
            rows = page.locator("#tape tbody tr").count()
            first.kill()
            expect(page.locator("#link")).to_have_text(re.compile("^not connected"))
            assert page.locator("#tape tbody tr").count() == rows
            second = board(str(urlsplit(url).port))
            expect(page.locator("#link")).to_have_text("connected")
            expect(page.locator("#tape tbody tr")).to_have_count(rows)
            keys = page.locator("#tape tbody tr").evaluate_all(
                "rows => rows.map(r => r.dataset.key)"
            )
            assert len(keys) == len(set(keys))
            assert [line for line in watched.said if "ERR_" not in line] == []
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()


def test_a_run_that_is_killed_mid_night_and_goes_on_shows_each_row_once(
    browser: Browser, tmp_path: Path
) -> None:
    write_ndjson(complete_night(), tmp_path / "night")
    params = tmp_path / "params.json"
    params.write_bytes(msgspec.json.encode(PARAMS))
    data_dir = tmp_path / "data"

    def run(port: str, speed: str) -> subprocess.Popen[str]:
        source = ("--source", str(tmp_path / "night"), "--speed", speed)
        environ = OFTEN | {"UNDERTOW_PARAMS": str(params), "UNDERTOW_SQL_PORT": port}
        return command("run", *source, "--serve", "--data-dir", str(data_dir), environ=environ)

    first = run("0", "200")
    second = None
    try:
        url = address_told(first)
        with opened(browser, url) as watched:
            page = watched.page
            expect(page.locator("#clock")).to_have_text(re.compile("^Replay, now at"))
            expect(page.locator("#tape tbody tr").nth(5)).to_be_visible()
            first.kill()
            first.wait()
            expect(page.locator("#link")).to_have_text(re.compile("^not connected"))
            second = run(str(urlsplit(url).port), "max")
            until(lambda: (data_dir / "run.json").exists() or page.wait_for_timeout(200))
            expect(page.locator("#link")).to_have_text("connected")
            expect(page.locator("#clock")).to_have_text(re.compile("00:39:59"))
            ready(page)
            tape = sql(url, statement(url, "tape", usd="0"))
            shown = page.locator("#tape tbody tr").evaluate_all("r => r.map(e => e.dataset.key)")
            assert sorted(shown) == sorted(row["event_id"] for row in tape[:200])
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()


def test_dropped_streams_lose_no_row_and_show_none_twice(browser: Browser, tmp_path: Path) -> None:
    client = open_client("chdb", tmp_path)
    migrate(client, "undertow")
    writer, orders = Writer(client), [
        liquidation(START + n, n, 1_000.0 * (n + 1), "BTC", "bybit") for n in range(60)
    ]  # fmt: skip

    def store(first: int, last: int) -> None:
        part = orders[first:last]
        writer.insert(
            Batch("liquidations", "liquidations", 0, first, last - 1, part, range(first, last))
        )

    store(0, 10)
    board = EmbeddedBoard(Path(client.path), "")
    with serving(board, "127.0.0.1", 0, "") as url, proxied(urlsplit(url).port or 0) as proxy:
        through = url.replace(f":{urlsplit(url).port}/", f":{proxy.port}/")
        with opened(browser, through) as watched:
            page = watched.page
            expect(page.locator("#tape tbody tr")).to_have_count(10)
            page.evaluate(
                "window.added = []; new MutationObserver(changes => changes.forEach(c =>"
                " c.addedNodes.forEach(n => added.push(n.dataset.key))))"
                ".observe(document.querySelector('#tape tbody'), {childList: true})"
            )
            for round_ in range(3):
                assert proxy.cut() > 0
                store(10 + 10 * round_, 20 + 10 * round_)
                expect(page.locator("#tape tbody tr")).to_have_count(20 + 10 * round_)
            keys = page.locator("#tape tbody tr").evaluate_all(
                "rows => rows.map(r => r.dataset.key)"
            )
            assert sorted(keys) == sorted(order.event_id for order in orders[:40])
            added = page.evaluate("window.added")
            assert sorted(added) == sorted(order.event_id for order in orders[10:40])
    client.close()


def test_a_correction_and_a_retraction_are_shown_as_what_they_are(
    browser: Browser, tmp_path: Path
) -> None:
    write_ndjson(disturbed_night(), tmp_path / "night")
    params = tmp_path / "params.json"
    params.write_bytes(msgspec.json.encode(PARAMS))
    environ = OFTEN | {"UNDERTOW_PARAMS": str(params)}
    data_dir = tmp_path / "data"
    run = command(
        "run", "--source", str(tmp_path / "night"), "--serve", "--data-dir", str(data_dir),
        environ=environ,
    )  # fmt: skip
    try:
        url = address_told(run)
        until(lambda: (data_dir / "run.json").exists())
        with opened(browser, url) as watched:
            page = watched.page
            ready(page)
            assert "taken back, was: consistent with selling" in text_of(page, "#whales")
            changed = sql(url, statement(url, "changed"))
            assert changed
            for row in changed:
                card = page.locator(f'.episode[data-key="{row["episode_id"]}"]').inner_text()
                assert f"counted before as {shown_usd(row['counted_usd'])}, changed since:" in card
                assert f"{shown_usd(row['now_usd'])} now" in card
            [total] = sql(url, "SELECT sum(notional_usd) AS usd FROM board_24h")
            value = page.locator("#sum").get_attribute("data-value")
            assert float(value or 0) == pytest.approx(total["usd"])
            removed = sql(url, "SELECT event_id FROM liquidations FINAL WHERE removed")
            marked = page.locator("#tape tr.removed").evaluate_all("r => r.map(e => e.dataset.key)")
            assert set(marked) <= {row["event_id"] for row in removed}
            sound(watched, url)
    finally:
        run.kill()
        run.wait()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Any]:
    client = open_client("chdb", tmp_path)
    migrate(client, "undertow")
    yield client
    client.close()


def test_an_empty_store_is_said_to_be_one_and_never_0(browser: Browser, empty: Any) -> None:
    with (
        serving(EmbeddedBoard(Path(empty.path), ""), "127.0.0.1", 0, "") as url,
        opened(browser, url) as watched,
    ):
        page = watched.page
        expect(page.locator("#state-word")).to_have_text("No data")
        expect(page.locator("#clock")).to_have_text("No data yet")
        whole = text_of(page, "body")
        assert "Calm" not in whole
        assert "$0" not in whole
        assert page.locator('main [data-value="0"]').count() == 0
        for words in ("not known to be none", "No feed has told anything", "is, is not known"):
            assert words in whole, words
        sound(watched, url)


def test_a_silent_feed_and_a_throttled_one_have_their_words(browser: Browser, empty: Any) -> None:
    order = msgspec.structs.replace(
        liquidation(START, 1, 5_000.0, "BTC", "binance"), coverage="latest_per_second"
    )
    silent = alert_of(
        FeedFinding(
            finding_id="f", producer="binance", state="silent", reason="no word",
            ts_event=START * SECOND, ts_detect=(START + 5) * SECOND,
        )
    )  # fmt: skip
    assert silent is not None
    writer = Writer(empty)
    writer.insert(Batch("liquidations", "liquidations", 0, 0, 0, [order], [0]))
    writer.insert(Batch("alerts", "alerts", 0, 0, 0, [silent], [0]))
    with (
        serving(EmbeddedBoard(Path(empty.path), ""), "127.0.0.1", 0, "") as url,
        opened(browser, url) as watched,
    ):
        page = watched.page
        ready_state = page.locator("#state-word")
        expect(ready_state).to_have_text("Then: Unknown")
        assert "Blind in part: Feed binance: silent" in text_of(page, "#blind")
        assert "Feed binance: silent" in text_of(page, "#silent")
        totals = text_of(page, "#totals")
        assert "≥ $5.0K" in totals
        assert "none shown" in totals  # of shorts: not 0
        assert "latest a second" in totals
        assert page.locator('#totals [data-value="0"]').count() == 0
        sound(watched, url)


def test_beyond_loopback_one_logs_in_on_the_page(browser: Browser, empty: Any) -> None:
    order = liquidation(START, 1, 5_000.0, "BTC", "binance")
    Writer(empty).insert(Batch("liquidations", "liquidations", 0, 0, 0, [order], [0]))
    board = EmbeddedBoard(Path(empty.path), "s3cret")
    with serving(board, "127.0.0.1", 0, "s3cret") as url, opened(browser, url) as watched:
        page = watched.page
        expect(page.locator("#login")).to_be_visible()
        expect(page.locator("#link")).to_have_text("log in to see the data")
        assert "$5.0K" not in text_of(page, "body")
        page.locator("#token").fill("s3cret")
        page.locator("#token").press("Enter")
        expect(page.locator("#totals tbody tr")).to_have_count(1)
        expect(page.locator("#login")).to_be_hidden()
        page.reload()
        expect(page.locator("#totals tbody tr")).to_have_count(1)
        sound(watched, url)


def test_the_page_is_small() -> None:
    board = Board(lambda *_: b"", "")
    sizes = {name: len(file.packed) for name, file in board._files.items()}
    assert sum(size for name, size in sizes.items() if not name.endswith(".txt")) <= 150_000
    assert len(sizes) == sum(1 for path in STATIC.rglob("*") if path.is_file())
