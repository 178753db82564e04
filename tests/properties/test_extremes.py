"""Detectors at the edge of what may come in: all that they say can be read, and all of it arrives."""

import random

import msgspec
import pytest
from nights import PARAMS, START, Item, clocked, deposit, liquidation, night, trade

from schemas import codec, fitting
from schemas.bars import Bar
from schemas.findings import Alert, AssetPulse, CascadeFinding, MarketFinding, WhaleFinding
from schemas.market import Liquidation, OpenInterest, Trade
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine, pipeline
from streams.core.alerts import NAMED
from streams.core.detectors import contagion
from streams.core.params import MarketParams
from streams.core.pipeline import State
from streams.core.shard import Shard

INPUTS = ("trades", "liquidations", "whale_transfers")


def feed_item(topic: str, producer: str, second: int, state: str = "alive", **more: object) -> Item:
    return topic, FeedStatus(producer=producer, state=state, ts_event=second * SECOND, **more)


def played(items: list[Item], shortened: bool = False) -> list[msgspec.Struct]:
    """Every output of the items, read back as Kafka's readers read it, none `shortened` unless said."""
    state, arrived = State(), []
    for topic, record in items:
        for to, output in pipeline.step(PARAMS, state, topic, record).outputs:
            first, *letters = fitting.sendable(to, output, lambda: START * SECOND)
            assert first.topic == to
            assert shortened or not letters, letters
            assert len(first.value) < 500_000
            arrived.append(codec.decode(to, first.value))
    return arrived


@pytest.fixture(scope="module")
def alerts_undisturbed() -> list[Alert]:
    return [one for one in played(clocked(night())) if isinstance(one, Alert)]


@pytest.mark.parametrize("pods", [20, 63, 10_000])
def test_every_alert_of_a_night_arrives_beside_old_pods_that_never_speak_again(
    alerts_undisturbed, pods
) -> None:
    # They kept pace for a while, or else nobody would have listened to them.
    names = [f"liquidations-feed-7f9c6d5b4{n:05d}-x{n:05d}z"[:40] for n in range(pods)]
    old = [
        feed_item(topic, name, START - 30 + s)
        for s in range(15)
        for topic in INPUTS
        for name in ["replay", *(names[:63] if s else names)]
    ]
    arrived = [one for one in played([*old, *clocked(night())]) if isinstance(one, Alert)]
    alerts = [one for one in arrived if not one.kind.startswith("feed.")]
    # A later one may fall into another second, as silent feeds leave the evidence too.
    assert [one.title for one in alerts] == [one.title for one in alerts_undisturbed]
    named = [one for one in alerts if "silent:" in one.text]
    assert named
    for one in named:
        assert "among them liquidations/liquidations-feed" in one.text
        assert one.text.count("liquidations-feed") == NAMED
        assert len(one.text) < 700


def test_a_label_of_200_characters_gives_a_verdict_that_is_read() -> None:
    for label in ("x" * 200, "币" * 200, "The exchange, with <b>'\"{}@everyone", "Binance 14"):
        event = (START + 1_200, "whale_transfers", deposit(
            START + 1_200, event_id="e" * 200, to_owner=label, from_owner="鲸" * 200, notional_usd=1e10))  # fmt: skip
        items = clocked(sorted([*night(), event], key=lambda event: event[0]))
        verdicts = [one for one in played(items) if isinstance(one, WhaleFinding)]
        assert label in {one.venue for one in verdicts}


def test_a_reason_of_2000_characters_is_told_in_short() -> None:
    items = [
        feed_item(topic, name, START + n)
        for n in range(3)
        for topic in INPUTS
        for name in ("a", "b")
    ]
    for n, reason in enumerate(("r" * 2_000, "币" * 2_000, "", "why")):
        items += [
            feed_item(topic, "b", START + 10 + 9 * n, "silent", reason=reason) for topic in INPUTS
        ]
        items += [feed_item(topic, "b", START + 14 + 9 * n, "recovered") for topic in INPUTS]
    alerts = [one for one in played(items) if isinstance(one, Alert)]
    assert [one.kind for one in alerts] == ["feed.silent", "feed.recovered"] * 4
    assert all(len(one.text) < 500 for one in alerts)


def test_a_producer_of_which_one_part_never_spoke_falls_silent_readably() -> None:
    items = []
    for n in range(120):
        items += [feed_item(topic, "a", START + n) for topic in INPUTS]
        if n < 20:
            parts = {"part": 0, "parts": 2} if n == 19 else {}
            items += [feed_item(topic, "b", START + n, **parts) for topic in INPUTS]
    (silent,) = (one for one in played(items) if isinstance(one, Alert))
    assert silent.kind == "feed.silent"
    assert silent.ts_event >= START * SECOND


def test_a_market_call_of_300_assets_is_read_and_says_how_many_they_are() -> None:
    assets = [f"{chr(0x4E00 + n)}{'X' * 19}" for n in range(300)]
    params = msgspec.structs.replace(PARAMS, market=MarketParams(majors=tuple(assets)))
    state, findings = contagion.MarketState(), []
    for second in range(START, START + 900):
        for asset in assets if second < START + 60 else ():
            silent = [f"liquidations/{'p' * 35}{n:05d}" for n in range(64)]
            pulse = AssetPulse(
                asset=asset, ts_event=second * SECOND, excess=9e14, feed_class="full",
                coverage="unknown", silent=silent, orders=[10**12] * 300,
            )  # fmt: skip
            findings += contagion.step(
                params, state, codec.decode("market_evidence", codec.encode(pulse))
            )
        findings += contagion.step(params, state, feed_item("", "detect", second)[1])
    arrived = [codec.decode(to, codec.encode(one)) for to, one in pipeline.routed(findings)]
    calls = [one for one in arrived if isinstance(one, MarketFinding)]
    assert [call.phase for call in calls] == ["onset", "closed"]
    assert len(calls[0].assets) == 300
    onset = next(one for one in arrived if isinstance(one, Alert))
    assert "300, among them" in onset.text
    assert len(onset.text) < 1_000


def test_bars_of_the_largest_trades_are_read() -> None:
    draw = random.Random(1)
    items: list[Item] = [feed_item(topic, "feed", START) for topic in INPUTS]
    for n in range(2_000):
        one = trade(START + 2, "binance", draw, 0.0)
        items.append(("trades", msgspec.structs.replace(
            one, event_id=str(n), instrument="BTC-EUR-PERP", price=1e9, quantity=1e15, notional_usd=1e10)))  # fmt: skip
    items += [feed_item(topic, "feed", START + s) for s in range(3, 60) for topic in INPUTS]
    bars = [one for one in played(items) if isinstance(one, Bar)]
    assert sum(bar.trades for bar in bars) == 2_000
    assert sum(bar.buy_usd + bar.sell_usd for bar in bars) == 2e13


@pytest.mark.parametrize(
    "edge",
    [
        {"notional_usd": 1e10, "quantity": 1e15, "price": 1e9, "price_kind": "bankruptcy", "orders": 1_000_000},
        {"notional_usd": 0.0, "quantity": 5e-324, "price": 5e-324, "price_kind": "fill", "orders": 1},
        {"notional_usd": None, "quantity": None, "price": None, "price_kind": None, "orders": 1_000_000},
        {"notional_usd": 1e10, "quantity": 1e15, "price": 5e-324, "price_kind": "bankruptcy", "venue": "v" * 40},
    ],
)  # fmt: skip
def test_orders_at_every_edge_of_their_ranges_give_findings_that_are_read(edge) -> None:
    def changed(record: msgspec.Struct, price: float) -> msgspec.Struct:
        if isinstance(record, Liquidation):
            return msgspec.structs.replace(record, **edge)
        if isinstance(record, Trade):
            usd = min(price * 1e-9, 1e10)
            return msgspec.structs.replace(record, price=price, quantity=1e-9, notional_usd=usd)
        return record

    for extremes in ((1e9, 1e-300), (5e-324, 1e9)):
        events = [
            (second, topic, changed(record, extremes[second % 2]))
            for second, topic, record in night()
        ]
        events.append((START + 1_400, "liquidations", OpenInterest(
            event_id="o", venue="bybit", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT", asset="BTC",
            quantity=1e15, notional_usd=1e13, ts_event=(START + 1_400) * SECOND, ts_recv=(START + 1_400) * SECOND)))  # fmt: skip
        events.sort(key=lambda event: event[0])
        arrived = played(clocked(events), shortened=True)
        onsets = [
            one for one in arrived if isinstance(one, CascadeFinding) and one.phase == "onset"
        ]
        # Millions of orders are a cascade where their worth is not known, not where it is nothing.
        assert bool(onsets) == (edge["notional_usd"] != 0.0)


def test_orders_of_many_venues_give_findings_that_are_read() -> None:
    draw, events = random.Random(3), night()
    for n in range(600):
        venue = f"venue-{n % 200:03d}-{'x' * 30}"
        second = START + 1_500 + draw.randrange(200)
        order = msgspec.structs.replace(
            liquidation(second, 100 + n, 1e9, "BTC", "bybit"), venue=venue
        )
        events.append((second, "liquidations", order))
    arrived = played(clocked(sorted(events, key=lambda event: event[0])))
    largest = max(len(one.venues) for one in arrived if isinstance(one, CascadeFinding))
    assert largest > 150


def test_pulses_of_a_shard_are_read() -> None:
    shard, pulses = Shard(), []
    for topic, record in clocked(night()):
        if not isinstance(record, Trade):
            outcome = engine.step(PARAMS, shard, "bars" if topic == "trades" else topic, record)
            pulses += [one for one in outcome.findings if isinstance(one, AssetPulse)]
    assert pulses
    assert [codec.decode("market_evidence", codec.encode(one)) for one in pulses] == pulses
