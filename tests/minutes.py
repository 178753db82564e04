"""Minute bars for tests: calm hours, a crash of some minutes, and calm again."""

import random

from schemas.bars import Bar
from schemas.words import MINUTE

START_MIN = 1_763_683_200 // 60
CALM_MIN, CRASH_MIN = 300, 8


def kline(minute: int, price: float, net_usd: float, width: int = MINUTE) -> Bar:
    """A minute in which takers bought `net_usd` more than they sold, of a million each way."""
    return Bar(
        venue="binance", instrument="BTC-USDT-PERP", asset="BTC",
        ts_open=(START_MIN + minute) * MINUTE, width=width, high=price * 1.0002,
        low=price * 0.9998, quantity=20.0, buy_usd=1e6 + max(net_usd, 0.0),
        sell_usd=1e6 + max(-net_usd, 0.0), trades=900,
    )  # fmt: skip


def crash(fall_bps: float = 60.0, net_usd: float = -2e7, after: int = 60) -> list[Bar]:
    """Calm hours, minutes of falling on net selling, and calm again."""
    draw = random.Random(4)
    price, bars = 100_000.0, []
    for minute in range(CALM_MIN + CRASH_MIN + after):
        falls = CALM_MIN <= minute < CALM_MIN + CRASH_MIN
        price *= 1 - fall_bps / 1e4 if falls else 1 + draw.gauss(0, 2e-4)
        bars.append(kline(minute, price, net_usd if falls else draw.gauss(0, 2e5)))
    return bars
