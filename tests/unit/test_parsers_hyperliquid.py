"""Hyperliquid tells of liquidations only in users' fills, half of which are the other side's."""

import gzip
import json

import pytest
from venues import FIXTURES, parsed, records, refused

FILL = {
    "coin": "ETH", "px": "2500", "sz": "2", "side": "A", "time": 1_790_000_000_123, "tid": 5,
    "dir": "Close Long", "hash": "0x1", "oid": 1,
    "liquidation": {"liquidatedUser": "0xbb", "markPx": "2501", "method": "market"},
}  # fmt: skip
PRINT = {
    "coin": "BTC",
    "side": "B",
    "px": "80000",
    "sz": "0.5",
    "time": 1_790_000_000_123,
    "tid": 7,
}


def fills(*items, user="0xbb", **more):
    return {"channel": "userFills", "data": {"user": user, "fills": list(items)} | more}


def test_the_victims_own_fill_keeps_its_side():
    (record,) = records("hyperliquid", None, fills(FILL))
    assert (record.position_side, record.order_side) == ("long", "sell")


def test_the_counterpartys_fill_flips_the_side():
    for side, closed in (("A", "short"), ("B", "long")):
        (record,) = records("hyperliquid", None, fills(FILL | {"side": side}, user="0xcc"))
        assert record.position_side == closed


def test_addresses_are_compared_without_regard_to_capitals():
    (record,) = records("hyperliquid", None, fills(FILL, user="0xBB"))
    assert record.position_side == "long"


def test_of_a_backstop_the_direction_tells():
    forced = FILL["liquidation"] | {"method": "backstop"}
    for words, closed in (
        ("Liquidated Cross Long", "long"),
        ("Liquidated Isolated Short", "short"),
    ):
        fill = FILL | {"dir": words, "side": "B", "liquidation": forced}
        (record,) = records("hyperliquid", None, fills(fill, user="0xcc"))
        assert record.position_side == closed


def test_both_parties_fills_of_one_liquidation_have_one_identity():
    (victims,) = records("hyperliquid", None, fills(FILL))
    (others,) = records("hyperliquid", None, fills(FILL | {"side": "B"}, user="0xcc"))
    assert victims.event_id == others.event_id
    assert victims.position_side == others.position_side


def test_one_hash_may_name_several_victims():
    first, second = records("hyperliquid", None, fills(FILL, FILL | {"tid": 6}))
    assert first.event_id != second.event_id


def test_a_fill_without_a_liquidation_is_on_the_tape_already():
    assert (
        records("hyperliquid", None, fills({k: FILL[k] for k in FILL if k != "liquidation"})) == []
    )
    assert records("hyperliquid", None, fills(FILL | {"liquidation": None})) == []


def test_a_snapshot_of_fills_is_history():
    assert parsed("hyperliquid", None, fills(FILL, isSnapshot=True)).history
    assert not parsed("hyperliquid", None, fills(FILL)).history


def test_a_zero_hash_is_an_ordinary_print():
    frame = {"channel": "trades", "data": [PRINT | {"hash": "0x" + "0" * 64}]}
    (record,) = records("hyperliquid", None, frame)
    assert (record.aggressor_side, record.quantity) == ("buy", 0.5)


def test_k_stands_for_a_thousand_and_a_dex_for_itself():
    frame = {
        "channel": "trades",
        "data": [PRINT | {"coin": c} for c in ("kBONK", "KAS", "xyz:CRWV")],
    }
    bonk, kas, stock = records("hyperliquid", None, frame)
    assert (bonk.asset, bonk.quantity) == ("BONK", 500.0)
    assert (kas.asset, kas.quantity) == ("KAS", 0.5)
    assert (stock.asset, stock.venue_symbol) == ("CRWV", "xyz:CRWV")


def test_spot_pairs_are_refused_and_their_neighbours_read():
    frame = {
        "channel": "trades",
        "data": [PRINT | {"coin": "@107"}, PRINT, PRINT | {"coin": "PURR/USDC"}],
    }
    result = parsed("hyperliquid", None, frame)
    assert [r.asset for r in result.records] == ["BTC"]
    assert [r.field for r in result.refusals] == ["data[0].symbol", "data[2].symbol"]


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        ({"channel": "subscriptionResponse", "data": {"method": "subscribe"}}, 0),
        ({"channel": "pong"}, 0),
        ({"channel": "error", "data": "Error parsing JSON into valid websocket request"}, 1),
    ],
)
def test_replies_are_control(frame, reasons):
    for channel in (None, "trades", "userFills", "activeAssetCtx"):
        result = parsed("hyperliquid", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


def test_another_channel_is_refused():
    assert refused("hyperliquid", "userFills", {"channel": "trades", "data": [PRINT]}) == [
        "channel"
    ]
    assert refused("hyperliquid", None, {"channel": "l2Book", "data": {}}) == ["channel"]


NODE_FILLS = FIXTURES.parent / "hyperliquid_node_fills_2025-10-27" / "node_fills.jsonl.gz"


@pytest.mark.skipif(not NODE_FILLS.is_file(), reason=f"no recorded fills at {NODE_FILLS}")
def test_of_a_recorded_liquidation_both_parties_fills_say_the_same():
    with gzip.open(NODE_FILLS, "rt") as lines:
        events = [event for line in lines for event in json.loads(line)["events"]]
    forced = [(user, fill) for user, fill in events if fill.get("liquidation")]
    parsed_records = [
        r for user, fill in forced for r in records("hyperliquid", None, fills(fill, user=user))
    ]
    assert [(r.asset, r.position_side, r.order_side) for r in parsed_records] == [
        ("WLFI", "short", "buy")
    ] * 2
    assert len({r.event_id for r in parsed_records}) == 1


def test_fills_of_nobody_named_have_no_side():
    fill = {
        "coin": "BTC",
        "px": "80000",
        "sz": "0.5",
        "side": "A",
        "time": 1_790_000_000_123,
        "startPosition": "0.5",
        "dir": "Close Long",
        "oid": 56,
        "tid": 6,
        "liquidation": {"liquidatedUser": "0x7777", "markPx": "80001", "method": "market"},
    }
    frame = {"channel": "userFills", "data": {"fills": [fill]}}
    assert refused("hyperliquid", "userFills", frame) == ["data.fills[0].liquidation"]


def test_the_servers_first_words_are_control():
    for channel in (None, "trades", "userFills", "activeAssetCtx"):
        result = parsed("hyperliquid", channel, b"Websocket connection established.")
        assert (result.control, result.refusals) == (True, [])
