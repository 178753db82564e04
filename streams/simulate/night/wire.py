"""Draws -> the venues' own messages (wire-formats.md, 3.1 and 3.3) and their receipt."""

from dataclasses import dataclass, field

import numpy as np

from streams.simulate.night.orders import Orders, latest_per_second
from streams.simulate.night.setting import START_MS, Flags, Floats, Ints, Profile
from streams.simulate.night.tape import Draw, price_at

#: From a venue's push to its receipt, microseconds.
LATENCY_US = (5_000, 80_000)

Row = tuple[int, str, str, bytes]


@dataclass
class Lines:
    """What each stream has sent so far: a connection keeps order, and numbers run on."""

    last: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)

    def received(self, rng: np.random.Generator, stream: str, pushed_ms: Ints) -> list[int]:
        """Return when messages pushed at `pushed_ms` (of the night) arrive, never overtaking."""
        if not len(pushed_ms):
            return []
        late = rng.integers(*LATENCY_US, len(pushed_ms))
        at = np.maximum.accumulate((START_MS + pushed_ms) * 1000 + late)
        at = np.maximum(at, self.last.get(stream, 0))
        self.last[stream] = int(at[-1])
        return list(at.tolist())

    def numbers(self, stream: str, first: int, count: int) -> int:
        """Return the first of the next `count` numbers of `stream`, which begins at `first`."""
        now = self.sent.get(stream, first)
        self.sent[stream] = now + count
        return now


def _seed_number(text: str) -> int:
    """Return a stable number of a symbol, for where its ids begin."""
    return int.from_bytes(text.encode()[:4], "big")


def agg_trades(rng: np.random.Generator, lines: Lines, profile: Profile, d: Draw) -> list[Row]:
    """Return Binance aggTrade frames; `a` is contiguous per symbol, m means the taker SOLD."""
    n, symbol = len(d.at_ms), profile.symbol
    stream = f"{symbol}@aggTrade"
    pushed = d.at_ms + rng.integers(0, 4, n)
    received = lines.received(rng, stream, pushed)
    fills = rng.integers(1, 5, n)
    a = lines.numbers(stream, 1_000_000 + _seed_number(symbol), n)
    f = lines.numbers(stream + ".f", 3_000_000 + _seed_number(symbol), int(fills.sum()))
    last = f - 1 + np.cumsum(fills)
    p, q = f"%.{profile.price_dp}f", f"%.{profile.quantity_dp}f"
    form = (
        f'{{"e":"aggTrade","E":%d,"s":"{symbol}","a":%d,"p":"{p}","q":"{q}","nq":"{q}",'
        '"f":%d,"l":%d,"T":%d,"m":%s,"st":1}'
    )
    quantity = d.quantity.tolist()
    rows = zip(
        (START_MS + pushed).tolist(), range(a, a + n), d.price.tolist(), quantity, quantity,
        (last - fills + 1).tolist(), last.tolist(), (START_MS + d.at_ms).tolist(),
        np.where(d.sells, "true", "false").tolist(), strict=True,
    )  # fmt: skip
    return [
        (at, "binance", "aggTrade", (form % row).encode())
        for at, row in zip(received, rows, strict=True)
    ]


def _groups(bucket: Ints) -> tuple[Ints, Ints]:
    """Return the first and one-past-last index of each run of equal `bucket`."""
    edge = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1]))
    return edge, np.append(edge[1:], len(bucket))


def public_trades(rng: np.random.Generator, lines: Lines, profile: Profile, d: Draw) -> list[Row]:
    """Return Bybit publicTrade frames, what 200 ms bring in one message; `i` is unique."""
    n, symbol = len(d.at_ms), profile.symbol
    if not n:
        return []
    first = lines.numbers(f"publicTrade.{symbol}", 1, n)
    tick = np.sign(np.diff(d.price, prepend=d.price[0])).astype(np.int64)
    words = np.asarray(["MinusTick", "ZeroPlusTick", "PlusTick"])[tick + 1].tolist()
    p, q = f"%.{profile.price_dp}f", f"%.{profile.quantity_dp}f"
    tag, seq = _seed_number(symbol), 400_000_000_000 + first
    form = (
        f'{{"T":%d,"s":"{symbol}","S":"%s","v":"{q}","p":"{p}","L":"%s",'
        f'"i":"{tag:08x}-%04x-5%03x-a%03x-%012x","BT":false,"RPI":false,"seq":%d}}'
    )
    x, y, z = (rng.integers(0, most, n).tolist() for most in (65536, 4096, 4096))
    rows = zip(
        (START_MS + d.at_ms).tolist(), np.where(d.sells, "Sell", "Buy").tolist(),
        d.quantity.tolist(), d.price.tolist(), words, x, y, z,
        range(first, first + n), range(seq, seq + n), strict=True,
    )  # fmt: skip
    items = [form % row for row in rows]
    lo, hi = _groups(d.at_ms // 200)
    pushed = d.at_ms[hi - 1] + rng.integers(1, 4, len(hi))
    return _messages(rng, lines, "publicTrade", symbol, items, lo, hi, pushed)


def _messages(
    rng: np.random.Generator, lines: Lines, kind: str, symbol: str,
    items: list[str], lo: Ints, hi: Ints, pushed: Ints,
) -> list[Row]:  # fmt: skip
    """Return Bybit messages of items[lo:hi] pushed at `pushed` (ms of the night)."""
    head = f'{{"topic":"{kind}.{symbol}","type":"snapshot","ts":'
    received = lines.received(rng, f"{kind}.{symbol}", pushed)
    bounds = zip(received, (START_MS + pushed).tolist(), lo.tolist(), hi.tolist(), strict=True)
    return [
        (at, "bybit", kind, f'{head}{ts},"data":[{",".join(items[i:j])}]}}'.encode())
        for at, ts, i, j in bounds
    ]


def _worse(rng: np.random.Generator, long: Flags, least: float, most: float) -> Floats:
    """Return a log shift against the closed position: below for longs, above for shorts."""
    return np.where(long, -1.0, 1.0) * rng.uniform(least, most, len(long))


def all_liquidations(
    rng: np.random.Generator, lines: Lines, profile: Profile, log_price: Floats, drawn: Orders
) -> list[Row]:
    """Return Bybit allLiquidation frames: every order, POSITION side, bankruptcy price."""
    if not len(drawn.at_ms):
        return []
    symbol, step = profile.symbol, 10.0**-profile.quantity_dp
    price = price_at(profile, log_price, drawn.at_ms, _worse(rng, drawn.long, 0.0005, 0.006))
    quantity = np.maximum(drawn.notional_usd / price, step)
    form = (
        f'{{"T":%d,"s":"{symbol}","S":"%s","v":"%.{profile.quantity_dp}f",'
        f'"p":"%.{profile.price_dp}f"}}'
    )
    rows = zip(
        (START_MS + drawn.at_ms).tolist(), np.where(drawn.long, "Buy", "Sell").tolist(),
        quantity.tolist(), price.tolist(), strict=True,
    )  # fmt: skip
    items = [form % row for row in rows]
    bucket = drawn.at_ms // 500
    lo, hi = _groups(bucket)
    return _messages(rng, lines, "allLiquidation", symbol, items, lo, hi, (bucket[lo] + 1) * 500)


def force_orders(
    rng: np.random.Generator, lines: Lines, profile: Profile, log_price: Floats, true: Orders
) -> list[Row]:
    """Return Binance forceOrder frames: the latest order of each second, ORDER side, fill."""
    shown = latest_per_second(true)
    n, symbol = len(shown.at_ms), profile.symbol
    fill = price_at(profile, log_price, shown.at_ms, _worse(rng, shown.long, 0.0, 0.0008))
    limit = price_at(profile, log_price, shown.at_ms, _worse(rng, shown.long, 0.002, 0.008))
    filled = np.maximum(shown.notional_usd / fill, 10.0**-profile.quantity_dp)
    partly = rng.random(n) < 0.04
    original = np.where(partly, filled / rng.uniform(0.5, 0.95, n), filled)
    last = np.where(rng.random(n) < 0.3, filled * rng.uniform(0.2, 1, n), filled)
    pushed = (shown.at_ms // 1000 + 1) * 1000
    received = lines.received(rng, f"{symbol}@forceOrder", pushed)
    p, q = f"%.{profile.price_dp}f", f"%.{profile.quantity_dp}f"
    form = (
        f'{{"e":"forceOrder","E":%d,"o":{{"s":"{symbol}","S":"%s","o":"LIMIT","f":"IOC",'
        f'"q":"{q}","p":"{p}","ap":"{p}","X":"%s","l":"{q}","z":"{q}","T":%d}},'
        f'"ps":"{symbol}","st":1}}'
    )
    rows = zip(
        (START_MS + pushed).tolist(), np.where(shown.long, "SELL", "BUY").tolist(),
        original.tolist(), limit.tolist(), fill.tolist(),
        np.where(partly, "PARTIALLY_FILLED", "FILLED").tolist(), last.tolist(),
        filled.tolist(), (START_MS + shown.at_ms).tolist(), strict=True,
    )  # fmt: skip
    return [
        (at, "binance", "forceOrder", (form % row).encode())
        for at, row in zip(received, rows, strict=True)
    ]
