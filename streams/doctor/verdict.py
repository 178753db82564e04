"""What a check came to: one line that says what is, one that says what to do."""

from typing import Literal

import msgspec

#: `look`: it works, but somebody should know. `broken`: something that was asked for cannot work.
State = Literal["well", "look", "broken"]


class Verdict(msgspec.Struct, frozen=True):
    """`check` names what was looked at, `what` is one sentence, `next_step` what mends it."""

    check: str
    state: State
    what: str
    next_step: str = ""


def well(check: str, what: str) -> Verdict:
    """Return that nothing is to be done."""
    return Verdict(check, "well", what)


def look(check: str, what: str, next_step: str) -> Verdict:
    """Return that somebody should know."""
    return Verdict(check, "look", what, next_step)


def broken(check: str, what: str, next_step: str) -> Verdict:
    """Return that something cannot work."""
    return Verdict(check, "broken", what, next_step)


def span(micros: float) -> str:
    """Write a time span as people say it: 12 s, 5 min, 3 h, 40 days."""
    seconds = abs(micros) / 1e6
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
