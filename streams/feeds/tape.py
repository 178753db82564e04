"""Prints and forced orders from what a venue tells, in its own units.

Making a record checks nothing. What `schemas.market` asks of one holds here by how it is built:
names were checked with the instrument, `sized` bounds numbers and gives the worth of price times
quantity, an order closes its position, and no time lies ahead of its receipt.
"""

import msgspec

from schemas.market import Liquidation, Trade
from schemas.words import Coverage, OrderSide, PositionSide, PriceKind
from streams.feeds.checks import not_ahead
from streams.feeds.instruments import Instrument

#: Price a coin, coins, worth in dollars or None.
Terms = tuple[float, float, float | None]

_CLOSING: dict[PositionSide, OrderSide | None] = {"long": "sell", "short": "buy", "unknown": None}
_CLOSED: dict[OrderSide, PositionSide] = {"sell": "long", "buy": "short"}


class Told(msgspec.Struct, frozen=True, gc=False):
    """What a stream tells of all its orders alike."""

    venue: str
    stream: str
    price_kind: PriceKind | None
    coverage: Coverage


def trade(
    venue: str,
    event_id: str,
    instrument: Instrument,
    aggressor_side: OrderSide,
    terms: Terms,
    ts_event: int,
    ts_recv: int,
) -> Trade:
    """Return a print on `sized` terms; times in microseconds. Raises UnreadableFrame."""
    price, quantity, worth = terms
    if ts_event > ts_recv:
        not_ahead(ts_event, ts_recv)
    return Trade(
        event_id=event_id,
        venue=venue,
        instrument=instrument.instrument,
        venue_symbol=instrument.venue_symbol,
        asset=instrument.asset,
        aggressor_side=aggressor_side,
        price=price,
        quantity=quantity,
        notional_usd=worth,
        ts_event=ts_event,
        ts_recv=ts_recv,
    )


def liquidation(
    told: Told,
    event_id: str,
    instrument: Instrument,
    position_side: PositionSide,
    terms: Terms | tuple[float | None, float | None, float | None],
    ts_event: int,
    ts_recv: int,
) -> Liquidation:
    """Return an order that closed a position, on `sized` terms, of which the venue may tell less.

    Times in microseconds. Raises UnreadableFrame.
    """
    price, quantity, worth = terms
    if ts_event > ts_recv:
        not_ahead(ts_event, ts_recv)
    return Liquidation(
        event_id=event_id,
        venue=told.venue,
        instrument=instrument.instrument,
        venue_symbol=instrument.venue_symbol,
        asset=instrument.asset,
        position_side=position_side,
        order_side=_CLOSING[position_side],
        price=price,
        price_kind=told.price_kind,
        quantity=quantity,
        notional_usd=worth,
        coverage=told.coverage,
        stream=told.stream,
        ts_event=ts_event,
        ts_recv=ts_recv,
    )


def forced(trade: Trade, event_id: str, order_side: OrderSide, stream: str) -> Liquidation:
    """Return the liquidation that a print is beside being a trade: a fill, none left out."""
    return Liquidation(
        event_id=event_id,
        venue=trade.venue,
        instrument=trade.instrument,
        venue_symbol=trade.venue_symbol,
        asset=trade.asset,
        position_side=_CLOSED[order_side],
        order_side=order_side,
        price=trade.price,
        price_kind="fill",
        quantity=trade.quantity,
        notional_usd=trade.notional_usd,
        coverage="full",
        stream=stream,
        ts_event=trade.ts_event,
        ts_recv=trade.ts_recv,
    )
