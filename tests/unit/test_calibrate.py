"""Thresholds fitted to a user's own history keep the budget there, or are refused."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from schemas.words import SECOND
from streams.cli import main
from streams.core.params import Params
from streams.evaluate import recorded
from streams.evaluate.events import alarms
from streams.evaluate.fit import TooLittle, fit
from streams.evaluate.labelled import Cascade, Line
from streams.evaluate.recorded import Recording
from streams.evaluate.scores import z30
from streams.process.params_file import load_params

START = 1_763_683_200
DAY = 86_400


def history(days: int, bursts: list[int], assets: tuple[str, ...] = ("SOL",)) -> Recording:
    """An order every four minutes, and bursts of growing size at the given hours."""
    recording, rng = Recording(), np.random.default_rng(3)
    for asset in assets:
        at = rng.integers(0, days * DAY, days * 360)
        for n, hour in enumerate(bursts):
            at = np.concatenate([at, hour * 3600 + rng.integers(0, 40, 30 + 15 * n)])
        usd = np.exp(8 + rng.normal(size=len(at)))
        for second, worth in zip(np.sort(at).tolist(), usd.tolist(), strict=True):
            recorded.add(
                recording, asset, "long", "okx", "full", (START + second) * SECOND, worth, 1
            )
    return recording


#: A burst every three days, each larger than the one before.
BURSTS = [24 * day + 7 for day in range(2, 42, 3)]


def test_what_the_history_alone_says_keeps_the_budget_and_no_lower_one_would() -> None:
    recording = history(43, BURSTS)
    [one] = fit(recording, [], 1.0, Params()).assets
    score = z30(recorded.feed(recording, ("SOL", "long")))
    weeks = (len(score) - DAY) / (7 * DAY)
    assert len(alarms(score, one.plain, 1.4, 300)) <= weeks
    assert len(alarms(score, one.plain - 0.2, 1.4, 300)) > weeks
    assert one.threshold.low <= one.threshold.value <= one.threshold.high
    assert one.feed_class == "full"


def test_alarms_near_cascades_that_are_known_are_not_counted() -> None:
    recording = history(43, BURSTS)
    times = [(START + hour * 3600) * SECOND for hour in BURSTS[7:]]
    known: list[Line] = [Cascade("SOL", "long", t, t + 40 * SECOND, t + 40 * SECOND) for t in times]
    [plain] = fit(recording, [], 1.0, Params()).assets
    [fitted] = fit(recording, known, 1.0, Params()).assets
    assert fitted.threshold.value < plain.threshold.value - 0.1


def test_a_history_under_a_week_is_refused() -> None:
    with pytest.raises(TooLittle, match=r"has 6\.0 watched days; 7 are the least"):
        fit(history(6, BURSTS[:2]), [], 1.0, Params())


def test_the_shorter_the_history_the_nearer_to_what_is_shipped_and_the_less_is_known() -> None:
    of = [fit(history(days, BURSTS[: days // 3]), [], 1.0, Params()) for days in (7, 29, 43)]
    shares, widths = [], []
    for [one] in (made.assets for made in of):
        shipped = Params().threshold("SOL", one.usual_orders, "full")
        assert one.before == shipped
        assert one.threshold.low < min(one.threshold.value, one.threshold.high)
        middle = (one.threshold.low + one.threshold.high) / 2
        shares.append((middle - shipped) / (one.plain - shipped))
        widths.append(one.threshold.high - one.threshold.low)
    assert shares == sorted(shares)
    assert 0.4 < shares[0] < 0.6 < 0.8 < shares[2] < 1
    assert widths == sorted(widths, reverse=True)


def test_a_threshold_lies_above_what_is_likeliest_by_the_less_the_more_is_known() -> None:
    margins = []
    for days in (7, 29, 43):
        [one] = fit(history(days, BURSTS[: days // 3]), [], 1.0, Params()).assets
        margins.append(one.threshold.value - (one.threshold.low + one.threshold.high) / 2)
        assert one.threshold.value < one.threshold.high
    assert margins == sorted(margins, reverse=True)
    assert 0.05 < margins[2] < margins[0] < 0.25


def test_breadth_is_fitted_on_any_assets_but_never_on_one() -> None:
    assert fit(history(30, BURSTS[:9]), [], 1.0, Params()).breadth is None
    made = fit(history(30, BURSTS[:9], ("SOL", "PEPE", "WIF")), [], 1.0, Params())
    assert made.breadth is not None
    assert made.params.market.breadth["full"] == round(made.breadth.threshold.value, 3)
    assert not made.params.market.is_default("breadth", "full")
    assert made.params.market.is_default("breadth", "throttled")


def test_only_what_was_fitted_stops_being_called_default() -> None:
    made = fit(history(64, BURSTS, ("BTC", "ETH")), [], 1.0, Params())
    onset, market = made.params.onset, made.params.market
    assert not onset.is_default("BTC", "full")
    assert onset.is_default("BTC", "throttled")
    assert onset.is_default("SOL", "full")
    usual = made.assets[0].usual_orders
    for params in (made.params, Params()):
        assert (
            params.threshold("BTC", usual, "throttled")
            == made.params.onset.cascade["BTC"]["throttled"]
        )
    assert made.market is not None
    assert not market.is_default("majors", "full")
    assert market.is_default("majors", "throttled")
    assert Params().onset.is_default("BTC", "full")


def test_an_outage_of_every_feed_is_not_watched_time() -> None:
    recording = history(43, BURSTS)
    cuts = recorded.silences(recording, 3600)
    assert not len(cuts.after)
    first = recording.orders["SOL", "long"].at
    keep = [t for t in first if not 10 * DAY <= t // SECOND - START < 13 * DAY]
    del first[:], recording.orders["SOL", "long"].usd[len(keep) :]
    first.extend(keep)
    for column in (recording.orders["SOL", "long"].venue, recording.orders["SOL", "long"].orders):
        del column[len(keep) :]
    cuts = recorded.silences(recording, 3600)
    assert cuts.lost.tolist() == pytest.approx([3 * DAY], abs=1800)
    at = np.array([0, 9 * DAY, 11 * DAY, 14 * DAY])
    pieces = recorded.uncut(cuts, at)
    assert pieces[:2].tolist() == [0, 9 * DAY]
    assert pieces[2] == cuts.after[0]
    assert pieces[3] == 14 * DAY - cuts.lost[0]


def test_the_command_writes_parameters_that_a_run_can_load(tmp_path: Path) -> None:
    recording = history(30, BURSTS[:9])
    orders = recording.orders["SOL", "long"]
    lines = [
        {"type": "liquidation", "event_id": f"t:{n}", "venue": "okx", "instrument": "SOL-USDT-PERP",
         "venue_symbol": "SOLUSDT", "asset": "SOL", "position_side": "long", "order_side": "sell",
         "price": None, "price_kind": None, "quantity": None, "notional_usd": usd,
         "coverage": "full", "stream": "t", "ts_event": at, "ts_recv": at}
        for n, (at, usd) in enumerate(zip(orders.at, orders.usd, strict=True))
    ]  # fmt: skip
    topic = tmp_path / "liquidations.ndjson"
    topic.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    out = tmp_path / "params.json"
    done = CliRunner().invoke(
        main, ["calibrate", "--source", str(topic), "--budget", "1", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    [one] = fit(recording, [], 1.0, Params()).assets
    params = load_params(str(out))
    assert params.threshold("SOL", 0.0, "full") == round(one.threshold.value, 3)
    assert not params.onset.thresholds_are_default
    assert params.version != Params().version
