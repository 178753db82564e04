"""The life of an episode, and the fields that must come from fills alone."""

from collections.abc import Iterable

from schemas.words import Phase, PositionSide
from streams.core.detectors import episode as episodes
from streams.core.detectors.episode import Episode, Second
from streams.core.params import EpisodeParams, OnsetParams

ONSET, PARAMS, H = OnsetParams(), EpisodeParams(), 5.0


def live(
    usd_by_second: Iterable[tuple[float, float]],
    side: PositionSide = "long",
    prices: dict[int, float] | None = None,
) -> tuple[Episode, list[tuple[int, Phase]]]:
    """Feed (score, usd) a second; return the episode and the phases with their second."""
    prices = prices or {}
    running: Episode | None = None
    transitions: list[tuple[int, Phase]] = []
    for second, (score, usd) in enumerate(usd_by_second):
        price = prices.get(second)
        now = Second(second, score, H, 1 if usd else 0, usd, price, price)
        if running is None:
            running = episodes.open_episode(now, side, (None, None))
        entered = episodes.step(ONSET, PARAMS, running, side, now)
        transitions += [(second, phase) for phase in entered]
        if running.phase == "closed":
            break
    assert running is not None
    return running, transitions


def phases(transitions: list[tuple[int, Phase]]) -> list[Phase]:
    return [phase for _, phase in transitions]


CALM = [(0.0, 0.0)] * 700


def test_watch_comes_before_onset_and_onset_only_at_the_threshold() -> None:
    _, transitions = live([(4.4, 1e5), (4.9, 1e5), (5.0, 1e5)])
    assert transitions == [(0, "watch"), (2, "onset")]


def test_a_watch_that_fades_is_closed_without_an_onset() -> None:
    _, transitions = live([(4.4, 1e5), *CALM])
    assert phases(transitions) == ["watch", "closed"]


def test_a_burst_peaks_exhausts_and_closes() -> None:
    ended, transitions = live([(5.5, 1e6)] * 120 + CALM)
    assert phases(transitions) == ["watch", "onset", "peak", "exhausted", "closed"]
    assert ended.usd == 120e6
    assert ended.orders == 120


def test_a_second_rise_is_a_wave_and_after_exhaustion_a_reignition() -> None:
    burst, pause = [(5.5, 1e6)] * 120, [(4.5, 0.0)] * 60
    _, transitions = live(burst + pause + burst + CALM)
    assert "wave" in phases(transitions)
    _, transitions = live(burst + [(4.5, 0.0)] * 300 + burst + CALM)
    assert phases(transitions).count("reignited") == 1
    assert phases(transitions)[-2:] == ["exhausted", "closed"]


def test_an_episode_is_not_closed_before_it_is_exhausted() -> None:
    _, transitions = live([(5.5, 1e6)] * 60 + [(0.0, 1e6)] * 900)
    assert "closed" not in phases(transitions)


def test_drawdown_runs_against_the_closed_side() -> None:
    fall = {0: 100.0, 5: 98.0, 9: 99.0}
    long, _ = live([(5.5, 1e5)] * 12, "long", fall)
    assert episodes.drawdown_bps(long) == 200.0
    rise = {0: 100.0, 5: 103.0, 9: 101.0}
    short, _ = live([(5.5, 1e5)] * 12, "short", rise)
    assert episodes.drawdown_bps(short) == 300.0


def test_without_fills_there_is_no_drawdown() -> None:
    without, _ = live([(5.5, 1e5)] * 12)
    assert episodes.drawdown_bps(without) is None


def test_a_cascade_that_follows_a_burst_within_its_open_episode_is_called_again_once() -> None:
    """The second burst neither doubles a trough nor follows exhaustion: its score alone tells."""
    burst, pause = [(5.5, 1e6)] * 30, [(3.0, 5e5)] * 125
    _, transitions = live(burst + pause + [(5.0, 7e5)] * 30)
    assert transitions[-1] == (155, "reignited")
    assert phases(transitions).count("onset") == 1


def test_a_score_that_was_low_for_less_is_not_called_again() -> None:
    _, transitions = live([(5.5, 1e6)] * 30 + [(3.0, 5e5)] * 118 + [(5.0, 7e5)] * 30)
    assert "reignited" not in phases(transitions)


def test_a_watch_that_rested_before_its_onset_is_called_once() -> None:
    _, transitions = live([(4.4, 1e5)] + [(3.0, 1e5)] * 150 + [(5.5, 1e6)] * 30)
    assert [phase for phase in phases(transitions) if phase in ("onset", "reignited")] == ["onset"]


def test_levels_are_swept_where_fills_pass_them_for_the_first_time_while_orders_are_forced() -> (
    None
):
    falls = {0: 100.0, 1: 99.0, 2: 99.5, 3: 99.0, 4: 98.0, 5: 97.0}
    forced = [(5.5, 1e5)] * 5 + [(5.5, 0.0)]
    long, _ = live(forced, "long", falls)
    # From 100 to 98, 202 basis points in log price; the way back, and 97, are left out.
    assert episodes.levels_swept(long) in (20, 21)
    assert (long.reference, long.extreme) == (100.0, 97.0)
    short, _ = live(forced, "short", {s: 1e4 / p for s, p in falls.items()})
    assert episodes.levels_swept(short) in (20, 21)


def test_a_coarse_bar_counts_what_was_forced_within_it() -> None:
    forced = [(5.5, 0.0), (5.5, 1e5), (5.5, 0.0), (5.5, 0.0)]
    swept, _ = live(forced, "long", {0: 100.0, 2: 99.0, 3: 98.0})
    assert episodes.levels_swept(swept) == 10


def test_without_fills_no_level_is_known() -> None:
    without, _ = live([(5.5, 1e5)] * 12)
    assert episodes.levels_swept(without) is None
