"""Batches through the real engine (chDB): what was sent is what is read, once."""

import gc
import inspect
import math
import random
import subprocess
import sys
import time
from collections import defaultdict
from itertools import count
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver import exceptions as driver

from schemas.bars import Bar
from schemas.findings import CascadeFinding, WhaleFinding
from schemas.market import Liquidation
from schemas.onchain import WhaleTransfer
from schemas.status import DeadLetter, FeedStatus
from schemas.words import MINUTE, SECOND
from sinks.clickhouse import migrate as migrations
from sinks.clickhouse.client import (
    Batch,
    DataDirBusy,
    Writer,
    chdb_path,
    database_of,
    open_client,
)
from sinks.clickhouse.intents import Intent, Intents
from sinks.clickhouse.migrate import MigrationError, migrate, statements
from sinks.clickhouse.retry import (
    DRIVER_ERRORS,
    RETRYABLE_CODES,
    ROW_CODES,
    STORE_CODES,
    Retry,
    SinkError,
    fault_of,
    is_retryable,
)
from sinks.clickhouse.rows import COLUMNS, PARTITIONED_BY, TABLES, table_of

T = 1_763_683_200_000_000  # 2025-11-21 00:00:00 UTC
HOUR = 60 * MINUTE
_numbers = count()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """One path a process: the module's, closed at its end so that another may follow."""
    client = open_client("chdb", tmp_path_factory.mktemp("data"))
    yield client
    client.close()


@pytest.fixture
def client(engine):
    """A fresh, migrated database."""
    migrate(engine, f"test_{next(_numbers)}")
    return engine


@pytest.fixture(scope="module")
def tables(engine):
    """One migrated database for tests that leave each other's rows alone."""
    migrate(engine, "shared")
    return "shared."


def batch(records, lo=0, **more):
    table = table_of(records[0])
    hi = lo + len(records) - 1
    return Batch(table, table, 0, lo, hi, records, range(lo, hi + 1))._replace(**more)


def insert(client, records, **more):
    return Writer(client).insert(batch(records, **more))


def one(client, sql):
    return client.query(sql).result_rows[0][0]


def named(client, sql):
    result = client.query(sql)
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


# ---- every record, at both ends of what it allows


_WORDS = {
    "venue": "binance", "provider": "binance", "producer": "binance", "asset": "BTC",
    "instrument": "BTC-EUR-PERP", "chain": "ethereum",
}  # fmt: skip


def extreme(kind, largest):
    """Build a record of `kind` from its own constraints: every number at its limit."""
    values = {}
    for field in msgspec.inspect.type_info(kind).fields:
        values[field.name] = _WORDS.get(field.name) or _extreme(field.type, largest)
    return msgspec.convert(values, kind)


def _extreme(kind, largest):
    info = msgspec.inspect
    if isinstance(kind, info.UnionType):
        inner = next(t for t in kind.types if not isinstance(t, info.NoneType))
        return _extreme(inner, largest) if largest else None
    if isinstance(kind, info.Metadata):
        return _extreme(kind.type, largest)
    if isinstance(kind, info.LiteralType):
        return kind.values[-1 if largest else 0]
    if isinstance(kind, info.IntType):
        return (kind.le or 2**63 - 1) if largest else kind.ge
    if isinstance(kind, info.FloatType):
        return kind.le if largest else float(5e-324 if kind.gt is not None else kind.ge)
    if isinstance(kind, info.BoolType):
        return largest
    if isinstance(kind, info.ListType):
        if isinstance(kind.item_type, info.FloatType | info.Metadata):
            return [_extreme(kind.item_type, largest)] * 2 if largest else []
        return ["binance", "okx"] if largest else []
    assert isinstance(kind, info.StrType), kind
    return "é\t'`\\n\n\x00😀" if largest else "x" * (kind.min_length or 0)


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_a_record_at_the_limits_of_its_type_is_read_as_it_was_sent(engine, tables, kind):
    engine.database = tables.strip(".")
    for lo, largest in enumerate((False, True)):
        record = extreme(kind, largest)
        insert(engine, [record], lo=lo)
        fields = [field.name for field in msgspec.structs.fields(kind)]
        read = [f"toUnixTimestamp64Micro({f})" if f.startswith("ts_") else f for f in fields]
        sql = f"SELECT {', '.join(read)} FROM {TABLES[kind]} WHERE kafka_offset = {lo}"
        row = dict(zip(fields, engine.query(sql).result_rows[0], strict=True))
        assert row == msgspec.structs.asdict(record)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_has_exactly_the_columns_that_rows_fill(engine, tables, table):
    described = engine.query(f"DESCRIBE {tables}{table}").result_rows
    assert [row[0] for row in described] == list(COLUMNS[table])


# ---- once


def liquidation(n, **more):
    values = {
        "event_id": f"l{n}", "venue": "binance", "instrument": "BTC-USDT-PERP",
        "venue_symbol": "BTCUSDT", "asset": "BTC", "position_side": "long", "order_side": "sell",
        "price": None, "price_kind": None, "quantity": None, "notional_usd": 1_000.0,
        "coverage": "full", "stream": "forceOrder", "ts_event": T + n, "ts_recv": T + n,
    }  # fmt: skip
    return Liquidation(**(values | more))


def test_the_same_token_again_changes_nothing(client):
    records = [liquidation(n) for n in range(10)]
    for _ in range(3):
        assert insert(client, records) == 10
    assert one(client, "SELECT count() FROM liquidations") == 10


def test_what_was_inserted_is_not_kept_alive_by_the_driver(client):
    gc.collect()
    records = [liquidation(n, venue_symbol="".join(["B", str(n)])) for n in range(3)]
    symbol = records[0].venue_symbol
    insert(client, records)
    del records
    # By this test and by the call that counts.
    assert sys.getrefcount(symbol) == 2


def test_removing_many_parts_at_once_leaves_no_hundred_threads(client):
    for table, column in (("trades", "ts_event"), ("bars", "ts_open")):
        client.command(f"SYSTEM STOP MERGES {table}")
        for n in range(150):
            client.command(f"INSERT INTO {table} ({column}) VALUES ({T // SECOND + n})")
        client.command(f"SYSTEM START MERGES {table}")
        client.command(f"OPTIMIZE TABLE {table} FINAL")
    parts = (
        "SELECT count() FROM system.parts"
        " WHERE database = currentDatabase() AND table IN ('trades', 'bars')"
    )
    deadline = time.monotonic() + 90
    while (left := one(client, parts)) > 2:
        assert time.monotonic() < deadline, f"{left} parts"
        time.sleep(0.2)
    assert one(client, "SELECT value FROM system.metrics WHERE metric = 'GlobalThread'") < 60


def test_no_code_is_compiled_for_merges(client):
    asked = "SELECT value FROM system.settings WHERE name = 'compile_sort_description'"
    assert one(client, asked) == "0"


def test_the_same_event_under_another_token_is_one_row_when_read_with_final(client):
    records = [liquidation(n) for n in range(10)]
    insert(client, records)
    insert(client, records, lo=500)
    assert one(client, "SELECT count() FROM liquidations") == 20
    assert one(client, "SELECT count() FROM liquidations FINAL") == 10
    assert one(client, "SELECT max(orders) FROM board_24h") == 10


def test_the_same_part_of_a_bar_is_not_added_twice_by_a_retry(client):
    part = Bar(
        venue="okx", instrument="BTC-USDT-PERP", asset="BTC", ts_open=T, width=SECOND, high=2.0, low=1.0,
        quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=1,
    )  # fmt: skip
    for _ in range(2):
        insert(client, [part, part])
    assert one(client, "SELECT trades FROM bars_1s") == 2


def test_new_records_at_old_offsets_are_kept_when_the_epoch_says_so(client):
    insert(client, [liquidation(1)], epoch="run1")
    insert(client, [liquidation(2)], epoch="run2")
    assert one(client, "SELECT count() FROM liquidations") == 2
    assert batch([liquidation(1)]).token == "liquidations:0:0-0:liquidations"


def test_a_batch_torn_over_months_is_whole_after_its_retry(client):
    times = [T + n * 20 * 24 * HOUR for n in range(30)]
    records = [liquidation(n, ts_event=ts, ts_recv=ts) for n, ts in enumerate(times)]
    insert(client, records)
    # A kill between two partitions leaves one of them without its part.
    client.command("ALTER TABLE liquidations DROP PARTITION 202603")
    assert one(client, "SELECT count() FROM liquidations") < 30
    insert(client, records)
    assert one(client, "SELECT count() FROM liquidations") == 30


def test_a_higher_version_replaces_a_transfer_even_at_another_time(client):
    def reading(version, ts, usd):
        return WhaleTransfer(
            event_id="w", provider="whale_alert", chain="bitcoin", asset="BTC",
            transfer_kind="transfer", tx_hash="h", leg=0, from_owner="unknown",
            from_kind="unknown", to_owner="okx", to_kind="exchange", quantity=1.0,
            notional_usd=usd, ts_event=ts, ts_recv=ts, version=version,
        )  # fmt: skip

    insert(client, [reading(2, T + 40 * 24 * HOUR, 7.0)], lo=0)
    insert(client, [reading(1, T, 5.0)], lo=1)
    assert named(client, "SELECT notional_usd, version FROM whale_transfers FINAL") == [
        {"notional_usd": 7.0, "version": 2}
    ]


def test_a_corrected_order_is_counted_once_and_a_removed_one_not_at_all(client):
    insert(client, [liquidation(1), liquidation(2), liquidation(3, removed=True, version=3)], lo=0)
    insert(client, [liquidation(1, version=2, notional_usd=7.0), liquidation(3, version=2)], lo=3)
    assert named(client, "SELECT orders, notional_usd FROM board_24h") == [
        {"orders": 2, "notional_usd": 1_007.0}
    ]
    versions = "SELECT event_id, version, removed FROM liquidations FINAL ORDER BY event_id"
    assert client.query(versions).result_rows == [
        ("l1", 2, False), ("l2", 1, False), ("l3", 3, True),
    ]  # fmt: skip


def test_a_heartbeat_on_every_partition_is_one_fact(client):
    feed_status = FeedStatus(producer="okx", state="silent", ts_event=T)
    insert(client, [feed_status, feed_status, feed_status])
    assert one(client, "SELECT count() FROM feed_status FINAL") == 1


def test_a_letter_read_twice_is_one_letter(client):
    letter = DeadLetter(
        topic="trades", partition=0, offset=9, field="", reason="r", raw="", ts_recv=T
    )
    again = msgspec.structs.replace(letter, ts_recv=T + 90 * 24 * HOUR)
    insert(client, [letter, again])
    assert one(client, "SELECT count() FROM dead_letters FINAL") == 1


# ---- views against sums made here


def test_the_board_is_the_last_24_h_of_event_time(client):
    rng = random.Random(1)
    records = [
        liquidation(
            n,
            venue=rng.choice(["binance", "okx"]),
            position_side=rng.choice(["long", "short", "unknown"]),
            order_side=None,
            notional_usd=rng.choice([None, rng.randrange(1, 10**6) / 64]),
            orders=rng.choice([1, 1, 1, 5]),
            ts_event=(ts := T + rng.randrange(48 * HOUR)),
            ts_recv=ts,
        )
        for n in range(800)
    ]
    insert(client, records)
    last = max(r.ts_event for r in records)
    cells = defaultdict(list)
    for r in records:
        if r.ts_event > last - 24 * HOUR:
            cells[r.venue, r.position_side].append(r)
    worth = {k: sum(r.notional_usd or 0 for r in v) for k, v in cells.items()}
    board = named(client, "SELECT * FROM board_24h")
    assert {(row["venue"], row["position_side"]) for row in board} == set(cells)
    for row in board:
        venue, records = row["venue"], cells[row["venue"], row["position_side"]]
        assert row["orders"] == sum(r.orders for r in records)
        assert row["notional_usd"] == worth[venue, row["position_side"]]
        single = [r.notional_usd for r in records if r.orders == 1 and r.notional_usd is not None]
        assert row["largest_order_usd"] == max(single)
        known = worth[venue, "long"] + worth[venue, "short"]
        assert row["long_share"] == pytest.approx(worth[venue, "long"] / known)


def test_bars_add_up_to_seconds_and_minutes(client):
    rng = random.Random(2)
    parts = [
        Bar(
            venue="okx", instrument="BTC-USDT-PERP", asset="BTC",
            ts_open=T + rng.randrange(180) * SECOND, width=SECOND, high=float(rng.randrange(1, 99)),
            low=float(rng.randrange(1, 99)), quantity=rng.randrange(1, 64) / 8, buy_usd=rng.randrange(99) / 64,
            sell_usd=rng.randrange(99) / 64, trades=rng.randrange(9), open=float(rng.randrange(1, 99)),
            close=float(rng.randrange(1, 99)), ts_first=T + rng.randrange(9), ts_last=T + rng.randrange(9),
        )
        for _ in range(900)
    ]  # fmt: skip
    insert(client, parts)
    for view, width in (("bars_1s", SECOND), ("bars_1m", MINUTE)):
        whole = defaultdict(list)
        for part in parts:
            whole[part.ts_open // width * width].append(part)
        opened = "toUnixTimestamp64Micro(toDateTime64(ts_open, 6, 'UTC'))"
        rows = named(client, f"SELECT * EXCEPT ts_open, {opened} AS opened FROM {view}")
        assert len(rows) == len(whole)
        for row in rows:
            episode_row = whole[row["opened"]]
            buy, sell = sum(p.buy_usd for p in episode_row), sum(p.sell_usd for p in episode_row)
            assert (row["buy_usd"], row["sell_usd"]) == (buy, sell)
            assert row["high"] == max(p.high for p in episode_row)
            assert row["low"] == min(p.low for p in episode_row)
            assert row["trades"] == sum(p.trades for p in episode_row)
            # Of equal times the part that was written later has the close, the earlier the open.
            assert row["open"] == min(episode_row, key=lambda p: p.ts_first).open
            assert row["close"] == max(reversed(episode_row), key=lambda p: p.ts_last).close
            assert row["vwap"] == pytest.approx((buy + sell) / sum(p.quantity for p in episode_row))
            assert row["taker_imbalance"] == pytest.approx((buy - sell) / (buy + sell))


def test_a_bar_with_a_part_of_an_older_version_has_no_open_and_no_close(client):
    part = Bar(
        venue="okx", instrument="BTC-USDT-PERP", asset="BTC", ts_open=T, width=SECOND, high=2.0,
        low=1.0, quantity=1.0, buy_usd=1.0, sell_usd=0.0, trades=1, open=2.0, close=2.0,
        ts_first=T, ts_last=T,
    )  # fmt: skip
    old = msgspec.structs.replace(part, open=None, close=None, ts_first=None, ts_last=None)
    insert(client, [part, old])
    for view in ("bars_1s", "bars_1m"):
        assert client.query(f"SELECT open, close, high FROM {view}").result_rows == [
            (None, None, 2)
        ]


def test_a_step_has_its_tier_and_an_older_one_what_its_phase_says(client):
    insert(client, [step("watch", 1, tier="watch"), step("closed", 9, tier="cascade")])
    client.command(
        "INSERT INTO cascades (finding_id, episode_id, asset, phase, ts_event) VALUES"
        " ('a', 'o', 'BTC', 'onset', 9), ('b', 'o', 'BTC', 'closed', 9), ('c', 'o', 'BTC', 'watch', 9)"
    )
    phases = client.query("SELECT phase, tier FROM cascades ORDER BY episode_id, phase").result_rows
    assert phases == [
        ("closed", "cascade"), ("watch", "watch"),
        ("closed", None), ("onset", "cascade"), ("watch", "watch"),
    ]  # fmt: skip


def step(phase, second, **more):
    values = {
        "finding_id": f"{phase}{second}", "episode_id": "e1", "asset": "BTC",
        "position_side": "long", "phase": phase, "wave": 0, "ts_onset": T,
        "ts_event": T + second * SECOND, "ts_detect": T + (second + 1) * SECOND, "log_rate": 2.0,
        "threshold": 1.0, "threshold_is_default": True, "feed_class": "full", "coverage": "full",
        "orders": second, "notional_usd": second * 10.0, "peak_usd_per_s": 5.0, "ts_peak": None,
        "drawdown_bps": None, "price_onset": 1.0, "venues": ["okx"], "params_version": "v",
    }  # fmt: skip
    return CascadeFinding(**(values | more))


LIFE = [
    step("watch", 1),
    step("onset", 3),
    step("wave", 8, wave=1, drawdown_bps=120.0, venues=["binance"]),
    step("peak", 9, wave=1, ts_peak=T + 8 * SECOND, drawdown_bps=150.0),
    step("closed", 60, wave=1, ts_peak=T + 8 * SECOND, drawdown_bps=90.0),
]


def test_an_episode_has_the_fields_that_explain_it_as_told_last(client):
    insert(
        client,
        [
            step("exhausted", 8, reignition_probability=0.25, branching_ratio=0.5,
                 impact_high_bps_per_musd=9.0, levels_swept=3, price_worst=98.0),
            step("closed", 60, impact_bps_per_musd=4.0, impact_high_bps_per_musd=5.0,
                 levels_swept=7, price_worst=97.0),
        ],
    )  # fmt: skip
    [row] = named(client, "SELECT * FROM episodes")
    assert (row["reignition_probability"], row["branching_ratio"]) == (0.25, 0.5)
    assert (row["impact_bps_per_musd"], row["impact_low"], row["impact_high"]) == (4.0, None, 5.0)
    assert (row["levels_swept"], row["price_worst"], row["price_before"]) == (7, 97.0, None)


def test_episodes_stored_before_impact_was_told_keep_it(client):
    client.command(
        "INSERT INTO cascades (finding_id, episode_id, asset, phase, ts_event, notional_usd,"
        " drawdown_bps, estimate_usd, estimate_high_usd)"
        " VALUES ('f', 'e', 'BTC', 'closed', 9, 2e6, 100, 4e6, 5e6)"
    )
    [row] = named(client, "SELECT * FROM episodes")
    assert (row["impact_bps_per_musd"], row["impact_low"], row["impact_high"]) == (25, 20, 50)


def test_an_episode_is_one_row_folded_from_its_steps(client):
    other = step("watch", 5, episode_id="e2", finding_id="x", asset="ETH")
    steps = [*LIFE, other, *LIFE]
    random.Random(3).shuffle(steps)
    insert(client, steps)
    micros = ("ts_onset", "ts_detected", "ts_peak", "ts_end")
    times = ", ".join(f"toUnixTimestamp64Micro({name}) AS {name}_us" for name in micros)
    first, second = named(client, f"SELECT *, {times} FROM episodes ORDER BY episode_id")
    assert first["ts_onset_us"] == T
    assert first["ts_detected_us"] == T + 4 * SECOND
    assert first["ts_peak_us"] == T + 8 * SECOND
    assert first["ts_end_us"] == T + 60 * SECOND
    assert (first["orders"], first["notional_usd"], first["waves"]) == (60, 600.0, 1)
    assert (first["drawdown_bps"], first["phase"]) == (150.0, "closed")
    assert first["venues"] == ["binance", "okx"]
    assert (second["asset"], second["phase"]) == ("ETH", "watch")
    assert [second[f"{name}_us"] for name in micros[1:]] == [None, None, None]


def inflow(name, minutes_before, **more):
    ts = T - int(minutes_before * MINUTE)
    values = {
        "event_id": name, "provider": "whale_alert", "chain": "bitcoin", "asset": "BTC",
        "transfer_kind": "transfer", "tx_hash": "h" + name, "leg": 0, "from_owner": "whale",
        "from_kind": "unknown", "to_owner": "okx", "to_kind": "exchange", "quantity": 1.0,
        "notional_usd": 5e6, "ts_event": ts, "ts_recv": ts,
    }  # fmt: skip
    return WhaleTransfer(**(values | more))


def verdict(name, verdict_word, ts_detect, finding_id):
    return WhaleFinding(
        finding_id=finding_id, event_id=name, asset="BTC", venue="okx", verdict=verdict_word, reason="",
        notional_usd=5e6, excess_selling_usd=None, statistic=None, p_value=0.01, placebos=99,
        shared=False, onset_followed=True, onset_placebo_rate=None, ts_event=T, ts_window_end=T,
        ts_detect=ts_detect, params_version="v",
    )  # fmt: skip


def test_inflows_of_the_45_minutes_before_an_onset_stand_beside_it(client):
    insert(client, [*LIFE, step("watch", 5, episode_id="e2", finding_id="x", asset="ETH")])
    insert(client, [
        inflow("in", 44), inflow("edge", 45), inflow("early", 45.1), inflow("late", -1),
        inflow("internal", 5, from_kind="exchange"), inflow("out", 5, to_kind="unknown"),
        inflow("other", 5, asset="SOL"), inflow("mint", 5, transfer_kind="mint"),
    ])  # fmt: skip
    insert(client, [
        verdict("in", "no_evidence", T, "v1"), verdict("in", "consistent_with_selling", T + 9, "v2"),
    ])  # fmt: skip
    rows = named(client, "SELECT * FROM what_triggered ORDER BY episode_id, inflow_id")
    seen = [(r["episode_id"], r["inflow_id"], r["minutes_before"], r["verdict"]) for r in rows]
    assert seen == [
        ("e1", "edge", 45.0, None),
        ("e1", "in", 44.0, "consistent_with_selling"),
        ("e2", None, None, None),
    ]
    assert named(client, "SELECT event_id, verdict, from_owner, tx_hash FROM whale_verdicts") == [
        {
            "event_id": "in", "verdict": "consistent_with_selling",
            "from_owner": "whale", "tx_hash": "hin",
        }
    ]  # fmt: skip


def test_a_verdict_taken_back_is_shown_as_such_until_there_is_a_newer_one(client):
    first = verdict("in", "no_evidence", T, "f1")
    back = msgspec.structs.replace(
        first, finding_id="a", verdict="retracted", version=2, retracts="f1",
        retracted_verdict="no_evidence", ts_detect=T + 5,
    )  # fmt: skip
    anew = msgspec.structs.replace(first, finding_id="z", version=2, ts_detect=T + 5)
    seen = "SELECT verdict, version, retracts FROM whale_verdicts"
    insert(client, [first, back], lo=0)
    assert client.query(seen).result_rows == [("retracted", 2, "f1")]
    insert(client, [anew], lo=2)
    assert client.query(seen).result_rows == [("no_evidence", 2, None)]


def test_senders_stand_with_the_e_value_that_was_told_last(client):
    holders = [("a", 25.0, "whale"), ("b", 15.0, "whale"), ("c", 0.5, "0xab"), ("d", None, None)]
    insert(client, [
        msgspec.structs.replace(
            verdict(name, "no_evidence", T, f"v{name}"), address_e=e, sender=who, credit=0.5,
            posterior=0.25,
        )
        for name, e, who in holders
    ])  # fmt: skip
    seen = named(client, "SELECT * EXCEPT (asset) FROM whale_senders ORDER BY sender")
    assert seen == [
        {"sender": "0xab", "inflows": 1, "least_p_value": 0.01, "address_e": 0.5, "highest_e": 0.5},
        {
            "sender": "whale",
            "inflows": 2,
            "least_p_value": 0.01,
            "address_e": 15.0,
            "highest_e": 25.0,
        },
    ]
    assert one(client, "SELECT credit + posterior FROM whale_verdicts WHERE event_id = 'a'") == 0.75


def test_a_removed_transfer_triggered_nothing(client):
    insert(client, LIFE)
    insert(client, [inflow("in", 44)], lo=0)
    insert(client, [inflow("in", 44, version=2, removed=True)], lo=1)
    assert one(client, "SELECT inflow_id FROM what_triggered") is None


def test_a_correction_leaves_an_episodes_phase_and_is_counted_beside_it(client):
    insert(client, [*LIFE, step("corrected", 99, orders=1)])
    row = named(client, "SELECT phase, corrections FROM episodes WHERE episode_id = 'e1'")
    assert row == [{"phase": "closed", "corrections": 1}]


# ---- intents


def test_the_last_intent_wins_even_when_it_was_written_before(client):
    intents = Intents(client)
    first, second = batch([liquidation(1)]), batch([liquidation(2)], lo=7, epoch="x")
    for correction in (first, second, first):
        intents.write([correction])
    assert intents.last() == [Intent("liquidations", 0, "liquidations", 0, 0)]
    intents.write([second, first._replace(partition=1), first._replace(table="feed_status")])
    assert intents.last() == [
        Intent("liquidations", 0, "feed_status", 0, 0),
        Intent("liquidations", 0, "liquidations", 7, 7, "x"),
        Intent("liquidations", 1, "liquidations", 0, 0),
    ]


def test_no_batches_are_no_intent(client):
    Intents(client).write([])
    assert Intents(client).last() == []


# ---- errors


def test_every_driver_error_is_mapped_to_retry_or_not():
    defined = {
        kind
        for _, kind in inspect.getmembers(driver, inspect.isclass)
        if kind.__module__ == driver.__name__ and issubclass(kind, BaseException)
    }
    assert set(DRIVER_ERRORS) == defined


@pytest.mark.parametrize("code", RETRYABLE_CODES)
def test_a_code_that_heals_is_retried_whatever_carries_it(code):
    assert is_retryable(driver.DatabaseError("x", code=code))
    assert is_retryable(driver.ProgrammingError("x", code=code))


@pytest.mark.parametrize(
    ("problem", "again"),
    [
        (driver.OperationalError("connection refused"), True),
        (driver.DatabaseError("HTTP 502 from a gateway"), True),
        (driver.DatabaseError("x", code=60), False),
        (driver.ProgrammingError("x"), False),
        (driver.DataError("x"), False),
        (driver.DatabaseError("Too many partitions for single INSERT block", code=252), False),
        (AttributeError("None has no attribute 'timestamp'"), False),
        (ValueError("x"), False),
    ],
)
def test_other_errors_are_retried_when_the_database_is_at_fault(problem, again):
    assert is_retryable(problem) is again


@pytest.mark.parametrize(
    ("problem", "fault"),
    [
        (driver.DatabaseError("Query memory limit exceeded: 5 MiB", code=241), "rows"),
        (driver.DatabaseError("(total) memory limit exceeded", code=241), "passing"),
        (driver.DatabaseError("Too many parts (3000)", code=252), "passing"),
        (driver.DatabaseError("HTTP driver received HTTP status 413"), "rows"),
        (driver.DatabaseError("violated at row 1: 'No space left on device'", code=469), "rows"),
        (driver.DatabaseError("filesystem error: No space left on device", code=1001), "passing"),
        (driver.DatabaseError("never seen before", code=9_999), "unknown"),
        (driver.OperationalError("never seen before", code=9_999), "passing"),
        (driver.DatabaseError("no such table", code=60), "store"),
        (driver.DataError("Unable to create native array"), "rows"),
        (OverflowError("int too big"), "rows"),
        (MemoryError(), "unknown"),
        (OSError(28, "No space left on device"), "passing"),
        (DataDirBusy(Path("x")), "store"),
    ],
)
def test_a_failure_is_held_against_time_rows_or_the_store(problem, fault):
    assert fault_of(problem) == fault
    assert SinkError("t", "token", problem, gave_up=False).splits is (fault != "store")


def test_no_code_stands_for_two_faults():
    codes = [*RETRYABLE_CODES, *ROW_CODES, *STORE_CODES]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    "problem",
    [
        driver.DatabaseError("(total) limit", code=241),
        driver.DatabaseError("never seen before", code=9_999),
        driver.OperationalError("HTTPConnectionPool: Read timed out. (read timeout=15)"),
    ],
)
def test_a_batch_that_may_be_too_large_is_not_tried_whole_for_ever(client, problem):
    clock = Clock()
    failing = Failing(client, 10**6, problem)
    two = batch([liquidation(1), liquidation(2)])
    with pytest.raises(SinkError, match="cannot succeed") as caught:
        Writer(failing, clock.retry(give_up_after_s=math.inf)).insert(two)
    assert caught.value.splits
    assert clock.now < 60


class Clock:
    """Time that passes only in sleep."""

    def __init__(self):
        self.now = 0.0
        self.slept = []

    def sleep(self, seconds):
        self.now += seconds
        self.slept.append(seconds)

    def retry(self, **more):
        return Retry(sleep=self.sleep, clock=lambda: self.now, **more)


class Failing:
    """A client that fails `times`, before or after the insert has landed."""

    def __init__(self, client, times, problem, after=False):
        self._client, self._times, self._problem, self._after = client, times, problem, after
        self.tokens = []

    def __getattr__(self, name):
        return getattr(self._client, name)

    def insert(self, *args, **kwargs):
        self.tokens.append(kwargs["settings"]["insert_deduplication_token"])
        self._times -= 1
        if self._times >= 0 and not self._after:
            raise self._problem
        self._client.insert(*args, **kwargs)
        if self._times >= 0:
            raise self._problem


@pytest.mark.parametrize("after", [False, True])
def test_a_transient_failure_is_retried_with_the_same_token_and_lands_once(client, after):
    clock = Clock()
    failing = Failing(client, 3, driver.OperationalError("read timed out"), after)
    assert Writer(failing, clock.retry()).insert(batch([liquidation(1)])) == 1
    assert clock.slept == [0.1, 0.2, 0.4]
    assert len(failing.tokens) == 4
    assert len(set(failing.tokens)) == 1
    assert one(client, "SELECT count() FROM liquidations") == 1


def test_a_failure_that_does_not_heal_is_given_up_in_time(client):
    clock = Clock()
    failing = Failing(client, 10**6, driver.DatabaseError("full", code=243))
    with pytest.raises(SinkError) as caught:
        Writer(failing, clock.retry(give_up_after_s=60)).insert(batch([liquidation(1)]))
    assert caught.value.gave_up
    assert caught.value.token == "liquidations:0:0-0:liquidations"
    assert 50 <= clock.now <= 60
    assert max(clock.slept) == 10.0


def test_a_permanent_failure_is_not_retried_and_names_table_token_and_cause(client):
    clock = Clock()
    client.command("DROP TABLE liquidations")
    with pytest.raises(SinkError, match="cannot succeed") as caught:
        Writer(client, clock.retry()).insert(batch([liquidation(1)]))
    assert (caught.value.table, caught.value.gave_up, clock.slept) == ("liquidations", False, [])
    assert isinstance(caught.value.cause, driver.Error)


def test_a_value_no_column_holds_is_permanent(client):
    letter = DeadLetter(
        topic="t", partition=0, offset=2**70, field="", reason="", raw="", ts_recv=T
    )
    with pytest.raises(SinkError, match="cannot succeed"):
        Writer(client, Clock().retry()).insert(batch([letter]))
    assert insert(client, [liquidation(1)]) == 1


def test_an_empty_batch_is_not_an_insert():
    assert Writer(None).insert(Batch("trades", "trades", 0, 5, 9, [], [])) == 0


def test_rows_are_grouped_by_the_partitions_of_their_table(client):
    sql = "SELECT name, partition_key FROM system.tables WHERE database = currentDatabase()"
    keys = dict(client.query(sql).result_rows)
    names = {"D": "toYYYYMMDD", "M": "toYYYYMM"}
    partitions = {
        table: f"{names[unit]}({column})" for table, (column, unit) in PARTITIONED_BY.items()
    }
    assert partitions == {table: keys[table] for table in TABLES.values()}


# ---- migrations, opening


def test_migrations_are_applied_once_and_again_changes_nothing(engine):
    name = f"test_{next(_numbers)}"
    assert migrate(engine, name) == [m.name for m in migrations.migrations()]
    assert migrate(engine, name) == []


def test_a_migration_that_changed_after_it_was_applied_is_an_error(client, monkeypatch):
    changed = [m._replace(text=m.text + "\n-- more") for m in migrations.migrations()]
    monkeypatch.setattr(migrations, "migrations", lambda: changed)
    with pytest.raises(MigrationError, match="was changed after"):
        migrate(client, client.database)


def test_a_setting_that_the_server_does_not_have_is_left_out_and_all_else_is_an_error(
    engine, monkeypatch
):
    whole = migrations.migrations()
    unknown = migrations.Migration("9998_x.sql", "ALTER TABLE trades MODIFY SETTING nope = 1;")
    wrong = migrations.Migration(
        "9999_y.sql", "ALTER TABLE trades MODIFY SETTING index_granularity_bytes = 'x';"
    )
    name = f"test_{next(_numbers)}"
    monkeypatch.setattr(migrations, "migrations", lambda: [*whole, unknown])
    assert migrate(engine, name)[-1] == "9998_x.sql"
    monkeypatch.setattr(migrations, "migrations", lambda: [*whole, unknown, wrong])
    with pytest.raises(MigrationError, match="9999_y"):
        migrate(engine, name)


def test_a_migration_that_stopped_half_way_is_finished_by_the_next_run(engine, monkeypatch):
    whole = migrations.migrations()
    half = whole[0]._replace(text=whole[0].text[: len(whole[0].text) // 2] + "; SELEC nope FROM;")
    name = f"test_{next(_numbers)}"
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", lambda: [half])
        with pytest.raises(MigrationError):
            migrate(engine, name)
    assert migrate(engine, name) == [m.name for m in whole]


def test_the_move_to_versions_keeps_every_row_wherever_it_stops(engine, monkeypatch):
    whole = migrations.migrations()
    [number] = [n for n, m in enumerate(whole) if m.name == "0004_corrections.sql"]
    steps = list(migrations.statements(whole[number].text))
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", lambda: whole[:number])
        name = f"test_{next(_numbers)}"
        migrate(engine, name)
    engine.command(
        "INSERT INTO liquidations (event_id, asset, venue, orders, ts_event) SELECT"
        " toString(number), 'BTC', 'okx', 1, toDateTime64('2025-11-21 00:00:00', 6)"
        " FROM numbers(100)"
    )
    for stop in range(1, len(steps) + 1):
        for statement in steps[:stop]:
            engine.command(statement)
    assert migrate(engine, name) == [m.name for m in whole[number:]]
    assert one(engine, "SELECT count() FROM liquidations FINAL WHERE version = 1") == 100
    assert one(engine, "SELECT engine_full FROM system.tables WHERE name = 'liquidations'"
               f" AND database = '{name}'").startswith("ReplacingMergeTree(version)")  # fmt: skip


def test_statements_end_only_at_semicolons_outside_strings_names_and_comments():
    sql = """
    SELECT ';', 'it\\'s;', 'a'';', "x;", `y;` -- no; end
    /* nor; here */ ;
    ;; SELECT 2 -- last; without end"""
    parsed = list(statements(sql))
    assert len(parsed) == 2
    assert parsed[0].startswith("SELECT ';', 'it\\'s;', 'a'';', \"x;\", `y;`")
    assert parsed[1] == "SELECT 2"


@pytest.mark.parametrize(
    ("url", "path", "database"),
    [
        ("chdb", "/d/clickhouse", "undertow"),
        ("chdb:///x/y", "/x/y", "undertow"),
        ("http://u:p@h:8123", None, "undertow"),
        ("https://h:8443/market", None, "market"),
    ],
)
def test_an_url_names_a_path_or_a_server_and_a_database(url, path, database):
    url_path = chdb_path(url, "/d")
    assert (url_path and str(url_path)) == path
    assert database_of(url) == database


def test_another_kind_of_url_is_refused():
    with pytest.raises(ValueError, match="CLICKHOUSE_URL"):
        open_client("postgres://h/db")


def test_a_second_process_is_told_that_the_database_is_taken(engine):
    code = f"from sinks.clickhouse.client import open_client; open_client('chdb://{engine.path}')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 1
    assert DataDirBusy.__name__ in ran.stderr
