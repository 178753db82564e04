"""What is stated of an exhausted episode's chance to flare up again."""

import math

import msgspec
import pytest
from nights import clocked, night

from schemas.findings import CascadeFinding
from streams.core import pipeline
from streams.core.alerts import alert_of
from streams.core.detectors import reignition
from streams.core.detectors.episode import Episode, Second
from streams.core.params import OnsetParams, Params, ReignitionParams

PARAMS = Params(onset=OnsetParams(min_history_s=300))
ENDED = Episode(onset=1_000, wave=2, largest_excess=0.5)


def at(second: int, name: str = "Z30") -> Second:
    return Second(second, 3.0, 5.0, 0, 0.0, None, None, score_name=name)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def findings() -> list[CascadeFinding]:
    state = pipeline.State()
    return [
        record
        for topic, item in clocked(night())
        for _, record in pipeline.step(PARAMS, state, topic, item).outputs
        if isinstance(record, CascadeFinding)
    ]


def test_the_probability_is_logistic_in_what_is_known_then() -> None:
    assert reignition.known(ENDED, at(1_600)) == [1.0, -2.0, 0.5, 0.0, math.log(2)]
    weights = (0.5, 0.25, -1.0, 7.0, 1.0)
    odds = math.exp(0.5 - 0.5 - 0.5) * 2
    params = ReignitionParams(weights={"full": weights})
    statement = reignition.stated(params, "full", ENDED, at(1_600))
    assert statement == pytest.approx(odds / (1 + odds), abs=1e-4)


def test_nothing_is_stated_of_feeds_or_scores_without_fitted_weights() -> None:
    params = ReignitionParams(weights={"full": (0.0, 0.0, 0.0, 0.0, 0.0)})
    assert reignition.stated(params, "full", ENDED, at(1_600)) == 0.5
    assert reignition.stated(params, "mixed", ENDED, at(1_600)) is None
    assert reignition.stated(params, "full", ENDED, at(1_600, "Z30-vol")) == 0.5
    for name in ("Z30+flow", "Z30+flow-vol"):
        assert reignition.stated(params, "full", ENDED, at(1_600, name)) is None


def test_only_exhaustion_is_told_with_a_probability_and_its_alert_says_it(
    findings: list[CascadeFinding],
) -> None:
    stated = {f.phase for f in findings if f.reignition_probability is not None}
    assert stated == {"exhausted"}
    for finding in (f for f in findings if f.phase == "exhausted"):
        assert finding.reignition_is_default
        alert = alert_of(finding)
        assert alert is not None
        assert f"half an hour: {finding.reignition_probability:.0%} likely" in alert.text


def test_the_probability_is_no_part_of_a_findings_or_an_alerts_identity(
    findings: list[CascadeFinding],
) -> None:
    finding = next(f for f in findings if f.phase == "exhausted")
    other = msgspec.structs.replace(finding, reignition_probability=0.99)
    first, second = alert_of(finding), alert_of(other)
    assert first is not None
    assert second is not None
    assert first.text != second.text
    assert (first.alert_id, first.dedup_key) == (second.alert_id, second.dedup_key)
