"""Findings against planted truth; only generated sources have any."""

from datetime import UTC, datetime
from typing import Any

from sinks.sql.report import iso

#: detection.md 2.2: an alarm up to this long before the planted onset is a precursor.
TOLERANCE_S = 300


def against_planted(planted: list[dict[str, Any]], report: dict[str, Any]) -> dict[str, Any]:
    """Return `planted` cascades, which of them were `report` and how late, and the whales.

    A planted cascade is found when an episode of its asset and side was called between
    300 s before its onset and its end. Delay in seconds from the planted onset. `waves` judges
    each wave by itself: a cascade called in its first says nothing of its second.
    """
    cascades = [p for p in planted if p["kind"] == "cascade"]
    whales = [p for p in planted if p["kind"] == "whale"]
    hits = [(p, _match(p, report["episodes"])) for p in cascades]
    false = [e for e in report["episodes"] if not any(_match(p, [e]) for p in cascades)]
    return {
        "planted": cascades,
        "found": [_hit(p, episode) for p, episode in hits if episode],
        "false_alarms": false,
        "waves": [wave for plant in cascades for wave in _waves(plant, report)],
        "planted_whales": [_whale(p, report["whale_verdicts"]) for p in whales],
    }


def _waves(plant: dict[str, Any], report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what became of each wave of a planted cascade.

    `called`: an onset or a re-ignition was told between 300 s before it and its end. `open`: an
    episode called earlier was still going on. `watched`: it came near the threshold, no more.
    """
    return [
        {
            "asset": plant["asset"],
            "position_side": plant["position_side"],
            "onset": iso(datetime.fromtimestamp(onset / 1e6, UTC)),
            "notional_usd": worth,
        }
        | _outcome(
            _of_side(plant, report["episodes"]), _of_side(plant, report["watched"]), onset, end
        )
        for (onset, _, end), worth in zip(plant["waves"], plant["wave_usd"], strict=True)
    ]


def _of_side(plant: dict[str, Any], episodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    same = plant["asset"], plant["position_side"]
    return [e for e in episodes if (e["asset"], e["position_side"]) == same]


def _outcome(
    episodes: list[dict[str, Any]], watched: list[dict[str, Any]], onset: int, end: int
) -> dict[str, Any]:
    first = onset - TOLERANCE_S * 1_000_000
    calls = sorted(_micros(call) for episode in episodes for call in episode["calls"])
    in_time = [call for call in calls if first <= call <= end]
    if in_time:
        return {"outcome": "called", "delay_s": round((in_time[0] - onset) / 1e6, 3)}
    if any(_micros(e["onset"]) <= onset and _ends(e) >= onset for e in episodes):
        return {"outcome": "open", "delay_s": None}
    seen = any(_micros(e["onset"]) <= end and _ends(e) >= onset for e in watched)
    return {"outcome": "watched" if seen else "missed", "delay_s": None}


def _ends(episode: dict[str, Any]) -> float:
    return _micros(episode["end"]) if episode["end"] else float("inf")


def _match(plant: dict[str, Any], episodes: list[dict[str, Any]]) -> dict[str, Any] | None:
    for episode in episodes:
        same = (episode["asset"], episode["position_side"]) == (
            plant["asset"],
            plant["position_side"],
        )
        detected = _micros(episode["detected"])
        window = plant["onset_us"] - TOLERANCE_S * 1_000_000, plant["end_us"]
        if same and window[0] <= detected <= window[1]:
            return episode
    return None


def _hit(plant: dict[str, Any], episode: dict[str, Any]) -> dict[str, Any]:
    delay = (_micros(episode["detected"]) - plant["onset_us"]) / 1e6
    return {
        "asset": plant["asset"],
        "position_side": plant["position_side"],
        "episode_id": episode["episode_id"],
        "detected": episode["detected"],
        "delay_s": round(delay, 3),
    }


def _whale(plant: dict[str, Any], verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """Pair a planted deposit with its verdict: same asset and venue, nearest in time."""
    near = [
        v
        for v in verdicts
        if (v["asset"], v["venue"]) == (plant["asset"], plant["venue"])
        and abs(_micros(v["ts_event"]) - plant["ts_us"]) < 2_000_000
    ]
    return plant | {"verdict": near[0]["verdict"] if near else None}


def _micros(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1_000_000)
