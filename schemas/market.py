"""Trades and liquidations, as every venue's parser hands them on."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.words import (
    Asset,
    Coverage,
    Identity,
    Instrument,
    Micros,
    Name,
    NotionalUsd,
    OrderSide,
    PositionSide,
    Price,
    PriceKind,
    Quantity,
    check_times,
    check_words,
)

#: The order that closes a position of each side.
CLOSING_ORDER: dict[str, str] = {"long": "sell", "short": "buy"}


class Trade(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="trade"):
    """One print on a venue's tape; `price` is always a fill.

    `aggressor_side` is the taker's. `quantity` in base units, `notional_usd` NULL
    where the quote currency has no known dollar worth.
    """

    event_id: Identity
    venue: Name
    instrument: Instrument
    venue_symbol: Identity
    asset: Asset
    aggressor_side: OrderSide
    price: Price
    quantity: Quantity
    notional_usd: NotionalUsd | None
    ts_event: Micros
    ts_recv: Micros

    def __post_init__(self) -> None:
        check_times(self.ts_event, self.ts_recv)
        check_words(self.venue, self.asset, self.instrument)


class Liquidation(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="liquidation"):
    """One forced order (or, from some recorders, a batch of `orders` of them).

    `position_side` is whose position was closed, `order_side` what hit the book:
    closing a long sells. `price` without a fitting `price_kind` is not a fill and
    never feeds slippage. `coverage` says what the stream leaves out.
    """

    event_id: Identity
    venue: Name
    instrument: Instrument
    venue_symbol: Identity
    asset: Asset
    position_side: PositionSide
    order_side: OrderSide | None
    price: Price | None
    price_kind: PriceKind | None
    quantity: Quantity | None
    notional_usd: NotionalUsd | None
    coverage: Coverage
    stream: Identity
    ts_event: Micros
    ts_recv: Micros
    orders: Annotated[int, Meta(ge=1, le=1_000_000)] = 1

    def __post_init__(self) -> None:
        check_times(self.ts_event, self.ts_recv)
        check_words(self.venue, self.asset, self.instrument)
        if (self.price is None) != (self.price_kind is None):
            raise ValueError("price and price_kind come together - at `$.price_kind`")
        expected = CLOSING_ORDER.get(self.position_side)
        if self.order_side is not None and expected not in (None, self.order_side):
            raise ValueError(
                f"closing a {self.position_side} is a {expected}, "
                f"not a {self.order_side} - at `$.order_side`"
            )
