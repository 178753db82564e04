"""What stands at the top of the board: a word, what it rests on, and what it does not know."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Row = Mapping[str, Any]
Level = Literal["empty", "cascade", "watch", "calm", "unknown"]

#: Data that end longer ago than this are no longer news, seconds.
FRESH_S = 90.0
#: Data that end longer ago are a recording's; what ends sooner was being written, seconds.
STALE_S = 86_400.0
#: A clock that moved within this long is still being moved, seconds.
MOVING_S = 20.0


def state(
    at: str | None,
    age_s: float | None,
    moving: bool,
    panels: Mapping[str, Sequence[Row]],
) -> dict[str, Any]:
    """Return the word for the moment `at`, and its reasons in plain words.

    `age_s` is how long ago the data end by the wall clock, None where somebody looks at a past
    moment; `moving` says whether they still grow. Calm is said only of data that are watched
    by feeds that all speak; of data that ended lately nothing is known now, `then` is the word
    of their end.
    """
    if at is None:
        return {
            "level": "empty",
            "reasons": ["Nothing is stored yet."],
            "tense": "none",
            "blind": [],
            "coverage": [],
            "then": "empty",
        }
    episodes = [row for row in panels["episodes"] if row["phase"] != "closed"]
    cascades = [row for row in episodes if row["tier"] == "cascade"]
    markets = [row for row in panels["market"] if row["phase"] != "closed"]
    blind = _blindness(panels)
    reasons = [f"market-wide: {', '.join(row['assets'])}" for row in markets]
    reasons += _named(episodes)
    stressed = [row["asset"] for row in panels["stress"] if row["phase"] != "closed"]
    reasons += [f"{asset}: stress by minute bars, no liquidations seen" for asset in stressed]
    level: Level = "calm"
    if cascades or markets:
        level = "cascade"
    elif episodes or stressed:
        level = "watch"
    elif blind:
        level = "unknown"
    then, tense = level, _tense(age_s, moving)
    if tense == "stale":
        level = "unknown"
    return {
        "level": level,
        "reasons": reasons,
        "blind": blind,
        "coverage": _coverage(panels["totals"]),
        "tense": tense,
        "then": then,
    }


def _named(episodes: Sequence[Row]) -> list[str]:
    """Say of each phase whose positions are in it; assets in the order of the episodes."""
    assets: dict[tuple[str, str], list[str]] = {}
    for row in episodes:
        assets.setdefault((row["position_side"], row["phase"]), []).append(row["asset"])
    return [
        f"{', '.join(dict.fromkeys(names))}{'' if side == 'unknown' else f' {side}s'}: {phase}"
        for (side, phase), names in assets.items()
    ]


def _blindness(panels: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return why the answer may be wrong: silent feeds, or none of forced orders at all."""
    reasons = [str(row["title"]) for row in panels["silent"]]
    if not panels["totals"]:
        reasons.append("no forced order was told in the last 24 h")
    return reasons


def _coverage(totals: Sequence[Row]) -> list[str]:
    """Return each coverage that the orders of the last 24 h came with."""
    return sorted({part for row in totals for part in str(row["coverage"]).split(", ")})


def _tense(age_s: float | None, moving: bool) -> str:
    """Return `live`, `replay` (still growing), `stale` (live until just now), or `ended`."""
    if age_s is None:
        return "past"
    if age_s <= FRESH_S:
        return "live"
    if moving:
        return "replay"
    return "stale" if age_s < STALE_S else "ended"
