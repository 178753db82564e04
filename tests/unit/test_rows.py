"""Records become columns named as their fields, in order, with their coordinates behind."""

import subprocess
import sys

import msgspec
import pytest

from schemas.bars import Bar
from schemas.findings import (
    Alert,
    AssetPulse,
    CascadeFinding,
    MarketFinding,
    SideScore,
    StressFinding,
    ThresholdFinding,
    WhaleFinding,
)
from schemas.market import Liquidation, OpenInterest, Trade
from schemas.notifications import NotificationStep
from schemas.onchain import WhaleTransfer
from schemas.status import DeadLetter, FeedStatus
from schemas.topics import TOPICS
from sinks.clickhouse.rows import (
    COLUMNS,
    KAFKA_COLUMNS,
    NOT_STORED,
    TABLES,
    Coords,
    columns,
    table_of,
)

T = 1_763_683_200_000_001

SAMPLES: list[tuple[str, msgspec.Struct]] = [
    ("trades", Trade(
        event_id="t1", venue="binance", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT",
        asset="BTC", aggressor_side="buy", price=60_000.5, quantity=0.25,
        notional_usd=15_000.125, ts_event=T, ts_recv=T + 7,
    )),
    ("liquidations", Liquidation(
        event_id="l1", venue="okx", instrument="ETH-USDT-PERP", venue_symbol="ETH-USDT-SWAP",
        asset="ETH", position_side="long", order_side=None, price=None, price_kind=None,
        quantity=None, notional_usd=None, coverage="latest_per_second", stream="s",
        ts_event=T, ts_recv=T,
    )),
    ("open_interest", OpenInterest(
        event_id="o1", venue="okx", instrument="ETH-USDT-PERP", venue_symbol="ETH-USDT-SWAP",
        asset="ETH", quantity=2.5, notional_usd=None, ts_event=T, ts_recv=T,
    )),
    ("whale_transfers", WhaleTransfer(
        event_id="w1", provider="whale_alert", chain="ethereum", asset="ETH",
        transfer_kind="transfer", tx_hash="0xa", leg=0, from_owner="unknown",
        from_kind="unknown", to_owner="kraken", to_kind="exchange", quantity=9.5,
        notional_usd=None, ts_event=T, ts_recv=T, version=3,
    )),
    ("feed_status", FeedStatus(producer="okx", state="silent", ts_event=T, reason="gap")),
    ("bars", Bar(
        venue="okx", instrument="ETH-USDT-PERP", asset="ETH", ts_open=T, width=1_000_000,
        high=3_000.0, low=2_990.0, quantity=2.0, buy_usd=6_000.0, sell_usd=0.0, trades=4,
    )),
    ("cascades", CascadeFinding(
        finding_id="f1", episode_id="e1", asset="BTC", position_side="long", phase="onset",
        wave=0, ts_onset=T, ts_event=T, ts_detect=T, log_rate=1.5, threshold=1.0,
        threshold_is_default=True, feed_class="mixed", coverage="unknown", orders=9,
        notional_usd=1e6, peak_usd_per_s=1e5, ts_peak=None, drawdown_bps=None,
        price_onset=None, venues=["binance", "okx"], params_version="v1",
    )),
    ("market_cascades", MarketFinding(
        finding_id="f2", episode_id="e2", phase="onset", ts_onset=T, ts_event=T, ts_detect=T,
        assets=["BTC", "ETH"], excess=0.5, threshold=0.1, threshold_is_default=False,
        params_version="v1",
    )),
    ("stress", StressFinding(
        finding_id="f4", episode_id="e4", asset="BTC", phase="onset", ts_onset=T, ts_event=T,
        ts_detect=T, stress=2.6, threshold=2.49, threshold_is_default=True, cvd_usd=-3e7,
        move_bps=-120.0, venues=["binance"], params_version="v1",
    )),
    ("whale_selling", WhaleFinding(
        finding_id="f3", event_id="w1", asset="ETH", venue="kraken", verdict="not_testable",
        reason="no taker flow", notional_usd=None, excess_selling_usd=None, statistic=None,
        p_value=None, placebos=0, shared=False, onset_followed=True, onset_placebo_rate=0.1,
        ts_event=T, ts_window_end=T, ts_detect=T, params_version="v1",
    )),
    ("scores", SideScore(
        asset="BTC", position_side="long", ts_event=T, ts_detect=T, log_rate=3.5, threshold=4.3,
        threshold_is_default=True, score_name="Z30", feed_class="full", coverage="full",
    )),
    ("thresholds", ThresholdFinding(
        finding_id="f5", asset="BTC", feed_class="full", threshold_before=5.6, threshold=5.5,
        blocks=14, budget_per_week=1.0, ts_event=T, ts_detect=T, params_version="v1",
    )),
    ("alerts", Alert(
        alert_id="a1", dedup_key="e1", kind="cascade", tier="cascade", severity="critical",
        asset="BTC", title="t", text="x", finding_id="f1", ts_event=T, ts_detect=T,
    )),
    ("dead_letters", DeadLetter(
        topic="trades", partition=3, offset=-1, field="price", reason="too small", raw="{",
        ts_recv=T,
    )),
    ("notifications", NotificationStep(
        notification_id="n1", endpoint="a.example-12345678", state="waiting", ts_noted=T,
        alert_ids=["a1"], severity="critical", ts_due=T, ts_event=None,
    )),
]  # fmt: skip


def test_every_record_on_a_topic_is_stored_or_said_not_to_be():
    on_topics = {kind for topic in TOPICS.values() for kind in topic.payload}
    assert set(TABLES) | NOT_STORED == on_topics
    assert not set(TABLES) & NOT_STORED
    assert {type(record) for _, record in SAMPLES} == set(TABLES)


@pytest.mark.parametrize(
    ("table", "record"), SAMPLES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_record_fills_one_row_of_its_table_with_its_own_values(table, record):
    filled = columns(table, [record], Coords("topic", 5, [77]))
    assert table_of(record) == table
    row = dict(zip(COLUMNS[table], (column[0] for column in filled), strict=True))
    coords = {"kafka_topic": "topic", "kafka_partition": 5, "kafka_offset": 77}
    assert row == msgspec.structs.asdict(record) | coords


@pytest.mark.parametrize("table", COLUMNS)
def test_columns_are_the_fields_then_the_coordinates(table):
    kind = next(kind for kind, name in TABLES.items() if name == table)
    fields = tuple(field.name for field in msgspec.structs.fields(kind))
    assert COLUMNS[table] == fields + KAFKA_COLUMNS


def test_rows_keep_the_order_of_the_records_and_their_offsets():
    trade = SAMPLES[0][1]
    many = [msgspec.structs.replace(trade, event_id=str(n)) for n in range(50)]
    filled = columns("trades", many, Coords("trades", 0, range(100, 150)))
    row = dict(zip(COLUMNS["trades"], filled, strict=True))
    assert row["event_id"] == [str(n) for n in range(50)]
    assert row["kafka_offset"] == list(range(100, 150))


def test_no_records_are_empty_columns():
    assert columns("bars", [], Coords("bars", 0, [])) == [[] for _ in COLUMNS["bars"]]


def test_an_offset_too_few_is_an_error_not_a_shorter_batch():
    with pytest.raises(ValueError, match="1 records but 0 offsets"):
        columns("trades", [SAMPLES[0][1]], Coords("trades", 0, []))


def test_a_record_that_is_not_stored_has_no_table():
    with pytest.raises(KeyError):
        table_of(AssetPulse(asset="BTC", ts_event=T, excess=0.0, feed_class="full"))


def test_rows_load_neither_faust_nor_a_database():
    code = (
        "import sys, sinks.clickhouse.rows;"
        "print([m for m in ('faust', 'chdb', 'clickhouse_connect', 'asyncio') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
