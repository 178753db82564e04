"""What we make of each venue's frames: a table to be reviewed beside the venue's documentation.

Frames have the venues' shapes and our own numbers. Each row: venue, channel, what it shows, the
frame, and of every record the fields that a venue can get wrong. Metadata, where given, is the
venue's own; else the bundled snapshot answers. `symbol`: what an answer of REST was asked for.
"""

from typing import Any, NamedTuple


class Row(NamedTuple):
    """One frame and its records: kind, then the fields by name."""

    venue: str
    channel: str
    what: str
    frame: str
    records: list[dict[str, Any]]
    metadata: dict[str, Any] | None = None
    symbol: str = ""

    @property
    def fills_gaps(self) -> bool:
        """Say whether the frame is an answer of REST beside a stream that tells the same."""
        return self.what.startswith(("REST", "get_")) and self.channel != "liq_orders"


def _forced(
    side: str, quantity: Any, price: Any, kind: Any, usd: Any, at: int, **more: Any
) -> dict:
    """Expect a liquidation of a `side` position, `at` in milliseconds."""
    order = {"long": "sell", "short": "buy"}.get(side)
    return {
        "type": "liquidation", "position_side": side, "order_side": order, "quantity": quantity,
        "price": price, "price_kind": kind, "notional_usd": usd, "ts_event": at * 1000, **more,
    }  # fmt: skip


def _trade(side: str, quantity: Any, price: Any, usd: Any, at: int, **more: Any) -> dict:
    """Expect a print that a taker's `side` made, `at` in milliseconds."""
    return {
        "type": "trade", "aggressor_side": side, "quantity": quantity, "price": price,
        "notional_usd": usd, "ts_event": at * 1000, **more,
    }  # fmt: skip


def _open(quantity: Any, sides: str, usd: Any, at: int, **more: Any) -> dict:
    """Expect a reading of open interest, `at` in milliseconds."""
    return {
        "type": "open_interest", "quantity": quantity, "sides": sides, "notional_usd": usd,
        "ts_event": at * 1000, **more,
    }  # fmt: skip


def _mark(price: Any, at: int, **more: Any) -> dict:
    """Expect a mark price, `at` in milliseconds."""
    return {
        "type": "mark_price",
        "price": price,
        "price_kind": "mark",
        "ts_event": at * 1000,
        **more,
    }


T = 1_790_000_000_123

TABLE = [
    # S: order side; z at ap; T. Q, l, p and E are not read for it (wire-formats 3.1).
    Row("binance", "forceOrder", "a long closed in part: z x ap, whatever X says",
        '{"stream":"!forceOrder@arr","data":{"e":"forceOrder","E":1790000000990,"o":{"s":"SOLUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"80","p":"148.00","ap":"150.00","X":"PARTIALLY_FILLED","l":"5","z":"50","T":1790000000123,"ps":"SOLUSDT","st":1}}}',
        [_forced("long", 50.0, 150.0, "average_fill", 7500.0, T, instrument="SOL-USDT-PERP", coverage="latest_per_second")]),
    Row("binance", "forceOrder", "COIN-M: contracts of 10 dollars, never times the price",
        '{"e":"forceOrder","E":1790000000990,"o":{"s":"SOLUSD_PERP","S":"BUY","o":"LIMIT","f":"IOC","q":"300","p":"151","ap":"150","X":"FILLED","l":"1","z":"300","T":1790000000123,"ps":"SOLUSD","st":2}}',
        [_forced("short", 20.0, 150.0, "average_fill", 3000.0, T, instrument="SOL-USD-PERP")]),
    Row("binance", "aggTrade", "m: the buyer was the maker, so the taker sold",
        '{"e":"aggTrade","E":1790000000190,"a":51,"s":"1000PEPEUSDT","p":"0.0125","q":"8000","nq":"7000","f":1,"l":2,"T":1790000000123,"m":true,"st":1}',
        [_trade("sell", 8_000_000.0, 0.0000125, 100.0, T, asset="PEPE", event_id="binance:1000PEPEUSDT:51")]),
    Row("binance", "aggTrade", "as /stream wraps it; nq leaves out the prints of retail price improvement, q does not",
        '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1790000000190,"a":6000310,"s":"BTCUSDT","p":"80000.0","q":"0.5","nq":"0.4","f":7000310,"l":7000312,"T":1790000000123,"m":false,"st":1}}',
        [_trade("buy", 0.5, 80000.0, 40000.0, T, event_id="binance:BTCUSDT:6000310")]),
    Row("binance", "trade", "as /stream wraps it; prints of the insurance fund are no taker's",
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1790000000190,"T":1790000000123,"s":"BTCUSDT","t":6000310001,"p":"80000.0","q":"0.500","X":"MARKET","m":true,"st":1}}',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="binance:BTCUSDT:raw:6000310001")]),
    Row("binance", "trade", "a raw print; its id is not aggTrade's",
        '{"e":"trade","E":1790000000190,"T":1790000000123,"s":"BTCUSDT","t":52,"p":"80000","q":"0.5","X":"MARKET","m":false}',
        [_trade("buy", 0.5, 80000.0, 40000.0, T, event_id="binance:BTCUSDT:raw:52")]),
    Row("binance", "markPrice", "the event's own time",
        '{"e":"markPriceUpdate","E":1790000000123,"s":"BTCUSDT","p":"86101.5","i":"1","P":"2","r":"0","T":1790006400000}',
        [_mark(86101.5, T)]),
    Row("binance", "openInterest", "USD-M in coins, one side",
        '{"symbol":"BTCUSDT","openInterest":"94791.5","time":1790000000123}',
        [_open(94791.5, "one", None, T)]),
    Row("binance", "openInterest", "COIN-M in contracts of 100 dollars, no price beside them",
        '{"symbol":"BTCUSD_PERP","pair":"BTCUSD","openInterest":"12000","contractType":"PERPETUAL","time":1790000000123}',
        [_open(None, "one", 1_200_000.0, T)]),
    Row("binance", "openInterestHist", "COIN-M: the value is in the coin",
        '[{"pair":"BTCUSD","contractType":"PERPETUAL","sumOpenInterest":"12000","sumOpenInterestValue":"15","timestamp":1790000000123}]',
        [_open(15.0, "one", 1_200_000.0, T)]),
    # S: POSITION side; p: bankruptcy; v: coins, on inverse dollars (wire-formats 3.3).
    Row("bybit", "allLiquidation", "Buy is a long; every item is read",
        '{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1790000000500,"data":[{"T":1790000000123,"s":"ROSEUSDT","S":"Buy","v":"20000","p":"0.05"},{"T":1790000000124,"s":"ROSEUSDT","S":"Sell","v":"1000","p":"0.06"}]}',
        [_forced("long", 20000.0, 0.05, "bankruptcy", 1000.0, T, coverage="full"),
         _forced("short", 1000.0, 0.06, "bankruptcy", 60.0, T + 1)]),
    Row("bybit", "allLiquidation", "inverse: v is dollars",
        '{"topic":"allLiquidation.BTCUSD","type":"snapshot","ts":1790000000500,"data":[{"T":1790000000123,"s":"BTCUSD","S":"Sell","v":"40000","p":"80000"}]}',
        [_forced("short", 0.5, 80000.0, "bankruptcy", 40000.0, T, instrument="BTC-USD-PERP")]),
    Row("bybit", "publicTrade", "S is the taker's",
        '{"topic":"publicTrade.BTCPERP","type":"snapshot","ts":1790000000500,"data":[{"T":1790000000123,"s":"BTCPERP","S":"Sell","v":"0.5","p":"80000","L":"PlusTick","i":"x-1","BT":false}]}',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, instrument="BTC-USDC-PERP", event_id="bybit:BTCPERP:x-1")]),
    Row("bybit", "tickers", "open interest of both sides",
        '{"topic":"tickers.BTCUSDT","type":"snapshot","ts":1790000000123,"data":{"symbol":"BTCUSDT","markPrice":"80000","openInterest":"600","singleOpenInterest":"300"}}',
        [_open(600.0, "both", 48_000_000.0, T), _mark(80000.0, T)]),
    # side: order side; sz: contracts of ctVal x ctMult; bkPx: bankruptcy (wire-formats 3.4).
    Row("okx", "liquidation-orders", "fractions of contracts of 0.01 BTC; posSide net takes the order's side",
        '{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","instFamily":"BTC-USDT","uly":"BTC-USDT","details":[{"side":"sell","posSide":"net","bkPx":"80000","sz":"12.5","bkLoss":"0","ccy":"","ts":"1790000000123"},{"side":"buy","posSide":"short","bkPx":"81000","sz":"100","bkLoss":"0","ccy":"","ts":"1790000000124"}]}]}',
        [_forced("long", 0.125, 80000.0, "bankruptcy", 10000.0, T, instrument="BTC-USDT-PERP", coverage="latest_per_second"),
         _forced("short", 1.0, 81000.0, "bankruptcy", 81000.0, T + 1)]),
    Row("okx", "liquidation-orders", "inverse: contracts of dollars",
        '{"arg":{"channel":"liquidation-orders","instType":"FUTURES"},"data":[{"instType":"FUTURES","instId":"XRP-USD-261225","details":[{"side":"buy","posSide":"short","bkPx":"0.5","sz":"40","ts":"1790000000123"}]}]}',
        [_forced("short", 800.0, 0.5, "bankruptcy", 400.0, T, instrument="XRP-USD-261225")]),
    Row("okx", "liquidation-orders", "an X-Perp of a USD family is linear: ctType decides, not the name",
        '{"arg":{"channel":"liquidation-orders","instType":"FUTURES"},"data":[{"instType":"FUTURES","instId":"BTC-USD_UM_XPERP-310404","details":[{"side":"sell","posSide":"long","bkPx":"80000","sz":"50","ts":"1790000000123"}]}]}',
        [_forced("long", 0.005, 80000.0, "bankruptcy", 400.0, T, instrument="BTC-USD-310404")],
        {"code": "0", "data": [{"instId": "BTC-USD_UM_XPERP-310404", "instType": "FUTURES", "ctType": "linear", "ctVal": "0.0001", "ctMult": "1", "ctValCcy": "BTC", "settleCcy": "USD"}]}),
    Row("okx", "trades", "side is the taker's, sz contracts",
        '{"arg":{"channel":"trades","instId":"ETH-USDT-SWAP"},"data":[{"instId":"ETH-USDT-SWAP","tradeId":"9","px":"2500","sz":"4","side":"buy","ts":"1790000000123","count":"2","source":"0"}]}',
        [_trade("buy", 0.4, 2500.0, 1000.0, T, event_id="okx:ETH-USDT-SWAP:9")]),
    Row("okx", "trades-all", "as trades",
        '{"arg":{"channel":"trades-all","instId":"BTC-USD-SWAP"},"data":[{"instId":"BTC-USD-SWAP","tradeId":"9","px":"80000","sz":"4","side":"sell","ts":"1790000000123"}]}',
        [_trade("sell", 0.005, 80000.0, 400.0, T, instrument="BTC-USD-PERP")]),
    Row("okx", "open-interest", "coins and dollars as the venue tells them",
        '{"arg":{"channel":"open-interest","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","oi":"2500","oiCcy":"25","oiUsd":"2000000","ts":"1790000000123"}]}',
        [_open(25.0, "one", 2_000_000.0, T)]),
    Row("okx", "mark-price", "of a swap",
        '{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"80001.5","ts":"1790000000123"}]}',
        [_mark(80001.5, T)]),
    # side B bought, A sold; a counterparty's fill flips (wire-formats 3.5).
    Row("hyperliquid", "trades", "kPEPE is a thousand PEPE",
        '{"channel":"trades","data":[{"coin":"kPEPE","side":"A","px":"0.0125","sz":"8000","time":1790000000123,"hash":"0x1","tid":77,"users":["0xa","0xb"]}]}',
        [_trade("sell", 8_000_000.0, 0.0000125, 100.0, T, asset="PEPE", event_id="hyperliquid:kPEPE:1790000000123:77")]),
    Row("hyperliquid", "userFills", "the counterparty bought, so a long was closed",
        '{"channel":"userFills","data":{"user":"0xAA","fills":[{"coin":"ETH","px":"2500","sz":"2","side":"B","time":1790000000123,"dir":"Open Long","hash":"0x1","tid":5,"liquidation":{"liquidatedUser":"0xbb","markPx":"2501","method":"market"}},{"coin":"ETH","px":"2500","sz":"9","side":"B","time":1790000000123,"dir":"Open Long","hash":"0x2","tid":6}]}}',
        [_forced("long", 2.0, 2500.0, "fill", 5000.0, T, coverage="unknown")]),
    Row("hyperliquid", "userFills", "the victim's own fill keeps its side; of a backstop dir tells",
        '{"channel":"userFills","data":{"user":"0xBB","fills":[{"coin":"ETH","px":"2500","sz":"2","side":"B","time":1790000000123,"dir":"Close Short","hash":"0x1","tid":5,"liquidation":{"liquidatedUser":"0xbb","markPx":"2501","method":"market"}},{"coin":"ETH","px":"2500","sz":"2","side":"B","time":1790000000123,"dir":"Liquidated Cross Long","hash":"0x1","tid":6,"liquidation":{"liquidatedUser":"0xbb","markPx":"2501","method":"backstop"}}]}}',
        [_forced("short", 2.0, 2500.0, "fill", 5000.0, T), _forced("long", 2.0, 2500.0, "fill", 5000.0, T)]),
    Row("hyperliquid", "activeAssetCtx", "coins and mark price at the time of receipt",
        '{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"openInterest":"27000.5","markPx":"80000","oraclePx":"1"}}}',
        [_open(27000.5, "unknown", 2_160_040_000.0, 1_791_600_000_000), _mark(80000.0, 1_791_600_000_000)]),
    # side: order side; no time; contracts by symbol (wire-formats 3.6). Receipt: see venues.RECV.
    Row("bitmex", "liquidation", "inverse contracts are a dollar each, at the time of receipt",
        '{"table":"liquidation","action":"insert","data":[{"orderID":"o-1","symbol":"XBTUSD","side":"Sell","price":80000,"leavesQty":40000}]}',
        [_forced("long", 0.5, 80000.0, "bankruptcy", 40000.0, 1_791_600_000_000, asset="BTC", coverage="full")]),
    Row("bitmex", "liquidation", "linear contracts are millionths of a coin",
        '{"table":"liquidation","action":"insert","data":[{"orderID":"o-2","symbol":"XBTUSDT","side":"Buy","price":80000,"leavesQty":500000}]}',
        [_forced("short", 0.5, 80000.0, "bankruptcy", 40000.0, 1_791_600_000_000, instrument="BTC-USDT-PERP")]),
    Row("bitmex", "liquidation", "a quanto's coins and dollars hang on another price: NULL",
        '{"table":"liquidation","action":"insert","data":[{"orderID":"o-3","symbol":"ETHUSD","side":"Buy","price":2500,"leavesQty":500}]}',
        [_forced("short", None, 2500.0, "bankruptcy", None, 1_791_600_000_000, instrument="ETH-USD-PERP")]),
    Row("bitmex", "trade", "homeNotional is coins, foreignNotional the worth; an index's row is no trade",
        '{"table":"trade","action":"insert","data":[{"timestamp":"2026-09-21T14:13:20.123Z","symbol":"ETHUSD","side":"Sell","size":7,"price":2500,"trdMatchID":"m-1","homeNotional":0.02,"foreignNotional":50,"trdType":"Regular"},{"timestamp":"2026-09-21T14:13:20.123Z","symbol":".BXBT","side":"Buy","size":0,"price":80000,"trdMatchID":"m-2","trdType":"Referential"}]}',
        [_trade("sell", 0.02, 2500.0, 50.0, T, event_id="bitmex:ETHUSD:m-1")]),
    Row("bitmex", "instrument", "contracts and mark price, of changed fields only",
        '{"table":"instrument","action":"update","data":[{"symbol":"XBTUSD","openInterest":40000000,"markPrice":80000,"timestamp":"2026-09-21T14:13:20.123Z"},{"symbol":"XBTUSD","lastPrice":1}]}',
        [_open(500.0, "unknown", 40_000_000.0, T), _mark(80000.0, T)]),
    # direction: taker; liquidation M flips; amount: dollars on inverse (wire-formats 3.7).
    Row("deribit", "trades", "the maker was liquidated: its order is the opposite of the taker's",
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.100ms","data":[{"timestamp":1790000000123,"price":80000,"amount":40000,"direction":"buy","instrument_name":"BTC-PERPETUAL","trade_seq":1,"contracts":4000,"trade_id":"t-1","liquidation":"M"}]}}',
        [_trade("buy", 0.5, 80000.0, 40000.0, T, event_id="deribit:BTC-PERPETUAL:t-1"),
         _forced("long", 0.5, 80000.0, "fill", 40000.0, T, coverage="full")]),
    Row("deribit", "trades", "MT: two liquidations, one of each side; linear amounts are coins",
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.future.any.100ms","data":[{"timestamp":1790000000123,"price":150,"amount":20,"direction":"sell","instrument_name":"SOL_USDC-PERPETUAL","trade_id":"t-2","liquidation":"MT"}]}}',
        [_trade("sell", 20.0, 150.0, 3000.0, T, instrument="SOL-USDC-PERP"),
         _forced("long", 20.0, 150.0, "fill", 3000.0, T), _forced("short", 20.0, 150.0, "fill", 3000.0, T)]),
    Row("deribit", "ticker", "open interest in dollars on inverse futures",
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-25DEC26.100ms","data":{"timestamp":1790000000123,"instrument_name":"BTC-25DEC26","open_interest":8000000,"mark_price":80000,"index_price":79999}}}',
        [_open(100.0, "unknown", 8_000_000.0, T, instrument="BTC-USD-261225"), _mark(80000.0, T)]),
    # size: contracts of quanto_multiplier; its sign on the WebSocket is not documented (3.8).
    Row("gate", "futures.public_liquidates", "a bare object with `time`; whose side is unknown until learnt",
        '{"time":1790000000,"channel":"futures.public_liquidates","event":"update","result":{"contract":"SOL_USDT","price":"150","time":1790000000123,"size":-20}}',
        [_forced("unknown", 20.0, 150.0, "order_limit", 3000.0, T, order_side=None, coverage="full")]),
    Row("gate", "futures.public_liquidates", "an array with `time_ms` and decimal strings",
        '{"time":1790000000,"time_ms":1790000000990,"channel":"futures.public_liquidates","event":"update","result":[{"price":"80000","size":"125.0","time_ms":1790000000123,"contract":"BTC_USDT"}]}',
        [_forced("unknown", 0.0125, 80000.0, "order_limit", 1000.0, T)]),
    Row("gate", "liq_orders", "REST: |order_size| - left at fill_price; the sign is the order's; seconds",
        '[{"time":1790000000,"contract":"BTC_USDT","size":6000,"order_size":-1000,"order_price":"79000","fill_price":"80000","left":-500}]',
        [_forced("long", 0.05, 80000.0, "fill", 4000.0, 1_790_000_000_000)]),
    Row("gate", "futures.trades", "the sign is the TAKER's; internal matches are no prints",
        '{"time":1790000000,"channel":"futures.trades","event":"update","error":null,"result":[{"contract":"BTC_USDT","create_time":1790000000,"create_time_ms":1790000000123,"id":8,"price":"80000","size":-50},{"contract":"BTC_USDT","create_time":1790000000,"create_time_ms":1790000000123,"id":9,"price":"80000","size":50,"is_internal":true}]}',
        [_trade("sell", 0.005, 80000.0, 400.0, T, event_id="gate:BTC_USDT:8")]),
    Row("gate", "futures.tickers", "total_size counts one side",
        '{"time":1790000000,"time_ms":1790000000123,"channel":"futures.tickers","event":"update","result":[{"contract":"BTC_USDT","last":"1","mark_price":"80000","total_size":"5000"}]}',
        [_open(0.5, "one", 40000.0, T), _mark(80000.0, T)]),
    Row("gate", "futures.contract_stats", "open_interest counts both",
        '{"channel":"futures.contract_stats","event":"update","result":[{"time":1790000000,"contract":"BTC_USDT","open_interest":10000}]}',
        [_open(1.0, "both", None, 1_790_000_000_000)]),
    Row("gate", "futures.trades", "a multiplier of the caller's metadata",
        '{"time":1790000000,"channel":"futures.trades","event":"update","result":[{"contract":"NEW_USDT","create_time_ms":1790000000123,"id":8,"price":"2","size":5}]}',
        [_trade("buy", 50.0, 2.0, 100.0, T)], {"NEW_USDT": {"quanto_multiplier": "10"}}),
    # side: POSITION side; amount: quote currency (wire-formats 3.9).
    Row("bitget", "liquidation", "buy is a long; coins are amount / price, whose kind is not documented",
        '{"action":"update","arg":{"instType":"usdt-futures","topic":"liquidation"},"data":[{"symbol":"ARBUSDT","side":"buy","price":"0.5","amount":"100","ts":"1790000000123"},{"symbol":"OPUSDT","side":"sell","price":"2","amount":"50","ts":"1789999990123"}],"ts":1790000000900}',
        [_forced("long", 200.0, None, None, 100.0, T, coverage="largest_per_second"),
         _forced("short", 25.0, None, None, 50.0, T - 10_000)]),
    Row("bitget", "publicTrade", "S is the taker's, v coins",
        '{"action":"update","arg":{"instType":"usdt-futures","topic":"publicTrade","symbol":"BTCUSDT"},"data":[{"i":"3","p":"80000","v":"0.5","S":"sell","T":"1790000000123","L":"4","isRPI":"no"}],"ts":1790000000900}',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="bitget:BTCUSDT:3")]),
    Row("bitget", "ticker", "open interest in coins",
        '{"action":"snapshot","arg":{"instType":"usdt-futures","topic":"ticker","symbol":"BTCUSDT"},"data":[{"lastPrice":"1","markPrice":"80000","openInterest":"300"}],"ts":1790000000123}',
        [_open(300.0, "unknown", 24_000_000.0, T), _mark(80000.0, T)]),
    # type LIQUIDATED: the taker is the liquidation (wire-formats 3.10).
    Row("dydx", "v4_trades", "a forced taker sold: a print and a long closed; a deleveraged one is no print",
        '{"type":"channel_data","connection_id":"c","message_id":7,"id":"SOL-USD","channel":"v4_trades","version":"2.4.0","contents":{"trades":[{"id":"a1","side":"SELL","size":"20","price":"150","type":"LIQUIDATED","createdAt":"2026-09-21T14:13:20.123Z"},{"id":"a2","side":"BUY","size":"1","price":"150","type":"DELEVERAGED","createdAt":"2026-09-21T14:13:20.123Z"}]}}',
        [_trade("sell", 20.0, 150.0, 3000.0, T, event_id="dydx:SOL-USD:a1"),
         _forced("long", 20.0, 150.0, "fill", 3000.0, T, coverage="full")]),
    Row("dydx", "v4_markets", "coins, at the time of receipt; the oracle's price at its own",
        '{"type":"channel_data","connection_id":"c","message_id":8,"channel":"v4_markets","version":"1","contents":{"trading":{"BTC-USD":{"openInterest":"650"}},"oraclePrices":{"BTC-USD":{"oraclePrice":"80000","effectiveAt":"2026-09-21T14:13:20.123Z","marketId":0}}}}',
        [_open(650.0, "unknown", None, 1_791_600_000_000), _mark(80000.0, T)]),
    # type liquidation: the taker is the liquidation; PI and FI in dollars (wire-formats 3.11).
    Row("kraken", "trade", "inverse: qty is dollars; XBT is BTC",
        '{"feed":"trade","product_id":"PI_XBTUSD","uid":"u-1","side":"sell","type":"liquidation","seq":1,"time":1790000000123,"qty":40000,"price":80000}',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="kraken:PI_XBTUSD:u-1", asset="BTC"),
         _forced("long", 0.5, 80000.0, "fill", 40000.0, T, coverage="full")]),
    Row("kraken", "trade", "linear: qty is coins; a snapshot holds history",
        '{"feed":"trade_snapshot","product_id":"PF_SOLUSD","trades":[{"feed":"trade","product_id":"PF_SOLUSD","uid":"u-2","side":"buy","type":"fill","seq":2,"time":1790000000123,"qty":20,"price":150}]}',
        [_trade("buy", 20.0, 150.0, 3000.0, T)]),
    Row("kraken", "ticker", "open interest in the unit of qty",
        '{"time":1790000000123,"product_id":"FI_XBTUSD_261225","feed":"ticker","openInterest":8000000,"markPrice":80000}',
        [_open(100.0, "unknown", 8_000_000.0, T, instrument="BTC-USD-261225"), _mark(80000.0, T)]),
    # direction: order side; trades and open interest of both sides (corrections 3.11).
    Row("htx", "liquidation_orders", "linear: amount is coins, trade_turnover dollars; the price's kind is not documented",
        '{"op":"notify","topic":"public.DOGE-USDT.liquidation_orders","ts":1790000000200,"data":[{"symbol":"DOGE","contract_code":"DOGE-USDT","direction":"sell","offset":"close","volume":30,"price":0.2,"created_at":1790000000123,"amount":3000,"trade_turnover":600}]}',
        [_forced("long", 3000.0, None, None, 600.0, T, coverage="unknown")]),
    Row("htx", "liquidation_orders", "inverse: contracts of 100 dollars of BTC, 10 of others",
        '{"op":"notify","topic":"public.BTC.liquidation_orders","ts":1790000000200,"data":[{"symbol":"BTC","contract_code":"BTC261225","direction":"buy","offset":"close","volume":400,"price":80000,"created_at":1790000000123}]}',
        [_forced("short", 0.5, None, None, 40000.0, T, instrument="BTC-USD-261225")]),
    Row("htx", "trade.detail", "quantity and turnover are the sum of both sides: half changed hands",
        '{"ch":"market.BTC-USDT.trade.detail","ts":1790000000200,"tick":{"id":1,"ts":1790000000124,"data":[{"amount":1000,"ts":1790000000123,"id":17,"price":80000,"direction":"sell","quantity":1,"trade_turnover":80000}]}}',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="htx:BTC-USDT:17")]),
    Row("htx", "swap_open_interest", "both sides",
        '{"status":"ok","data":[{"volume":3000000,"amount":3000,"symbol":"BTC","value":60000000,"contract_code":"BTC-USDT"}],"ts":1790000000123}',
        [_open(3000.0, "both", 60_000_000.0, T)]),
    # amount: POSITION sign; one trigger, then matches: the trigger counts (wire-formats 3.11).
    Row("bitfinex", "liq", "a long triggered, and its match, which is the same position again",
        '[91684,[["pos",171,1790000000123,null,"tSOLF0:USTF0",0.5,160.02,null,0,1,null,null],["pos",171,1790000000140,null,"tSOLF0:USTF0",0.5,160.02,null,1,1,null,148.7]]]',
        [_forced("long", 0.5, None, None, None, T, instrument="SOL-USDT-PERP", coverage="full")]),
    Row("bitfinex", "liq", "a short that the system took: nothing was bought",
        '[91684,[["pos",172,1790000000123,null,"tETHF0:USTF0",-4,222.2,null,0,0,null,null]]]',
        [_forced("short", 4.0, None, None, None, T, order_side=None)]),
    Row("bitfinex", "trades", "the sign is the taker's; the reply to the subscription named the symbol",
        '[23916,"te",[45,1790000000123,-0.5,80000]]',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="bitfinex:tBTCF0:USTF0:45")], None, "tBTCF0:USTF0"),
    Row("bitfinex", "trades", "each print comes again as tu: it was told",
        '[23916,"tu",[45,1790000000123,-0.5,80000]]', [], None, "tBTCF0:USTF0"),
    Row("bitfinex", "trades", "recorders add the symbol at the end",
        '[23916,"te",[45,1790000000123,-0.5,80000],11,1790000000200,"trades","BTCF0:USTF0"]',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="bitfinex:tBTCF0:USTF0:45")]),
    Row("bitfinex", "deriv", "element 17 is open interest in coins, 14 the mark price",
        '[127,[1790000000123,null,79990,79999,null,1,null,1790006400000,0,1,null,0,null,null,80000,null,null,100],7,1790000000200,"status","BTCF0:USTF0"]',
        [_open(100.0, "unknown", 8_000_000.0, T), _mark(80000.0, T)]),
    # Answers of REST have the stream's rows and identities (venue-protocols.md, REST).
    Row("okx", "liquidation-orders", "REST: the channel's shape without its name",
        '{"code":"0","msg":"","data":[{"details":[{"bkLoss":"0","bkPx":"80000","ccy":"","posSide":"short","side":"buy","sz":"8.5","ts":"1790000000123"}],"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP","instType":"SWAP","totalLoss":"0","uly":"BTC-USDT"}]}',
        [_forced("short", 0.085, 80000.0, "bankruptcy", 6800.0, T)]),
    Row("binance", "aggTrade", "REST: prints do not name their symbol",
        '[{"a":26129,"p":"80000","q":"0.5","f":27781,"l":27781,"T":1790000000123,"m":true}]',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="binance:BTCUSDT:26129")], None, "BTCUSDT"),
    Row("bybit", "publicTrade", "REST: execId is the stream's i",
        '{"retCode":0,"retMsg":"OK","result":{"category":"inverse","list":[{"execId":"0cbf","symbol":"BTCUSD","price":"80000","size":"40000","side":"Sell","time":"1790000000123","isBlockTrade":false}]},"retExtInfo":{},"time":1790000000200}',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="bybit:BTCUSD:0cbf")]),
    Row("hyperliquid", "trades", "REST, recentTrades: the stream's rows",
        '[{"coin":"BTC","side":"A","px":"80000","sz":"0.5","time":1790000000123,"hash":"0x71","tid":5,"users":["0x1","0x2"]}]',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="hyperliquid:BTC:1790000000123:5")]),
    Row("hyperliquid", "userFills", "REST: whose fills they are, the request says",
        '[{"coin":"BTC","px":"80000","sz":"0.5","side":"A","time":1790000000123,"startPosition":"0.5","dir":"Close Long","closedPnl":"-1","hash":"0x5c","oid":56,"crossed":true,"fee":"0","tid":6,"liquidation":{"liquidatedUser":"0x7777","markPx":"80001","method":"market"},"feeToken":"USDC"}]',
        [_forced("long", 0.5, 80000.0, "fill", 40000.0, T)], None, "0x7777"),
    Row("bitmex", "trade", "REST: the table's rows",
        '[{"timestamp":"2026-09-21T14:13:20.123Z","symbol":"XBTUSD","side":"Sell","size":40000,"price":80000,"trdMatchID":"a1b2","homeNotional":0.5,"foreignNotional":40000,"trdType":"Regular"}]',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="bitmex:XBTUSD:a1b2")]),
    Row("gate", "futures.trades", "REST: create_time_ms is seconds with decimals",
        '[{"id":121234231,"create_time":1790000000,"create_time_ms":1790000000.123,"contract":"BTC_USDT","size":-50,"price":"80000"}]',
        [_trade("sell", 0.005, 80000.0, 400.0, T, event_id="gate:BTC_USDT:121234231")]),
    Row("okx", "trades", "REST: a print is the same print",
        '{"code":"0","msg":"","data":[{"instId":"BTC-USDT-SWAP","side":"sell","sz":"2","source":"0","px":"80000","tradeId":"242720720","ts":"1790000000123"}]}',
        [_trade("sell", 0.02, 80000.0, 1600.0, T, event_id="okx:BTC-USDT-SWAP:242720720")]),
    Row("deribit", "trades", "get_last_trades_by_instrument tells of liquidations too",
        '{"jsonrpc":"2.0","id":9,"result":{"trades":[{"trade_seq":1,"trade_id":"480","timestamp":1790000000123,"price":80000,"instrument_name":"BTC-PERPETUAL","direction":"sell","amount":40000,"liquidation":"T"}],"has_more":false}}',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="deribit:BTC-PERPETUAL:480"),
         _forced("long", 0.5, 80000.0, "fill", 40000.0, T)]),
    Row("bitfinex", "liq", "REST: rows without a channel's number",
        '[["pos",171,1790000000123,null,"tSOLF0:USTF0",0.5,160.02,null,0,1,null,null],["pos",171,1790000000140,null,"tSOLF0:USTF0",0.5,160.02,null,1,1,null,148.7]]',
        [_forced("long", 0.5, None, None, None, T, event_id="bitfinex:liquidation:171")]),
    Row("bitfinex", "trades", "REST: prints do not name their symbol",
        '[[45,1790000000123,-0.5,80000]]',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="bitfinex:tBTCF0:USTF0:45")], None, "tBTCF0:USTF0"),
    Row("htx", "liquidation_orders", "REST, v3: the order's side, coins and turnover as told",
        '{"code":200,"msg":"","data":[{"query_id":452057,"contract_code":"BTC-USDT","symbol":"BTC","direction":"sell","offset":"close","volume":500,"price":80000,"created_at":1790000000123,"amount":0.5,"trade_turnover":40000}],"ts":1790000000200}',
        [_forced("long", 0.5, None, None, 40000.0, T)]),
    Row("kraken", "trade", "REST: history says neither product nor milliseconds",
        '{"result":"success","serverTime":"2026-09-21T14:13:21.000Z","history":[{"time":"2026-09-21T14:13:20.123Z","trade_id":100,"price":80000,"size":40000,"side":"sell","type":"liquidation","uid":"90aa"}]}',
        [_trade("sell", 0.5, 80000.0, 40000.0, T, event_id="kraken:PI_XBTUSD:90aa"),
         _forced("long", 0.5, 80000.0, "fill", 40000.0, T)], None, "PI_XBTUSD"),
    Row("dydx", "v4_trades", "REST: prints do not name their market",
        '{"trades":[{"id":"0671","side":"BUY","size":"0.5","price":"160","type":"LIQUIDATED","createdAt":"2026-09-21T14:13:20.123Z","createdAtHeight":"1"}]}',
        [_trade("buy", 0.5, 160.0, 80.0, T, event_id="dydx:SOL-USD:0671"),
         _forced("short", 0.5, 160.0, "fill", 80.0, T)], None, "SOL-USD"),
    # timestamp in seconds; owners are labels (wire-formats 3.13).
    Row("whale_alert", "alert", "a leg for each asset, worth as told",
        '{"type":"alert","channel_id":"c","timestamp":1790000000,"blockchain":"ethereum","transaction_type":"transfer","from":"unknown wallet","to":"Binance","amounts":[{"symbol":"USDT","amount":5000000,"value_usd":5001000},{"symbol":"eth","amount":2}],"text":"t","transaction":{"hash":"0xab","sub_transactions":[]}}',
        [{"type": "whale_transfer", "asset": "USDT", "quantity": 5_000_000.0, "notional_usd": 5_001_000.0, "from_kind": "unknown", "to_owner": "binance", "to_kind": "exchange", "leg": 0, "ts_event": 1_790_000_000_000_000},
         {"type": "whale_transfer", "asset": "ETH", "quantity": 2.0, "notional_usd": None, "leg": 1}]),
    Row("whale_alert", "transactions", "REST, v1: a row an asset, owners where they are known",
        '{"result":"success","cursor":"b9","count":2,"transactions":[{"blockchain":"bitcoin","symbol":"btc","id":"1","transaction_type":"transfer","hash":"46cf","from":{"address":"Multiple Addresses","owner_type":"unknown"},"to":{"address":"1JJ1ea6rHMrqtHw3oMVWgbenQWxNnqJTSX","owner":"bitfinex","owner_type":"exchange"},"timestamp":1790000000,"amount":122.5,"amount_usd":9800000,"transaction_count":1},{"blockchain":"bitcoin","symbol":"usdt","id":"2","transaction_type":"transfer","hash":"46cf","from":{"address":"3CkE8MqPv6aLuqkaBgpgmNQYkDU9wSMuNH","owner_type":"unknown"},"to":{"owner_type":"unknown"},"timestamp":1790000000,"amount":5}]}',
        [{"type": "whale_transfer", "asset": "BTC", "quantity": 122.5, "notional_usd": 9_800_000.0, "from_kind": "unknown", "from_address": None, "to_owner": "bitfinex", "to_kind": "exchange", "to_address": "1JJ1ea6rHMrqtHw3oMVWgbenQWxNnqJTSX", "leg": 0, "ts_event": 1_790_000_000_000_000},
         {"type": "whale_transfer", "asset": "USDT", "quantity": 5.0, "notional_usd": None, "leg": 1, "from_address": "3CkE8MqPv6aLuqkaBgpgmNQYkDU9wSMuNH"}]),
    Row("whale_alert", "transactions_v2", "REST, v2: each movement of a transaction; change and freezing are none",
        '{"transactions":[{"height":900000,"index_in_block":3,"timestamp":1790000000,"hash":"46cf","fee":"0.0001","fee_symbol":"btc","fee_symbol_price":80000,"sub_transactions":[{"symbol":"btc","transaction_type":"transfer","unit_price_usd":80000,"inputs":[{"address":"bc1qpayer00000","amount":"150","balance":"0","owner":"","owner_type":"unknown","address_type":""}],"outputs":[{"address":"1JJ1ea6rHMrqtHw3oMVWgbenQWxNnqJTSX","amount":"122.5","owner":"bitfinex","owner_type":"exchange"},{"address":"bc1qpayer00000","amount":"27.5","owner":"","owner_type":"unknown"}]},{"symbol":"usdt","transaction_type":"freeze","inputs":[{"address":"0x1111111111111111111111111111111111111111","amount":"0","balance":"5"}],"outputs":[]}]}],"next":"/bitcoin/transactions?start_height=900001"}',
        [{"type": "whale_transfer", "asset": "BTC", "quantity": 122.5, "notional_usd": 9_800_000.0, "from_address": "bc1qpayer00000", "from_owner": "unknown", "to_owner": "bitfinex", "to_kind": "exchange", "to_address": "1JJ1ea6rHMrqtHw3oMVWgbenQWxNnqJTSX", "leg": 0, "ts_event": 1_790_000_000_000_000}],
        symbol="bitcoin"),
    # value in the token's decimals; a log is known by block and index (wire-formats 3.12).
    Row("ethereum", "logs", "a transfer of a listed token; an NFT's has four topics, others are not listed",
        '{"jsonrpc":"2.0","id":7,"result":[{"address":"0xdac17f958d2ee523a2206206994597c13d831ec7","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","0x000000000000000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","0x000000000000000000000000bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"],"data":"0x0000000000000000000000000000000000000000000000000000024613a44920","blockNumber":"0x1","blockHash":"0x00000000000000000000000000000000000000000000000000000000000000ab","transactionHash":"0x00000000000000000000000000000000000000000000000000000000000000cd","logIndex":"0x5","removed":false,"blockTimestamp":"0x6ab13b80"},{"address":"0xdac17f958d2ee523a2206206994597c13d831ec7","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","0x000000000000000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","0x000000000000000000000000bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","0x0000000000000000000000000000000000000000000000000000000000000001"],"data":"0x","blockNumber":"0x1","blockHash":"0x00000000000000000000000000000000000000000000000000000000000000ab","transactionHash":"0x00000000000000000000000000000000000000000000000000000000000000cd","logIndex":"0x6","removed":false,"blockTimestamp":"0x6ab13b80"},{"address":"0x1212121212121212121212121212121212121212","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","0x000000000000000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","0x000000000000000000000000bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"],"data":"0x00000000000000000000000000000000000000000000000000000000000000ff","blockNumber":"0x1","blockHash":"0x00000000000000000000000000000000000000000000000000000000000000ab","transactionHash":"0x00000000000000000000000000000000000000000000000000000000000000cd","logIndex":"0x7","removed":false,"blockTimestamp":"0x6ab13b80"}]}',
        [{"type": "whale_transfer", "asset": "USDT", "quantity": 2_500_000.5, "quantity_raw": "2500000500000", "transfer_kind": "transfer", "from_address": "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "to_address": "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "leg": 5, "ts_event": 1_790_000_000_000_000, "removed": False}]),
    Row("ethereum", "logs", "Aave: long the collateral; received as aToken it is not sold now",
        '{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xlogs","result":{"address":"0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2","topics":["0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286","0x000000000000000000000000c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2","0x000000000000000000000000dac17f958d2ee523a2206206994597c13d831ec7","0x000000000000000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],"data":"0x00000000000000000000000000000000000000000000000000000005d21dba00000000000000000000000000000000000000000000000000ad78ebc5ac620000000000000000000000000000bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb0000000000000000000000000000000000000000000000000000000000000001","blockNumber":"0x1","blockHash":"0x00000000000000000000000000000000000000000000000000000000000000ab","transactionHash":"0x00000000000000000000000000000000000000000000000000000000000000cd","logIndex":"0x8","removed":false,"blockTimestamp":"0x6ab13b80"}}}',
        [_forced("long", 12.5, None, None, None, 1_790_000_000_000, order_side=None, asset="ETH", instrument="ETH-USDT-SPOT")]),
    Row("ethereum", "block", "ether that transactions move themselves; the block's time in seconds",
        '{"jsonrpc":"2.0","id":9,"result":{"number":"0x1","hash":"0x00000000000000000000000000000000000000000000000000000000000000ab","parentHash":"0x00000000000000000000000000000000000000000000000000000000000000aa","timestamp":"0x6ab13b80","transactions":[{"hash":"0x00000000000000000000000000000000000000000000000000000000000000cd","from":"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","to":"0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","value":"0x14d1120d7b160000","transactionIndex":"0x3"},{"hash":"0x00000000000000000000000000000000000000000000000000000000000000ce","from":"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","to":"0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","value":"0x0","transactionIndex":"0x4"},{"hash":"0x00000000000000000000000000000000000000000000000000000000000000cf","from":"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","to":null,"value":"0x1","transactionIndex":"0x5"}]}}',
        [{"type": "whale_transfer", "asset": "ETH", "quantity": 1.5, "quantity_raw": "1500000000000000000", "leg": 3, "ts_event": 1_790_000_000_000_000}]),
    Row("ethereum", "heads", "a head holds no record",
        '{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xh","result":{"number":"0x1","hash":"0x00000000000000000000000000000000000000000000000000000000000000ab","parentHash":"0x00000000000000000000000000000000000000000000000000000000000000aa","timestamp":"0x6ab13780"}}}',
        []),
    # satoshis; change goes back to a payer (wire-formats 3.14).
    Row("bitcoin", "transactions", "a payment without its change, in a block",
        '{"block-transactions":[{"txid":"abababababababababababababababababababababababababababababababab","vin":[{"txid":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","vout":0,"prevout":{"scriptpubkey_address":"bc1qpayer00000","value":500000000}}],"vout":[{"scriptpubkey_address":"bc1qpayee00000","value":150000000},{"scriptpubkey_address":"bc1qpayer00000","value":349990000}],"fee":10000,"status":{"confirmed":true,"block_height":900000,"block_time":1790000000}}]}',
        [{"type": "whale_transfer", "asset": "BTC", "quantity": 1.5, "quantity_raw": "150000000", "from_address": "bc1qpayer00000", "to_address": "bc1qpayee00000", "leg": 0, "ts_event": 1_790_000_000_000_000}]),
    Row("bitcoin", "block", "bitcoind's getblock with verbosity 3: coins, what inputs spent, a block's subsidy",
        '{"result":{"hash":"000000000000000000000000000000000000000000000000000000000000abab","height":900000,"time":1790000000,"previousblockhash":"000000000000000000000000000000000000000000000000000000000000cdcd","tx":[{"txid":"efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef","vin":[{"coinbase":"03a0bb0d","sequence":1}],"vout":[{"value":3.125,"n":0,"scriptPubKey":{"address":"bc1qminer00000","type":"witness_v0_keyhash"}},{"value":0.0,"n":1,"scriptPubKey":{"type":"nulldata"}}]},{"txid":"abababababababababababababababababababababababababababababababab","vin":[{"txid":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","vout":0,"prevout":{"generated":false,"height":1,"value":5.0,"scriptPubKey":{"address":"bc1qpayer00000"}}}],"vout":[{"value":1.50000001,"n":0,"scriptPubKey":{"address":"bc1qpayee00000"}},{"value":3.4999,"n":1,"scriptPubKey":{"address":"bc1qpayer00000"}}]}]},"error":null,"id":"b"}',
        [{"type": "whale_transfer", "asset": "BTC", "quantity": 3.125, "transfer_kind": "mint", "from_address": None, "to_address": "bc1qminer00000", "leg": 0},
         {"type": "whale_transfer", "asset": "BTC", "quantity": 1.50000001, "quantity_raw": "150000001", "transfer_kind": "transfer", "from_address": "bc1qpayer00000", "to_address": "bc1qpayee00000", "leg": 0, "ts_event": 1_790_000_000_000_000}]),
]  # fmt: skip
