"""Parameters that no detector could keep its word with are refused where they are read."""

import math
from pathlib import Path

import pytest

from streams.core.params import (
    MINUTES_NEAR,
    FlowParams,
    OnsetParams,
    Params,
    ParamsError,
)
from streams.core.shipped import USUAL_ORDERS, ByVenue
from streams.process.params_file import load_params


@pytest.mark.parametrize("name", ["reference_min", "direction_min"])
@pytest.mark.parametrize("minutes", [0, MINUTES_NEAR + 1, 3_000])
def test_minutes_that_may_be_packed_already_cannot_be_asked_for(
    tmp_path: Path, name: str, minutes: int
) -> None:
    path = tmp_path / "params.json"
    path.write_text(f'{{"episode": {{"{name}": {minutes}}}}}')
    with pytest.raises(ParamsError, match=rf"params\.json: .*`\$\.episode\.{name}`"):
        load_params(str(path))


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    path.write_text(f'{{"episode": {{"reference_min": {MINUTES_NEAR}}}}}')
    params = load_params(str(path))
    assert params.episode.reference_min == MINUTES_NEAR
    assert params.whale == Params().whale
    assert params.version != Params().version


def test_a_threshold_rises_with_what_is_usual_and_never_leaves_its_ends() -> None:
    params = Params()
    for asset, rows in (("BTC", params.onset.by_rate_deep), ("PEPE", params.onset.by_rate)):
        for feed_class in ("full", "throttled"):
            row = rows[feed_class]
            at = [params.threshold(asset, 10.0**n, feed_class) for n in range(6)]
            assert at == sorted(at)
            assert (at[0], at[-1]) == (row[0], row[-1])
            for usual, threshold in zip(USUAL_ORDERS, row, strict=True):
                assert params.threshold(asset, usual, feed_class) == pytest.approx(threshold)


def test_a_deep_asset_is_called_no_sooner_than_another_at_the_same_usual_orders() -> None:
    params = Params()
    for name in params.onset.by_rate:
        for usual in USUAL_ORDERS:
            deep, other = params.thresholds("ETH", usual), params.thresholds("XRP", usual)
            assert deep[name] >= other[name]


def test_a_mixed_feed_needs_what_its_complete_venues_show_of_a_burst_and_a_little_more() -> None:
    params = Params()
    for asset in ("BTC", "XRP"):
        for usual in USUAL_ORDERS:
            full, alone = (params.threshold(asset, usual, name) for name in ("full", "throttled"))
            at = [mixed(params, asset, usual, share) for share in (0.0, 0.2, 0.5, 0.8, 1.0)]
            assert at == sorted(at)
            assert (at[0], at[-1]) == (alone, pytest.approx(full))
            assert at[2] >= full + math.log(0.5)
            assert params.threshold(asset, usual, "mixed") == at[2]


def mixed(params: Params, asset: str, usual: float, complete: float) -> float:
    venues = ByVenue(usual * complete, (usual * (1 - complete),))
    return params.threshold(asset, usual, "mixed", None, venues)


def test_three_throttled_venues_need_more_than_one_that_carries_everything() -> None:
    params, usual = Params(), 2_000.0
    one, three = ByVenue(0.0, (usual,)), ByVenue(0.0, (usual / 3,) * 3)
    alone = params.threshold("BTC", usual, "throttled")
    assert params.threshold("BTC", usual, "throttled", None, one) == alone
    between = params.threshold("BTC", usual, "throttled", None, three)
    assert alone + 0.2 < between < params.threshold("BTC", usual, "full")
    assert params.threshold("BTC", usual, "throttled", "batched", three) < alone


def test_an_asset_with_thresholds_of_its_own_keeps_them_whatever_is_usual() -> None:
    row = {"full": 5.0, "mixed": 4.0, "throttled": 3.0}
    params = Params(onset=OnsetParams(cascade={"BTC": row}))
    for usual in (1.0, 1e5):
        assert params.threshold("BTC", usual, "full") == 5.0
        assert params.threshold("BTC", usual, "throttled", "batched") == 3.0
    assert params.threshold("ETH", 1.0, "full") == params.onset.by_rate_deep["full"][0]


def test_a_throttled_feed_of_latest_orders_or_of_rows_has_thresholds_of_its_own() -> None:
    params, rows = Params(), Params().onset.by_rate_deep
    assert params.threshold("ETH", 1.0, "throttled", "batched") == rows["batched"][0]
    assert params.threshold("ETH", 1.0, "throttled", "latest") == rows["latest"][0]
    assert params.threshold("ETH", 1.0, "throttled") == rows["throttled"][0]
    assert params.flow_threshold("ETH", 1.0) == rows["flow"][0]
    off = Params(flow=FlowParams(cascade={}))
    assert off.flow_threshold("ETH", 1.0) is None
