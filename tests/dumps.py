"""Lines of a dump of trades as recorders leave them."""

import random

from schemas import codec
from schemas.market import Trade
from schemas.words import SECOND

#: The second of the first trade.
SECOND_0 = 1_763_683_200


def lines(count: int, seed: int = 3) -> list[bytes]:
    """Floods and trickles, words on time, repeats, late ones and lines that are no records."""
    draw, made, at = random.Random(seed), [], SECOND_0 * SECOND
    for n in range(count):
        at += draw.choice([200, 200, 200, 200, 900, 1_500_000 if n % 97 == 0 else 200])
        asset = "ETH" if n % 3 == 2 and n % 613 else "BTC"
        price = round(draw.uniform(90, 110), 2)
        trade = Trade(
            event_id=f"t{n if n % 400 else n - 1}", venue="binance", instrument=f"{asset}-USDT-PERP",
            venue_symbol=f"{asset}USDT", asset=asset, aggressor_side=draw.choice(["buy", "sell"]),
            price=price, quantity=0.5, notional_usd=draw.choice([price * 0.5, None]),
            ts_event=at - (5 * SECOND if n % 501 == 0 else 0), ts_recv=at + draw.randrange(50_000),
        )  # fmt: skip
        made.append(codec.encode(trade))
        if n % 613 == 0:
            made += [b"", b"{broken", b"[" + made[-1] + b"]", made[-1].replace(b"BTC-", b"DOGE-")]
    return made
