"""A second's first and last price, whatever order its trades come in and however they are parted."""

import itertools

import pytest
from nights import START

from schemas.bars import Bar
from schemas.market import Trade
from schemas.words import SECOND
from streams.core import fold


def trade(number: int, at: int, price: float) -> Trade:
    return Trade(
        event_id=f"t{number}", venue="okx", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT",
        asset="BTC", aggressor_side="buy", price=price, quantity=1.0, notional_usd=price,
        ts_event=START * SECOND + at, ts_recv=START * SECOND + at,
    )  # fmt: skip


def folded(*trades: Trade) -> Bar:
    state = fold.FoldState()
    for one in trades:
        fold.fold(state, one)
    [bar] = fold.drain(state)
    return bar


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_open_and_close_are_of_the_first_and_last_trade_by_time(order: tuple[int, ...]) -> None:
    trades = [trade(n, at, 100.0 + at) for n, at in enumerate((10, 20, 30))]
    bar = folded(*(trades[n] for n in order))
    assert (bar.open, bar.close) == (110.0, 130.0)
    assert (bar.ts_first, bar.ts_last) == (bar.ts_open + 10, bar.ts_open + 30)


def test_of_trades_at_one_time_the_order_of_arrival_decides() -> None:
    # A sweep prints many prices under one time.
    bar = folded(*(trade(n, 10, 100.0 - n) for n in range(4)))
    assert (bar.open, bar.close) == (100.0, 97.0)
