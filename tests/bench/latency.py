"""From a liquidation on Kafka to the webhook and to its row, under trades in the background.

    feed ── trades at a steady rate, ten onsets a second in assets never seen, ten words a second
      └──> Kafka ──> `undertow stack` (rollup, detect, notify, sink) ──> webhook, row

Both include what the design waits for: a second is judged 0.3 s after its end, up to 1.3 s after
what happened in it (the feed's words come ten times a second, grace is 250 ms). A level at which a
stage fell behind is named saturated: its latencies are those of a queue, and grow with its length.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from hdrh.histogram import HdrHistogram
from say import say

from bench import backlog, load, rig
from schemas import codec
from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS
from schemas.words import SECOND, WORD_EVERY

LEVELS = {"1k": 1_000, "20k": 20_000, "100k": 100_000}
TICK_S = 0.02
ORDERS = 40
#: How long after a level's end its webhooks and rows are waited for, seconds.
WAIT_S = 15.0
LOOK_S = 0.1
#: One burst in an asset that nobody knows is an onset.
PARAMS = {
    "onset": {
        "min_history_s": 1,
        "least_history_s": 1,
        "cascade": {"*": dict.fromkeys(("full", "mixed", "throttled"), 1.0)},
    }
}
SECRET = "whsec_YmVuY2ggYmVuY2ggYmVuY2ggYmVuY2ggYmVuY2g="
Times = dict[str, float]


def measure(folder: Path, quick: bool) -> dict[str, Any]:
    """Return percentiles in ms by level; `told` is how many onsets were told of how many sent."""
    seconds = 6 if quick else 60
    levels: dict[str, Any] = {}
    webhooks: Times = {}
    server = _receiver(webhooks)
    with rig.broker(folder) as url:
        stack = _stack(folder, url, server.server_address[1])
        rows: Times = {}
        stop = threading.Event()
        looking = threading.Thread(target=_look, args=(folder, rows, stop), daemon=True)
        try:
            feed = Feed(url)
            _warm_up(feed, webhooks)
            looking.start()
            for name, rate in LEVELS.items():
                levels[name] = _level(feed, name, rate, seconds, (webhooks, rows))
                say(f"latency at {name}/s: {levels[name]}")
        finally:
            stop.set()
            stack.send_signal(signal.SIGINT)
            try:
                stack.wait(40)
            except subprocess.TimeoutExpired:
                stack.kill()
            server.shutdown()
    return {"latency_ms": levels} | _bars_of(levels)


def _bars_of(levels: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that have a bar: seconds to the webhook."""
    return {
        f"webhook_{level}_{share}": {"median": parts["webhook"][share] / 1e3}
        for level, parts in levels.items()
        for share in ("p50", "p99")
        if share in parts["webhook"]
    }


def _level(
    feed: "Feed", name: str, rate: int, seconds: float, seen: tuple[Times, Times]
) -> dict[str, Any]:
    """Play one level; return percentiles, the rate fed and who fell behind."""
    begin = feed.watch.look(time.time())
    sent = feed.play(name, rate, seconds / 2)
    rates = [feed.achieved]
    half = feed.watch.look(time.time())
    sent |= feed.play(f"{name}h", rate, seconds / 2)
    rates.append(feed.achieved)
    end = feed.watch.look(time.time())
    feed.rest(set(sent), seen)
    return {
        "webhook": _percentiles(sent, seen[0]),
        "row": _percentiles(sent, seen[1]),
        "feed": {
            "rate": sum(rates) / len(rates),
            "saturated": ", ".join(backlog.saturated(begin, half, end)) or "no",
        },
    }


def _percentiles(sent: Times, seen: Times) -> dict[str, float]:
    histogram = HdrHistogram(1, 600_000, 3)
    delivered = [name for name in sent if name in seen]
    if not delivered:
        return {"told": 0, "sent": len(sent)}
    for name in delivered:
        histogram.record_value(max(1, round((seen[name] - sent[name]) * 1e3)))
    of = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9}
    values = {label: float(histogram.get_value_at_percentile(p)) for label, p in of.items()}
    return values | {"told": len(delivered), "sent": len(sent)}


def _receiver(seen: Times) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.setdefault(body["data"].get("asset", ""), time.time())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _stack(folder: Path, url: str, port: int) -> subprocess.Popen[bytes]:
    (folder / "params.json").write_text(json.dumps(PARAMS))
    environ = os.environ | {
        "PYTHONPATH": str(rig.ROOT),
        "KAFKA_URL": url,
        "WEBHOOK_URLS": f"every+http://127.0.0.1:{port}/hook#{SECRET}",
        "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
        "UNDERTOW_PARAMS": str(folder / "params.json"),
        "UNDERTOW_DATA_DIR": str(folder / "data"),
        "UNDERTOW_SQL_PORT": "0",
    }
    with (folder / "stack.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "stack"], env=environ, stdout=log, stderr=log
        )


def _look(folder: Path, seen: Times, stop: threading.Event) -> None:
    """Note when each asset's rows can first be read, looking ten times a second."""
    asked = b"SELECT DISTINCT asset FROM liquidations FORMAT TSV"
    while not stop.wait(LOOK_S):
        try:
            endpoint = json.loads((folder / "data" / "endpoint.json").read_bytes())
            with urllib.request.urlopen(endpoint["url"], data=asked, timeout=10) as answer:
                names = answer.read().decode().split()
        except OSError:
            continue
        now = time.time()
        for name in names:
            seen.setdefault(name, now)


def _warm_up(feed: "Feed", webhooks: Times) -> None:
    """Play quietly until webhooks come steadily: 20 of our assets'."""
    deadline = time.monotonic() + 90
    number = 0
    while sum(name.startswith("W") for name in webhooks) < 20:
        if time.monotonic() > deadline:
            raise rig.Failed(f"webhooks within 90 s: {len(webhooks)}")
        feed.play(f"W{number}", 100, 2)
        number += 1


class Feed:
    """Writes as a venue's feed would, stamped with the wall clock.

    An instrument's trades of one tick are one message, as of one frame of a venue's.
    """

    def __init__(self, url: str) -> None:
        self.watch = backlog.Watch(url)
        self._to: Producer = load.producer(url)
        self._assets = [trade.asset for trade in load.trades(20_000)]
        self._forms = {asset: _form(asset) for asset in set(self._assets)}
        self._number = 0
        self._said = 0
        self.achieved = 0.0

    def play(self, name: str, rate: int, seconds: float) -> Times:
        """Write trades at `rate` a second and ten onsets a second; return when each was sent."""
        began, sent, onsets = time.time(), 0, Times()
        while (now := time.time()) < began + seconds:
            # Behind, it hurries, but not so that onsets and the time wait for it.
            due = min(int((now - began) * rate), sent + int(5 * TICK_S * rate) + 1)
            self._trades(due - sent, int(now * 1e6))
            sent = due
            if len(onsets) < (now - began) * 10:
                asset = f"{name.upper()}N{len(onsets)}"
                self._onset(asset, now)
                onsets[asset] = time.time()
            self._say(now)
            self._to.poll(0)
            time.sleep(max(0.0, now + TICK_S - time.time()))
        self.achieved = sent / (time.time() - began)
        return onsets

    def rest(self, wanted: set[str], seen: tuple[Times, ...]) -> None:
        """Go on saying what time it is until all has come, or long enough."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and any(wanted - of.keys() for of in seen):
            self._say(time.time())
            self._to.poll(0.05)

    def _trades(self, count: int, stamp: int) -> None:
        of: dict[str, list[bytes]] = {}
        for number in range(self._number, self._number + count):
            asset = self._assets[number % len(self._assets)]
            of.setdefault(asset, []).append(self._forms[asset] % (number, stamp, stamp))
        self._number += count
        for asset, trades in of.items():
            value = trades[0] if len(trades) == 1 else b"[" + b",".join(trades) + b"]"
            self._put("trades", f"binance:{asset}-USDT-PERP", value)

    def _onset(self, asset: str, now: float) -> None:
        stamp = int(now * 1e6)
        for number in range(ORDERS):
            order = load.forced_order(asset, number, stamp, 500.0)
            self._put("liquidations", asset, codec.encode(order))

    def _say(self, now: float) -> None:
        spoken = int(now * SECOND) // WORD_EVERY * WORD_EVERY
        if spoken == self._said:
            return
        self._said = spoken
        feed_status = FeedStatus(producer="bench", state="alive", ts_event=spoken)
        for topic in RAW_TOPICS:
            for partition in range(rig.PARTITIONS):
                self._to.produce(topic, value=codec.encode(feed_status), partition=partition)

    def _put(self, topic: str, key: str, value: bytes) -> None:
        while True:
            try:
                self._to.produce(topic, value=value, key=key)
                return
            except BufferError:
                self._to.poll(0.05)


def _form(asset: str) -> bytes:
    """Return a trade of an asset with its id and both times left open."""
    return (
        b'{"type":"trade","event_id":"%%d","venue":"binance","instrument":"%b-USDT-PERP",'
        b'"venue_symbol":"%bUSDT","asset":"%b","aggressor_side":"buy","price":100.5,'
        b'"quantity":1.5,"notional_usd":150.75,"ts_event":%%d,"ts_recv":%%d}'
        % ((asset.encode(),) * 3)
    )
