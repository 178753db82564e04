"""Whether a venue tells no forced order while the others tell many. Pure.

A venue may acknowledge a subscription and stay silent for ever: of forced orders that looks like
calm. What the others told in the last seconds says how many it should have told.
"""

from collections.abc import Mapping

#: The seconds that are looked at, and how many orders have to be missing: e^-10 by chance.
WINDOW_S = 30
LEAST = 10.0


class Burning:
    """Forced orders of the last seconds by venue; `shares` are the venues' usual ones of all."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        self._shares = shares
        self._seconds: dict[str, dict[int, int]] = {venue: {} for venue in shares}

    def note(self, venue: str, orders: int, now: float) -> None:
        """Count orders of a venue, received at `now` (steady seconds)."""
        seconds = self._seconds[venue]
        second = int(now)
        if second not in seconds:
            for old in [s for s in seconds if s < second - 2 * WINDOW_S]:
                del seconds[old]
        seconds[second] = seconds.get(second, 0) + orders

    def missing(self, venue: str, now: float) -> float:
        """Return how many orders a venue should have told in the window, 0 where it told any."""
        if self._orders(venue, now):
            return 0.0
        others = [one for one in self._shares if one != venue]
        share = sum(self._shares[one] for one in others)
        if not share:
            return 0.0
        return sum(self._orders(one, now) for one in others) * self._shares[venue] / share

    def _orders(self, venue: str, now: float) -> int:
        seconds = self._seconds[venue]
        return sum(orders for second, orders in seconds.items() if second > int(now) - WINDOW_S)
