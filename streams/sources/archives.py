"""The public archives of Bybit, BitMEX, OKX and Gate: trades, and Gate's forced orders.

    timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,...    (public.bybit.com)
    2023-11-14D00:00:01.123456000,XBTUSD,Buy,100,36000.5,PlusTick,…    (BitMEX: the same columns)
    instrument_name,trade_id,side,price,size,created_time   (OKX; until 2024 no instrument_name)
    1696118400.123456,61120044,27000.1,-75   (Gate: time, id, price, size in contracts)

Bybit's times are seconds with a fraction, its older files go back in time. OKX counts swaps and
futures in contracts. The sign of Gate's size is the taker's, as in its live feed; a file whose
sizes have no sign does not tell it and is refused. Its forced orders are read under the columns of
its REST answer; nothing that we know says what columns without a header are.

    time,contract,size,order_size,order_price,fill_price,left    (Gate liq_orders)
"""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from schemas.market import Liquidation, Trade
from schemas.words import PositionSide
from streams.feeds import bybit
from streams.feeds.checks import PriceIn, SignedSize, SizeIn, Word
from streams.feeds.frames import UnreadableFrame
from streams.feeds.symbols import split_symbol
from streams.sources.build import Terms, instrument_of, liquidation, taker, trade
from streams.sources.lines import SourceError, head
from streams.sources.tables import Build, Table, cells_of, stamp

#: Rows of which one of either side is to be expected.
_ENOUGH = 20
_OKX = re.compile(r"([A-Z0-9]+-[A-Z0-9]+(?:-SWAP|-\d{6})?)-(?:agg)?trades?\b", re.IGNORECASE)
_GATE = re.compile(r"^([A-Z0-9]+_USDT?)-\d{6,8}")
_BITMEX_TIME = re.compile(r"\d{4}-\d\d-\d\dD")
_LIQUIDATES = re.compile(r"liquidat|liq_orders", re.IGNORECASE)
_BYBIT_SPOT = re.compile(r"^([A-Z0-9]+(?:USDT|USDC))[-_]\d{4}-\d\d")


class _Bybit(msgspec.Struct, array_like=True, gc=False):
    timestamp: str
    symbol: Word
    side: str
    size: SizeIn
    price: PriceIn
    trdmatchid: str


class _BybitSpot(msgspec.Struct, array_like=True, gc=False):
    id: Word
    timestamp: str
    price: PriceIn
    volume: SizeIn
    side: str


class _Okx(msgspec.Struct, array_like=True, gc=False):
    trade_id: str
    side: str
    size: SizeIn
    price: PriceIn
    created_time: str
    instrument_name: str = ""


class _Gate(msgspec.Struct, array_like=True, gc=False):
    time: str
    id: Word
    price: PriceIn
    size: SignedSize


class _GateForced(msgspec.Struct, array_like=True, gc=False):
    time: str
    contract: str
    order_size: SignedSize
    fill_price: PriceIn
    left: SignedSize


def _bybit(path: Path) -> Build:
    def build(x: _Bybit) -> Trade:
        if _BITMEX_TIME.match(x.timestamp):
            return _bitmex(x)
        ts = stamp(x.timestamp, "timestamp")
        instrument = bybit.by_name(x.symbol)
        return bybit.public_trade(instrument, x.trdmatchid, taker(x.side), x.size, x.price, ts, ts)

    return build


def _bitmex(x: _Bybit) -> Trade:
    ts = stamp(x.timestamp.replace("D", "T", 1)[:26], "timestamp")
    terms = Terms(x.size, x.price, ts, ts)
    return trade("bitmex", instrument_of("bitmex", x.symbol), x.trdmatchid, taker(x.side), terms)


def _bybit_spot(path: Path) -> Build:
    matched = _BYBIT_SPOT.match(path.name)
    if matched is None:
        raise SourceError(f"{path.name}: its name does not say the symbol")
    asset, name, _ = split_symbol(matched[1], "SPOT")
    instrument = msgspec.structs.replace(
        bybit.by_name(matched[1]), instrument=name, asset=asset, multiplier=1.0
    )

    def build(x: _BybitSpot) -> Trade:
        ts = stamp(x.timestamp, "timestamp")
        terms = Terms(x.volume, x.price, ts, ts)
        # Its numbers begin anew each day.
        return trade("bybit", instrument, f"spot:{ts}:{x.id}", taker(x.side), terms)

    return build


def _okx(path: Path) -> Build:
    named = _OKX.search(path.name)
    prefix = "agg:" if "aggtrades" in path.name.lower() else ""

    def build(x: _Okx) -> Trade:
        symbol = x.instrument_name or (named[1].upper() if named else "")
        if not symbol:
            raise UnreadableFrame("instrument_name", "neither the row nor the file's name says it")
        ts = stamp(x.created_time, "created_time")
        terms = Terms(x.size, x.price, ts, ts)
        return trade("okx", instrument_of("okx", symbol), prefix + x.trade_id, taker(x.side), terms)

    return build


def _gate(path: Path) -> Build:
    matched = _GATE.match(path.name)
    if matched is None:
        raise SourceError(f"{path.name}: its name says no contract, as BTC_USDT-202401 does")
    if _LIQUIDATES.search("/".join(path.parts[-4:])):
        raise SourceError(f"{path.name}: forced orders of Gate, whose columns need a header")
    instrument = instrument_of("gate", matched[1])
    rows = head(path)
    if len(rows) >= _ENOUGH and not any(map(_signed, rows)):
        raise SourceError(f"{path.name}: no size has a sign, so the takers' side is not told")

    def build(x: _Gate) -> Trade | None:
        if x.size == 0:
            return None
        ts = stamp(x.time)
        terms = Terms(abs(x.size), x.price, ts, ts)
        return trade("gate", instrument, x.id, "buy" if x.size > 0 else "sell", terms)

    return build


def _gate_forced(path: Path) -> Build:
    def build(x: _GateForced) -> Liquidation | None:
        # A position that is closed in steps stands there once a step: what filled is the order's.
        filled = abs(x.order_size) - abs(x.left)
        if filled <= 0:
            return None
        ts = stamp(x.time)
        terms = Terms(filled, x.fill_price, ts, ts)
        side: PositionSide = "long" if x.order_size < 0 else "short"
        instrument = instrument_of("gate", x.contract)
        return liquidation("gate", instrument, side, terms, "fill", "unknown", "liq_orders")

    return build


def _signed(line: str) -> bool:
    return cells_of(line)[-1].startswith("-")


def _four_numbers(cell: Mapping[str, str]) -> bool:
    # Mark prices have four columns too, but no whole number for an id.
    return (
        bool(re.fullmatch(r"1[0-9]{9}(\.[0-9]+)?", cell["time"]))
        and cell["id"].isdigit()
        and bool(re.fullmatch(r"[0-9.]+", cell["price"]))
        and bool(re.fullmatch(r"-?[0-9]+(\.0*)?", cell["size"]))
    )


BYBIT = Table(
    what="Bybit's and BitMEX's public archives: trades",
    columns=_Bybit,
    build=_bybit,
    lacks="no receipt; all prints; no liquidations are archived",
    names={"trdmatchid": ("trade_id", "execid")},
    time="timestamp",
)
BYBIT_SPOT = Table(
    what="Bybit's public archive: spot trades, SYMBOL_DATE",
    columns=_BybitSpot,
    build=_bybit_spot,
    lacks="no receipt",
    named=re.compile(r"/[A-Z0-9]+(?:USDT|USDC)[-_]\d{4}-\d\d[^/]*$"),
)
OKX = Table(
    what="OKX's archive: trades and aggtrades",
    columns=_Okx,
    build=_okx,
    lacks="no receipt; aggtrades have ids of their own, so beside trades each is counted twice",
    names={"created_time": ("timestamp", "ts"), "size": ("sz", "qty"), "price": ("px",)},
    time="created_time",
)
GATE_FORCED = Table(
    what="Gate's liq_orders: forced orders, with a header",
    columns=_GateForced,
    build=_gate_forced,
    lacks="no receipt; whole seconds; coverage is not told",
)
GATE = Table(
    what="Gate's archive: futures trades, CONTRACT-YYYYMM",
    columns=_Gate,
    build=_gate,
    lacks="no receipt; prints of insurance and auto-deleveraging are not marked",
    bare=(("time", "id", "price", "size"),),
    looks=_four_numbers,
    named=re.compile(r"/[A-Z0-9]+_USDT?-\d{6,8}[^/]*$"),
    time="time",
)
