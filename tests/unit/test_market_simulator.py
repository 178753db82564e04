"""The simulated market obeys its equations, its seed and the public record."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from schemas.market import Liquidation
from schemas.status import FeedStatus
from streams.cli.simulate import simulate
from streams.simulate.market import chain, check, core, emit, feeds, labels, params, truth
from streams.simulate.market.state import DAY, Tape
from streams.sources.ndjson import ndjson_source

DAYS = 10


@pytest.fixture(scope="module")
def normal() -> Tape:
    return core.run(params.NORMAL, seed=11, days=DAYS)


def day_of(preset: params.Preset, seed: int) -> dict[str, float]:
    market = params.preset(preset)
    tape = core.run(market, seed, 1)
    drawn = emit.orders(market, tape, seed, giants=False).values()
    return check.measured(market, tape, sum(len(orders.at) for orders in drawn))


def test_the_same_seed_gives_the_same_market_and_another_another() -> None:
    one, again, other = (core.run(params.NORMAL, seed, 0.2) for seed in (7, 7, 8))
    for a, b in zip(one, again, strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one.price, other.price)


def test_forced_dollars_are_never_more_endogenous_than_they_are(normal: Tape) -> None:
    assert (normal.forced >= 0).all()
    assert (normal.endo <= normal.forced * 1.0001).all()


def test_a_normal_market_has_the_sizes_of_the_reference(normal: Tape) -> None:
    for asset, row in enumerate(params.NORMAL.assets):
        usual = labels.median_day(normal.forced[asset, 0])
        assert 0.5 * row.median_day_usd < usual < 2.0 * row.median_day_usd
        truth = labels.episodes(normal, asset, 0, row.median_day_usd)
        kinds = [e.kind for e in truth]
        assert 25 < kinds.count("exo") < 140
        assert kinds.count("cascade") < 15
    short = normal.forced[:, 1].sum() / normal.forced.sum()
    assert 0.01 < short < 0.15


def test_truth_times_are_in_order_and_inside_their_burst(normal: Tape) -> None:
    truth = labels.truth(params.NORMAL, normal)
    assert {e.side for e in truth} == {0, 1}
    for e in truth:
        assert e.start <= e.t0 <= e.t50 <= e.t95 <= e.end
        assert 0 <= e.endo_usd <= e.usd * 1.0001


@pytest.mark.parametrize(("preset", "seed"), [("nov", 2), ("oct10", 4)])
def test_a_preset_day_lies_in_the_bands_of_the_public_record(
    preset: params.Preset, seed: int
) -> None:
    day = day_of(preset, seed)
    for name, band in check.PUBLIC[preset].items():
        assert band.low <= day[name] <= band.high, (name, day[name], band)


def test_orders_carry_the_forced_dollars_and_their_usual_number(normal: Tape) -> None:
    drawn = feeds.draw(params.NORMAL, normal, 0, 0, 11)
    total = normal.forced[0, 0].sum(dtype=float)
    assert drawn.usd.sum() == pytest.approx(total, rel=0.001)
    assert len(drawn.at) == pytest.approx(total / params.BTC.order_usd, rel=0.02)
    assert (np.diff(drawn.at) >= 0).all()
    assert np.bincount(drawn.venue) / len(drawn.at) == pytest.approx([0.45, 0.30, 0.25], abs=0.01)


@pytest.mark.parametrize("name", sorted(feeds.RULES))
def test_a_throttled_venue_shows_one_order_a_second_and_a_full_one_all(
    normal: Tape, name: str
) -> None:
    rule = feeds.RULES[name]
    drawn = feeds.draw(params.NORMAL, normal, 2, 0, 11)
    kept = feeds.shown(drawn, rule, 1)
    for v, coverage in enumerate(rule.coverage):
        mine, true = kept.venue == v, drawn.venue == v
        if len(rule.coverage) == 1:
            true = np.ones_like(true)
        if coverage == "full":
            assert mine.sum() == true.sum()
            continue
        assert len(np.unique(kept.at[mine])) == mine.sum() == len(np.unique(drawn.at[true]))
        if coverage == "largest_per_second":
            worth = np.zeros(normal.price.shape[1])
            np.maximum.at(worth, drawn.at[true], drawn.usd[true])
            assert np.array_equal(kept.usd[mine], worth[kept.at[mine]])


def test_giants_are_three_a_week_and_at_most_a_median_day(normal: Tape) -> None:
    drawn = feeds.draw(params.NORMAL, normal, 0, 0, 11)
    both = feeds.with_giants(params.NORMAL, drawn, 0, 700 * DAY, 11)
    giants = both.usd[both.giant]
    assert 250 < len(giants) < 350
    usual = params.BTC.median_day_usd
    assert giants.min() >= 0.08 * usual
    assert giants.max() <= usual


def test_deposits_rise_in_falls_and_an_eighth_of_them_sells(normal: Tape) -> None:
    whales = normal.whales
    assert 0.08 < whales[:, 4].mean() < 0.17
    before = np.array([normal.price[int(w[0]), max(int(w[1]) - 900, 0)] for w in whales])
    now = np.array([normal.price[int(w[0]), int(w[1])] for w in whales])
    assert (now - before).mean() < 0
    sellers = whales[whales[:, 4] > 0]
    assert (sellers[:, 5] <= sellers[:, 2]).all()


def test_a_reorganised_transfer_is_told_again_as_removed(normal: Tape) -> None:
    transfers = chain.transfers(params.NORMAL, normal, 11, 3)
    removed = [t for t in transfers if t.removed]
    assert removed
    first = {t.event_id: t for t in transfers if t.version == 1}
    for t in removed:
        assert t.version == 2
        assert (t.ts_event, t.asset) == (first[t.event_id].ts_event, first[t.event_id].asset)
        assert t.ts_recv > first[t.event_id].ts_recv


def test_an_empty_fund_hands_losses_to_the_winners_of_the_other_side() -> None:
    market = params.preset("oct10")
    tape = core.run(market, 3, 1)
    assert tape.fund_loss.sum() > 0
    assert tape.adl[:, 1].sum() > 0
    assert (tape.fund >= 0).all()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("topics")
    given = ["--preset", "normal", "--days", "0.05", "--seed", "3", "--out", str(out)]
    done = CliRunner().invoke(simulate, given)
    assert done.exit_code == 0, done.output
    return out


def test_the_written_topics_are_read_in_order_and_truth_is_not_one(written: Path) -> None:
    items = list(ndjson_source(written).items)
    assert {topic for topic, _ in items} == {"trades", "liquidations", "whale_transfers"}
    assert (written / "truth.ndjson").exists()
    orders = [r for _, r in items if isinstance(r, Liquidation)]
    assert {r.venue for r in orders} == {"binance", "bybit", "okx"}
    assert {r.price_kind for r in orders if r.venue == "bybit"} == {"bankruptcy"}
    assert all(
        r.coverage == ("latest_per_second" if r.venue == "binance" else "full") for r in orders
    )


def test_a_venues_word_is_true_but_for_the_late_share(written: Path) -> None:
    late, ours, heard = 0, 0, 0
    for topic, record in ndjson_source(written).items:
        if topic == "liquidations" and isinstance(record, FeedStatus):
            heard = max(heard, record.ts_event)
        elif isinstance(record, Liquidation):
            ours += 1
            late += record.ts_event < heard - 1_000_000
    assert late <= max(3, 0.01 * ours)


def test_the_same_options_write_the_same_bytes(written: Path, tmp_path: Path) -> None:
    given = ["--preset", "normal", "--days", "0.05", "--seed", "3", "--out", str(tmp_path)]
    assert CliRunner().invoke(simulate, given).exit_code == 0
    for path in written.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_an_outage_is_told_as_silent_and_recovered_and_hides_the_venue() -> None:
    market, seconds = params.NORMAL, 4320
    tape = core.run(market, 3, 0.05)
    dark = [emit.Outage(1, 1000, 1300)]
    true_orders = emit.orders(market, tape, 3, giants=False)
    made = list(
        emit.liquidations(market, tape, true_orders, feeds.RULES["full"], emit.NO_FAULTS, dark, 3)
    )
    words = [
        (r.state, r.ts_event)
        for _, r in made
        if isinstance(r, FeedStatus) and r.producer == "sim-bybit" and r.state != "alive"
    ]
    assert [state for state, _ in words] == ["silent", "recovered"]
    start = emit.START_US
    hidden = [
        r
        for _, r in made
        if isinstance(r, Liquidation)
        and r.venue == "bybit"
        and start + 1000e6 <= r.ts_event < start + 1300e6
    ]
    assert not hidden
    assert tape.price.shape[1] == seconds


def test_truth_has_every_kind_in_its_documented_form() -> None:
    market = params.preset("nov")
    tape = core.run(market, 2, 0.6)
    true_orders = emit.orders(market, tape, 2, giants=True)
    transfers = chain.transfers(market, tape, 2, 3)
    made = truth.lines(market, tape, true_orders, transfers, [emit.Outage(0, 5, 9)])
    assert {line["kind"] for line in made} >= {"cascade", "exo", "whale", "outage", "total"}
    assert orjson.loads(orjson.dumps(made)) == made
