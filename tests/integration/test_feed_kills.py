"""`undertow feed` killed with -9, and two feeds beside each other: each record once, or in a gap."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.request import urlopen

from scripted_venues.binance import Binance
from scripted_venues.bybit import Bybit
from scripted_venues.ears import Fast, process_urls, until
from scripted_venues.server import Event, ScriptedVenue, serving
from scripted_venues.tape import ids
from scripted_venues.topics import everything
from stages import ENDS_WITHIN_S, ROOT, running, undertow

from schemas.market import Liquidation, Trade
from schemas.status import FeedStatus

#: Twenty are the bar; a run of all tests takes fewer.
ROUNDS = int(os.environ.get("FEED_KILLS", "3"))
_GAP = re.compile(r"(\w+) of (\w+)/\S+ until (\S+): ")


@contextmanager
def printing(clock: Fast, *venues: ScriptedVenue) -> Iterator[threading.Event]:
    """Have venues print trades and forced orders all the time, until the event is set."""
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for venue in venues:
                kind = "liquidation" if number % 10 == 0 else "trade"
                venue.emit(*(clock.event(kind, symbol, number) for symbol in venue.script.symbols))
            time.sleep(0.05)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


@contextmanager
def killed_at_the_end(given: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "feed"],
            cwd=ROOT, env=os.environ | given, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def unaccounted(kafka: str, tapes: dict[str, tuple[object, list[Event]]]) -> list[str]:
    """Return what a tape has, and neither a topic nor a declared gap."""
    heard = {
        record.event_id
        for topic in ("trades", "liquidations")
        for _, _, record in everything(kafka, topic)
        if isinstance(record, Trade | Liquidation)
    }
    gaps = []
    for _, _, status in everything(kafka, "feed_status"):
        if isinstance(status, FeedStatus) and status.state == "gap":
            topic, venue, until_ = _GAP.match(status.reason).groups()
            end = datetime.fromisoformat(until_).timestamp() * 1e6
            gaps.append((topic, venue, status.ts_event, end))
    lacking = []
    for venue, (script, events) in tapes.items():
        for event in events:
            [event_id] = ids(venue, script, [event])
            topic = "trades" if event.kind == "trade" else "liquidations"
            at = event.ts * 1000
            in_a_gap = any((topic, venue) == gap[:2] and gap[2] <= at <= gap[3] for gap in gaps)
            if event_id not in heard and not in_a_gap:
                lacking.append(f"{event_id} {at}")
    return lacking


def test_a_feed_killed_at_random_moments_loses_nothing_outside_a_declared_gap(
    clean_topics: str, tmp_path: Path
) -> None:
    clock, chance = Fast(1), random.Random(20261128)
    log = tmp_path / "feed.log"
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        given = {
            "KAFKA_URL": clean_topics,
            "UNDERTOW_DATA_DIR": str(tmp_path / "data"),
            "UNDERTOW_VENUE_URLS": process_urls(binance=binance, bybit=bybit),
        }
        places = tmp_path / "data" / "feed" / "feed.json"

        def are_subscribed() -> bool:
            names = ("!forceOrder@arr", "btcusdt@aggTrade", "ethusdt@aggTrade")
            topics = [
                f"{c}.{s}" for c in ("publicTrade", "allLiquidation") for s in bybit.script.symbols
            ]
            return all(map(binance.subscribed, names)) and all(map(bybit.subscribed, topics))

        with killed_at_the_end(given, log):
            until(are_subscribed, "subscribed", 120)
            until(lambda: "bybit" in (places.read_text() if places.exists() else ""), "places", 60)
            # What came before is nobody's.
            binance.tape.clear()
            bybit.tape.clear()
            printed = printing(clock, binance, bybit)
            stop = printed.__enter__()
            time.sleep(chance.uniform(0.5, 4))
        for _ in range(ROUNDS - 1):
            with killed_at_the_end(given, log):
                until(lambda: binance.clients and bybit.clients, "connected again", 120)
                time.sleep(chance.uniform(0.0, 6))
        with killed_at_the_end(given, log) as process:
            until(are_subscribed, "subscribed at last", 120)
            before = len(binance.tape)
            until(lambda: len(binance.tape) > before + 500, "it goes on for a while", 120)
            stop.set()
            printed.__exit__(None, None, None)
            tapes = {"binance": (Binance(), binance.tape), "bybit": (Bybit(), bybit.tape)}
            until(lambda: not unaccounted(clean_topics, tapes), "all is in Kafka or in a gap", 60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(ENDS_WITHIN_S) == 0, log.read_text()
        assert len(binance.tape) > 100
        assert unaccounted(clean_topics, tapes) == []


def count_of(kafka: str, kind: type[Trade] | type[Liquidation]) -> int:
    """Return how many records of a kind are in its topic."""
    topic = "trades" if kind is Trade else "liquidations"
    return sum(isinstance(record, kind) for _, _, record in everything(kafka, topic))


def rows_written(log: Path) -> float:
    """Return how many trades a sink says that it wrote."""
    if (address := re.search(r"http://\S+", log.read_text())) is None:
        return 0
    with urlopen(f"{address[0]}/metrics", timeout=10) as answer:
        line = re.search(r'undertow_rows_total{table="trades"} (\S+)', answer.read().decode())
    return float(line[1]) if line else 0


def test_two_feeds_of_the_same_venues_give_each_record_once_in_clickhouse(
    clean_topics: str, tmp_path: Path
) -> None:
    clock = Fast(1)
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        given = {
            "KAFKA_URL": clean_topics,
            "UNDERTOW_DATA_DIR": str(tmp_path / "data"),
            "UNDERTOW_VENUE_URLS": process_urls(binance=binance, bybit=bybit),
        }
        with (
            running(given, "feed", log=tmp_path / "first.log"),
            running(given | {"UNDERTOW_FEED_NAME": "second"}, "feed", log=tmp_path / "second.log"),
        ):
            until(
                lambda: sum("btcusdt@aggTrade" in c.names for c in binance.clients) == 2,
                "both",
                120,
            )
            until(
                lambda: sum("allLiquidation.ETHUSDT" in c.names for c in bybit.clients) == 2,
                "both",
                120,
            )
            until(
                lambda: sum("ethusdt@aggTrade" in c.names for c in binance.clients) == 2, "both", 60
            )
            binance.tape.clear()
            bybit.tape.clear()
            with printing(clock, binance, bybit):
                until(lambda: len(binance.tape) > 150 and len(bybit.tape) > 150, "printed", 60)
            trades = sum(event.kind == "trade" for event in binance.tape + bybit.tape)
            forced = sum(event.kind == "liquidation" for event in binance.tape + bybit.tape)
            until(lambda: count_of(clean_topics, Trade) >= 2 * trades, "both have each trade", 60)
            until(lambda: count_of(clean_topics, Liquidation) >= 2 * forced, "each order", 60)
        assert undertow(given, "migrate").returncode == 0
        with running(given, "sink", log=tmp_path / "sink.log"):
            until(lambda: rows_written(tmp_path / "sink.log") >= 2 * trades, "all stored", 60)
        query = (
            "SELECT event_id FROM trades FINAL UNION ALL SELECT event_id FROM liquidations FINAL"
        )
        done = undertow(given, "sql", "--format", "TSV", query)
        assert done.returncode == 0, done.stderr
        expected = ids("binance", Binance(), binance.tape) + ids("bybit", Bybit(), bybit.tape)
    stored = done.stdout.split()
    assert len(stored) == len(set(stored))
    assert set(expected) <= set(stored)
    twice = [r.event_id for _, _, r in everything(clean_topics, "trades") if isinstance(r, Trade)]
    assert len(twice) > len(set(twice)), "the feeds did not run beside each other"
