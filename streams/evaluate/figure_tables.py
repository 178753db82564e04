"""Figures in the words of evaluate.json, each with its 95 % interval beside it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streams.evaluate.events import Figures, Interval, Weeks, difference, figures
from streams.evaluate.protocol import BUDGET, Found

Row = dict[str, Any]
Scored = Mapping[str, Mapping[float, Found]]
#: What a figure is called in evaluate.json, and in `Figures`.
NAMES = {
    "recall": "recall",
    "false_alarms_per_week": "false_a_week",
    "damage_to_come": "rem_usd",
    "within_60s": "within_60_s",
    "within_120s": "within_120_s",
}
GIANTS = {f"giants_{case}": case for case in ("full", "latest_100", "largest_100")}


def row(figures: Figures) -> Row:
    """Return one detector's figures; null: a delay that was missed, a share of no cascade."""
    shown: Row = {name: _known(getattr(figures, field).value) for name, field in NAMES.items()}
    shown["delay_s"] = {
        name: _known(seconds)
        for name, seconds in zip(("p25", "p50", "p75"), figures.delay_quartiles, strict=True)
    }
    intervals = {name: _pair(getattr(figures, field)) for name, field in NAMES.items()}
    return shown | {
        "intervals": intervals, "cascades": figures.cascades, "asset_weeks": figures.asset_weeks
    }  # fmt: skip


def of(
    ours: str,
    by_case: Mapping[str, Sequence[Scored]],
    weeks: Mapping[str, Mapping[str, Mapping[float, Weeks]]],
) -> Row:
    """Return our own rows at the top, everybody's under `rivals`, and paired differences."""
    rows = {
        case: {
            name: _scored_row(by_case[case], name, weeks_by_budget)
            for name, weeks_by_budget in scores.items()
        }
        for case, scores in weeks.items()
    }
    names = list(rows["full"])
    by_name = {name: _one(name, rows) for name in names}
    paired = {
        case: {
            name: _paired(scores[ours][BUDGET], scores[name][BUDGET])
            for name in scores
            if name != ours
        }
        for case, scores in weeks.items()
    }
    return by_name[ours] | {"rivals": by_name, "ours_less_rival": paired}


def _one(name: str, rows: Mapping[str, Mapping[str, Row]]) -> Row:
    plain = {c: r[name] for c, r in rows.items() if c not in GIANTS and name in r}
    giants = {GIANTS[c]: r[name] for c, r in rows.items() if c in GIANTS and name in r}
    return plain["full"] | {"feeds": plain, "giants": giants}


def _scored_row(scored: Sequence[Scored], name: str, weeks_by_budget: Mapping[float, Weeks]) -> Row:
    made = row(figures(weeks_by_budget[BUDGET]))
    made["thresholds"] = [msgspec.to_builtins(asset[name][BUDGET].threshold) for asset in scored]
    made["curve"] = [_point(budget, weeks_by_budget[budget]) for budget in sorted(weeks_by_budget)]
    return made


def _point(budget: float, weeks: Weeks) -> Row:
    whole = row(figures(weeks, draws=200))
    kept = ("false_alarms_per_week", "recall", "damage_to_come", "delay_s")
    return {"budget": budget} | {name: whole[name] for name in kept}


def _paired(one: Weeks, other: Weeks) -> Row:
    return {
        "damage_to_come": full(difference(one, other, lambda w: w.left)),
        "recall": full(difference(one, other, lambda w: w.caught)),
    }


def _pair(interval: Interval) -> list[float | None]:
    return [_known(interval.low), _known(interval.high)]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def full(interval: Interval) -> Row:
    """Return a figure with its interval beside it."""
    return {"value": interval.value, "interval": _pair(interval)}
