"""How far records come behind the words of their input, by venue: what grace must cover."""

from schemas import metrics

#: Venues with a line of their own; names cost nothing to make up.
VENUES = 64
OTHER = "other"

_SEEN: set[str] = set()


def note(topic: str, venue: str, ts_event: int, now: int) -> None:
    """Count a record of `ts_event` that comes when its input's words have reached `now`."""
    if not now:
        return
    if venue not in _SEEN:
        if len(_SEEN) >= VENUES:
            venue = OTHER
        _SEEN.add(venue)
    metrics.LATENESS.labels(topic, venue).observe(max(0, now - ts_event) / 1e6)
