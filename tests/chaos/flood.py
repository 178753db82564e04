"""A night with a dozen seconds of it at the speed that we advertise, on one partition.

Three producers of trades apart from each other: `quick` is on time, `slow` comes BEHIND_S later,
`gone` is silent from before the flood until the middle of it. Some trades are sent twice.

quick   ─ second 9 ──────── second 10 ─────── second 11 ─ (a part of second 10 again)
slow    ─ second 4 ──────── second 5 ──────── second 6
gone    ─ silent ─────────────────────── recovered, 3 s behind
"""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
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

RATE = 100_000
BEHIND_S = 5
#: Seconds of the night: its cascade, the flood within it, and the end.
BURST_AT, FLOOD_AT, FLOOD_S, UNTIL = 600, 620, 12, 900
#: Trades of one step of the feeder; one step in so many is sent again a second later.
STEP, AGAIN_EVERY = 1_000, 40
#: Seconds that one step spans where there is no flood.
CALM_STEP_S = 10
SLOW_VENUE = "bybit"
#: How far every clock comes beyond the last record, as an undisturbed run's does.
RUN_ON_S = RUN_ON // SECOND


class Sent(NamedTuple):
    """One message: `partition` where its key does not say it."""

    topic: str
    value: bytes
    key: bytes | None = None
    partition: int | None = None


def flood_trades(second: int, first: int, last: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield venue, event_id and payload of some of a second's trades."""
    for number in range(first, last):
        venue = SLOW_VENUE if number % 10 == 0 else "okx" if number % 3 else "binance"
        event_id, at = f"f{second}.{number}", second * SECOND + number * 10
        price = 100.0 - (second - START - BURST_AT) / 80 - number % 7 / 100
        yield venue, event_id, (
            b'{"type":"trade","event_id":"%s","venue":"%s","instrument":"BTC-USDT-PERP",'
            b'"venue_symbol":"BTCUSDT","asset":"BTC","aggressor_side":"%s","price":%.4f,'
            b'"quantity":0.25,"notional_usd":%.6f,"ts_event":%d,"ts_recv":%d}'
            % (
                event_id.encode(), venue.encode(), b"buy" if number % 5 < 2 else b"sell",
                price, price / 4, at, at,
            )
        )  # fmt: skip


def is_flooded(second: int) -> bool:
    """Whether a second of the night is one of the flood."""
    return START + FLOOD_AT <= second < START + FLOOD_AT + FLOOD_S


def record_flood(folder: Path) -> Recording:
    """Write the flooded night, play it undisturbed, and remember what it leads to."""
    source, params = folder / "recording", folder / "params.json"
    source.mkdir(parents=True)
    params.write_bytes(msgspec.json.encode(PARAMS))
    events = night(seconds=UNTIL, burst_at=BURST_AT)
    files = {topic: (source / f"{topic}.ndjson").open("wb") for topic in RAW_TOPICS}
    sent, at = Counter[str](), 0
    for second in range(START, START + UNTIL):
        while at < len(events) and events[at][0] <= second:
            _, topic, record = events[at]
            files[topic].write(codec.encode(record) + b"\n")
            sent[topic] += 1
            at += 1
        if is_flooded(second):
            for _, _, payload in flood_trades(second, 0, RATE):
                files["trades"].write(payload + b"\n")
            sent["trades"] += RATE
    for file in files.values():
        file.close()
    return undisturbed(folder, source, params, dict(sent))


class FloodFeeder(Feeder):
    """Plays the flooded night, one step after another, at most as fast as it is told."""

    def __init__(self, url: str, rng: random.Random, partitions: int) -> None:
        super().__init__(url, steps(), partitions)
        #: Ids that were sent more than once, and how often more.
        self.again: Counter[str] = Counter()
        #: Steps of the flood played so far, and how long that took without waiting.
        self.flooded, self.busy_s = 0, 0.0
        self._rng = rng
        self._waiting: list[tuple[int, list[Sent]]] = []
        self._events: dict[int, list[tuple[str, msgspec.Struct]]] = {}
        for second, topic, record in night(seconds=UNTIL, burst_at=BURST_AT):
            self._events.setdefault(second, []).append((topic, record))

    def _play_all(self) -> None:
        for number, (second, first, last) in enumerate(self._items):
            self._wait()
            self._at += 1
            began = time.monotonic()
            for sent in self._messages(second, first, last):
                self._send(sent)
            if is_flooded(second):
                self.flooded += 1
                self.busy_s += time.monotonic() - began
            while self._waiting and self._waiting[0][0] <= number:
                for sent in self._waiting.pop(0)[1]:
                    self._send(sent)
            if is_flooded(second) and self._rng.randrange(AGAIN_EVERY) == 0:
                self._send_again(number, second, first, last)
            self._producer.poll(0)

    def _send_again(self, number: int, second: int, first: int, last: int) -> None:
        few = [t for t in flood_trades(second, first, last) if t[0] != SLOW_VENUE]
        self.again.update(event_id for _, event_id, _ in few)
        messages = [Sent("trades", payload, partition=0) for _, _, payload in few]
        self._waiting.append((number + RATE // STEP, messages))

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
        if not is_flooded(second):
            for each in range(second, second + last):
                yield from self._calm(each)
            return
        if first == 0:
            yield from self._calm(second)
        for venue, _, payload in flood_trades(second, first, last):
            if venue != SLOW_VENUE:
                yield Sent("trades", payload, partition=0)
        yield from self._slow(second - BEHIND_S, first, last)

    def _slow(self, second: int, first: int, last: int) -> Iterator[Sent]:
        if is_flooded(second):
            for venue, _, payload in flood_trades(second, first, last):
                if venue == SLOW_VENUE:
                    yield Sent("trades", payload, partition=0)

    def _calm(self, second: int) -> Iterator[Sent]:
        """The night's own records of a second, and each producer's word that what was before is told."""
        for topic in RAW_TOPICS:
            if topic != "trades":
                yield from self._words("replay", "alive", second - 1, topic)
        yield from self._words("quick", "alive", second - 1)
        yield from self._words("slow", "alive", second - BEHIND_S)
        middle = FLOOD_AT + FLOOD_S // 2
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
        if not is_flooded(second):
            yield from self._slow(second - BEHIND_S, 0, RATE)

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


def steps() -> Sequence[tuple[int, int, int]]:
    """Each step's second, and which of its trades; where there is no flood, how many seconds."""
    calm = [(START + s, 0, CALM_STEP_S) for s in range(0, FLOOD_AT, CALM_STEP_S)]
    flooded = [
        (START + FLOOD_AT + s, first, first + STEP)
        for s in range(FLOOD_S)
        for first in range(0, RATE, STEP)
    ]
    # Beyond the end, until the last of the producers has told all.
    begin = FLOOD_AT + FLOOD_S
    after = [(START + s, 0, 1) for s in range(begin, begin + BEHIND_S)]
    after += [(START + s, 0, CALM_STEP_S) for s in range(begin + BEHIND_S, UNTIL + 20, CALM_STEP_S)]
    return calm + flooded + after


def _flooded_share() -> tuple[float, float]:
    flooded = [n for n, (second, _, _) in enumerate(steps()) if is_flooded(second)]
    return flooded[0] / len(steps()), (flooded[-1] + 1) / len(steps())


#: From which share of the steps to which the flood comes.
FLOODED_SHARE = _flooded_share()
