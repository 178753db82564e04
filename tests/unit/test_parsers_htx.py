"""HTX packs every frame, counts both sides of a trade, and pings with strings."""

import gzip
import json

import pytest
from venues import FIXTURES, NO_FIXTURES, parsed, records, refused

ORDER = {
    "symbol": "DOGE",
    "contract_code": "DOGE-USDT",
    "direction": "sell",
    "offset": "close",
    "volume": 30,
    "price": 0.2,
    "created_at": 1_790_000_000_123,
    "amount": 3000,
    "trade_turnover": 600,
}
PRINT = {
    "amount": 1000,
    "ts": 1_790_000_000_123,
    "id": 17,
    "price": 80000,
    "direction": "sell",
    "quantity": 1,
    "trade_turnover": 80000,
}


def notice(*orders):
    return {
        "op": "notify",
        "topic": "public.*.liquidation_orders",
        "ts": 1_790_000_000_200,
        "data": list(orders),
    }


def tape(*items, symbol="BTC-USDT"):
    return {
        "ch": f"market.{symbol}.trade.detail",
        "ts": 1,
        "tick": {"id": 1, "ts": 1, "data": list(items)},
    }


def test_the_direction_is_the_orders():
    long, short = records("htx", None, notice(ORDER, ORDER | {"direction": "buy"}))
    assert (long.position_side, long.order_side) == ("long", "sell")
    assert (short.position_side, short.order_side) == ("short", "buy")


def test_what_kind_of_price_it_is_is_not_documented_so_none_is_told():
    (record,) = records("htx", None, notice(ORDER))
    assert (record.price, record.price_kind) == (None, None)
    assert (record.quantity, record.notional_usd, record.coverage) == (3000.0, 600.0, "unknown")


def test_inverse_contracts_are_a_hundred_dollars_of_btc_and_ten_of_others():
    for code, worth, instrument in (
        ("BTC-USD", 3000.0, "BTC-USD-PERP"),
        ("ETH-USD", 300.0, "ETH-USD-PERP"),
        ("BTC261225", 3000.0, "BTC-USD-261225"),
    ):
        order = {k: v for k, v in ORDER.items() if k not in ("amount", "trade_turnover")}
        (record,) = records("htx", None, notice(order | {"contract_code": code, "price": 100}))
        assert (record.notional_usd, record.quantity, record.instrument) == (
            worth,
            worth / 100,
            instrument,
        )


def test_the_amount_that_an_inverse_order_tells_is_not_taken_for_its_coins():
    (record,) = records(
        "htx", None, notice(ORDER | {"contract_code": "ETH-USD", "price": 100, "amount": 999})
    )
    assert (record.quantity, record.notional_usd) == (3.0, 300.0)


def test_half_of_a_trade_changed_hands():
    (trade,) = records("htx", None, tape(PRINT))
    assert (trade.quantity, trade.notional_usd) == (0.5, 40000.0)
    (trade,) = records(
        "htx",
        None,
        tape(
            {k: v for k, v in PRINT.items() if k not in ("quantity", "trade_turnover")},
            symbol="BTC-USD",
        ),
    )
    assert trade.notional_usd == 50_000.0


def test_a_print_without_a_direction_is_refused_and_its_neighbour_read():
    result = parsed("htx", None, tape(PRINT | {"direction": ""}, PRINT))
    assert len(result.records) == 1
    assert [r.field for r in result.refusals] == ["tick.data[0].direction"]


def test_a_linear_contract_of_unknown_size_is_refused_where_no_coins_are_told():
    bare = {k: v for k, v in PRINT.items() if k not in ("quantity", "trade_turnover")}
    assert refused("htx", None, tape(bare)) == ["tick.data[0].symbol"]
    (trade,) = records(
        "htx", None, tape(bare), {"data": [{"contract_code": "BTC-USDT", "contract_size": 0.001}]}
    )
    assert trade.quantity == 0.5


def test_a_packed_frame_is_unpacked():
    frame = gzip.compress(json.dumps(notice(ORDER)).encode())
    assert len(records("htx", None, frame)) == 1


@pytest.mark.parametrize(
    "frame",
    [
        b"\x1f\x8b",
        gzip.compress(b"{}")[:-9],
        b"\x1f\x8b" + b"x" * 50,
        gzip.compress(b" " * 20_000_000),
    ],
)
def test_a_broken_or_endless_member_is_refused(frame):
    for channel in (None, "trade.detail"):
        assert refused("htx", channel, frame) == [""]


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        (
            {
                "op": "sub",
                "cid": "liq",
                "topic": "public.*.liquidation_orders",
                "ts": 1,
                "err-code": 0,
            },
            0,
        ),
        (
            {
                "op": "sub",
                "topic": "public.BTC-USDT.liquidation_orders",
                "err-code": 2014,
                "err-msg": "Repeated subscription.",
            },
            0,
        ),
        (
            {
                "op": "sub",
                "topic": "public.X.liquidation_orders",
                "err-code": 2011,
                "err-msg": "Contract doesnt exist",
            },
            1,
        ),
        ({"op": "ping", "ts": "1791400320591"}, 0),
        ({"op": "close", "ts": 1791400345591}, 0),
        ({"ping": 18212558000}, 0),
        ({"id": "1", "subbed": "market.BTC-USDT.trade.detail", "ts": 1, "status": "ok"}, 0),
        (
            {
                "status": "error",
                "err-code": "bad-request",
                "err-msg": "invalid symbol nope",
                "id": "1",
            },
            1,
        ),
    ],
)
def test_replies_and_pings_are_control(frame, reasons):
    for channel in (None, "liquidation_orders", "trade.detail", "swap_open_interest"):
        result = parsed("htx", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_published_liquidations_read_as_their_contracts_mean():
    lines = (FIXTURES / "tardis_node_mapper_liquidation_msgs.jsonl").read_text().splitlines()
    frames = [row["raw"] for row in map(json.loads, lines) if "huobi" in row["test"]]
    parsed_records = [r for frame in frames for r in records("htx", None, frame)]
    assert [(r.instrument, r.position_side, r.notional_usd) for r in parsed_records] == [
        ("BTC-USD-200703", "long", 145_000.0),
        ("BTC-USD-200703", "short", 21_800.0),
        ("ETH-USD-PERP", "short", 2_310.0),
        ("BTC-USDT-PERP", "long", pytest.approx(5_300.5635, abs=1e-4)),
    ]
