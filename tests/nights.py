"""A short night for tests: calm, one cascade in two assets, one deposit into a venue."""

import random
from pathlib import Path
from typing import Any

import msgspec

from schemas import codec
from schemas.findings import Alert
from schemas.identity import natural_id
from schemas.market import Liquidation, Trade
from schemas.onchain import WhaleTransfer
from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS
from schemas.words import SECOND, FeedState
from streams.core import engine, pipeline
from streams.core.params import OnsetParams, Params, WhaleParams
from streams.core.shard import INPUTS, Finding, Shard

Event = tuple[int, str, msgspec.Struct]
Item = tuple[str, msgspec.Struct]
Told = Liquidation | WhaleTransfer

START = 1_763_683_200
PARAMS = Params(
    onset=OnsetParams(min_history_s=300),
    whale=WhaleParams(placebos_min=5, window_min=5, scale_min=10, alpha=0.2),
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
    events.append(event(deposit(START + burst_at - 200)))
    return sorted(events, key=lambda e: e[0])


def complete_night() -> list[Event]:
    """The same night through feeds that show every order."""
    return [
        (second, topic, msgspec.structs.replace(record, coverage="full"))
        if isinstance(record, Liquidation)
        else (second, topic, record)
        for second, topic, record in night()
    ]


def deposit(second: int, **changes: Any) -> WhaleTransfer:
    """A transfer into bybit, told as it happens."""
    values: dict[str, Any] = {
        "event_id": "deposit",
        "provider": "test",
        "chain": "bitcoin",
        "asset": "BTC",
        "transfer_kind": "transfer",
        "tx_hash": "ab",
        "leg": 0,
        "from_owner": "unknown",
        "from_kind": "unknown",
        "to_owner": "bybit",
        "to_kind": "exchange",
        "quantity": 1000.0,
        "notional_usd": 9e7,
        "ts_event": second * SECOND,
        "ts_recv": second * SECOND,
    }
    return WhaleTransfer(**(values | changes))


def again(record: Told, second: int, version: int, **changes: Any) -> Told:
    """A later telling of the same event, received in `second`."""
    news: dict[str, Any] = {"version": version, "ts_recv": second * SECOND + version, **changes}
    return msgspec.structs.replace(record, **news)


def event(record: Told) -> Event:
    """A record as an event of the second in which it was received."""
    topic = "liquidations" if isinstance(record, Liquidation) else "whale_transfers"
    return record.ts_recv // SECOND, topic, record


def sold(second: int, topic: str, record: msgspec.Struct) -> Event:
    """Make bybit's trades of five minutes large sells."""
    since = second - START
    if isinstance(record, Trade) and record.venue == "bybit" and 1_920 <= since < 2_220:
        worth = record.price * 1_000.0
        record = msgspec.structs.replace(
            record, aggressor_side="sell", quantity=1_000.0, notional_usd=worth
        )
    return second, topic, record


def disturbed_night() -> list[Event]:
    """The night, its deposit corrected and then undone, and orders of its cascade changed.

    Beside it a deposit that is removed before its window has passed, and one that is
    followed by selling of its own and removed when that has been told.
    """
    events = [sold(*event) for event in night()]
    first = deposit(START + 1_300)
    seller = deposit(START + 1_900, event_id="seller")
    brief = deposit(START + 1_700, event_id="brief", to_owner="binance")
    orders = [
        record
        for second, _, record in events
        if isinstance(record, Liquidation) and second == START + 1_600
    ]
    events += [
        event(again(first, START + 1_900, 2, notional_usd=6e7)),
        event(again(first, START + 2_100, 3, removed=True)),
        event(seller),
        event(again(seller, START + 2_300, 2, removed=True)),
        event(brief),
        event(again(brief, START + 1_800, 2, removed=True)),
        event(again(orders[0], START + 1_610, 2, notional_usd=1.0, quantity=0.01)),
        event(again(orders[1], START + 2_350, 2, removed=True)),
    ]
    return sorted(events, key=lambda e: e[0])


def in_chinese(events: list[Event]) -> list[Event]:
    """The same events with BTC listed under a name beyond ASCII, as some coins are."""
    names = {
        "asset": "币安人生",
        "instrument": "币安人生-USDT-PERP",
        "venue_symbol": "币安人生USDT",
    }
    out = []
    for second, topic, record in events:
        if getattr(record, "asset", "") == "BTC":
            changes = {k: v for k, v in names.items() if k in record.__struct_fields__}
            record = msgspec.structs.replace(record, **changes)
        out.append((second, topic, record))
    return out


def clocked(events: list[Event], every: int = 1) -> list[Item]:
    """Put an `alive` of every second (or every few) into the stream, as a replay does."""
    out: list[Item] = []
    last = events[0][0]
    for second, topic, record in [
        *events,
        (events[-1][0] + 30, "", FeedStatus(producer="x", state="alive", ts_event=START * SECOND)),
    ]:
        if second >= last + every or not out:
            out += [
                (t, FeedStatus(producer="replay", state="alive", ts_event=(second - 1) * SECOND))
                for t in RAW_TOPICS
            ]
            last = second
        if topic:
            out.append((topic, record))
    # A word that leaps is believed once its producer has gone on for ten seconds.
    after = FeedStatus(producer="replay", state="alive", ts_event=(last + 9) * SECOND)
    return out + [(topic, after) for topic in RAW_TOPICS]


def write_ndjson(events: list[Event], folder: Path) -> dict[str, int]:
    """Write the records as one <topic>.ndjson each, in order; return how many events of each."""
    folder.mkdir(parents=True)
    counts: dict[str, int] = {}
    for _, topic, record in events:
        counts[topic] = counts.get(topic, 0) + (getattr(record, "version", 1) == 1)
        with open(folder / f"{topic}.ndjson", "ab") as file:
            file.write(codec.encode(record) + b"\n")
    return counts


#: Each topic has a producer of its own; that of whale transfers goes away for a while.
PRODUCERS = {"trades": "tape", "liquidations": "forced", "whale_transfers": "chain"}
NIGHT = night()


def alive(producer: str, second: int, state: FeedState = "alive") -> FeedStatus:
    return FeedStatus(producer=producer, state=state, ts_event=(START + second) * SECOND)


def with_feeds(away: dict[str, tuple[int, int]], lag: dict[str, int]) -> list[Item]:
    """The night with a word of each topic's producer a second; topics read `lag` s apart."""
    rows: list[tuple[int, int, str, msgspec.Struct]] = []
    for topic, producer in PRODUCERS.items():
        gone, back = away.get(topic, (10**6, 10**6))
        for second in range(2_440):
            at = second + 1 + lag.get(topic, 0)
            if second < gone:
                rows.append((at, 0, topic, alive(producer, second)))
            elif second == gone:
                rows.append((at, 0, topic, alive(producer, second, "silent")))
            elif second >= back:
                state: FeedState = "recovered" if second == back else "alive"
                rows.append((at, 0, topic, alive(producer, second, state)))
    for second, topic, record in NIGHT:
        gone, back = away.get(topic, (10**6, 10**6))
        if not gone <= second - START < back:
            rows.append((second - START + lag.get(topic, 0), 1, topic, record))
    return [(topic, record) for _, _, topic, record in sorted(rows, key=lambda r: r[:3])]


def tell_time(shard: Shard, second: int) -> list[Finding]:
    """Have a producer say on every input that this second is over; return what follows."""
    # A word that leaps is believed once its producer has gone on for ten seconds.
    words = [
        FeedStatus(producer="test", state="alive", ts_event=(second - before) * SECOND)
        for before in (10, 0)
    ]
    return [
        finding
        for name in INPUTS
        for word in words
        for finding in engine.step(PARAMS, shard, name, word).findings
    ]


def play(items: list[Item]) -> list[msgspec.Struct]:
    state = pipeline.State()
    out = []
    for topic, record in items:
        out += pipeline.step(PARAMS, state, topic, record).outputs
    return [record for topic, record in out if topic != "bars"]


def an_alert(**changes: Any) -> Alert:
    """An alert: the onset of a cascade in BTC, told a second later."""
    values: dict[str, Any] = {
        "alert_id": "a1",
        "dedup_key": "episode-1",
        "kind": "cascade.onset",
        "tier": "cascade",
        "severity": "critical",
        "asset": "BTC",
        "title": "t",
        "text": "x",
        "finding_id": "f1",
        "ts_event": 1_772_000_000_000_000,
        "ts_detect": 1_772_000_001_000_000,
    }
    return Alert(**(values | changes))
