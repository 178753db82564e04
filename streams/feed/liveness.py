"""Whether a connection still delivers: by the data of its streams, not by pings alone. Pure.

A liquid market is never silent: trades that stop for twenty times what is usual between two of
them are a fault, whatever the pings say. Forced orders may be rare: they live by any frame, and
where readings of open interest come beside them, by these and by themselves.
"""

import msgspec

#: No frame at all for so long, though our ping asked for one: the connection is half-open, seconds.
SILENCE_S = 30.0
#: Our own ping goes out after so long without a frame, seconds.
PING_AFTER_S = 12.0
#: Trades may pause so many times longer than they usually do, between these bounds, seconds.
USUAL_TIMES = 20.0
LEAST_S, MOST_S = 15.0, 300.0
#: The first trade has to come within this, seconds.
FIRST_S = 45.0
_WEIGHT = 0.05
#: Where so many readings came, and no trades are asked for, they may pause so long, seconds.
READINGS, READINGS_LEAST_S = 10, 60.0
#: An instrument of which so many trades came may pause so many times longer than it usually does,
#: and this long, seconds, before its stream is held for dead.
KNOWN, QUIET_TIMES, QUIET_LEAST_S = 50, 50.0, 60.0


class Liveness:
    """What one connection gave lately; times are steady seconds."""

    def __init__(self, now: float, has_trades: bool) -> None:
        self._has_trades = has_trades
        self._frame = now
        self._pinged = now
        self._began = now
        self._trades: float | None = None
        self._usual_s = 0.0
        self._readings = 0
        self._forced = now

    def frame(self, now: float) -> None:
        """Note a frame of any kind."""
        self._frame = now

    def trades(self, now: float) -> None:
        """Note a frame that held trades."""
        if self._trades is not None:
            self._usual_s += _WEIGHT * (now - self._trades - self._usual_s)
        self._trades = now

    def reading(self, now: float) -> None:
        """Note a frame that held readings, of a connection without trades."""
        self._readings += 1
        self.trades(now)

    def forced_orders(self, now: float) -> None:
        """Note a frame that held forced orders, of a connection without trades."""
        self._forced = now

    @property
    def delivers(self) -> bool:
        """Whether it has given what it is there for."""
        return self._trades is not None or not self._has_trades

    def wants_ping(self, now: float) -> bool:
        """Say whether a ping has to show that somebody is there; it is then taken as sent."""
        if now - max(self._frame, self._pinged) < PING_AFTER_S:
            return False
        self._pinged = now
        return True

    def is_half_open(self, now: float) -> str:
        """Return why nobody can be there any more, "" where somebody is."""
        silent = now - self._frame
        return f"half-open: no frame for {silent:.0f} s" if silent >= SILENCE_S else ""

    def is_stale(self, now: float) -> str:
        """Return why it gives nothing, though somebody is there; "" where it gives."""
        if not self._has_trades:
            return self._is_without_readings(now)
        if self._trades is None:
            waited = now - self._began
            return f"acknowledged, no trade for {waited:.0f} s" if waited >= FIRST_S else ""
        most = min(max(USUAL_TIMES * self._usual_s, LEAST_S), MOST_S)
        quiet = now - self._trades
        return f"no trade for {quiet:.0f} s, pings answered" if quiet >= most else ""

    def _is_without_readings(self, now: float) -> str:
        if self._readings < READINGS or self._trades is None:
            return ""  # none are served, or it is not known how often they come
        quiet = now - self._trades
        most = max(USUAL_TIMES * self._usual_s, READINGS_LEAST_S)
        is_mute = now - max(self._trades, self._forced) >= most
        return f"no reading for {quiet:.0f} s, pings answered" if is_mute else ""


class Pace(msgspec.Struct):
    """Trades of one instrument: how many, when the last came, how long they usually pause."""

    trades: int
    last: float
    ts_last: int
    usual_s: float = 0.0
    is_quiet: bool = False


class Paces:
    """Which instruments stopped trading while others go on: a stream may die alone."""

    def __init__(self) -> None:
        self._of: dict[str, Pace] = {}

    def note(self, symbol: str, now: float, ts_event: int) -> int | None:
        """Note a trade; return the time of the one before it where the instrument was quiet."""
        pace = self._of.get(symbol)
        if pace is None:
            self._of[symbol] = Pace(1, now, ts_event)
            return None
        pace.usual_s += _WEIGHT * (now - pace.last - pace.usual_s)
        since = pace.ts_last if pace.is_quiet else None
        pace.trades, pace.last, pace.is_quiet = pace.trades + 1, now, False
        pace.ts_last = max(pace.ts_last, ts_event)
        return since

    def forget(self, symbol: str) -> None:
        """Begin anew with an instrument."""
        self._of.pop(symbol, None)

    def quiet(self, now: float) -> list[str]:
        """Return instruments that have become quiet, each once."""
        quiet = [
            symbol
            for symbol, pace in self._of.items()
            if pace.trades >= KNOWN
            and not pace.is_quiet
            and now - pace.last > max(QUIET_TIMES * pace.usual_s, QUIET_LEAST_S)
        ]
        for symbol in quiet:
            self._of[symbol].is_quiet = True
        return quiet
