"""Prints and forced orders from what a venue tells, in its own units.

Making a record checks nothing. What `schemas.market` asks of one holds here by how it is built:
names were checked with the instrument, `sized` bounds numbers and gives the worth of price times
quantity, an order closes its position, and no time lies ahead of its receipt. Parsers of frames
that hold little else say the same in their loops, as a call would be a tenth of their time.
"""

import msgspec

from schemas.market import Liquidation, Trade
from schemas.words import ROUNDING_USD, Coverage, OrderSide, PositionSide, PriceKind
from streams.feeds.checks import not_ahead
from streams.feeds.instruments import Instrument, sized

_CLOSING: dict[PositionSide, OrderSide | None] = {"long": "sell", "short": "buy", "unknown": None}
#: Whose position was closed, and the order that did it.
LONG: tuple[PositionSide, OrderSide] = ("long", "sell")
SHORT: tuple[PositionSide, OrderSide] = ("short", "buy")
#: Coins of a price above this, worth up to 1e10, are no more than 1e15.
LEAST_PRICE = 2e-5
#: Dollars above this, divided by a price, are more than no coins.
LEAST_USD = 1e-290
_CLOSED: dict[OrderSide, PositionSide] = {"sell": "long", "buy": "short"}


class Feed(msgspec.Struct, frozen=True, gc=False):
    """What holds of all orders that a stream tells."""

    venue: str
    stream: str
    price_kind: PriceKind | None
    coverage: Coverage


def trade(
    venue: str,
    event_id: str,
    instrument: Instrument,
    aggressor_side: OrderSide,
    amount: float,
    price: float,
    ts_event: int,
    ts_recv: int,
) -> Trade:
    """Return a print of `amount` of the venue's units at its price; times in microseconds.

    Raises UnreadableFrame.
    """
    # As `sized` and `grid_usd` say, without their calls: nearly all that feeds tell.
    if instrument.unit == "base":
        quantity = amount * instrument.size
        product = quantity * price
    else:
        product = amount * instrument.size
        quantity = product / price
    # So a quantity is in its bounds too. What lies without is judged exactly below.
    if instrument.is_plain and LEAST_PRICE <= price <= 1e9 and LEAST_USD < product <= 1e10:
        worth: float | None = product + ROUNDING_USD - ROUNDING_USD
        if ts_event > ts_recv:
            not_ahead(ts_event, ts_recv)
    else:
        price, quantity, worth = exactly(instrument, amount, price, ts_event, ts_recv)
    # By place, in the order of its fields: names would cost as much as making it.
    return Trade(
        event_id, venue, instrument.instrument, instrument.venue_symbol, instrument.asset,
        aggressor_side, price, quantity, worth, ts_event, ts_recv,
    )  # fmt: skip


def liquidation(
    feed: Feed,
    event_id: str,
    instrument: Instrument,
    position_side: PositionSide,
    amount: float,
    price: float,
    ts_event: int,
    ts_recv: int,
) -> Liquidation:
    """Return an order that closed a position, of `amount` of the venue's units at its price.

    A price whose kind the feed does not say is not handed on. Times in microseconds. Raises
    UnreadableFrame.
    """
    if instrument.unit == "base":
        quantity = amount * instrument.size
        product = quantity * price
    else:
        product = amount * instrument.size
        quantity = product / price
    # So a quantity is in its bounds too. What lies without is judged exactly below.
    if instrument.is_plain and LEAST_PRICE <= price <= 1e9 and LEAST_USD < product <= 1e10:
        worth: float | None = product + ROUNDING_USD - ROUNDING_USD
        if ts_event > ts_recv:
            not_ahead(ts_event, ts_recv)
    else:
        price, quantity, worth = exactly(instrument, amount, price, ts_event, ts_recv)
    return Liquidation(
        event_id, feed.venue, instrument.instrument, instrument.venue_symbol, instrument.asset,
        position_side, _CLOSING[position_side], price if feed.price_kind else None,
        feed.price_kind, quantity, worth, feed.coverage, feed.stream, ts_event, ts_recv,
    )  # fmt: skip


def exactly(
    instrument: Instrument, amount: float, price: float, ts_event: int, ts_recv: int
) -> tuple[float, float, float | None]:
    """Return what `sized` does, of what no quick rule let pass. Raises UnreadableFrame."""
    result = sized(instrument, amount, price)
    if ts_event > ts_recv:
        not_ahead(ts_event, ts_recv)
    return result


def stated(
    feed: Feed,
    event_id: str,
    instrument: Instrument,
    position_side: PositionSide,
    price: float | None,
    quantity: float | None,
    worth: float | None,
    ts_event: int,
    ts_recv: int,
) -> Liquidation:
    """Return an order that closed a position, of which its venue may tell less.

    Times in microseconds. Raises UnreadableFrame.
    """
    if ts_event > ts_recv:
        not_ahead(ts_event, ts_recv)
    return Liquidation(
        event_id, feed.venue, instrument.instrument, instrument.venue_symbol, instrument.asset,
        position_side, _CLOSING[position_side], price, feed.price_kind, quantity, worth,
        feed.coverage, feed.stream, ts_event, ts_recv,
    )  # fmt: skip


def forced(trade: Trade, event_id: str, order_side: OrderSide, stream: str) -> Liquidation:
    """Return the liquidation that a print is beside being a trade: a fill, none left out."""
    return Liquidation(
        event_id, trade.venue, trade.instrument, trade.venue_symbol, trade.asset,
        _CLOSED[order_side], order_side, trade.price, "fill", trade.quantity, trade.notional_usd,
        "full", stream, trade.ts_event, trade.ts_recv,
    )  # fmt: skip
