"""Which assets a shard knows, the longest idle first: what nothing can use any more goes.

newcomers   met ──────── seen again TRIAL_S later ──> known
known       last judged ──────── idle for longer than any detector looks back ──> forgotten

Names cost nothing to make up: where there are ASSETS, newcomers push each other out, and nobody
who is known. Nothing under way is ever forgotten: where all are, one more is refused.
"""

from itertools import islice

import msgspec

#: Assets of a shard: several times those that all venues list; one of a single order takes 3 kB.
ASSETS = 16_384
#: So long after the first second of an asset another of it makes it known, seconds.
TRIAL_S = 60
#: Looks for one that is not under way, before another is refused.
TRIES = 16


class Roster(msgspec.Struct):
    """Assets in the order in which they were last judged; of newcomers with their first second."""

    newcomers: dict[str, int] = {}
    known: dict[str, int] = {}


def note(roster: Roster, asset: str, second: int) -> None:
    """Put an asset behind all others: it was met, or judged, in `second`."""
    if asset in roster.known:
        del roster.known[asset]
        roster.known[asset] = second
        return
    met = roster.newcomers.pop(asset, second)
    if second - met >= TRIAL_S:
        roster.known[asset] = second
    else:
        roster.newcomers[asset] = met


def leaving(roster: Roster, busy: dict[str, int]) -> str | None:
    """Return who must go before one more is met: "" for nobody, None where nobody can."""
    if len(roster.newcomers) + len(roster.known) < ASSETS:
        return ""
    return _idle(roster.newcomers or roster.known, busy)


def overdue(roster: Roster, busy: dict[str, int], before: int) -> list[str]:
    """Return the assets idle since before a second, those under way left out."""
    gone = []
    for assets in (roster.newcomers, roster.known):
        for asset, second in assets.items():
            if second >= before:
                break
            if asset not in busy:
                gone.append(asset)
    return gone


def drop(roster: Roster, asset: str) -> None:
    """Forget an asset."""
    roster.newcomers.pop(asset, None)
    roster.known.pop(asset, None)


def _idle(assets: dict[str, int], busy: dict[str, int]) -> str | None:
    for asset in list(islice(assets, TRIES)):
        if asset not in busy:
            return asset
        assets[asset] = assets.pop(asset)  # looked at again when all others have been
    return None
