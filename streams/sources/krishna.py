"""Krishna5972/liqs: Binance liquidations of January 2023, summed until they pass $30k.

    s,liq_amount,S,q,funding_rate,time
    SANDUSDT,45795.43463,SELL,10,0.01,2023-01-06 09:55:06.536440+05:30

A row is a batch: `q` forced orders of one symbol worth `liq_amount` dollars (original
quantity times average price), stamped when the batch was sent on, so it can hold older
orders. `S` is max() over the orders' side words, and "SELL" > "BUY": a row with one SELL
among fifty BUYs says SELL. The side is therefore `unknown`: a feed split in two by how
batches happened to fall has no rate of its own on either side. In 2023 Binance pushed
the latest forced order of each second and symbol.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.identity import natural_id
from schemas.market import Liquidation
from schemas.words import grid_usd
from streams.feeds.checks import Word, checked
from streams.feeds.frames import UnreadableFrame
from streams.feeds.symbols import split_symbol
from streams.sources.tables import Build, Table

#: Quiet hours run to two between rows that pass $30k; longer is the recorder's.
GAP_AFTER_S = 3 * 3600.0


class _Batch(msgspec.Struct, array_like=True, gc=False):
    s: Word
    liq_amount: Annotated[float, Meta(gt=0, le=1e10)]
    q: Annotated[int, Meta(ge=1, le=1_000_000)]
    funding_rate: str
    time: str


def _build(path: Path) -> Build:
    return _liquidation


def _liquidation(batch: _Batch) -> Liquidation:
    asset, instrument, _ = split_symbol(batch.s)
    ts_event = _micros(batch.time)
    return checked(
        lambda: Liquidation(
            event_id=natural_id("binance", "batch", *msgspec.structs.astuple(batch)),
            venue="binance",
            instrument=instrument,
            venue_symbol=batch.s,
            asset=asset,
            position_side="unknown",
            order_side=None,
            price=None,
            price_kind=None,
            quantity=None,
            notional_usd=grid_usd(batch.liq_amount),
            coverage="latest_per_second",
            stream="recorder",
            ts_event=ts_event,
            ts_recv=ts_event,
            orders=batch.q,
        )
    )


def _micros(text: str) -> int:
    try:
        stamp = datetime.fromisoformat(text)
        if stamp.tzinfo is None:
            raise ValueError("no zone")
        # timestamp() is a float: exact to the microsecond until 2255.
        return round(stamp.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise UnreadableFrame("time", f"{text[:60]!r} is not a time with its zone") from None


BATCHES = Table(
    what="liqs.csv of Krishna5972/liqs",
    columns=_Batch,
    build=_build,
    lacks="batches of orders of unknown side, without a price",
    gap_after_s=GAP_AFTER_S,
)
