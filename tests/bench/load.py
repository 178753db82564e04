"""Trades shaped like a recording: skewed over instruments, as the venues' parsers give them."""

from collections.abc import Iterator

import numpy as np
from confluent_kafka import Producer

from schemas import codec
from schemas.identity import natural_id
from schemas.market import Liquidation, Trade
from schemas.scan import event_ids
from schemas.scan import trades as scan
from schemas.scan.columns import Columns, Trades, Words
from schemas.status import FeedStatus
from schemas.topics import TOPICS, key_of
from schemas.words import SECOND
from streams.kafka import clients
from streams.kafka.records import send
from streams.process.settings import Settings

START = 1_763_683_200
#: A busy day of all large venues together.
PER_SECOND = 20_000
#: One share is about a third, as BTC's; ranks fall off as 1/rank**1.4.
SKEW = 1.4


def trades(
    count: int, instruments: int = 600, per_second: int = PER_SECOND, first: int = 0, met: int = 0
) -> Iterator[Trade]:
    """Yield `count` trades in event-time order, about 240 bytes each as JSON.

    The instruments of the first `met` go round, so that each has been seen.
    """
    draw = np.random.default_rng(1 + first)
    weights = 1.0 / np.arange(1, instruments + 1) ** SKEW
    which = draw.choice(instruments, count, p=weights / weights.sum())
    which[:met] = np.arange(met) % instruments
    chosen = which.tolist()
    prices = np.round(100 * np.exp(0.01 * draw.standard_normal(count)), 2).tolist()
    quantities = np.round(draw.exponential(2.0, count) + 0.001, 3).tolist()
    sides = draw.choice(["buy", "sell"], count).tolist()
    names = ["BTC"] + [f"A{rank}" for rank in range(1, instruments)]
    for number in range(count):
        asset = names[chosen[number]]
        stamp = START * SECOND + (first + number) * SECOND // per_second
        yield Trade(
            event_id=str(6_000_000_000 + first + number),
            venue="binance",
            instrument=f"{asset}-USDT-PERP",
            venue_symbol=f"{asset}USDT",
            asset=asset,
            aggressor_side=sides[number],
            price=prices[number],
            quantity=quantities[number],
            notional_usd=round(prices[number] * quantities[number], 4),
            ts_event=stamp,
            ts_recv=stamp + 40_000,
        )


def runs(count: int, per_run: int = PER_SECOND, first: int = 0) -> Iterator[Trades]:
    """Yield `count` trades as `trades` makes them, in columns, each run a second of receipt."""
    words = Words()
    pattern = columns_of(words, list(trades(per_run)))
    for at in range(first, first + count, per_run):
        stamps = START * SECOND + (at + np.arange(per_run)) * SECOND // PER_SECOND
        ids = list(map(str, range(6_000_000_000 + at, 6_000_000_000 + at + per_run)))
        yield Trades(
            words,
            pattern._replace(event_id=event_ids.of(ids), ts_event=stamps, ts_recv=stamps + 40_000),
        )


def columns_of(words: Words, given: list[Trade]) -> Columns:
    """Lay trades out as their messages would be."""
    return scan.scanned(words, [codec.encode(trade) for trade in given]).of


def forced_order(asset: str, number: int, stamp: int, quantity: float) -> Liquidation:
    """Return the order of that number by which longs of an asset are closed, at 100 dollars."""
    return Liquidation(
        event_id=natural_id(asset, number),
        venue="bybit",
        instrument=f"{asset}-USDT-PERP",
        venue_symbol=f"{asset}USDT",
        asset=asset,
        position_side="long",
        order_side="sell",
        price=100.0,
        price_kind="bankruptcy",
        quantity=quantity,
        notional_usd=100.0 * quantity,
        coverage="full",
        stream="bench",
        ts_event=stamp,
        ts_recv=stamp,
    )


def alive(second: int, producer: str = "bench") -> FeedStatus:
    """The feed's word that everything before `second` (of the recording) is written."""
    return FeedStatus(producer=producer, state="alive", ts_event=(START + second) * SECOND)


def fill(url: str, count: int, partitions: int) -> float:
    """Write `count` trades and a word each second to `trades`; return their mean size, bytes."""
    to = producer(url)
    topic = TOPICS["trades"]
    size, second = 0, 0
    for number, trade in enumerate(trades(count)):
        if number // PER_SECOND > second:
            second = number // PER_SECOND
            for partition in range(partitions):
                send(to, "trades", alive(second), partition)
        value = codec.encode(trade)
        size += len(value)
        while True:
            try:
                to.produce("trades", value=value, key=key_of(topic, trade))
                break
            except BufferError:
                to.poll(0.05)
    for partition in range(partitions):
        send(to, "trades", alive(second + 5), partition)
    to.flush()
    return size / count


def producer(url: str) -> Producer:
    """A producer as feeds have it, with the large batches of a flood."""
    conf = {"linger.ms": 5, "batch.size": 1_000_000}
    return clients.producer(Settings(kafka_url=url), **conf)
