"""Gate signs its sizes three ways; the WebSocket's way is not documented."""

import pytest
from venues import FIXTURES, NO_FIXTURES, parsed, records, refused

from streams.feeds import registry

ORDER = {"contract": "BTC_USDT", "price": "80000", "time": 1_790_000_000_123, "size": -100}
STEP = {
    "time": 1_790_000_000,
    "contract": "BTC_USDT",
    "size": 600,
    "order_size": -600,
    "order_price": "79000",
    "fill_price": "80000",
    "left": 0,
}
PRINT = {
    "contract": "BTC_USDT",
    "create_time": 1_790_000_000,
    "create_time_ms": 1_790_000_000_123,
    "id": 8,
    "price": "80000",
    "size": 50,
}


def update(channel, result, **more):
    return {
        "time": 1_790_000_000,
        "channel": f"futures.{channel}",
        "event": "update",
        "result": result,
    } | more


def liquidates(*orders):
    return update("public_liquidates", list(orders))


def test_whose_position_was_closed_is_unknown_until_learnt():
    for size in (-100, 100, "-100.0"):
        (record,) = records("gate", None, liquidates(ORDER | {"size": size}))
        assert (record.position_side, record.order_side) == ("unknown", None)
        assert record.quantity == 0.01


@pytest.mark.parametrize(
    ("sign", "closed"), [("order", ("long", "short")), ("position", ("short", "long"))]
)
def test_a_sign_that_was_learnt_is_used(sign, closed):
    known = registry.instruments_of("gate", {"BTC_USDT": {"quanto_multiplier": "0.0001"}}, "test")
    known.liquidation_sign = sign
    frame = b'{"channel":"futures.public_liquidates","event":"update","result":[{"contract":"BTC_USDT","price":"1","time":1790000000123,"size":-5},{"contract":"BTC_USDT","price":"1","time":1790000000123,"size":5}]}'
    result = registry.parse("gate", None, frame, known, 1_790_000_001_000_000)
    assert tuple(r.position_side for r in result.records) == closed


def test_a_bare_object_stands_for_an_array_and_either_name_for_the_time():
    for result in (
        ORDER,
        [ORDER],
        [{k: v for k, v in ORDER.items() if k != "time"} | {"time_ms": ORDER["time"]}],
    ):
        (record,) = records("gate", None, update("public_liquidates", result))
        assert record.ts_event == 1_790_000_000_123_000


def test_a_time_in_seconds_is_not_taken_for_milliseconds():
    (record,) = records("gate", None, liquidates(ORDER | {"time": 1_790_000_000}))
    assert record.ts_event == 1_790_000_000_000_000
    assert refused("gate", None, liquidates(ORDER | {"time": 1_790_000})) == ["result[0].time"]


def test_the_price_is_the_orders_and_no_fill():
    (record,) = records("gate", None, liquidates(ORDER))
    assert record.price_kind == "order_limit"


def test_the_feed_is_complete_since_the_20th_of_august_2026_only():
    before, after = records(
        "gate",
        None,
        liquidates(ORDER | {"time": 1_787_183_999_999}, ORDER | {"time": 1_787_184_000_000}),
    )
    assert (before.coverage, after.coverage) == ("latest_per_second", "full")


def test_nothing_closed_is_no_record_and_no_refusal():
    assert records("gate", None, liquidates(ORDER | {"size": 0})) == []
    assert records("gate", None, [STEP | {"left": -600}]) == []


def test_rest_steps_fill_the_order_not_the_position():
    (record,) = records("gate", None, [STEP | {"size": 9000, "order_size": -600, "left": -100}])
    assert (record.quantity, record.price, record.price_kind) == (0.05, 80000.0, "fill")
    assert (record.position_side, record.order_side) == ("long", "sell")
    (record,) = records("gate", None, [STEP | {"size": -165, "order_size": 165}])
    assert (record.position_side, record.order_side) == ("short", "buy")


def test_two_equal_steps_of_one_second_are_two():
    first, second = records("gate", None, [STEP, STEP])
    assert first.event_id != second.event_id


def test_the_tapes_sign_is_the_takers_and_internal_matches_are_no_prints():
    bought, sold = records(
        "gate",
        None,
        update(
            "trades",
            [PRINT, PRINT | {"id": 9, "size": -50}, PRINT | {"id": 10, "is_internal": True}],
        ),
    )
    assert (bought.aggressor_side, sold.aggressor_side) == ("buy", "sell")


def test_a_print_without_milliseconds_has_its_second():
    (record,) = records(
        "gate", None, update("trades", [{k: v for k, v in PRINT.items() if k != "create_time_ms"}])
    )
    assert record.ts_event == 1_790_000_000_000_000


def test_contracts_are_the_multipliers_of_the_metadata():
    for metadata in (
        {"BTC_USDT": {"quanto_multiplier": "0.001"}},
        [{"name": "BTC_USDT", "type": "direct", "quanto_multiplier": "0.001"}],
    ):
        (record,) = records("gate", None, update("trades", [PRINT]), metadata)
        assert record.quantity == 0.05


def test_inverse_contracts_are_a_dollar_each():
    (record,) = records(
        "gate", None, update("trades", [PRINT | {"contract": "BTC_USD", "size": 8000}])
    )
    assert (record.quantity, record.notional_usd) == (0.1, 8000.0)


def test_a_quanto_of_the_btc_endpoint_is_refused_as_its_worth_is_not_told():
    metadata = {"ETH_USD": {"type": "direct", "quanto_multiplier": "0.000001"}}
    assert refused("gate", None, update("trades", [PRINT | {"contract": "ETH_USD"}]), metadata) == [
        "result[0].symbol"
    ]


def test_a_contract_of_unknown_size_is_refused_with_a_hint():
    result = parsed("gate", None, update("trades", [PRINT | {"contract": "NOPE_USDT"}, PRINT]))
    assert len(result.records) == 1
    assert "--instruments" in result.refusals[0].reason


def test_stats_count_both_sides_and_tickers_one():
    (stats,) = records(
        "gate",
        None,
        update(
            "contract_stats", [{"time": 1_790_000_000, "contract": "BTC_USDT", "open_interest": 20}]
        ),
    )
    (ticker,) = records(
        "gate", None, update("tickers", [{"contract": "BTC_USDT", "total_size": "10"}])
    )
    assert (stats.sides, ticker.sides) == ("both", "one")
    assert stats.quantity == 2 * ticker.quantity


def test_an_array_within_an_array_is_opened():
    assert (
        len(
            records(
                "gate", None, update("tickers", [[{"contract": "BTC_USDT", "total_size": "10"}]])
            )
        )
        == 1
    )


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        (
            {
                "time": 1,
                "channel": "futures.trades",
                "event": "subscribe",
                "result": {"status": "success"},
            },
            0,
        ),
        (
            {
                "time": 1,
                "channel": "futures.trades",
                "event": "subscribe",
                "error": None,
                "result": {"status": "success"},
            },
            0,
        ),
        ({"time": 1, "channel": "futures.pong", "event": "", "error": None, "result": None}, 0),
        (
            {
                "time": 1,
                "channel": "futures.trades",
                "event": "subscribe",
                "error": {"code": 2, "message": "unknown contract"},
                "result": None,
            },
            1,
        ),
    ],
)
def test_replies_are_control(frame, reasons):
    for channel in registry.VENUES["gate"].channels:
        result = parsed("gate", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_recorded_trades_are_all_read():
    import gzip
    import json

    with gzip.open(FIXTURES / "tardis_node_mapper_all_raw.jsonl.gz", "rt") as lines:
        raw = [
            row["raw"]
            for row in map(json.loads, lines)
            if row["test"] == "map gate-io-futures messages"
        ]
    frames = [f for f in raw if f.get("channel") == "futures.trades" and f["event"] == "update"]
    parsed_records = [r for frame in frames for r in records("gate", None, frame)]
    assert len(parsed_records) == sum(len(f["result"]) for f in frames) > 4


def test_seconds_of_a_past_print_may_have_decimals():
    row = {"contract": "BTC_USDT", "id": 7, "price": "80000", "size": -5}
    (print_,) = records("gate", None, [row | {"create_time": 1_790_000_000.5}])
    assert print_.ts_event == 1_790_000_000_500_000
