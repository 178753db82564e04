"""Readings beside the tape: open interest and mark price, built alike for every venue."""

from schemas.market import MarkPrice, OpenInterest
from schemas.words import OpenInterestSides, grid_usd
from streams.feeds.checks import not_ahead
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
    units are None; where it counts coins and tells none, dollars are. None for nothing open,
    and for a quanto, whose contracts are neither. Raises UnreadableFrame.
    """
    if amount == 0 or instrument.unit == "settle":
        return None
    quantity, worth = None, None
    if price:
        _, quantity, worth = sized(instrument, amount, price, _MOST_USD)
    elif instrument.unit == "base":
        quantity = amount * instrument.size * instrument.multiplier
    elif instrument.unit == "quote" and instrument.in_dollars:
        worth = amount * instrument.size
    return open_interest(venue, instrument, quantity, worth, sides, times)


def open_interest(
    venue: str,
    instrument: Instrument,
    quantity: float | None,
    worth: float | None,
    sides: OpenInterestSides,
    times: tuple[int, int],
) -> OpenInterest:
    """Return what is open as the venue itself tells it in coins, in dollars, or both.

    Raises UnreadableFrame for neither, and for what no record can hold.
    """
    if quantity is None and worth is None:
        raise UnreadableFrame("symbol", f"{instrument.venue_symbol}: not told in coins or dollars")
    if quantity is not None and not 0.0 < quantity <= 1e15:
        raise UnreadableFrame("quantity", f"{quantity!r} is not in (0, 1e15]")
    if worth is not None and not 0.0 <= worth <= _MOST_USD:
        raise UnreadableFrame("notional_usd", f"{worth!r} is not in [0, {_MOST_USD:.0e}]")
    if times[0] > times[1]:
        not_ahead(*times)
    return OpenInterest(
        event_id=f"{venue}:open_interest:{instrument.venue_symbol}:{times[0]}",
        venue=venue,
        instrument=instrument.instrument,
        venue_symbol=instrument.venue_symbol,
        asset=instrument.asset,
        quantity=quantity,
        notional_usd=None if worth is None else grid_usd(worth),
        sides=sides,
        ts_event=times[0],
        ts_recv=times[1],
    )


def mark(venue: str, instrument: Instrument, price: float, times: tuple[int, int]) -> MarkPrice:
    """Return a mark price; `times` are ts_event and ts_recv. Raises UnreadableFrame."""
    price /= instrument.multiplier
    if not 0.0 < price <= 1e9:
        raise UnreadableFrame("price", f"{price!r} is not in (0, 1e9]")
    if times[0] > times[1]:
        not_ahead(*times)
    return MarkPrice(
        event_id=f"{venue}:mark_price:{instrument.venue_symbol}:{times[0]}",
        venue=venue,
        instrument=instrument.instrument,
        venue_symbol=instrument.venue_symbol,
        asset=instrument.asset,
        price=price,
        ts_event=times[0],
        ts_recv=times[1],
    )
