"""Kraken counts dollars on some futures and coins on others, and calls BTC XBT."""

import pytest
from venues import FIXTURES, NO_FIXTURES, parsed, records, refused

PRINT = {
    "feed": "trade",
    "product_id": "PI_XBTUSD",
    "uid": "u-1",
    "side": "sell",
    "type": "fill",
    "seq": 1,
    "time": 1_790_000_000_123,
    "qty": 40000,
    "price": 80000,
}


@pytest.mark.parametrize(("side", "closed"), [("sell", "long"), ("buy", "short")])
def test_the_taker_of_a_forced_print_is_the_liquidation(side, closed):
    trade, forced = records("kraken", None, PRINT | {"type": "liquidation", "side": side})
    assert (trade.aggressor_side, forced.position_side, forced.order_side) == (side, closed, side)


def test_only_the_inverse_futures_count_dollars():
    for product, quantity in (
        ("PI_XBTUSD", 0.5),
        ("FI_XBTUSD_261225", 0.5),
        ("PF_XBTUSD", 40000.0),
        ("FF_XBTUSD_261225", 40000.0),
    ):
        (trade,) = records(
            "kraken", None, PRINT | {"product_id": product, "price": 80000, "qty": 40000}
        )
        assert trade.quantity == quantity
        assert trade.asset == "BTC"


def test_assignments_and_terminations_are_no_prints_and_blocks_are():
    for kind, count in (("assignment", 0), ("termination", 0), ("block", 1)):
        assert len(records("kraken", None, PRINT | {"type": kind})) == count


def test_a_snapshot_is_history_and_a_bad_print_in_it_costs_itself():
    snapshot = {
        "feed": "trade_snapshot",
        "product_id": "PI_XBTUSD",
        "trades": [PRINT, PRINT | {"qty": -1}, PRINT | {"uid": "u-2"}],
    }
    result = parsed("kraken", None, snapshot)
    assert result.history
    assert len(result.records) == 2
    assert [r.field for r in result.refusals] == ["trades[1].qty"]


def test_an_index_is_no_future():
    assert refused("kraken", None, PRINT | {"product_id": "IN_XBTUSD"}) == ["symbol"]


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        ({"event": "info", "version": 1}, 0),
        ({"event": "subscribed", "feed": "trade", "product_ids": ["PF_XBTUSD"]}, 0),
        ({"feed": "heartbeat", "time": 1_534_262_350_627}, 0),
        ({"event": "alert", "message": "Bad request"}, 1),
        ({"event": "error", "message": "Json Error"}, 1),
    ],
)
def test_replies_are_control(frame, reasons):
    for channel in (None, "trade", "ticker"):
        result = parsed("kraken", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_a_recorded_session_of_2021_is_read_whole():
    lines = (FIXTURES / "cryptofeed" / "KRAKEN_FUTURES.ws.1.0.trades.txt").read_text().splitlines()
    results = [parsed("kraken", None, x.split(": ", 1)[1].encode()) for x in lines if "<-" not in x]
    assert not any(result.refusals for result in results)
    parsed_records = [record for result in results for record in result.records]
    assert len(parsed_records) > 500
    assert all(
        r.notional_usd == pytest.approx(r.price * r.quantity, rel=1e-6) for r in parsed_records
    )


def test_dollars_too_few_to_be_any_coins_are_refused():
    assert refused("kraken", "trade", PRINT | {"qty": 1e-320}) == ["quantity"]
