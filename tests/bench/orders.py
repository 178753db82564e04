"""`python tests/bench/orders.py`: microseconds a forced order costs the pure core, all included."""

import random
import time
from statistics import median

from schemas.market import Liquidation
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine
from streams.core.params import Params
from streams.core.shard import INPUTS, Shard

START = 1_763_683_200


def forced_orders(seconds_long: int = 6_000) -> list[tuple[int, list[Liquidation]]]:
    """Forced orders of one asset by second: calm, and 40 a second from the second hour on."""
    draw = random.Random(1)
    made = []
    for second in range(START, START + seconds_long):
        rate = 2 if second < START + 3_700 else 40
        row = []
        for number in range(int(draw.expovariate(1 / rate))):
            usd, venue = draw.lognormvariate(8, 1.5), draw.choice(["binance", "bybit", "okx"])
            order = Liquidation(
                event_id=f"{second}:{number}",
                venue=venue,
                instrument="BTC-USDT-PERP",
                venue_symbol="BTCUSDT",
                asset="BTC",
                position_side="long",
                order_side="sell",
                price=100.0,
                price_kind="fill",
                quantity=usd / 100,
                notional_usd=usd,
                coverage="full" if venue == "bybit" else "latest_per_second",
                stream="bench",
                ts_event=second * SECOND,
                ts_recv=second * SECOND,
            )
            row.append(order)
        made.append((second, row))
    return made


def detect(orders: list[tuple[int, list[Liquidation]]]) -> None:
    """Take forced orders in and judge every second, clocks included."""
    shard, params = Shard(), Params()
    for second, row in orders:
        for order in row:
            engine.step(params, shard, "liquidations", order)
        feed_status = FeedStatus(producer="bench", state="alive", ts_event=(second + 1) * SECOND)
        for topic in INPUTS:
            engine.step(params, shard, topic, feed_status)


def main(rounds: int = 5) -> None:
    """Print what one order costs: least, median and most of some rounds."""
    orders = forced_orders()
    number = sum(len(row) for _, row in orders)
    costs = []
    for _ in range(rounds):
        began = time.process_time()
        detect(orders)
        costs.append((time.process_time() - began) / number * 1e6)
    print(
        f"{number:,} forced orders, every second judged: {min(costs):.2f} / {median(costs):.2f}"
        f" / {max(costs):.2f} us an order (min, median, max of {rounds})"
    )


if __name__ == "__main__":
    main()
