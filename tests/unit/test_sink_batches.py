"""What the sink takes from many messages at once is what it takes from each."""

import json
from typing import Any

from confluent_kafka import Message

from schemas import codec
from schemas.market import Trade
from schemas.scan import trades
from schemas.status import FeedStatus
from sinks.clickhouse.rows import Coords, table_of, trade_table
from sinks.kafka import consumer
from sinks.kafka.membership import Buffer

NOW = 1_763_683_200_000_000
PLACE = ("trades", 2)
TRADE = {
    "type": "trade",
    "event_id": "1",
    "venue": "binance",
    "instrument": "BTC-USDT-PERP",
    "venue_symbol": "BTCUSDT",
    "asset": "BTC",
    "aggressor_side": "sell",
    "price": 90_000.5,
    "quantity": 0.25,
    "notional_usd": 22_500.125,
    "ts_event": NOW,
    "ts_recv": NOW + 1,
}
ALIVE = codec.encode(FeedStatus(producer="feed", state="alive", ts_event=NOW))
PAYLOADS = [
    json.dumps(TRADE).encode(),
    ALIVE,
    json.dumps(TRADE | {"notional_usd": 1.0}).encode(),
    json.dumps(TRADE | {"notional_usd": None}).encode(),
    json.dumps(TRADE | {"asset": "btc"}).encode(),
    json.dumps(TRADE | {"ts_event": NOW + 3_600_000_000, "ts_recv": NOW + 3_600_000_000}).encode(),
    json.dumps(
        [TRADE | {"event_id": "2"}, TRADE | {"price": -1}, TRADE | {"event_id": "3"}]
    ).encode(),
    b"[]",
    b"{",
    None,
]


def messages() -> list[Message]:
    return [
        Message(topic="trades", partition=2, offset=n, value=value, timestamp=(1, NOW // 1_000))
        for n, value in enumerate(PAYLOADS)
    ]


def taken(given: list[Message]) -> Buffer:
    buffer = Buffer("epoch", 0, 0.0)
    consumer._take(buffer, PLACE, given)
    return buffer


def rows(buffer: Buffer) -> list[dict[str, Any]]:
    coords = Coords(*PLACE, buffer.offsets)
    rows = trade_table(buffer.records, buffer.pieces, coords).to_pylist()
    return sorted(rows, key=lambda row: (row["kafka_offset"], row["event_id"]))


def test_trades_taken_together_are_those_taken_one_by_one() -> None:
    alone = Buffer("epoch", 0, 0.0)
    for message in messages():
        for record in consumer.stored(PLACE, message.offset() or 0, message):
            alone.records.append(record)
            alone.offsets.append(message.offset() or 0)
    together = taken(messages())
    assert rows(together) == rows(alone)
    assert [row["kafka_offset"] for row in rows(together)] == [0, 3, 6, 6]
    assert together.rows == 4
    assert sum(len(piece.offsets) for piece in together.pieces) == 2
    assert {table_of(record) for record in together.records} == {"trades"}


def test_without_the_scanner_the_sink_takes_the_same_rows(monkeypatch) -> None:
    together = taken(messages())
    monkeypatch.setattr(trades.SCANNER, "on", False)
    alone = taken(messages())
    assert not alone.pieces
    assert rows(alone) == rows(together)
    assert alone.rows == together.rows


def test_a_venue_may_call_one_instrument_by_several_symbols() -> None:
    named = [TRADE | {"event_id": str(n), "venue_symbol": f"BTC{n % 2}"} for n in range(4)]
    batches = taken(
        [
            Message(
                topic="trades",
                partition=2,
                offset=n,
                value=json.dumps(one).encode(),
                timestamp=(1, NOW // 1_000),
            )
            for n, one in enumerate(named)
        ]
    )
    assert batches.records == []
    assert [row["venue_symbol"] for row in rows(batches)] == ["BTC0", "BTC1", "BTC0", "BTC1"]
    assert {row["instrument"] for row in rows(batches)} == {"BTC-USDT-PERP"}


def test_an_array_gives_its_sound_trades_in_their_order() -> None:
    stored = consumer.stored(PLACE, 6, messages()[6])
    assert [r.event_id for r in stored if isinstance(r, Trade)] == ["2", "3"]
