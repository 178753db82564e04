"""Readings beside the tape: open interest and mark price, built alike for every venue."""

from schemas.market import MarkPrice, OpenInterest
from schemas.words import OpenInterestSides, grid_usd
from streams.feeds.frames import UnreadableFrame
from streams.feeds.instruments import Instrument, sized

_MOST_USD = 1e13


def interest(
    venue: str,
    instrument: Instrument,
    amount: float,
    price: float | None,
    sides: OpenInterestSides,
    times: tuple[int, int],
) -> OpenInterest | None:
    """Return what is open: `amount` in the venue's units, `price` a mark price where told.

    `times` are ts_event and ts_recv. Where the venue counts money and tells no price, base
    units are None; where it counts coins and tells none, dollars are. None for nothing open.
    Raises UnreadableFrame.
    """
    if amount == 0:
        return None
    quantity, worth = None, None
    if price:
        _, quantity, worth = sized(instrument, amount, price, _MOST_USD)
    elif instrument.unit == "base":
        quantity = amount * instrument.size * instrument.multiplier
    elif instrument.unit == "quote" and instrument.in_dollars:
        worth = grid_usd(amount * instrument.size)
    if quantity is None and worth is None:
        raise UnreadableFrame("symbol", f"{instrument.venue_symbol}: not told in coins or dollars")
    return OpenInterest(
        event_id=f"{venue}:open_interest:{instrument.venue_symbol}:{times[0]}",
        venue=venue,
        instrument=instrument.instrument,
        venue_symbol=instrument.venue_symbol,
        asset=instrument.asset,
        quantity=quantity,
        notional_usd=worth,
        sides=sides,
        ts_event=times[0],
        ts_recv=times[1],
    )


def mark(venue: str, instrument: Instrument, price: float, times: tuple[int, int]) -> MarkPrice:
    """Return a mark price; `times` are ts_event and ts_recv."""
    return MarkPrice(
        event_id=f"{venue}:mark_price:{instrument.venue_symbol}:{times[0]}",
        venue=venue,
        instrument=instrument.instrument,
        venue_symbol=instrument.venue_symbol,
        asset=instrument.asset,
        price=price / instrument.multiplier,
        ts_event=times[0],
        ts_recv=times[1],
    )
