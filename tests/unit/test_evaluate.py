"""An evaluation is whole, repeatable, and says so when a bar is missed."""

import re
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from streams.evaluate import exhaustion, html_report, market_wide, pass_marks, run
from streams.evaluate.events import Truth
from streams.simulate.market.params import NORMAL

#: The keys that the issue fixed, beside others of ours.
KEYS = {
    "recall", "false_alarms_per_week", "damage_to_come", "within_60s", "within_120s", "delay_s",
    "feeds", "giants", "rivals", "market", "exhaustion_bins", "whale", "seeds", "calibrated_on",
}  # fmt: skip


def quiet(what: str, done: int, of: int) -> None:
    """Hear progress and say nothing."""


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    plan = replace(run.QUICK, days=9, cases=(run.FEEDS[0], run.FEEDS[2], run.MORE[3]))
    return run.evaluate(NORMAL, plan, quiet)


def test_the_result_has_every_key_that_was_agreed(result: dict[str, Any]) -> None:
    assert result.keys() >= KEYS
    assert result["delay_s"].keys() == {"p25", "p50", "p75"}
    assert result["giants"].keys() == {"latest_100"}
    assert {"Z30", "lr10", "z-EWMA", "GLR", "Hawkes", "BOCPD", "fixed-$"} <= result["rivals"].keys()
    for row in result["rivals"].values():
        low, high = row["intervals"]["recall"]
        assert low <= row["recall"] <= high


def test_the_curve_falls_with_the_budget_of_false_alarms(result: dict[str, Any]) -> None:
    curve = result["feeds"]["full"]["curve"]
    weekly = [point["false_alarms_per_week"] for point in curve]
    assert len(curve) == 6
    assert weekly == sorted(weekly)


def test_a_bar_that_was_not_measured_is_neither_reached_nor_missed(result: dict[str, Any]) -> None:
    bars = {bar["bar"]: bar for bar in result["bars"]}
    assert bars["hoarder flagged"]["reached"] is None
    assert bars["recall, full feed"]["reached"] is (result["recall"] >= 0.985)
    assert pass_marks.of(result) == result["bars"]


def test_the_market_wide_call_is_judged_beside_dollars_pooled_over_all_assets(
    result: dict[str, Any],
) -> None:
    for row in result["market"]["feeds"].values():
        assert row["threshold"].keys() == {"majors", "breadth", "pooled dollars"}
        assert 0 <= row["pooled_dollars"]["recall"] <= 1
    usd = np.zeros(1_000)
    usd[500] = 1e6
    assert np.flatnonzero(market_wide.five_minutes(usd) > 13).tolist() == list(range(500, 800))


def test_the_report_is_one_file_that_loads_nothing(result: dict[str, Any]) -> None:
    page = html_report.html(result)
    assert page.count("<svg") >= 3
    assert not re.search(r"<script|<link|<img|src=|@import", page)
    for phrase in ("Every score on every feed", "damage to come", "fixed-$"):
        assert phrase in page


def test_the_product_is_judged_and_plain_z30_is_its_rival(result: dict[str, Any]) -> None:
    assert result["score"] == "Undertow"
    assert result["damage_to_come"] == result["rivals"]["Undertow"]["damage_to_come"]
    for case, rivals in result["ours_less_rival"].items():
        assert "Undertow" not in rivals
        bars = {bar["bar"]: bar["reached"] for bar in result["bars"]}
        if not case.startswith("giants_"):
            high = rivals["Z30"]["damage_to_come"]["interval"][1]
            assert bars[f"not worse than Z30, {case}: upper end of difference"] is (high >= 0)
    # Flow is added on no complete feed, so that there it is Z30 itself.
    full = result["ours_less_rival"]["full"]
    assert full["Z30+flow"] == full["Z30"]


def truth(cascades: list[tuple[int, int, int]]) -> Truth:
    spans = np.array(cascades, np.int64).reshape(-1, 3)
    return Truth(spans, np.empty((0, 2), np.int64), np.arange(5001.0))


def test_a_market_cascade_begins_with_the_second_asset_and_one_alone_counts_neither_way() -> None:
    pooled = market_wide.truth(
        [truth([(100, 400, 500), (3000, 3100, 3200)]), truth([(250, 600, 650)]), truth([])]
    )
    assert pooled.cascades.tolist() == [[250, 600, 650]]
    assert pooled.grey.tolist() == [[3000, 3200]]
    assert pooled.usd[-1] == 15_000


def test_the_second_largest_excess_is_the_second_largest() -> None:
    rows = np.random.default_rng(1).normal(size=(4, 50)).astype(np.float32)
    score = market_wide.second_largest(list(rows))
    assert np.array_equal(score, np.sort(rows, axis=0)[-2])


def test_stated_probabilities_of_reignition_are_those_that_made_the_data() -> None:
    rng = np.random.default_rng(2)
    known = np.column_stack([np.ones(20_000), rng.normal(size=(20_000, 4))])
    true = 1 / (1 + np.exp(-(known @ np.array([-1.0, 0.5, -0.8, 0.0, 0.3]))))
    rows = exhaustion.Ends(known, (rng.random(20_000) < true).astype(float))
    report = exhaustion.report(rows, rows)
    assert report["worst_error"] < 0.06
    assert report["brier"] < report["brier_base"]
