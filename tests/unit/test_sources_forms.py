"""What each form says and what it cannot tell: coverage, kind of price, side, units."""

import gzip
import json
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from schemas.market import Liquidation, OpenInterest, Trade
from schemas.onchain import WhaleTransfer
from schemas.status import DeadLetter
from streams.sources.open import SourceError, open_source

T = 1_740_614_400
TARDIS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"


def records(path: Path) -> list[Any]:
    return [record for _, record in open_source(path).items]


def one(path: Path, text: str | bytes) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    [record] = records(path)
    return record


# Archives


def test_bybit_s_archive_is_in_seconds_and_inverse_contracts_are_dollars(tmp_path: Path) -> None:
    header = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue\n"
    trade = one(
        tmp_path / "BTCUSD2025-02-27.csv.gz",
        gzip.compress((header + f"{T}.1235,BTCUSD,Sell,5000,50000,PlusTick,abc,1\n").encode()),
    )
    assert (trade.ts_event, trade.aggressor_side) == (T * 10**6 + 123_500, "sell")
    assert (trade.notional_usd, trade.quantity) == (5000.0, 0.1)
    assert trade.event_id == "bybit:BTCUSD:abc"  # as the live feed names it


def test_okx_s_archive_counts_contracts_and_takes_the_symbol_from_row_or_name(
    tmp_path: Path,
) -> None:
    header = "instrument_name,trade_id,side,price,size,created_time\n"
    trade = one(tmp_path / "a.csv", header + f"BTC-USDT-SWAP,7,buy,50000,3,{T}123\n")
    assert (trade.quantity, trade.event_id) == (pytest.approx(0.03), "okx:BTC-USDT-SWAP:7")
    # Its older files have headers of two languages, in GBK, and no symbol.
    older = "trade_id/撮合id,side/交易方向,size/数量,price/价格,created_time/成交时间\n".encode(
        "gbk"
    )
    row = f"7,SELL,3,50000,{T}123\n".encode()
    trade = one(tmp_path / "b" / "BTC-USDT-SWAP-trades-2022-05-01.csv", older + row)
    assert (trade.aggressor_side, trade.instrument) == ("sell", "BTC-USDT-PERP")


def test_gate_s_archive_tells_the_taker_by_the_sign_or_is_refused(tmp_path: Path) -> None:
    rows = [f"{T}.{n:06},{n},50000,{-100 if n else 30}\n" for n in range(2)]
    path = tmp_path / "BTC_USDT-202502.csv"
    path.write_text("".join(rows))
    bought, sold = records(path)
    assert (bought.aggressor_side, bought.quantity) == ("buy", pytest.approx(0.003))
    assert (sold.aggressor_side, sold.quantity) == ("sell", pytest.approx(0.01))
    path.write_text("".join(f"{T}.{n:06},{n},50000,5\n" for n in range(30)))
    with pytest.raises(SourceError, match="no size has a sign"):
        open_source(path)


def test_gate_s_mark_prices_are_not_taken_for_trades(tmp_path: Path) -> None:
    path = tmp_path / "BTC_USDT-202502.csv"
    path.write_text(f"{T},50000.1,50000.2,50000.3\n" * 3)
    with pytest.raises(SourceError, match="not a recording in a known form"):
        open_source(path)


def test_vision_s_metrics_are_open_interest_of_one_side(tmp_path: Path) -> None:
    header = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader\n"
    path = tmp_path / "BTCUSDT-metrics-2025-02-27.csv"
    reading = one(path, header + "2025-02-27 00:05:00,BTCUSDT,80000.5,7200000000,1\n")
    assert isinstance(reading, OpenInterest)
    assert (reading.quantity, reading.notional_usd, reading.sides) == (80_000.5, 7.2e9, "one")
    assert reading.ts_event == (T + 300) * 10**6


def test_vision_s_forced_orders_are_complete_until_binance_throttled_them(tmp_path: Path) -> None:
    header = (
        "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
        "last_fill_quantity,accumulated_fill_quantity\n"
    )
    path = tmp_path / "BTCUSDT-liquidationSnapshot-2021-04-01.csv"
    order = one(path, header + "1617235200000,SELL,LIMIT,IOC,2,58000,58500,FILLED,1,2\n")
    assert (order.coverage, order.price_kind, order.price) == ("full", "average_fill", 58_500)
    assert (order.position_side, order.notional_usd) == ("long", 117_000)
    order = one(path, header + "1640995200000,BUY,LIMIT,IOC,2,58000,0,FILLED,1,2\n")
    assert (order.coverage, order.price_kind) == ("latest_per_second", "order_limit")


def test_vision_s_raw_trades_have_ids_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-trades-2025-02-27.csv"
    trade = one(path, f"5,50000,0.1,5000,{T}000,true\n")
    assert (trade.event_id, trade.aggressor_side) == ("binance:BTCUSDT:raw:5", "sell")


def test_funding_rates_hold_no_record_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-fundingRate-2025-02.csv"
    path.write_text(f"calc_time,funding_interval_hours,last_funding_rate\n{T}000,8,0.0001\n")
    with pytest.raises(SourceError, match="holds no record: funding rates"):
        open_source(path)


# Tardis


@pytest.mark.parametrize(
    ("exchange", "symbol", "amount", "usd", "kind", "coverage"),
    [
        ("okex-swap", "BTC-USDT-SWAP", 3, 1500.0, "bankruptcy", "latest_per_second"),
        ("bitmex", "XBTUSD", 300, 300.0, "bankruptcy", "full"),
        ("deribit", "BTC-PERPETUAL", 300, 300.0, "fill", "full"),
        ("gate-io-futures", "BTC_USDT", 10, 50.0, "order_limit", "unknown"),
        ("huobi-dm-swap", "BTC-USD", 3, 300.0, None, "unknown"),
        ("cryptofacilities", "PI_XBTUSD", 300, 300.0, "fill", "full"),
        ("dydx-v4", "BTC-USD", 2, 100_000.0, "fill", "full"),
        ("bitfinex-derivatives", "BTCF0:USTF0", 2, 100_000.0, None, "full"),
    ],
)
def test_tardis_liquidations_are_in_each_venue_s_units_and_kind_of_price(
    tmp_path: Path, exchange: str, symbol: str, amount: float, usd: float, kind: Any, coverage: str
) -> None:
    row = f"{exchange},{symbol},{T}000000,{T}000009,,sell,50000,{amount}\n"
    order = one(tmp_path / f"{exchange}_liquidations.csv", TARDIS + row)
    assert isinstance(order, Liquidation)
    assert order.notional_usd == pytest.approx(usd)
    assert (order.price_kind, order.coverage) == (kind, coverage)
    assert (order.position_side, order.order_side) == ("long", "sell")
    assert (order.price is None) == (kind is None)


def test_a_derivative_ticker_tells_open_interest_once_while_it_stays(tmp_path: Path) -> None:
    header = (
        "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,"
        "predicted_funding_rate,open_interest,last_price,index_price,mark_price\n"
    )
    rows = "".join(
        f"bybit,BTCUSDT,{T + n}000000,{T + n}000009,,,,{amount},,,50000\n"
        for n, amount in enumerate((100, 100, "", 101))
    )
    path = tmp_path / "bybit_derivative_ticker.csv"
    path.write_text(header + rows)
    readings = records(path)
    assert [reading.quantity for reading in readings] == [100, 101]
    assert {reading.sides for reading in readings} == {"both"}


# Frames


def alert() -> dict[str, Any]:
    return {
        "type": "alert", "channel_id": "1", "timestamp": T, "blockchain": "bitcoin",
        "transaction_type": "transfer", "from": "unknown wallet", "to": "Binance",
        "amounts": [{"symbol": "BTC", "amount": 500, "value_usd": 25_000_000}], "text": "",
        "transaction": {"hash": "ab" * 32, "sub_transactions": []},
    }  # fmt: skip


def test_whale_alert_s_captures_and_answers_are_transfers(tmp_path: Path) -> None:
    transfer = one(tmp_path / "whales.jsonl", json.dumps(alert()) + "\n")
    assert isinstance(transfer, WhaleTransfer)
    assert (transfer.to_owner, transfer.notional_usd) == ("binance", 25_000_000)
    answer = {
        "result": "success", "cursor": "x", "count": 1, "transactions": [{
            "blockchain": "bitcoin", "symbol": "btc", "id": "1", "transaction_type": "transfer",
            "hash": "ab" * 32, "from": {"owner_type": "unknown"},
            "to": {"owner": "bitfinex", "owner_type": "exchange"}, "timestamp": T,
            "amount": 122.79, "amount_usd": 1_118_431.4,
        }],
    }  # fmt: skip
    for text in (json.dumps(answer), json.dumps(answer, indent=2)):
        transfer = one(tmp_path / "answer.json", text)
        assert (transfer.to_owner, transfer.quantity) == ("bitfinex", 122.79)


FRAME = {
    "stream": "btcusdt@aggTrade",
    "data": {"e": "aggTrade", "E": T * 1000, "s": "BTCUSDT", "a": 5, "p": "50000", "q": "0.5",
             "f": 1, "l": 1, "T": T * 1000, "m": False},
}  # fmt: skip
BOOK = {"stream": "btcusdt@depth", "data": {"e": "depthUpdate", "E": T * 1000, "s": "BTCUSDT"}}


@pytest.mark.parametrize(
    "line",
    [
        f"{T}000000900 {json.dumps(FRAME)}",
        f"{T}.0000009: {json.dumps(FRAME)}",
        f"2025-02-27T00:00:00.0000009Z {json.dumps(FRAME)}",
        json.dumps({"localTimestamp": "2025-02-27T00:00:00.000000900Z", "message": FRAME}),
        json.dumps({"exchange": "binance", "ts_recv": T * 10**6, "raw": json.dumps(FRAME)}),
        json.dumps([T * 10**6, FRAME]),
        json.dumps(FRAME),
    ],
)
def test_frames_are_read_with_receipt_before_around_or_without(tmp_path: Path, line: str) -> None:
    text = json.dumps(BOOK) + "\n" + line + "\n"
    trade = one(tmp_path / "capture.gz", gzip.compress(text.encode()))
    assert (trade.event_id, trade.ts_recv) == ("binance:BTCUSDT:5", T * 10**6)


def test_hftbacktest_s_nanoseconds_are_times_of_receipt(tmp_path: Path) -> None:
    text = "".join(f"{T + 1}123456789 {json.dumps(frame)}\n" for frame in (BOOK, FRAME))
    trade = one(tmp_path / "btcusdt_20250227.gz", gzip.compress(text.encode()))
    assert trade.ts_recv == (T + 1) * 10**6 + 123_456


def test_a_frame_without_any_time_is_refused(tmp_path: Path) -> None:
    order = {"table": "liquidation", "action": "insert", "data": [
        {"orderID": "a", "symbol": "XBTUSD", "side": "Sell", "price": 50000, "leavesQty": 10}]}  # fmt: skip
    letter = one(tmp_path / "bitmex.jsonl", json.dumps(order) + "\n")
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "neither the frame nor its line says a time"


def test_a_node_s_fills_in_lz4_are_prints_once_and_liquidations_once(tmp_path: Path) -> None:
    forced = {"liquidatedUser": "0xaa", "markPx": "50000", "method": "market"}
    fill = {
        "coin": "BTC", "px": "50000", "sz": "0.1", "time": T * 1000, "startPosition": "1",
        "dir": "Close Long", "closedPnl": "0", "hash": "0x", "oid": 1, "fee": "0", "tid": 9,
        "feeToken": "USDC", "liquidation": forced,
    }  # fmt: skip
    events = [
        ["0xaa", fill | {"side": "A", "crossed": True}],
        ["0xbb", fill | {"side": "B", "crossed": False}],
        ["0xbb", fill | {"side": "B", "crossed": True, "coin": "@107", "tid": 10}],
    ]
    block = {"local_time": "2025-02-27T00:00:00.123456789", "block_time": "", "events": events}
    path = tmp_path / "node_fills.lz4"
    path.write_bytes(lz4.frame.compress((json.dumps(block) + "\n").encode()))
    trade, order = records(path)
    assert isinstance(trade, Trade)
    assert (trade.aggressor_side, trade.ts_recv) == ("sell", T * 10**6 + 123_456)
    assert (order.position_side, order.coverage, order.price_kind) == ("long", "full", "fill")


# Sums and tables


def test_coinalyze_is_sums_in_coins_at_the_end_of_their_interval(tmp_path: Path) -> None:
    history = [{"t": T + 3600 * n, "l": 0.5 * n, "s": 2.0} for n in range(2)]
    path = tmp_path / "answer.json"
    path.write_text(json.dumps([{"symbol": "BTCUSDT_PERP.A", "history": history}]))
    short, long, last = records(path)
    assert (short.position_side, short.quantity, short.notional_usd) == ("short", 2.0, None)
    assert (short.coverage, short.venue, short.price) == ("unknown", "binance", None)
    assert short.ts_event == (T + 3600) * 10**6 - 1
    assert {long.position_side, last.position_side} == {"long", "short"}


def test_a_table_of_venues_keeps_no_price_and_bybit_s_buy_has_no_side(tmp_path: Path) -> None:
    header = "exchange,symbol,side,quantity,price,timestamp\n"
    order = one(tmp_path / "a-liquidations.csv", header + f"binance,BTCUSDT,SELL,1,50000,{T}000\n")
    assert (order.position_side, order.price, order.notional_usd) == ("long", None, 50_000)
    order = one(tmp_path / "b-liquidations.csv", header + f"bybit,BTCUSDT,Buy,1,50000,{T}000\n")
    assert (order.position_side, order.order_side) == ("unknown", None)
    order = one(tmp_path / "c-liquidations.csv", header + f"bybit,BTCUSDT,long,1,50000,{T}000\n")
    assert order.position_side == "long"


def test_a_local_time_beside_sqlite_s_own_is_put_right(tmp_path: Path) -> None:
    header = "timestamp,exchange,symbol,side,quantity,price,created_at\n"
    row = "2025-02-27 03:00:01.500000,binance,BTCUSDT,sell,1,50000,2025-02-27 00:00:04\n"
    order = one(tmp_path / "liqs.csv", header + row)
    assert order.ts_event == order.ts_recv == T * 10**6 + 1_500_000


def test_lending_tells_no_order_side_and_compound_no_collateral(tmp_path: Path) -> None:
    header = "timestamp,owner,collateral,debt,price,collateralRatio,mode,transaction\n"
    order = one(tmp_path / "liquity.csv", header + f"{T},0xaa,2,3000,1800,1.1,normal,0xbb\n")
    assert (order.asset, order.price_kind, order.notional_usd) == ("ETH", "mark", 3600)
    assert (order.position_side, order.order_side) == ("long", None)
    header = "chain,comet,date,timestamp,tx_hash,borrower,value_liquidated_usd\n"
    order = one(tmp_path / "compound.csv", header + f"Base,cUSDCv3,x,{T},0x1,0x2,120.5\n")
    assert (order.asset, order.position_side, order.quantity) == ("USDC", "unknown", None)
    assert order.notional_usd == 120.5


def test_a_source_says_from_when_to_when_it_is_so_that_progress_can_be_shown(
    tmp_path: Path,
) -> None:
    rows = "".join(f"{n},50000,0.1,{n},{n},{(T + n) * 1000},false\n" for n in range(3_000))
    (tmp_path / "BTCUSDT-aggTrades-2025-02.csv").write_text(rows)
    first, last = open_source(tmp_path).span or (0, 0)
    assert first == T * 10**6
    assert last > (T + 2_000) * 10**6


def test_a_file_longer_than_many_windows_that_runs_backwards_is_sorted_and_said(
    tmp_path: Path,
) -> None:
    rows = [f"{n},50000,0.1,{n},{n},{(T + n) * 1000},false\n" for n in range(25_000)]
    (tmp_path / "BTCUSDT-aggTrades-2025-02.csv").write_text("".join(reversed(rows)))
    source = open_source(tmp_path)
    assert "sorted by time: BTCUSDT-aggTrades-2025-02.csv" in source.name
    times = [record.ts_recv for _, record in source.items]  # type: ignore[attr-defined]
    assert times == sorted(times)
    assert len(times) == 25_000


def test_a_row_s_own_symbol_goes_before_the_file_s_name(tmp_path: Path) -> None:
    header = "symbol,agg_trade_id,price,quantity,transact_time,is_buyer_maker\n"
    rows = "".join(
        f"{s},{n},50,0.1,{T + n}000,false\n" for n, s in enumerate(("ETHUSDT", "solusdt"))
    )
    path = tmp_path / "all-aggTrades-2025.csv"
    path.write_text(header + rows)
    assert [trade.asset for trade in records(path)] == ["ETH", "SOL"]
