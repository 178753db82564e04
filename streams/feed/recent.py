"""Which records came already, by their identity, in a memory that is bounded."""

#: Identities remembered at least; twice as many at most.
REMEMBERED = 400_000


class Recent:
    """The last identities: two generations; the older goes when the newer is full."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._newer: set[str] = set()
        self._older: set[str] = set()

    def is_new(self, event_id: str) -> bool:
        """Say whether an identity has not come lately, and remember it."""
        if event_id in self._newer:
            return False
        repeated = event_id in self._older
        self._newer.add(event_id)
        if len(self._newer) >= self._remembered:
            self._older, self._newer = self._newer, set()
        return not repeated
