"""The word at the top of the board: never calm where nobody watched."""

from typing import Any

import pytest

from sinks.board.state import state

AT = "2025-11-21 07:40:00.000000"
TOTAL = {"asset": "BTC", "venue": "bybit", "coverage": "full"}
EPISODE = {"asset": "BTC", "position_side": "long", "phase": "onset", "tier": "cascade"}


def judged(age_s: float | None = 5.0, moving: bool = False, **panels: Any) -> dict[str, Any]:
    rows: dict[str, Any] = {
        "episodes": [],
        "market": [],
        "stress": [],
        "silent": [],
        "totals": [TOTAL],
    }
    return state(AT, age_s, moving, rows | panels)


def test_watched_and_quiet_is_calm() -> None:
    assert judged()["level"] == "calm"


def test_an_open_episode_is_a_cascade_once_called_and_a_watch_before() -> None:
    assert judged(episodes=[EPISODE])["level"] == "cascade"
    assert judged(episodes=[EPISODE | {"tier": "watch"}])["level"] == "watch"
    assert judged(episodes=[EPISODE | {"phase": "closed"}])["level"] == "calm"


def test_stress_by_minute_bars_is_a_watch_and_says_that_no_liquidation_was_seen() -> None:
    seen = judged(stress=[{"asset": "BTC", "phase": "onset"}])
    assert seen["level"] == "watch"
    assert "no liquidations seen" in seen["reasons"][0]
    assert judged(stress=[{"asset": "BTC", "phase": "closed"}])["level"] == "calm"


def test_a_silent_feed_is_never_calm_and_is_named() -> None:
    seen = judged(silent=[{"title": "Feed bybit: silent"}])
    assert seen["level"] == "unknown"
    assert seen["blind"] == ["Feed bybit: silent"]


def test_no_forced_order_at_all_is_not_calm() -> None:
    assert judged(totals=[])["level"] == "unknown"


def test_a_cascade_stays_one_beside_a_silent_feed() -> None:
    seen = judged(episodes=[EPISODE], silent=[{"title": "Feed okx: silent"}])
    assert (seen["level"], seen["blind"]) == ("cascade", ["Feed okx: silent"])


def test_what_is_stored_nowhere_is_empty() -> None:
    assert state(None, None, False, {})["level"] == "empty"


@pytest.mark.parametrize(
    ("age_s", "moving", "level", "tense"),
    [
        (5.0, True, "calm", "live"),
        (300.0, False, "unknown", "stale"),
        (300.0, True, "calm", "replay"),
        (1e7, True, "calm", "replay"),
        (1e7, False, "calm", "ended"),
        (None, False, "calm", "past"),
    ],
)
def test_of_data_that_ended_just_now_nothing_is_known(
    age_s: float | None, moving: bool, level: str, tense: str
) -> None:
    seen = judged(age_s, moving)
    assert (seen["level"], seen["tense"], seen["then"]) == (level, tense, "calm")
