"""Bars: mergeable partial sums over trades of one instrument and time bucket."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.words import (
    SECOND,
    Asset,
    Count,
    Instrument,
    Micros,
    Name,
    Price,
    SumUsd,
    check_words,
)


class Bar(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="bar"):
    """A partial sum over [ts_open, ts_open + width): adding parts gives the whole.

    `open` and `close` are the prices of its first and last trade, told at `ts_first` and
    `ts_last`: the earliest `ts_first` of all parts has the bar's open, and the latest `ts_last`
    its close (of equal ones the part that was written later). None in bars of older versions.
    Dollar sums lie on the grid of `words.grid_usd`, so merging is exact;
    (buy_usd + sell_usd) / quantity is the VWAP of fills. The bounds of its sums are those of
    `trades` many of the largest: what can be folded can be read.
    """

    venue: Name
    instrument: Instrument
    asset: Asset
    ts_open: Micros
    width: Annotated[int, Meta(ge=SECOND, le=3600 * SECOND)]
    high: Price
    low: Price
    quantity: Annotated[float, Meta(ge=0, le=1e27)]
    buy_usd: SumUsd
    sell_usd: SumUsd
    trades: Count
    open: Price | None = None
    close: Price | None = None
    ts_first: Micros | None = None
    ts_last: Micros | None = None

    def check(self) -> None:
        """Raise ValueError where the fields contradict each other."""
        check_words(self.venue, self.asset, self.instrument)

    @property
    def ts_close(self) -> int:
        """First microsecond after the bar."""
        return self.ts_open + self.width
