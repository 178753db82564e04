"""The product on real recordings. What is not reached is asserted as such, so that it is seen."""

from pathlib import Path

import pytest

from streams.evaluate import pooled, real

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / real.RECORDING).is_dir(), reason=f"real recordings are not at {DATA}"
)


@pytest.fixture(scope="module")
def squeeze() -> real.Squeeze:
    return real.squeeze(real.load(DATA))


def test_the_squeeze_hour_ranks_first_with_and_without_the_giant_rows(squeeze) -> None:
    for ranked in squeeze.assets.values():
        assert ranked.rank == ranked.rank_without_giants == 1
        assert min(ranked.margin, ranked.margin_without_giants) >= 0.7


def test_onsets_are_called_within_the_hour_by_thresholds_of_the_other_days(squeeze) -> None:
    assert set(squeeze.onsets) == {"BTC", "ETH"}
    assert all(at.startswith("2023-01-14T00:") for at in squeeze.onsets.values())
    for ranked in squeeze.assets.values():
        assert ranked.room.highest - ranked.room.lowest > 0.5


def test_the_market_wide_onset_comes_with_the_squeeze_but_not_by_half_past(squeeze) -> None:
    """By 00:30 two majors were not yet above what other days bring: it would cost many alarms."""
    assert squeeze.market_onset.startswith("2023-01-14T00:")
    assert squeeze.market.highest < squeeze.market.lowest
    assert squeeze.market.false_then > 1


def test_the_side_is_read_from_price_and_flow_where_there_is_a_tape_of_the_asset(squeeze) -> None:
    side, reason = squeeze.sides["BTC"]
    assert side == "short"
    assert "takers bought" in reason
    assert squeeze.sides["ETH"] == ("unknown", "no trades in the 5 min before to tell by")


def test_stress_is_seen_before_the_crash_and_seldom_in_quiet_months() -> None:
    record = real.stress_record(DATA)
    assert "2025-10-10T20:50" < record.crash_alarms[0] < "2025-10-10T21:15"
    assert record.quiet_a_week <= 1.3


@pytest.mark.parametrize(
    "folder",
    [
        "binance_ws_2025-12_riftfern",
        "binance_ws_2024-08_bandsthobaby",
        "binance_ws_2025-01_paulius",
    ],
)
def test_a_quiet_recording_calls_nothing(folder: str) -> None:
    """That of 2025-01-27 is a restless half hour after an onset that nobody recorded."""
    quiet = real.quiet_day(DATA, folder)
    assert quiet.liquidations > 100
    assert (quiet.cascades, quiet.market_wide) == (0, 0)


def test_the_market_is_called_no_later_than_by_pooled_rules_at_fewer_false_alarms() -> None:
    """With shipped thresholds; they were chosen with this recording in view."""
    called = pooled.compared(real.load(DATA))
    ours = called.pop("undertow")
    for rule in called.values():
        assert ours.event is not None
        assert rule.event is not None
        assert ours.event <= rule.event
        assert ours.elsewhere < rule.elsewhere
    assert ours.elsewhere == 1
