"""Findings against planted truth; only generated sources have any."""

from datetime import datetime
from typing import Any

#: detection.md 2.2: an alarm up to this long before the planted onset is a precursor.
TOLERANCE_S = 300


def against_planted(planted: list[dict[str, Any]], report: dict[str, Any]) -> dict[str, Any]:
    """Return `planted` cascades, which of them were `report` and how late, and the whales.

    A planted cascade is found when an episode of its asset and side was called between
    300 s before its onset and its end. Delay in seconds from the planted onset.
    """
    cascades = [p for p in planted if p["kind"] == "cascade"]
    whales = [p for p in planted if p["kind"] == "whale"]
    hits = [(p, _match(p, report["episodes"])) for p in cascades]
    false = [e for e in report["episodes"] if not any(_match(p, [e]) for p in cascades)]
    return {
        "planted": cascades,
        "found": [_hit(p, episode) for p, episode in hits if episode],
        "false_alarms": false,
        "planted_whales": [_whale(p, report["whale_verdicts"]) for p in whales],
    }


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
