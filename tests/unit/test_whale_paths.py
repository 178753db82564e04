"""The whale test over simulated paths is the product's own, and its figures add up."""

import numpy as np
import pytest
from msgspec.structs import replace

from schemas.words import MINUTE
from streams.core.detectors import flow, whale_selling
from streams.core.detectors.flow import FlowState
from streams.core.params import WhaleParams
from streams.evaluate import whale_figures, whale_paths
from streams.evaluate.binomial import clopper_pearson
from streams.evaluate.whale_paths import Judged
from streams.simulate.market import core
from streams.simulate.market.emit import START_US
from streams.simulate.market.params import BTC, NORMAL, VENUES

PARAMS = WhaleParams()


def test_a_path_laid_out_in_arrays_is_judged_as_the_products_minutes_are() -> None:
    market = replace(NORMAL, assets=(BTC,))
    tape = core.run(market, 1, 1.0)
    state, first = FlowState(), START_US // MINUTE
    for minute in range(1_440):
        for v, name in enumerate(VENUES):
            net = float(tape.flow[0, v, minute])
            flow.add(state, first + minute, name, max(net, 0.0), max(-net, 0.0))
        price = np.exp(tape.price[0, minute * 60 : minute * 60 + 60].astype(float))
        flow.add_range(state, first + minute, float(price.max()), float(price.min()))
    few = WhaleParams(placebos_max=200)
    for venue, minute in ((0, 900), (1, 1_100), (2, 1_300)):
        inflow = whale_selling.Inflow("x", VENUES[venue], 2e7, START_US + minute * MINUTE)
        product = whale_selling.judge(few, state, inflow, [])
        laid = whale_paths.laid_out(tape, 0, venue)
        batch = whale_paths.weighed(few, laid, minute, [])
        assert (batch.p_value, batch.placebos) == (product.p_value, product.placebos)
        assert batch.statistic == pytest.approx(product.statistic, rel=1e-9)


def path(seed: int, n: int = 600) -> Judged:
    """Deposits of which one in five sells, with p-values as the two groups would have them."""
    draw = np.random.default_rng(seed)
    sells = draw.random(n) < 0.2
    p = np.where(sells, draw.random(n) ** 10, 1 - draw.random(n))
    return Judged(
        minute=np.arange(n) * 200, venue=np.zeros(n, np.int64), sells=sells,
        crowded=np.zeros(n, np.bool_), p=np.maximum(p, 1 / 1501), p_shifted=1 - draw.random(n),
        credit=np.ones(n), onset=draw.random(n) < 0.1, onset_placebo=np.full(n, 0.1),
    )  # fmt: skip


def test_the_report_finds_what_was_planted() -> None:
    figures = whale_figures.report({1: [path(1)], 2: [path(2)]}, PARAMS)
    assert figures["fpr_05"] == pytest.approx(0.05, abs=0.02)
    assert figures["null_05"] == pytest.approx(0.05, abs=0.02)
    assert figures["power_05"] == pytest.approx(0.05**0.1, abs=0.06)
    assert figures["auc"] > 0.85
    assert figures["reliability_error"] < 0.15
    assert figures["brier"] < figures["brier_base"]
    assert figures["hoarder_flag"] <= 0.1
    assert figures["seller_flag"] > 0.9
    low, high = figures["onset_excess_any_interval"]
    assert low < 0 < high


def test_the_exact_interval_of_a_share_is_the_tabled_one() -> None:
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert clopper_pearson(10, 10) == pytest.approx((0.6915, 1.0), abs=1e-4)
    assert clopper_pearson(8, 40) == pytest.approx((0.0905, 0.3565), abs=1e-4)
