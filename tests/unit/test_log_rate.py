"""Z30: what moves it, and what must not."""

import math

import pytest

from streams.core.detectors import log_rate, rate_state, venue_rates
from streams.core.detectors.rate_state import Absence, RateState
from streams.core.detectors.venue_rates import VenueSecond
from streams.core.params import OnsetParams

PARAMS = OnsetParams()


def calm(coverage: str = "full", hours: int = 12, every_s: int = 60) -> RateState:
    state = RateState()
    for second in range(0, hours * 3600, every_s):
        shown = {"v": VenueSecond(coverage=coverage, entries=[(1, 5_000.0)])}  # type: ignore[arg-type]
        log_rate.step(PARAMS, state, second, every_s if second else 1, shown)
    return state


def burst(state: RateState, seconds: int, orders: int, usd: float, coverage: str = "full") -> float:
    score = 0.0
    for second in range(state.at + 1, state.at + 1 + seconds):
        shown = {"v": VenueSecond(coverage=coverage, entries=[(1, usd)] * orders)}  # type: ignore[arg-type]
        score = log_rate.step(PARAMS, state, second, 1, shown)
    return score


def test_calm_scores_near_zero() -> None:
    assert abs(calm().score) < 1.0


def test_a_cascade_of_ordinary_orders_passes_every_threshold() -> None:
    assert burst(calm(), 30, 40, 5_000.0) > 5.6


def test_a_single_giant_order_stays_below_every_threshold() -> None:
    assert burst(calm(), 1, 1, 5e8) < 2.5


def test_on_a_throttled_feed_sixty_active_seconds_are_more_than_sixty_orders() -> None:
    plain = burst(calm(), 60, 1, 5_000.0)
    corrected = burst(calm("latest_per_second"), 60, 1, 5_000.0, "latest_per_second")
    assert corrected > plain + 0.5


def test_unthrottling_undoes_one_order_a_second_exactly() -> None:
    for rate in (0.01, 0.5, 2.0):
        active = 1 - math.exp(-rate)
        assert active * venue_rates.unthrottle(active, 1_000_000) == pytest.approx(rate)
    assert venue_rates.unthrottle(0.0, 30) == 1.0
    assert venue_rates.unthrottle(1.0, 30) < 4.3


def test_the_order_of_orders_within_a_second_does_not_matter() -> None:
    entries: list[tuple[int, float | None]] = [(1, 9e6), (3, 100.0), (1, None), (2, 5e4)]
    a, b = calm(), calm()
    shown = VenueSecond(coverage="full", entries=entries)
    turned = VenueSecond(coverage="full", entries=entries[::-1])
    assert log_rate.step(PARAMS, a, a.at + 1, 1, {"v": shown}) == (
        log_rate.step(PARAMS, b, b.at + 1, 1, {"v": turned})
    )
    assert a == b


def test_empty_seconds_need_no_step_of_their_own() -> None:
    jumped, ticked = calm(), calm()
    start = jumped.at
    shown = {"v": VenueSecond(coverage="full", entries=[(1, 5_000.0)])}
    log_rate.step(PARAMS, jumped, start + 500, 500, shown)
    for second in range(start + 1, start + 500):
        log_rate.step(PARAMS, ticked, second, 1, {})
    log_rate.step(PARAMS, ticked, start + 500, 1, shown)
    assert jumped.score == pytest.approx(ticked.score, abs=0.014)


@pytest.mark.parametrize(
    ("coverages", "expected"),
    [
        (["full"], "full"),
        (["full", "latest_per_second"], "mixed"),
        (["largest_per_second"], "throttled"),
        (["unknown"], "throttled"),
    ],
)
def test_the_feed_class_follows_the_venues_coverage(coverages: list[str], expected: str) -> None:
    venues = {str(i): venue_rates.VenueRate(coverage=c) for i, c in enumerate(coverages)}  # type: ignore[arg-type]
    assert rate_state.feed_class(RateState(venues=venues)) == expected


def test_a_batch_from_a_throttled_feed_counts_over_the_time_it_was_collected_in() -> None:
    """Sixty orders of a feed that shows one a second took a minute, whenever they are told."""
    told_late, at_once = calm("latest_per_second"), calm("latest_per_second")
    for state, silence in ((told_late, 600), (at_once, 60)):
        shown = {"v": VenueSecond(coverage="latest_per_second", entries=[(60, 3e5)])}
        log_rate.step(PARAMS, state, state.at + silence, silence, shown)
    assert told_late.venues["v"].b30 == pytest.approx(0.1, rel=0.01)
    assert at_once.venues["v"].b30 == pytest.approx(1.0, abs=0.15)
    assert at_once.score > told_late.score + 1.0


def usual_night(
    shares: tuple[float, ...], seconds: int, state: RateState | None = None
) -> RateState:
    """Venues a, b, ... that show one order of $5,000 each so often that shares come out."""
    state = state or RateState()
    for second in range(state.at + 1, state.at + 1 + seconds):
        shown = {
            name: VenueSecond(coverage="full", entries=[(1, 5_000.0)])
            for name, share in zip("abc", shares, strict=False)
            if second % round(20 / share) == 0
        }
        if shown:
            log_rate.step(PARAMS, state, second, second - state.at, shown)
    return state


def cascade(
    state: RateState, orders: dict[str, int], seconds: int, away: dict[str, Absence] | None = None
) -> float:
    score = 0.0
    for second in range(state.at + 1, state.at + 1 + seconds):
        shown = {
            name: VenueSecond(coverage="full", entries=[(1, 5_000.0)] * count)
            for name, count in orders.items()
        }
        score = log_rate.step(PARAMS, state, second, 1, shown, away or {})
    return score


def test_a_silent_venue_leaves_the_baseline_too() -> None:
    whole = cascade(usual_night((0.5, 0.5), 12 * 3600), {"a": 10, "b": 10}, 30)
    away = {"b": Absence(1, True)}
    half_blind = usual_night((0.5, 0.5), 12 * 3600)
    cascade(half_blind, {"a": 1}, 1, {"b": Absence(1, True)})
    assert cascade(half_blind, {"a": 10}, 30, away) == pytest.approx(whole, abs=0.1)
    assert rate_state.missing_share(half_blind) == pytest.approx(0.5, abs=0.01)


def test_a_venue_that_shows_nothing_while_the_others_burn_is_out_though_its_feed_is_alive() -> None:
    state = usual_night((0.5, 0.5), 12 * 3600)
    cascade(state, {"a": 10}, 15)
    assert rate_state.mute(PARAMS, state) == []
    score = cascade(state, {"a": 10}, 15)
    assert rate_state.mute(PARAMS, state) == ["b"]
    whole = cascade(usual_night((0.5, 0.5), 12 * 3600), {"a": 10, "b": 10}, 30)
    assert score == pytest.approx(whole, abs=0.1)
    cascade(state, {"a": 10, "b": 10}, 2)
    assert rate_state.mute(PARAMS, state) == []


def test_a_burst_of_many_orders_in_one_second_on_one_venue_silences_no_other() -> None:
    state = usual_night((0.5, 0.5), 12 * 3600)
    cascade(state, {"a": 2_000}, 1)
    cascade(state, {"a": 1}, 10)
    assert rate_state.mute(PARAMS, state) == []


def test_a_venue_that_comes_back_is_expected_only_as_far_as_its_windows_are_filled() -> None:
    calm = usual_night((0.5, 0.5), 12 * 3600)
    log_rate.step(PARAMS, calm, calm.at + 600, 600, {}, {"b": Absence(599, False)})
    assert calm.usual["b"].back_s == 0
    assert abs(calm.score) < 0.5
    again = usual_night((0.5, 0.5), 1_200, calm)
    assert again.usual["b"].back_s is None


def test_silence_teaches_no_baseline() -> None:
    state = usual_night((0.5, 0.5), 12 * 3600)
    before = state.usual["b"].orders
    for second in range(state.at + 40, state.at + 86_400, 40):
        shown = {"a": VenueSecond(coverage="full", entries=[(1, 5_000.0)])}
        log_rate.step(PARAMS, state, second, 40, shown, {"b": Absence(40, True)})
    assert state.usual["b"].orders == before
    assert state.usual["a"].orders == pytest.approx(before, rel=0.05)


def test_the_first_orders_of_a_venue_that_joins_are_no_news() -> None:
    state = usual_night((0.5,), 12 * 3600)
    joined = {"new": Absence(state.age, False)}
    shown = {"new": VenueSecond(coverage="full", entries=[(1, 5_000.0)] * 50)}
    score = log_rate.step(PARAMS, state, state.at + 1, 1, shown, joined)
    for _ in range(30):
        score = log_rate.step(PARAMS, state, state.at + 1, 1, shown)
    assert score < 1.0
    assert state.usual["new"].age < PARAMS.min_history_s


def test_one_venue_told_as_two_gives_the_same_score() -> None:
    one, two = RateState(), RateState()
    for second in range(1, 20_000, 7):
        entries = [(1, 1_000.0 + second % 997)] * (1 + second % 3)
        seven = 7 if second > 1 else 1
        whole = {"a": VenueSecond(coverage="full", entries=entries * 2)}
        halves = {name: VenueSecond(coverage="full", entries=entries) for name in "ab"}
        scores = (
            log_rate.step(PARAMS, one, second, seven, whole),
            log_rate.step(PARAMS, two, second, seven, halves),
        )
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_rows_of_many_are_no_feed_of_latest_orders_to_which_flow_is_added() -> None:
    state = calm("latest_per_second")
    assert rate_state.only_latest(state)
    row = {"v": VenueSecond(coverage="latest_per_second", entries=[(7, 35_000.0)])}
    log_rate.step(PARAMS, state, state.at + 60, 60, row)
    assert not rate_state.only_latest(state)


def test_what_is_usual_at_each_venue_is_learnt_undone_of_its_throttle() -> None:
    state = two_venues()
    learnt = rate_state.venues(state)
    assert learnt is not None
    # Two orders of every three are on the complete venue.
    assert learnt.complete == pytest.approx(2 * learnt.throttled[0], rel=0.05)
    assert learnt.complete + sum(learnt.throttled) == pytest.approx(state.expected_orders)
    assert rate_state.venues(RateState()) is None


def test_a_venue_that_is_out_has_no_part_in_what_is_usual() -> None:
    state = two_venues()
    away = {"c": Absence(60, lasts=True)}
    log_rate.step(PARAMS, state, state.at + 60, 60, {}, away)
    learnt = rate_state.venues(state)
    assert learnt is not None
    assert learnt.complete == 0.0
    assert len(learnt.throttled) == 1


def two_venues() -> RateState:
    state = RateState()
    for second in range(0, 12 * 3600, 60):
        shown = {"c": VenueSecond(coverage="full", entries=[(1, 5e3)] * 2)}
        shown["t:X"] = VenueSecond(coverage="latest_per_second", entries=[(1, 5e3)])
        log_rate.step(PARAMS, state, second, 60 if second else 1, shown)
    return state
