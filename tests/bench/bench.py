"""`make bench`: what the pure core costs beside a bare decode-and-sum loop, interleaved.

Every round times each program over the same messages in turn, so that a drifting machine
moves all of them; what is quoted is the ratio within a round: min, median, max.
"""

import random
import sys
import time
from collections.abc import Callable
from statistics import median

import msgspec
import orjson

from schemas import codec
from schemas.market import Trade
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams import pipeline
from streams.params import Params
from streams.rollup import fold

START = 1_763_683_200
PER_SECOND = 500


def messages(count: int, instruments: int = 600) -> list[bytes]:
    """Trades of about 250 bytes, skewed like a market: one instrument is about a third."""
    draw = random.Random(1)
    weights = [1.0 / (rank + 1) for rank in range(instruments)]
    assets = [f"A{number}" for number in range(instruments)]
    made = []
    for number in range(count):
        [asset] = draw.choices(assets, weights)
        stamp = START * SECOND + number * SECOND // PER_SECOND
        trade = Trade(
            event_id=f"binance:{number}",
            venue="binance",
            instrument=f"{asset}-USDT-PERP",
            venue_symbol=f"{asset}USDT",
            asset=asset,
            aggressor_side=draw.choice(["buy", "sell"]),  # type: ignore[arg-type]
            price=100.0 + draw.random(),
            quantity=draw.random(),
            notional_usd=100 * draw.random(),
            ts_event=stamp,
            ts_recv=stamp,
        )
        made.append(codec.encode(trade))
    return made


def bare(payloads: list[bytes]) -> None:
    """The practical limit: decode JSON and add one number up."""
    sums: dict[str, float] = {}
    for payload in payloads:
        trade = orjson.loads(payload)
        key = trade["instrument"]
        sums[key] = sums.get(key, 0.0) + trade["notional_usd"]


def rollup(payloads: list[bytes]) -> None:
    """Decode with validation and fold, draining each second as the worker does."""
    state, params = fold.FoldState(), Params()
    for number, payload in enumerate(payloads):
        fold.fold(state, codec.decode("trades", payload))
        if number % PER_SECOND == 0:
            fold.tell_time(state, alive(number), params)
            fold.drain(state)


def whole(payloads: list[bytes]) -> None:
    """Decode, fold and detect: all that the embedded shell thinks about a trade."""
    state, params = pipeline.State(), Params()
    for number, payload in enumerate(payloads):
        pipeline.step(params, state, "trades", codec.decode("trades", payload))
        if number % PER_SECOND == 0:
            for topic in ("trades", "liquidations", "whale_transfers"):
                pipeline.step(params, state, topic, alive(number))


def alive(number: int) -> FeedStatus:
    """The clock after `number` trades."""
    second = START + number // PER_SECOND - 1
    return FeedStatus(producer="bench", state="alive", ts_event=second * SECOND)


def seconds(program: Callable[[list[bytes]], None], payloads: list[bytes]) -> float:
    """Time one program once."""
    began = time.perf_counter()
    program(payloads)
    return time.perf_counter() - began


def main(count: int = 100_000, rounds: int = 5) -> None:
    """Print rates and the ratios to the bare loop."""
    payloads = messages(count)
    programs = (bare, rollup, whole)
    taken: dict[str, list[float]] = {program.__name__: [] for program in programs}
    for _ in range(rounds):
        for program in programs:
            taken[program.__name__].append(seconds(program, payloads))
    size = sum(map(len, payloads)) / count
    print(
        f"{count:,} trades of {size:.0f} bytes, {rounds} rounds, Python {sys.version.split()[0]},"
    )
    print(f"msgspec {msgspec.__version__}, one core. Ratio = bare loop's time / program's time.")
    for name, times in taken.items():
        ratios = [b / t for b, t in zip(taken["bare"], times, strict=True)]
        print(
            f"{name:<8} {count / median(times):>10,.0f} trades/s   ratio to bare "
            f"{min(ratios):.2f} / {median(ratios):.2f} / {max(ratios):.2f} (min, median, max)"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
