"""A small file of every form of recording: a name, its lines, and what it holds."""

import json
from collections.abc import Callable
from typing import NamedTuple

START = 1_740_614_400
MS, US = 1000, 1_000_000


class Form(NamedTuple):
    """`header` lines stand above `rows`, a time-ordered list; `named` forms need their name."""

    name: str
    header: str
    rows: list[str]
    named: bool


def made(
    name: str, header: str, row: Callable[[int], str], count: int = 40, named: bool = False
) -> Form:
    """Return a form whose k-th row is `row(k)`, two of them a second."""
    return Form(name, header, [row(k) for k in range(count)], named)


def at(k: int) -> float:
    return START + k / 2


def _trade(k: int) -> str:
    return json.dumps(
        {
            "type": "trade", "event_id": f"okx:BTC:{k}", "venue": "okx",
            "instrument": "BTC-USDT-PERP", "venue_symbol": "BTC-USDT-SWAP", "asset": "BTC",
            "aggressor_side": "buy", "price": 100.0 + k, "quantity": 1.0,
            "notional_usd": 100.0 + k, "ts_event": int(at(k) * US), "ts_recv": int(at(k) * US) + 900,
        }
    )  # fmt: skip


def _frame(k: int) -> str:
    ms = int(at(k) * MS)
    data = [{"T": ms, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": str(100 + k)}]
    frame = {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": ms, "data": data}
    return f"{int(at(k) * US) + 900} {json.dumps(frame)}"


def _fill(k: int) -> str:
    fill = {
        "coin": "BTC", "px": str(100 + k), "sz": "0.5", "side": "B", "time": int(at(k) * MS),
        "startPosition": "0", "dir": "Open Long", "closedPnl": "0", "hash": "0x0", "oid": k,
        "crossed": True, "fee": "0", "tid": 1000 + k, "feeToken": "USDC",
    }  # fmt: skip
    block = {"local_time": f"{_iso(k)}", "block_time": _iso(k), "block_number": k}
    return json.dumps(block | {"events": [["0x" + "a" * 40, fill]]})


def _iso(k: int) -> str:
    seconds = int(at(k)) - START
    return f"2025-02-27T00:{seconds // 60:02}:{seconds % 60:02}.{500_000 * (k % 2):06}"


def _raw(k: int) -> str:
    return f"{int(at(k) * US) + 900}\tbybit\tc-1\tallLiquidation\t{_frame(k).split(' ', 1)[1]}"


TARDIS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
FORMS = {
    "own dump": made("trades.ndjson", "", _trade),
    "own dump of another name": made("mine.jsonl", "", _trade),
    "raw frames": made("frames-1.txt", "", _raw),
    "captured frames": made("bybit.jsonl", "", _frame),
    "node fills": made("fills.jsonl", "", _fill),
    "aggTrades": made(
        "BTCUSDT-aggTrades-2025-02-27.csv",
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        lambda k: f"{k},{100 + k},0.5,{k},{k},{int(at(k) * MS)},false",
        named=True,
    ),
    "vision trades": made(
        "BTCUSDT-trades-2025-02-27.csv",
        "id,price,qty,quote_qty,time,is_buyer_maker",
        lambda k: f"{k},{100 + k},0.5,50,{int(at(k) * MS)},true",
        named=True,
    ),
    "metrics": made(
        "BTCUSDT-metrics-2025-02-27.csv",
        "create_time,symbol,sum_open_interest,sum_open_interest_value,a,b,c,d",
        lambda k: f"2025-02-27 00:{k:02}:00,BTCUSDT,{1000 + k},{100_000 + k},1,1,1,1",
        named=True,
    ),
    "liquidationSnapshot": made(
        "BTCUSDT-liquidationSnapshot-2025-02-27.csv",
        "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
        "last_fill_quantity,accumulated_fill_quantity",
        lambda k: f"{int(at(k) * MS)},SELL,LIMIT,IOC,0.5,{100 + k},{101 + k},FILLED,0.5,0.5",
        named=True,
    ),
    "klines": made(
        "BTCUSDT-um-1m-2025-02.csv",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore",
        lambda k: f"{(START + 60 * k) * MS},1,2,1,2,10,{(START + 60 * k + 59) * MS},15,3,4,6,0",
        named=True,
    ),
    "recorder's orders": made(
        "binance.csv",
        "",
        lambda k: f"BTC,SELL,LIMIT,IOC,0.5,{100 + k},{101 + k},FILLED,0.5,0.5,{int(at(k) * MS)}",
    ),
    "recorder's prints": made(
        "binance_trades.csv",
        "",
        lambda k: f"{int(at(k) * MS) + 9}, BTCUSDT, {k}, {100 + k}, 0.5, {int(at(k) * MS)}, False",
    ),
    "Bybit": made(
        "BTCUSDT2025-02-27.csv",
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,x",
        lambda k: f"{at(k):.4f},BTCUSDT,Sell,0.5,{100 + k},ZeroMinusTick,id-{k},1,1,1",
    ),
    "OKX": made(
        "BTC-USDT-SWAP-trades-2025-02-27.csv",
        "instrument_name,trade_id,side,price,size,created_time",
        lambda k: f"BTC-USDT-SWAP,{k},buy,{100 + k},5,{int(at(k) * MS)}",
    ),
    "Gate": made(
        "BTC_USDT-202502.csv",
        "",
        lambda k: f"{at(k):.6f},{1000 + k},{100 + k},{-5 if k % 2 else 7}",
        named=True,
    ),
    "Tardis trades": made(
        "bybit_trades_2025-02-27_BTCUSDT.csv",
        TARDIS,
        lambda k: f"bybit,BTCUSDT,{int(at(k) * US)},{int(at(k) * US) + 9},id{k},buy,{100 + k},0.5",
        named=True,
    ),
    "Tardis liquidations": made(
        "deribit_liquidations_2025-02-27.csv",
        TARDIS,
        lambda k: (
            f"deribit,BTC-PERPETUAL,{int(at(k) * US)},{int(at(k) * US) + 9},,sell,{100 + k},50"
        ),
        named=True,
    ),
    "Tardis derivative_ticker": made(
        "okex-swap_derivative_ticker_2025-02-27.csv",
        "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,"
        "predicted_funding_rate,open_interest,last_price,index_price,mark_price",
        lambda k: (
            f"okex-swap,BTC-USDT-SWAP,{int(at(k) * US)},{int(at(k) * US) + 9},,,,{1000 + k},,,99"
        ),
    ),
    "Coinalyze": made(
        "BTCUSDT_PERP.A_liquidation-history.csv",
        "",
        lambda k: f"2025-02-{1 + k // 24:02} {k % 24:02}:00:00,{1 + k / 8},{2 + k / 8}",
        named=True,
    ),
    "Coinalyze, wide": made(
        "wide.csv",
        "t,BTCUSDT_PERP.A_longliq,BTCUSDT_PERP.A_shortliq,ETHUSDT_PERP.A_longliq",
        lambda k: f"2025-{1 + k // 28:02}-{1 + k % 28:02},{1 + k},{2 + k},{3 + k}",
    ),
    "Aave": made(
        "aave.csv",
        "timestamp,date,collateral_key,collateral_symbol,version,liquidatee,liquidator,"
        "amount_tokens,amount_usd",
        lambda k: f"{START + k},2025-02-27,wbtc,wBTC,V3,0xaa{k},0xbb,{1 + k / 8},{1000 + k}",
    ),
    "Compound": made(
        "compound.csv",
        "chain,comet,date,timestamp,tx_hash,borrower,value_liquidated_usd",
        lambda k: f"Base,cUSDCv3,2025-02-27,{START + k},0x{k:064x},0xaa,{1000 + k}",
    ),
    "liquidations of venues": made(
        "liquidations.csv",
        "exchange,symbol,side,quantity,price,timestamp",
        lambda k: f"binance,BTCUSDT,SELL,0.5,{100 + k},{int(at(k) * MS)}",
        named=True,
    ),
    "trades of venues": made(
        "trades.csv",
        "exchange,symbol,side,amount,price,timestamp,id,receipt_timestamp",
        lambda k: f"OKX,BTC-USDT-PERP,sell,5,{100 + k},{at(k)},{k},{at(k) + 0.2}",
        named=True,
    ),
    "BitMEX's archive": made(
        "20250227.csv",
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID",
        lambda k: f"{_iso(k).replace('T', 'D')}000,XBTUSD,Sell,100,{100 + k},MinusTick,m{k}",
    ),
    "Gate's liq_orders": made(
        "liq_orders.csv",
        "time,contract,size,order_size,order_price,fill_price,left",
        lambda k: f"{int(at(k))},BTC_USDT,{20 + k},{-20 - k},100,{99 + k},0",
    ),
    "open interest of venues": made(
        "oi.csv",
        "timestamp,venue,coin,oi_usd",
        lambda k: f"2025-02-27 00:{k:02}:00+00:00,binance,BTC,{1_000_000 + k}",
    ),
    "Hyperliquid 2023": made(
        "non_mm_trades.csv",
        "time,user,coin,side,px,sz,crossed",
        lambda k: f"2025-02-27T00:{k // 60:02}:{k % 60:02}Z,0xaa,BTC,Bid,{100 + k},0.5,true",
    ),
    "Krishna": made(
        "liqs.csv",
        "s,liq_amount,S,q,funding_rate,time",
        lambda k: f"BTCUSDT,{31_000 + k},SELL,2,0.01,{_iso(k).replace('T', ' ')}+00:00",
    ),
}
