"""A lower bound and an estimate, neither pretending to be the other."""

import msgspec
import pytest
from nights import PARAMS, clocked, night

from schemas.findings import CascadeFinding
from streams.core import pipeline
from streams.core.detectors.totals import Seen, add, total
from streams.core.detectors.venue_rates import unthrottle
from streams.core.params import TotalsParams

PARAMS_T = TotalsParams()


def throttled(coverage: str, active: float, seconds: int = 200) -> Seen:
    seen = Seen(coverage)  # type: ignore[arg-type]
    for _ in range(seconds):
        add(seen, 1e4, unthrottle(active, 30))
    return seen


def test_a_complete_feed_hides_nothing() -> None:
    assert total(PARAMS_T, [throttled("full", 0.9)]) == (2e6, 2e6, 2e6, 2e6)


@pytest.mark.parametrize("rule", ["latest_per_second", "largest_per_second"])
def test_the_busier_a_throttled_feed_the_more_it_hid(rule) -> None:
    totals = [total(PARAMS_T, [throttled(rule, active)]) for active in (0.1, 0.5, 0.9, 1.0)]
    for one in totals:
        assert one.seen <= one.low <= one.estimate <= one.high
    estimates = [one.estimate for one in totals]
    assert estimates == sorted(estimates)
    assert estimates[-1] > 1.5 * totals[-1].seen


def test_what_is_not_known_is_not_estimated() -> None:
    assert total(PARAMS_T, [throttled("unknown", 0.5)])[1:] == (None, None, None)
    assert total(PARAMS_T, [throttled("full", 0.5)], missing_usd=None) == (2e6, None, None, None)


def test_findings_have_both_totals_by_venue_and_in_sum() -> None:
    state = pipeline.State()
    totals = [
        record
        for topic, item in clocked(night())
        for _, record in pipeline.step(PARAMS, state, topic, item).outputs
        if isinstance(record, CascadeFinding) and record.phase == "closed"
    ]
    assert totals
    for f in totals:
        assert f.venues == ["binance", "bybit"]
        assert sum(f.venue_usd) == pytest.approx(f.notional_usd)
        assert sum(f.venue_estimate_usd) == pytest.approx(f.estimate_usd, abs=0.05)
        assert f.notional_usd <= f.estimate_low_usd <= f.estimate_usd <= f.estimate_high_usd
        # bybit is complete here: nothing is added to it
        assert f.venue_estimate_usd[1] == pytest.approx(f.venue_usd[1])
        assert msgspec.json.decode(msgspec.json.encode(f), type=CascadeFinding) == f


def test_a_venue_that_was_out_widens_the_estimate_and_never_the_lower_bound() -> None:
    seen, estimate, low, high = total(PARAMS_T, [throttled("full", 0.5)], missing_usd=1e6)
    assert (seen, estimate, low, high) == (2e6, 3e6, 2e6, 5e6)
