"""What breadth costs `detect` in a market-wide night: every asset is forced in every second.

`PYTHONPATH=tests .venv/bin/python -m bench.market_night` prints processor time a bar, decoding
included, with breadth and without it, and the market detector's own share, by number of assets.
Each asset has a bar and two forced orders a second; before, one order in a hundred seconds.
"""

import gc
import sys
import time
from math import inf

from bench import load
from schemas import codec
from schemas.bars import Bar
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine
from streams.core.detectors import contagion
from streams.core.params import MarketParams, OnsetParams, Params
from streams.core.shard import INPUTS, Shard

SIZES = (10, 100, 1_000)
CALM_S, NIGHT_S = 600, 30
ONSET = OnsetParams(min_history_s=300)
SETS = {
    "with breadth": Params(onset=ONSET),
    "without": Params(onset=ONSET, market=MarketParams(forced_nats=inf)),
}


def measure(size: int) -> dict[str, tuple[float, float]]:
    """Return microseconds a bar of the night's second half, and the market detector's of them."""
    seconds = [_second(size, second) for second in range(CALM_S + NIGHT_S)]
    costs = {}
    for name, params in SETS.items():
        shard, market, began, wide = Shard(), contagion.MarketState(), 0.0, 0.0
        gc.collect()
        for second, messages in enumerate(seconds):
            if second == len(seconds) - NIGHT_S // 2:
                began, wide = time.process_time(), 0.0
            findings = []
            for topic, message in messages:
                findings += engine.step(params, shard, topic, codec.decode(topic, message)).findings
            for topic in INPUTS:
                findings += engine.step(params, shard, topic, load.alive(second + 1)).findings
            at = time.process_time()
            clock = FeedStatus(producer="detect", state="alive", ts_event=shard.frontier * SECOND)
            for pulse in [f for f in findings if type(f).__name__ == "AssetPulse"]:
                contagion.step(params, market, pulse)
            contagion.step(params, market, clock)
            wide += time.process_time() - at
        bars = size * (NIGHT_S // 2)
        costs[name] = ((time.process_time() - began) / bars * 1e6, wide / bars * 1e6)
    return costs


def _second(size: int, second: int) -> list[tuple[str, bytes]]:
    calm = second < CALM_S
    made = []
    for number in range(size):
        asset = "BTC" if number == 0 else "ETH" if number == 1 else f"A{number}"
        if calm and (second + number) % 100:
            continue
        made += [("liquidations", _order(asset, second, n)) for n in range(1 if calm else 2)]
        if not calm:
            made.append(("bars", _bar(asset, second)))
    return made


def _order(asset: str, second: int, number: int) -> bytes:
    at = (load.START + second) * SECOND + number
    return codec.encode(load.forced_order(asset, 10 * second + number, at, 50.0))


def _bar(asset: str, second: int) -> bytes:
    return codec.encode(
        Bar(
            venue="bybit", instrument=f"{asset}-USDT-PERP", asset=asset,
            ts_open=(load.START + second) * SECOND, width=SECOND, high=100.1, low=99.9,
            quantity=10.0, buy_usd=400.0, sell_usd=600.0, trades=5,
        )
    )  # fmt: skip


if __name__ == "__main__":
    for size in map(int, sys.argv[1:]) if sys.argv[1:] else SIZES:
        shown = ", ".join(f"{n}: {a:.1f} us ({w:.1f})" for n, (a, w) in measure(size).items())
        print(f"{size:>6,} assets, a bar (the market detector's own): {shown}", flush=True)
