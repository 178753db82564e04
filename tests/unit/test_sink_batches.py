"""What the sink takes from many messages at once is what it takes from each."""

import json

import msgspec
from confluent_kafka import Message

from schemas import codec
from schemas.market import Trade
from schemas.status import FeedStatus
from sinks import consumer
from sinks.rows import table_of

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


def test_trades_taken_together_are_those_taken_one_by_one() -> None:
    alone = [consumer.stored(PLACE, m.offset() or 0, m) for m in messages()]
    together = consumer._trades(PLACE, messages())
    as_rows = [[msgspec.to_builtins(record) for record in found] for found in together]
    assert as_rows == [[msgspec.to_builtins(record) for record in found] for found in alone]
    assert [len(found) for found in together] == [1, 0, 0, 1, 0, 0, 2, 0, 0, 0]
    assert {table_of(record) for found in together for record in found} == {"trades"}


def test_an_array_gives_its_sound_trades_in_their_order() -> None:
    found = consumer.stored(PLACE, 6, messages()[6])
    assert [r.event_id for r in found if isinstance(r, Trade)] == ["2", "3"]
