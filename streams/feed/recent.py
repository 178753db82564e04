"""Which records came already, by their identity, in a memory that is bounded."""

#: So many identities are remembered at least, or this long, seconds; and never more than twice
#: the most. Overlaps of connections last seconds; who prints rarely is remembered for days.
LEAST, LEAST_S, MOST = 20_000, 60.0, 200_000


class Recent:
    """The last identities: two generations; the older goes when the newer is full or of age.

    Identities are kept as hashes of 64 bits: two of a full memory agree once in 10^8 times.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._newer: set[int] = set()
        self._older: set[int] = set()
        self._began: float | None = None

    def is_new(self, event_id: str) -> bool:
        """Say whether an identity has not come lately, and remember it."""
        name = hash(event_id)
        if name in self._newer:
            return False
        repeated = name in self._older
        self._newer.add(name)
        if len(self._newer) >= self._most:
            self._older, self._newer, self._began = self._newer, set(), None
        return not repeated

    def age(self, now: float) -> None:
        """Forget what is old where much has come since; `now` in steady seconds."""
        if self._began is None:
            self._began = now
        elif len(self._newer) >= LEAST and now - self._began >= LEAST_S:
            self._older, self._newer, self._began = self._newer, set(), now
