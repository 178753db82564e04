"""Bitfinex tells of each liquidation more than once, in arrays that do not say what they are of."""

import json

import pytest
from venues import FIXTURES, NO_FIXTURES, RECV, parsed, records, refused

from streams.feeds import registry

TRIGGER = [
    "pos",
    171,
    1_790_000_000_123,
    None,
    "tSOLF0:USTF0",
    31.5,
    160.02,
    None,
    0,
    1,
    None,
    None,
]


def changed(place, value):
    return [*TRIGGER[:place], value, *TRIGGER[place + 1 :]]


def session(*frames):
    known = registry.bundled("bitfinex").of_connection()
    return [registry.parse("bitfinex", None, json.dumps(f).encode(), known, RECV) for f in frames]


def test_the_trigger_is_counted_and_never_a_match():
    (record,) = records("bitfinex", None, [91684, [TRIGGER]])
    assert (record.position_side, record.order_side, record.quantity) == ("long", "sell", 31.5)
    assert records("bitfinex", None, [91684, [changed(8, 1)]]) == []


def test_a_position_below_one_coin_keeps_its_side():
    for amount, side in ((0.5, "long"), (-0.5, "short"), (1, "long"), (-1, "short")):
        (record,) = records("bitfinex", None, [91684, [changed(5, amount)]])
        assert record.position_side == side


def test_the_entry_price_is_no_fill():
    (record,) = records("bitfinex", None, [91684, [TRIGGER]])
    assert (record.price, record.price_kind, record.notional_usd) == (None, None, None)


def test_what_the_system_took_sold_nothing_in_the_market():
    (record,) = records("bitfinex", None, [91684, [changed(9, 0)]])
    assert (record.position_side, record.order_side) == ("long", None)


def test_arrays_may_have_grown_at_the_end():
    assert len(records("bitfinex", None, [91684, [[*TRIGGER, "new", None]]])) == 1
    assert len(records("bitfinex", None, [91684, [TRIGGER], 7, 1_790_000_000_200])) == 1


def test_a_channels_number_is_what_the_reply_said_and_every_connections_own():
    reply = {"event": "subscribed", "channel": "trades", "chanId": 23916, "symbol": "tBTCF0:USTF0"}
    executed = [23916, "te", [45, 1_790_000_000_123, -0.5, 80000]]
    acknowledged, parsed_records, again = session(reply, executed, [23916, "tu", executed[2]])
    assert acknowledged.control
    assert [r.venue_symbol for r in parsed_records.records] == ["tBTCF0:USTF0"]
    assert (again.records, again.refusals) == ([], [])
    (unknown,) = session(executed)
    assert "channel 23916" in unknown.refusals[0].reason


def test_a_snapshot_of_prints_is_history():
    reply = {"event": "subscribed", "channel": "trades", "chanId": 1, "symbol": "tBTCF0:USTF0"}
    rows = [
        [44, 1_790_000_000_123, 0.5, 80000],
        [45, "x", 0.5, 80000],
        [46, 1_790_000_000_124, -1, 80000],
    ]
    _, parsed_records = session(reply, [1, rows])
    assert parsed_records.history
    assert [r.aggressor_side for r in parsed_records.records] == ["buy", "sell"]
    assert [r.field for r in parsed_records.refusals] == ["1[1].1"]


def test_a_spot_pair_is_not_followed():
    assert refused("bitfinex", None, [91684, [changed(4, "tBTCUSD")]]) == ["1[0].symbol"]


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        ({"event": "info", "version": 2, "platform": {"status": 1}}, 0),
        ({"event": "info", "code": 20051}, 0),
        ({"event": "subscribed", "channel": "status", "chanId": 91684, "key": "liq:global"}, 0),
        ({"event": "pong", "cid": 1, "ts": 1}, 0),
        ({"event": "error", "msg": "symbol: invalid", "code": 10300, "symbol": "tNOPE"}, 1),
        ([91684, "hb"], 0),
        ([91684, "hb", 3603, 1_569_715_249_702], 0),
    ],
)
def test_replies_and_heartbeats_are_control(frame, reasons):
    for channel in (None, "liq", "trades", "deriv"):
        result = parsed("bitfinex", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_of_published_liquidations_the_trigger_counts():
    lines = (FIXTURES / "tardis_node_mapper_liquidation_msgs.jsonl").read_text().splitlines()
    frames = [row["raw"] for row in map(json.loads, lines) if "bitfinex" in row["test"]]
    parsed_records = [r for frame in frames for r in records("bitfinex", None, frame)]
    assert [(r.instrument, r.position_side, r.quantity) for r in parsed_records] == [
        ("BTC-USDT-PERP", "long", 0.00268657)
    ]


def test_liquidations_of_paper_trading_are_refused():
    paper = [*TRIGGER[:4], "tTESTBTCF0:TESTUSDTF0", *TRIGGER[5:]]
    result = parsed("bitfinex", "liq", [91684, [paper, TRIGGER]])
    assert len(result.records) == 1
    assert "paper trading" in result.refusals[0].reason
