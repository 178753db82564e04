"""A short night for tests: calm, one cascade in two assets, one deposit into a venue."""

import random
from pathlib import Path

import msgspec

from schemas import codec
from schemas.identity import natural_id
from schemas.market import Liquidation, Trade
from schemas.onchain import WhaleTransfer
from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS
from schemas.words import SECOND
from streams.params import OnsetParams, Params, WhaleParams

Event = tuple[int, str, msgspec.Struct]
Item = tuple[str, msgspec.Struct]

START = 1_763_683_200
PARAMS = Params(
    onset=OnsetParams(min_history_s=300),
    whale=WhaleParams(placebos_min=5, window_min=5, scale_min=10),
)


def liquidation(second: int, number: int, usd: float, asset: str, venue: str) -> Liquidation:
    return Liquidation(
        event_id=natural_id(second, number, asset),
        venue=venue,
        instrument=f"{asset}-USDT-PERP",
        venue_symbol=f"{asset}USDT",
        asset=asset,
        position_side="long",
        order_side="sell",
        price=100.0,
        price_kind="bankruptcy",
        quantity=usd / 100,
        notional_usd=usd,
        coverage="full" if venue == "bybit" else "latest_per_second",
        stream="test",
        ts_event=second * SECOND + number,
        ts_recv=second * SECOND + number,
    )


def trade(second: int, venue: str, draw: random.Random, fall: float) -> Trade:
    quantity = draw.lognormvariate(3, 1)
    price = 100.0 - fall + draw.gauss(0, 0.05)
    return Trade(
        event_id=natural_id("t", second, venue),
        venue=venue,
        instrument="BTC-USDT-PERP",
        venue_symbol="BTCUSDT",
        asset="BTC",
        aggressor_side="sell" if draw.random() < 0.5 + min(fall, 2) / 8 else "buy",
        price=price,
        quantity=quantity,
        notional_usd=price * quantity,
        ts_event=second * SECOND + 7,
        ts_recv=second * SECOND + 7,
    )


def night(seed: int = 7, seconds: int = 2_400, burst_at: int = 1_500) -> list[Event]:
    """A short night: calm, one cascade in two assets, one deposit. (second, topic, record)"""
    draw = random.Random(seed)
    events: list[Event] = []
    for second in range(START, START + seconds):
        since = second - START - burst_at
        burst = 0 <= since < 240
        for asset in ("BTC", "ETH"):
            rate = 0.05 + (25.0 if burst else 0.0)
            for number in range(int(rate) + (draw.random() < rate % 1)):
                venue = draw.choice(["bybit", "binance"])
                usd = draw.lognormvariate(8, 1.5)
                events.append(
                    (second, "liquidations", liquidation(second, number, usd, asset, venue))
                )
        for venue in ("bybit", "binance"):
            fall = 3.0 * min(since, 240) / 240 if since > 0 else 0.0
            events.append((second, "trades", trade(second, venue, draw, fall)))
    deposit = START + burst_at - 200
    events.append(
        (
            deposit,
            "whale_transfers",
            WhaleTransfer(
                event_id="deposit",
                provider="test",
                chain="bitcoin",
                asset="BTC",
                transfer_kind="transfer",
                tx_hash="ab",
                leg=0,
                from_owner="unknown",
                from_kind="unknown",
                to_owner="bybit",
                to_kind="exchange",
                quantity=1000.0,
                notional_usd=9e7,
                ts_event=deposit * SECOND,
                ts_recv=deposit * SECOND,
            ),
        )
    )
    return sorted(events, key=lambda e: e[0])


def clocked(events: list[Event], every: int = 1) -> list[Item]:
    """Put an `alive` of every second (or every few) into the stream, as a replay does."""
    out: list[Item] = []
    told = events[0][0]
    for second, topic, record in [
        *events,
        (events[-1][0] + 30, "", FeedStatus(producer="x", state="alive", ts_event=START * SECOND)),
    ]:
        if second >= told + every or not out:
            out += [
                (t, FeedStatus(producer="replay", state="alive", ts_event=(second - 1) * SECOND))
                for t in RAW_TOPICS
            ]
            told = second
        if topic:
            out.append((topic, record))
    return out


def write_ndjson(events: list[Event], folder: Path) -> dict[str, int]:
    """Write the records as one <topic>.ndjson each, in order; return how many of each."""
    folder.mkdir(parents=True)
    counts: dict[str, int] = {}
    for _, topic, record in events:
        counts[topic] = counts.get(topic, 0) + 1
        with open(folder / f"{topic}.ndjson", "ab") as file:
            file.write(codec.encode(record) + b"\n")
    return counts
