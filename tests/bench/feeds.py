"""`undertow feed` of every venue at once, at ten times a busy day's rate, on one core.

    scripted venues (a process) ── WebSocket ──> `undertow feed` ──> Kafka ──> what reads the lag
    on the other cores                           on ours              on the other cores

Lag is from a trade's time at its venue to its arrival at a consumer of `trades`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import IO, Any

import msgspec
from confluent_kafka import Consumer, TopicPartition
from hdrh.histogram import HdrHistogram
from say import say

from bench import rig
from bench.figures import spread
from bench.programs.venues import SHARES

#: A busy day of all twelve is some 3,000 trades a second.
RATE = 30_000
LOOK_S = 10.0
#: In seconds. Until then the memory of identities fills, which is a size and no growth.
FILLED_AT = 180
#: In seconds: how long a stretch of the memory's median is.
STRETCH = 120
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class _Trade(msgspec.Struct):
    ts_event: int


_TRADES = msgspec.json.Decoder(list[_Trade])


class Look(msgspec.Struct):
    """What the feed process took in one stretch: share of a core, memory, lags in ms."""

    core: float
    trades: int
    rss_mb: float
    p50: float
    p99: float
    most: float


def measure(folder: Path, quick: bool, rate: int = RATE) -> dict[str, Any]:
    """Play for ten minutes (quick: one); return lag, memory and the share of the core."""
    seconds = 60 if quick else 600
    with rig.broker(folder) as url:
        venues = _venues(rate, seconds)
        assert venues.stdout is not None
        try:
            feed = _feed(folder, url, _line(venues.stdout)["urls"])
            try:
                _line(venues.stdout)
                looks, came = _watch(url, feed, seconds)
                sent = _line(venues.stdout)["sent"]
                if feed.poll() is not None:
                    raise rig.Failed(f"feed: {rig.end_of(folder)}")
            finally:
                feed.terminate()
                try:
                    feed.wait(60)
                finally:
                    feed.kill()
        finally:
            venues.kill()
            venues.wait()
    return _figures(looks, came, sent, rate)


def _figures(looks: list[Look], came: int, sent: int, rate: int) -> dict[str, Any]:
    warm = looks[1:]  # the first stretch has the connections' beginning
    core = spread([look.core for look in warm])
    figures = {
        "feeds_lag_s": spread([look.p99 / 1e3 for look in warm]),
        "feeds_core": core,
        "feeds": {
            "rate": rate,
            "sent": sent,
            "came": came,
            "p50_ms": median(look.p50 for look in warm),
            "most_ms": max(look.most for look in warm),
            "us_a_trade": 1e6 * core["median"] * LOOK_S / median(look.trades for look in warm),
            # At the end of the first minute, and of the last.
            "first_mb": looks[min(int(60 / LOOK_S), len(looks)) - 1].rss_mb,
            "last_mb": looks[-1].rss_mb,
        },
    }
    if growth := memory_growth([look.rss_mb for look in looks]):
        figures["feeds_rss_growth"] = spread([growth])
    told = figures["feeds"]
    say(
        f"feeds at {rate:,}/s: {came:,} of {sent:,} came; lag {told['p50_ms']:.0f} ms (p50),"
        f" {1e3 * figures['feeds_lag_s']['median']:.0f} ms (p99), {told['most_ms']:.0f} ms (most);"
        f" {core['median']:.2f} of a core, {told['us_a_trade']:.1f} us a trade;"
        f" {told['first_mb']:.0f} MB at a minute, {told['last_mb']:.0f} MB at the end"
    )
    return figures


def memory_growth(looks_mb: Sequence[float]) -> float | None:
    """Return the last two minutes' memory / that of two minutes after three, each a median.

    None where the two would overlap, as in the quick form.
    """
    filled, stretch = int(FILLED_AT / LOOK_S), int(STRETCH / LOOK_S)
    if len(looks_mb) < filled + 2 * stretch:
        return None
    return median(looks_mb[-stretch:]) / median(looks_mb[filled : filled + stretch])


def _venues(rate: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.programs.venues", str(rate), str(seconds)]
    return subprocess.Popen(
        command,
        cwd=rig.ROOT,
        env=os.environ | {"PYTHONPATH": f"{rig.ROOT}:{rig.ROOT / 'tests'}"},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, rig.THEIRS),
    )


def _feed(folder: Path, url: str, urls: str) -> subprocess.Popen[bytes]:
    environ = os.environ | {
        "KAFKA_URL": url,
        "UNDERTOW_DATA_DIR": str(folder / "data"),
        "UNDERTOW_VENUES": ",".join(SHARES),
        "UNDERTOW_VENUE_URLS": urls,
        "UNDERTOW_ASSETS": "BTC,ETH",
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "feed"],
            cwd=rig.ROOT,
            env=environ,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, rig.OURS),
        )


def _line(said: IO[str]) -> dict[str, Any]:
    line = said.readline()
    if not line:
        raise rig.Failed("the scripted venues ended")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _watch(url: str, feed: subprocess.Popen[bytes], seconds: float) -> tuple[list[Look], int]:
    """Read what arrives for as long as the venues print; return looks, and how many trades came."""
    consumer = Consumer({"bootstrap.servers": url, "group.id": "bench", "fetch.wait.max.ms": 50})
    parts = consumer.list_topics("trades", 10).topics["trades"].partitions
    consumer.assign([TopicPartition("trades", part, 0) for part in parts])
    looks: list[Look] = []
    came, began = 0, time.monotonic()
    while time.monotonic() - began < seconds + 5:
        lags, mark, cpu_s = HdrHistogram(1, 3_600_000, 3), time.monotonic(), _cpu_s(feed.pid)
        while (took_s := time.monotonic() - mark) < LOOK_S:
            message = consumer.poll(0.1)
            if message is None or message.error() or (value := message.value() or b"")[:1] != b"[":
                continue
            now = time.time_ns() // 1000
            trades = _TRADES.decode(value)
            came += len(trades)
            for trade in trades:
                lags.record_value(max(1, (now - trade.ts_event) // 1000))
        if lags.get_total_count():
            core = (_cpu_s(feed.pid) - cpu_s) / took_s
            quantiles = [lags.get_value_at_percentile(p) for p in (50.0, 99.0, 100.0)]
            looks.append(Look(core, lags.get_total_count(), _rss_mb(feed.pid), *quantiles))
    consumer.close()
    return looks, came


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20
