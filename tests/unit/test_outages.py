"""What is judged while one of two venues is silent from before the onset."""

import numpy as np
import pytest

from streams.core.params import Params
from streams.evaluate import outages
from streams.evaluate.events import Truth
from streams.evaluate.protocol import CONTENDERS, History, Seen
from streams.simulate.market.feeds import Orders

SECONDS, ONSET, END = 200_000, 150_000, 150_600


@pytest.fixture(scope="module")
def history() -> History:
    """Two days of single orders, and ten minutes of thirty a second."""
    rng = np.random.default_rng(3)
    rate = np.full(SECONDS, 0.02)
    rate[ONSET:END] = 30.0
    at = np.repeat(np.arange(SECONDS, dtype=np.int32), rng.poisson(rate))
    usd = np.exp(8 + rng.normal(size=len(at)))
    orders = Orders(at, rng.choice(3, len(at), p=(0.45, 0.3, 0.25)).astype(np.int8), usd, at < 0)
    total = np.concatenate([[0.0], np.cumsum(np.bincount(at, usd, SECONDS))])
    truth = Truth(np.array([[ONSET, END - 30, END]]), np.empty((0, 2), np.int64), total)
    price = np.cumsum(rng.normal(0, 1e-5, SECONDS)).astype(np.float32)
    return History(1, 0, truth, orders, price, np.zeros(SECONDS, np.float32))


def test_a_venue_is_silent_from_two_minutes_before_a_burst_to_its_end(history: History) -> None:
    [(start, stop)] = outages.silences(history)
    assert start == ONSET - 120
    assert END <= stop < END + 120


@pytest.mark.parametrize("kind", outages.KINDS, ids=lambda kind: kind.name)
def test_the_silent_venue_and_no_other_is_gone_from_what_is_shown(
    history: History, kind: outages.Outage
) -> None:
    spans = outages.silences(history)
    feed = outages.shown(history, kind, spans)
    inside = (feed.at >= spans[0][0]) & (feed.at < spans[0][1])
    assert set(feed.venue[inside].tolist()) == {0, 1} - {kind.venue}
    assert set(feed.venue[~inside].tolist()) == {0, 1}


@pytest.mark.parametrize("kind", outages.KINDS, ids=lambda kind: kind.name)
def test_what_is_left_scores_as_the_whole_does(history: History, kind: outages.Outage) -> None:
    """A rate is a rate: plain Z30, which expects the silent venue too, loses ln(1 - share)."""
    spans = outages.silences(history)
    limits = dict.fromkeys(outages.CASE_OF.values(), 0.0)
    whole, part = (
        outages.excess(view, outages.judged(view, one, spans), limits)[ONSET + 60 : END].mean()
        for one in (kind._replace(venue=None), kind)
        for view in [Seen(outages.shown(history, one, spans), history.price, history.taker)]
    )
    # Of a venue that shows one order a second only "very many" can be seen.
    assert abs(part - whole) < (0.25 if kind.rule.coverage[0] == "full" else 1.6)
    plain = [
        CONTENDERS["Z30"]
        .parts[0](Seen(outages.shown(history, one, spans), history.price, history.taker))[
            ONSET + 60 : END
        ]
        .mean()
        for one in (kind._replace(venue=None), kind)
    ]
    assert kind.venue is None or plain[1] - plain[0] < part - whole - 0.2


def test_by_shipped_thresholds_too_the_class_of_feed_that_is_left_decides(history: History) -> None:
    """Latest orders alone are judged by flow's threshold, which lies far above the mixed feed's."""
    whole, *_, without = [k for k in outages.KINDS if k.name.startswith("throttled_45")]
    spans, params = outages.silences(history), Params()
    priors = params.prior.of("BTC")
    lines = {}
    for kind in (whole, without):
        feed = outages.shown(history, kind, spans)
        view = Seen(feed, history.price, history.taker, priors)
        made = outages.judged(view, kind, spans)
        score = outages.excess(view, made, dict.fromkeys(outages.CASE_OF.values(), 0.0))
        lines[kind] = score - outages.shipped_excess(params, "BTC", view, kind, made)
    at = ONSET + 60
    assert lines[whole][at] == pytest.approx(lines[without][ONSET - 1_000], abs=0.2)
    flow = params.flow_threshold("BTC", 1_700.0)
    assert flow is not None
    assert lines[without][at] == pytest.approx(flow - params.volatility.lower_with_flow, abs=0.3)
    assert lines[without][at] > lines[whole][at] + 1.5
