"""Planted truth is judged wave by wave: what was called first says nothing of the next."""

from typing import Any

import pytest

from sinks.sql.report import iso
from streams.cli import report_tables
from streams.run.planted import TOLERANCE_S, against_planted

T = 1_763_683_200


def moment(second: float) -> str:
    from datetime import UTC, datetime

    return iso(datetime.fromtimestamp(T + second, UTC)) or ""


PLANT: dict[str, Any] = {
    "kind": "cascade", "asset": "BTC", "position_side": "long",
    "onset_us": (T + 1_000) * 10**6, "end_us": (T + 3_000) * 10**6,
    "waves": [
        [(T + 1_000) * 10**6, (T + 1_100) * 10**6, (T + 1_500) * 10**6],
        [(T + 2_500) * 10**6, (T + 2_600) * 10**6, (T + 3_000) * 10**6],
    ],
    "wave_usd": [3e8, 8.66e7],
}  # fmt: skip


def episode(onset: float, end: float | None, *calls: float, asset: str = "BTC") -> dict[str, Any]:
    return {
        "episode_id": "e", "asset": asset, "position_side": "long", "onset": moment(onset),
        "detected": moment(calls[0]) if calls else None, "calls": [moment(c) for c in calls],
        "end": None if end is None else moment(end),
    }  # fmt: skip


def outcomes(
    episodes: list[dict[str, Any]], watched: list[dict[str, Any]]
) -> list[tuple[str, float | None]]:
    report = {"episodes": episodes, "watched": watched, "whale_verdicts": []}
    return [(w["outcome"], w["delay_s"]) for w in against_planted([PLANT], report)["waves"]]


@pytest.mark.parametrize(
    ("episodes", "watched", "second"),
    [
        ([episode(990, 2_000, 1_010)], [], ("missed", None)),
        ([episode(990, 2_000, 1_010)], [episode(2_490, 2_900)], ("watched", None)),
        ([episode(990, 2_600, 1_010)], [], ("open", None)),
        ([episode(990, None, 1_010)], [], ("open", None)),
        ([episode(990, 3_200, 1_010, 2_512)], [], ("called", 12.0)),
        ([episode(990, 2_000, 1_010), episode(2_480, None, 2_490)], [], ("called", -10.0)),
        ([episode(990, 2_000, 1_010), episode(2_480, None, 2_490, asset="ETH")], [], ("missed", None)),
        ([episode(990, 2_000, 1_010, 2_499 - TOLERANCE_S)], [], ("missed", None)),
    ],
)  # fmt: skip
def test_the_second_wave_is_what_became_of_it(
    episodes: list[dict[str, Any]], watched: list[dict[str, Any]], second: tuple[str, float | None]
) -> None:
    assert outcomes(episodes, watched) == [("called", 10.0), second]


def test_a_wave_that_was_watched_and_never_called_is_printed_with_its_dollars() -> None:
    report = {
        "episodes": [episode(990, 2_000, 1_010)], "watched": [episode(2_490, 2_900)],
        "whale_verdicts": [],
    }  # fmt: skip
    printed = report_tables._planted(against_planted([PLANT], report))
    assert "Planted waves: 1 of 2 called, 1 never called" in printed
    assert "missed: BTC 2025-11-21 00:41:40, $86.6M, watched, never called" in printed


def test_nothing_called_in_the_first_minutes_is_a_warm_up_and_not_calm() -> None:
    report = {"watches": 0, "warm_up": {"longest_s": 1_400, "needed_s": 3_600}}
    assert "warm-up not over" in report_tables._none_called(report)
    assert "none called (3 watched)" in report_tables._none_called({"watches": 3, "warm_up": None})
