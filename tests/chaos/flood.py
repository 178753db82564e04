"""A night with a flood of trades in it: on one instrument, or nearly each a bar of its own.

Three producers of trades apart from each other: `quick` is on time, `slow` comes BEHIND_S later,
`gone` is silent from before the flood until the middle of it. Some trades are sent twice.

quick   ─ second 9 ──────── second 10 ─────── second 11 ─ (a part of second 10 again)
slow    ─ second 4 ──────── second 5 ──────── second 6
gone    ─ silent ─────────────────────── recovered, 3 s behind
"""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from nights import PARAMS, START, night

from chaos.feeder import Feeder
from chaos.recording import Recording, undisturbed
from schemas import codec
from schemas.market import Trade
from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS, TOPICS, key_of
from schemas.words import SECOND, FeedState
from streams.sources.pace import RUN_ON

BEHIND_S = 5
#: The seconds of the night.
UNTIL = 900
#: One step of the flood in so many is sent again a second later.
AGAIN_EVERY = 40
#: Seconds that one step spans where there is no flood.
CALM_STEP_S = 10
SLOW_VENUE = "bybit"
#: How far every clock comes beyond the last record, as an undisturbed run's does.
RUN_ON_S = RUN_ON // SECOND


class Flood(NamedTuple):
    """What comes in each second of a flood; `at` and `burst_at` are seconds of the night.

    A second's trades go round its `assets`, an instrument each. With one asset they are a message
    each on one partition, with many they are arrays on all partitions.
    """

    burst_at: int
    at: int
    seconds: int
    per_second: int
    #: Trades of one step of the feeder.
    step: int
    assets: int = 1

    def covers(self, second: int) -> bool:
        """Whether a second of the night is one of the flood."""
        return START + self.at <= second < START + self.at + self.seconds


#: The speed that we advertise, folded into a handful of bars.
ONE_INSTRUMENT = Flood(burst_at=600, at=620, seconds=12, per_second=100_000, step=1_000)
#: The night's cascade begins and is called within it.
MANY_BARS = Flood(burst_at=620, at=600, seconds=240, per_second=5_000, step=2_500, assets=5_000)


class Sent(NamedTuple):
    """One message: `partition` where its key does not say it."""

    topic: str
    value: bytes
    key: bytes | None = None
    partition: int | None = None


class FloodTrade(NamedTuple):
    """One trade of a flood; `number` is its place among those of its second."""

    number: int
    venue: str
    event_id: str
    payload: bytes


def flood_trades(flood: Flood, second: int, first: int, last: int) -> Iterator[FloodTrade]:
    """Yield some of a second's trades."""
    for number in range(first, last):
        venue = SLOW_VENUE if number % 10 == 0 else "okx" if number % 3 else "binance"
        asset = b"BTC" if flood.assets == 1 else b"A%d" % (number % flood.assets)
        event_id, at = f"f{second}.{number}", second * SECOND + number * SECOND // flood.per_second
        price = 100.0 - (second - START - flood.burst_at) / 80 - number % 7 / 100
        yield FloodTrade(number, venue, event_id, (
            b'{"type":"trade","event_id":"%s","venue":"%s","instrument":"%s-USDT-PERP",'
            b'"venue_symbol":"%sUSDT","asset":"%s","aggressor_side":"%s","price":%.4f,'
            b'"quantity":0.25,"notional_usd":%.6f,"ts_event":%d,"ts_recv":%d}'
            % (
                event_id.encode(), venue.encode(), asset, asset, asset,
                b"buy" if number % 5 < 2 else b"sell", price, price / 4, at, at,
            )
        ))  # fmt: skip


def record_flood(folder: Path, flood: Flood) -> Recording:
    """Write the flooded night, play it undisturbed, and remember what it leads to."""
    source, params = folder / "recording", folder / "params.json"
    source.mkdir(parents=True)
    params.write_bytes(msgspec.json.encode(PARAMS))
    events = night(seconds=UNTIL, burst_at=flood.burst_at)
    files = {topic: (source / f"{topic}.ndjson").open("wb") for topic in RAW_TOPICS}
    sent, at = Counter[str](), 0
    for second in range(START, START + UNTIL):
        while at < len(events) and events[at][0] <= second:
            _, topic, record = events[at]
            files[topic].write(codec.encode(record) + b"\n")
            sent[topic] += 1
            at += 1
        if flood.covers(second):
            for trade in flood_trades(flood, second, 0, flood.per_second):
                files["trades"].write(trade.payload + b"\n")
            sent["trades"] += flood.per_second
    for file in files.values():
        file.close()
    return undisturbed(folder, source, params, dict(sent))


class FloodFeeder(Feeder):
    """Plays the flooded night, one step after another, at most as fast as it is told."""

    def __init__(self, url: str, rng: random.Random, partitions: int, flood: Flood) -> None:
        super().__init__(url, steps(flood), partitions)
        #: Ids that were sent more than once, and how often more.
        self.again: Counter[str] = Counter()
        #: Steps of the flood played so far, and how long that took without waiting.
        self.flooded, self.busy_s = 0, 0.0
        self._flood = flood
        self._rng = rng
        self._waiting: list[tuple[int, list[Sent]]] = []
        self._events: dict[int, list[tuple[str, msgspec.Struct]]] = {}
        for second, topic, record in night(seconds=UNTIL, burst_at=flood.burst_at):
            self._events.setdefault(second, []).append((topic, record))
        #: Arrays made beforehand, by step: making them takes the core that the stages need.
        self._ready: dict[int, list[Sent]] = {}
        if flood.assets > 1:
            for number, step in enumerate(self._items):
                if flood.covers(step[0]):
                    self._ready[number] = list(self._messages(*step))

    def _play_all(self) -> None:
        for number, (second, first, last) in enumerate(self._items):
            self._wait()
            self._at += 1
            began = time.monotonic()
            for sent in self._ready.pop(number, None) or self._messages(second, first, last):
                self._send(sent)
            if self._flood.covers(second):
                self.flooded += 1
                self.busy_s += time.monotonic() - began
            while self._waiting and self._waiting[0][0] <= number:
                for sent in self._waiting.pop(0)[1]:
                    self._send(sent)
            if self._flood.covers(second) and self._rng.randrange(AGAIN_EVERY) == 0:
                self._send_again(number, second, first, last)
            self._producer.poll(0)

    def _send_again(self, number: int, second: int, first: int, last: int) -> None:
        few = list(self._trades(second, first, last, slow=False))
        self.again.update(trade.event_id for trade in few)
        a_second = self._flood.per_second // self._flood.step
        self._waiting.append((number + a_second, list(self._messages_of(few))))

    def _send(self, sent: Sent) -> None:
        where = {} if sent.partition is None else {"partition": sent.partition}
        while True:
            try:
                self._producer.produce(
                    sent.topic, sent.value, sent.key, on_delivery=self._delivered, **where
                )
                return
            except BufferError:
                self._producer.poll(0.05)

    def _messages(self, second: int, first: int, last: int) -> Iterator[Sent]:
        """What comes in this step: of `slow`, the trades of BEHIND_S ago."""
        if not self._flood.covers(second):
            for each in range(second, second + last):
                yield from self._calm(each)
            return
        if first == 0:
            yield from self._calm(second)
        yield from self._messages_of(self._trades(second, first, last, slow=False))
        yield from self._slow(second - BEHIND_S, first, last)

    def _slow(self, second: int, first: int, last: int) -> Iterator[Sent]:
        if self._flood.covers(second):
            yield from self._messages_of(self._trades(second, first, last, slow=True))

    def _trades(self, second: int, first: int, last: int, slow: bool) -> Iterator[FloodTrade]:
        for trade in flood_trades(self._flood, second, first, last):
            if (trade.venue == SLOW_VENUE) == slow:
                yield trade

    def _messages_of(self, trades: Iterable[FloodTrade]) -> Iterator[Sent]:
        if self._flood.assets == 1:
            for trade in trades:
                yield Sent("trades", trade.payload, partition=0)
            return
        payloads: dict[int, list[bytes]] = {}
        for trade in trades:
            # Every tenth is the slow venue's, which is to be met on each partition.
            place = trade.number % self._flood.assets // 10 % self._partitions
            payloads.setdefault(place, []).append(trade.payload)
        for place, some in payloads.items():
            yield Sent("trades", b"[%s]" % b",".join(some), partition=place)

    def _calm(self, second: int) -> Iterator[Sent]:
        """The night's own records of a second, and each producer's word that what was before is told."""
        for topic in RAW_TOPICS:
            if topic != "trades":
                yield from self._words("replay", "alive", second - 1, topic)
        yield from self._words("quick", "alive", second - 1)
        yield from self._words("slow", "alive", second - BEHIND_S)
        middle = self._flood.at + self._flood.seconds // 2
        if second - START in (0, middle):
            state: FeedState = "silent" if second == START else "recovered"
            yield from self._words("gone", state, second - 3)
        elif second - START > middle:
            yield from self._words("gone", "alive", second - 3)
        for topic, record in self._events.get(second, ()):
            if not (isinstance(record, Trade) and record.venue == SLOW_VENUE):
                yield _keyed(topic, record)
        for topic, record in self._events.get(second - BEHIND_S, ()):
            if isinstance(record, Trade) and record.venue == SLOW_VENUE:
                yield _keyed(topic, record)
        if not self._flood.covers(second):
            yield from self._slow(second - BEHIND_S, 0, self._flood.per_second)

    def _words(
        self, producer: str, state: FeedState, second: int, topic: str = "trades"
    ) -> Iterator[Sent]:
        # From when an undisturbed run's words begin, to when they end: baselines count from there.
        at = min(max(second, START - 1), START + UNTIL - 1 + RUN_ON_S) * SECOND
        feed_status = FeedStatus(producer=producer, state=state, ts_event=at)
        for partition in range(self._partitions if TOPICS[topic].split else 1):
            yield Sent(topic, codec.encode(feed_status), partition=partition)


def _keyed(topic: str, record: msgspec.Struct) -> Sent:
    return Sent(topic, codec.encode(record), key_of(TOPICS[topic], record) or None)


def steps(flood: Flood) -> Sequence[tuple[int, int, int]]:
    """Each step's second, and which of its trades; where there is no flood, how many seconds."""
    calm = [(START + s, 0, CALM_STEP_S) for s in range(0, flood.at, CALM_STEP_S)]
    flooded = [
        (START + flood.at + s, first, first + flood.step)
        for s in range(flood.seconds)
        for first in range(0, flood.per_second, flood.step)
    ]
    # Beyond the end, until the last of the producers has told all.
    begin = flood.at + flood.seconds
    after = [(START + s, 0, 1) for s in range(begin, begin + BEHIND_S)]
    after += [(START + s, 0, CALM_STEP_S) for s in range(begin + BEHIND_S, UNTIL + 20, CALM_STEP_S)]
    return calm + flooded + after


def flooded_share(flood: Flood) -> tuple[float, float]:
    """From which share of the steps to which the flood comes."""
    flooded = [n for n, (second, _, _) in enumerate(steps(flood)) if flood.covers(second)]
    return flooded[0] / len(steps(flood)), (flooded[-1] + 1) / len(steps(flood))
