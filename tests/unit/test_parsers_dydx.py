"""dYdX's tape names its forced prints; a subscription begins with days of old ones."""

import pytest
from venues import parsed, records, refused

PRINT = {
    "id": "a1",
    "side": "SELL",
    "size": "2",
    "price": "150",
    "type": "LIQUIDATED",
    "createdAt": "2026-09-21T14:13:20.123Z",
}


def message(*trades, kind="channel_data", market="SOL-USD"):
    return {
        "type": kind,
        "connection_id": "c",
        "message_id": 7,
        "id": market,
        "channel": "v4_trades",
        "contents": {"trades": list(trades)},
    }


@pytest.mark.parametrize(("side", "closed"), [("SELL", "long"), ("BUY", "short")])
def test_the_taker_of_a_forced_print_is_the_liquidation(side, closed):
    trade, forced = records("dydx", None, message(PRINT | {"side": side}))
    assert (forced.position_side, forced.order_side) == (closed, side.lower())
    assert (trade.aggressor_side, trade.quantity, forced.quantity) == (side.lower(), 2.0, 2.0)
    assert trade.event_id != forced.event_id


def test_an_ordinary_print_is_a_trade_alone_and_a_deleveraged_one_nothing():
    for kind in ("LIMIT", "MARKET"):
        assert len(records("dydx", None, message(PRINT | {"type": kind}))) == 1
    assert records("dydx", None, message(PRINT | {"type": "DELEVERAGED"})) == []


def test_the_reply_to_a_subscription_is_control_and_its_old_prints_are_history():
    result = parsed("dydx", None, message(PRINT, kind="subscribed"))
    assert (result.control, result.history, len(result.records)) == (True, True, 2)
    assert not parsed("dydx", None, message(PRINT)).history


def test_every_message_of_a_batch_is_read_and_a_bad_print_costs_itself():
    batch = message() | {
        "type": "channel_batch_data",
        "contents": [
            {"trades": [PRINT]},
            {"trades": [PRINT | {"id": "a2", "size": "x"}, PRINT | {"id": "a3"}]},
        ],
    }
    result = parsed("dydx", None, batch)
    assert [r.event_id.split(":")[2] for r in result.records if type(r).__name__ == "Trade"] == [
        "a1",
        "a3",
    ]
    assert [r.field for r in result.refusals] == ["trades[0].size"]


def test_a_market_that_anyone_listed_is_called_by_its_coin():
    (trade, _) = records(
        "dydx",
        None,
        message(PRINT, market="FARTCOIN,RAYDIUM,9BB6NFECJBCTNNLFKO2FQVQBQ8HHM13KCYYCDQBGPUMP-USD"),
    )
    assert trade.asset == "FARTCOIN"
    assert refused("dydx", None, message(PRINT, market="nonsense")) == ["symbol"]


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        ({"type": "connected", "connection_id": "c", "message_id": 0}, 0),
        (
            {
                "type": "unsubscribed",
                "connection_id": "c",
                "message_id": 3,
                "channel": "v4_trades",
                "id": "BTC-USD",
            },
            0,
        ),
        (
            {
                "type": "error",
                "message": "Invalid subscription",
                "connection_id": "c",
                "message_id": 1,
            },
            1,
        ),
    ],
)
def test_replies_are_control(frame, reasons):
    for channel in (None, "v4_trades", "v4_markets"):
        result = parsed("dydx", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


def test_positions_set_off_against_each_other_are_no_print_of_the_tape():
    assert records("dydx", None, message(PRINT | {"type": "OFFSETTING"})) == []


def test_a_pong_that_numbers_its_ping_is_control():
    assert parsed("dydx", None, {"type": "pong", "id": 1}).control
