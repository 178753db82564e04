"""Trades handed to ClickHouse as columns are the rows that records would have made."""

from typing import Any

import msgspec
import numpy as np
import pytest

from schemas import codec
from schemas.market import Trade
from schemas.scan import columns
from schemas.scan import trades as scan
from schemas.words import MIN_MICROS, SECOND
from sinks.clickhouse import poison
from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.constraints import breach
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.rows import COLUMNS, Piece, names_of, packed

T = 1_763_683_200 * SECOND


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = open_client("chdb", tmp_path_factory.mktemp("data"))
    migrate(made, "undertow")
    yield made
    made.close()


def trade(n: int) -> Trade:
    asset = ("BTC", "ETH", "SOL")[n % 3]
    return Trade(
        event_id=f"t{n}", venue=("binance", "bybit")[n % 2], instrument=f"{asset}-USDT-PERP",
        venue_symbol=f"{asset}USDT", asset=asset, aggressor_side=("buy", "sell")[n // 2 % 2],
        price=100.1 + n, quantity=0.1 * (n + 1), notional_usd=None if n % 7 == 0 else (100.1 + n) * 0.1 * (n + 1),
        ts_event=T + n * 1_001, ts_recv=T + n * 1_001 + 7,
    )  # fmt: skip


def piece(words: columns.Words, trades: list[Trade], first: int) -> Piece:
    scanned = scan.scanned(words, [codec.encode(one) for one in trades])
    assert not len(scanned.odd)
    return packed(words.labels, scanned.of, scanned.message + first)


def rows(client: Any, topic: str) -> list[tuple[Any, ...]]:
    names = ", ".join(name for name in COLUMNS["trades"] if name != "kafka_topic")
    ask = f"SELECT {names} FROM trades WHERE kafka_topic = '{topic}' ORDER BY kafka_offset"
    return list(client.query(ask).result_rows)


def test_columns_and_records_make_the_same_rows_and_a_repeat_makes_none(client: Any) -> None:
    trades = [trade(n) for n in range(200)]
    as_records = Batch("trades", "records", 3, 0, 199, trades, range(200))
    words = columns.Words()
    pieces = [piece(words, trades[:120], 0), piece(words, trades[120:150], 120)]
    mixed = Batch("trades", "columns", 3, 0, 199, trades[150:], range(150, 200), pieces=pieces)
    writer = Writer(client)
    assert writer.insert(as_records) == writer.insert(mixed) == writer.insert(mixed) == 200
    assert rows(client, "columns") == rows(client, "records")
    assert len(rows(client, "columns")) == 200


def test_a_batch_at_its_largest_is_one_block_under_its_token(client: Any) -> None:
    words, size = columns.Words(), 100_000
    trades = [trade(n) for n in range(size)]
    whole = Batch("trades", "large", 0, 0, size - 1, [], [], pieces=[piece(words, trades, 0)])
    writer = Writer(client)
    assert writer.insert(whole) == writer.insert(whole) == size
    ask = "SELECT count() FROM trades WHERE kafka_topic = 'large'"
    assert client.query(ask).result_rows == [(size,)]


def test_a_trade_told_twice_in_one_batch_is_one_when_read_with_final(client: Any) -> None:
    trades = [trade(n) for n in (1, 2, 1)]
    both = Batch("trades", "twice", 0, 0, 2, [], [], pieces=[piece(columns.Words(), trades, 0)])
    assert Writer(client).insert(both) == 3
    assert len(rows(client, "twice")) == 3
    ask = "SELECT count() FROM trades FINAL WHERE kafka_topic = 'twice'"
    assert client.query(ask).result_rows == [(2,)]


def test_trades_of_more_days_than_an_insert_may_span_are_all_stored(client: Any) -> None:
    day = 86_400 * SECOND
    trades = [
        msgspec.structs.replace(trade(n), ts_event=MIN_MICROS + n * day) for n in range(1_001)
    ]
    pieces = [piece(columns.Words(), trades, 0)]
    given = Batch("trades", "days", 0, 0, 1_000, [], [], pieces=pieces)
    written = poison.insert(given, poison.Insertion(Writer(client).insert))
    assert (written.rows, written.refusals) == (1_001, [])
    assert len({row[COLUMNS["trades"].index("event_id")] for row in rows(client, "days")}) == 1_001
    assert len(rows(client, "days")) == 1_001


@pytest.mark.parametrize("answers", [True, False])
def test_of_messages_of_many_only_what_is_refused_stays_out_and_is_shown(
    client: Any, answers: bool
) -> None:
    topic, writer = f"many {answers}", Writer(client)
    how = poison.Insertion(writer.insert)
    if answers:
        how = how._replace(breach=lambda part, cause: breach(part, cause, writer))
    trades = [trade(n) for n in range(10)]
    # Two messages of five trades each.
    mixed = piece(columns.Words(), trades, 0)._replace(offsets=np.repeat([100, 101], 5))
    given = Batch("trades", topic, 0, 100, 101, [], [], pieces=[mixed])
    client.command("ALTER TABLE trades ADD CONSTRAINT c CHECK event_id != 't7'")
    try:
        count, [refused], inserts = poison.insert(given, how)
    finally:
        client.command("ALTER TABLE trades DROP CONSTRAINT c")
    assert count == len(rows(client, topic)) == 9
    assert (inserts == 2) == answers
    assert (refused.offset, "Constraint" in refused.reason) == (101, True)
    assert codec.decode("trades", refused.raw) == trades[7]


def test_rows_that_are_in_are_known_by_place_time_and_name_however_they_came(client: Any) -> None:
    trades = [trade(n) for n in range(60)]
    numbers = range(40, 60)
    mixed = Batch(
        "trades",
        "named",
        0,
        0,
        59,
        trades[40:],
        numbers,
        pieces=[piece(columns.Words(), trades[:40], 0)],
    )
    writer = Writer(client)
    names = names_of(mixed.table, mixed.records, mixed.pieces)
    places = {(offset, *name) for offset, name in zip([*numbers, *range(40)], names, strict=True)}
    assert writer.stored(mixed) == set()
    assert len(places) == writer.insert(mixed) == 60
    assert writer.stored(mixed) == places
    # Taken apart though it is in: nothing is written again.
    how = poison.Insertion(writer.insert, stored=writer.stored, known={"0:0-60"})
    assert poison.insert(mixed._replace(epoch="again"), how) == (60, [], 0)
    assert len(rows(client, "named")) == 60
