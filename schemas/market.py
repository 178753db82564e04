"""Trades and liquidations, as every venue's parser hands them on.

Making a record checks nothing: `check` holds its fields against each other, and `codec` asks it of
all that is read, written or `validated`. What a parser builds passes by how it is built.
"""

from typing import Annotated, Literal

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
    OpenInterestSides,
    OrderSide,
    PositionSide,
    Price,
    PriceKind,
    Quantity,
    TotalUsd,
    Version,
    check_times,
    check_version,
    check_words,
    check_worth,
)

#: The order that closes a position of each side.
CLOSING_ORDER: dict[str, str] = {"long": "sell", "short": "buy"}


class Trade(msgspec.Struct, frozen=True, gc=False, tag="trade"):
    """One print on a venue's tape; `price` is always a fill.

    `aggressor_side` is the taker's. `quantity` in base units, `notional_usd` NULL
    where the quote currency has no known dollar worth. Trades are never corrected: a
    tape takes nothing back.
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

    def check(self) -> None:
        """Raise ValueError where the fields contradict each other."""
        if self.ts_event > self.ts_recv:
            check_times(self.ts_event, self.ts_recv)
        worth = self.notional_usd
        if check_words(self.venue, self.asset, self.instrument) and worth is not None:
            product = self.price * self.quantity
            if not 0.5 * product <= worth <= 2.0 * product:
                check_worth(worth, product)


class Liquidation(msgspec.Struct, frozen=True, gc=False, tag="liquidation"):
    """One forced order (or, from some recorders, a batch of `orders` of them).

    `position_side` is whose position was closed, `order_side` what hit the book:
    closing a long sells. `price` without a fitting `price_kind` is not a fill and
    never feeds slippage. `coverage` says what the stream leaves out.

    A higher `version` of an event supersedes the lower, `removed` takes it back; either
    keeps event_id, venue, asset and ts_event, and brings the ts_recv of its own telling.
    No venue parsed here sends any (wire-formats.md); other producers may.
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
    version: Version = 1
    removed: bool = False

    def check(self) -> None:
        """Raise ValueError where the fields contradict each other."""
        if self.ts_event > self.ts_recv:
            check_times(self.ts_event, self.ts_recv)
        if self.removed:
            check_version(self.version, self.removed)
        in_dollars = check_words(self.venue, self.asset, self.instrument)
        price, kind = self.price, self.price_kind
        # Unlevered, a bankruptcy price is nothing (long) or double (short): no measure.
        if in_dollars and kind != "bankruptcy" and price is not None:
            worth, quantity = self.notional_usd, self.quantity
            if worth is not None and quantity is not None:
                product = price * quantity
                if not 0.5 * product <= worth <= 2.0 * product:
                    check_worth(worth, product)
        if (price is None) != (kind is None):
            raise ValueError("price and price_kind come together - at `$.price_kind`")
        order = self.order_side
        if order is not None:
            expected = CLOSING_ORDER.get(self.position_side)
            if expected is not None and expected != order:
                raise ValueError(
                    f"closing a {self.position_side} is a {expected}, "
                    f"not a {order} - at `$.order_side`"
                )


class OpenInterest(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="open_interest"):
    """How much is open in one instrument at one instant, as its venue gives it.

    `quantity` in base units, NULL where the venue counts money and tells no price; its worth,
    where given, falls with the price too, so it tells nothing of closed positions. `sides`:
    whether longs alone are counted (as many as shorts), or both. Told on `liquidations`, whose
    feed knows it: one word on time speaks for both.
    """

    event_id: Identity
    venue: Name
    instrument: Instrument
    venue_symbol: Identity
    asset: Asset
    quantity: Quantity | None
    notional_usd: TotalUsd | None
    ts_event: Micros
    ts_recv: Micros
    sides: OpenInterestSides = "unknown"

    def check(self) -> None:
        """Raise ValueError where the fields contradict each other."""
        check_times(self.ts_event, self.ts_recv)
        check_words(self.venue, self.asset, self.instrument)


class MarkPrice(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="mark_price"):
    """The price at which a venue values positions in one instrument at one instant."""

    event_id: Identity
    venue: Name
    instrument: Instrument
    venue_symbol: Identity
    asset: Asset
    price: Price
    ts_event: Micros
    ts_recv: Micros
    price_kind: Literal["mark"] = "mark"

    def check(self) -> None:
        """Raise ValueError where the fields contradict each other."""
        check_times(self.ts_event, self.ts_recv)
        check_words(self.venue, self.asset, self.instrument)
