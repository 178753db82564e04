"""One venue's ears: its links, what they give once, what was missed, and words on both."""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import aiohttp
import msgspec

from schemas.identity import natural_id
from schemas.market import Liquidation, OpenInterest, Trade
from schemas.metrics import FEED
from schemas.status import letter
from schemas.topics import RAW_TOPICS
from schemas.words import SECOND, WORD_EVERY
from streams.feed import listing
from streams.feed.burning import LEAST, WINDOW_S, Burning
from streams.feed.complaints import Complaints, Totals
from streams.feed.connection import KeepFrame, LinkStatus, Listener, Time, Where, keep_none
from streams.feed.dialogue import Heard, Plan, VenueDialogue
from streams.feed.history import past, reading
from streams.feed.link import Connects, Link
from streams.feed.liveness import Paces
from streams.feed.outages import Outages
from streams.feed.outlet import Outlet
from streams.feed.protocol import Protocol, Stream, sharded
from streams.feed.recent import Recent
from streams.feed.rest import NoAnswer, Rest
from streams.feeds.frames import Refusal
from streams.feeds.instruments import Instruments
from streams.feeds.learning import Learnt
from streams.process import learnt_file

log = logging.getLogger("undertow.feed")
#: Event time runs so far behind receipt: Binance pushes a forced order up to a second late.
LAG = SECOND
#: Of open interest, which venues tell many times a second, one reading in this is handed on.
READ_EVERY = 10 * SECOND
#: Where no stream tells what is open, each instrument is asked about so often, and the venue no
#: more often than this, seconds.
ASK_EVERY_S, ASK_LEAST_S = 30.0, 3.0
#: What is missing for longer is not asked for: it would come hours late.
MOST_HISTORY = 3600 * SECOND


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue is asked for, by which name it speaks, and where it was left.

    `assets` None: all. `places`: by topic, everything before this time was written by an earlier
    process of this name, microseconds. `keep_frame` hears raw frames, and answers of REST.
    """

    producer: str
    assets: Collection[str] | None = None
    places: dict[str, int] = {}
    cache: Path = Path("data/instruments")
    keep_frame: KeepFrame = keep_none
    learnt: Learnt = Learnt()


class VenueFeed:
    """A venue connected, until `run` is cancelled."""

    def __init__(
        self, protocol: Protocol, wanted: Wanted, outlet: Outlet, at: Time, burning: Burning
    ) -> None:
        self.protocol = protocol
        self._burning = burning
        self.wanted = wanted
        self.links: list[Link] = []
        self._outlet = outlet
        self._at = at
        self._recent = Recent()
        self._plans: dict[str, Plan] = {}
        self._tasks: asyncio.TaskGroup
        self._outages = Outages(wanted.producer, {}, RAW_TOPICS)
        self._instruments: Instruments
        self._rest: Rest
        #: By topic, what is older than this is from before we began, microseconds.
        self._begins = dict.fromkeys(RAW_TOPICS, 0)
        self._symbols: list[str] = []
        self._readings: dict[str, int] = {}
        self._paces = Paces()
        self._complaints = Complaints()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Keep the venue's links; raises listing.Nothing where nothing of it can be wanted."""
        protocol, at = self.protocol, self._at
        self._rest = Rest(protocol, session, at, self.wanted.keep_frame)
        cache = self.wanted.cache / f"{protocol.venue}.json"
        self._instruments = await listing.listed(self._rest, protocol, cache)
        learnt_file.apply(self.wanted.learnt, protocol.venue, self._instruments)
        chosen = listing.chosen(protocol, self._instruments, self.wanted.assets)
        self._symbols = [one.venue_symbol for one in chosen]
        connects = Connects(protocol.connects_a_minute, at)
        served: dict[str, set[str]] = {}
        for route, streams in protocol.routes(chosen).items():
            shards = sharded(streams, protocol.streams_a_connection)
            for number, shard in enumerate(shards, 1):
                name = f"{protocol.venue}/{route}" + (f".{number}" if len(shards) > 1 else "")
                self.links.append(self._link(name, route, shard, connects))
                for topic in {topic for stream in shard for topic in stream.topics}:
                    served.setdefault(topic, set()).add(name)
        self._begin(served)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for link in self.links:
                tasks.create_task(link.keep(session))
            tasks.create_task(self._speak())
            tasks.create_task(self._ask_readings())

    def end(self) -> None:
        """Say that we stop."""
        self._tell_uncounted(float("inf"))
        for spoken in self._outages.end(self._at.micros()):
            self._outlet.say(spoken)

    def statuses(self) -> Iterator[LinkStatus]:
        """Yield what each link is doing."""
        return (link.status for link in self.links)

    def _link(self, name: str, route: str, shard: Sequence[Stream], connects: Connects) -> Link:
        protocol = self.protocol
        plan = self._plans[name] = Plan(shard)
        has_trades = any("trades" in stream.topics for stream in shard)
        where = Where(name, protocol.urls[route], protocol.headers, has_trades, protocol.life_s)
        keep_frame = self.wanted.keep_frame
        listener = Listener(keep_frame, self._heard, self._lost, self._back, self._outlet.room)
        return Link(
            where,
            lambda: VenueDialogue(protocol, plan, self._instruments),
            listener,
            connects,
            self._at,
        )

    def _begin(self, served: dict[str, set[str]]) -> None:
        others = [topic for topic in RAW_TOPICS if topic not in served]
        self._outages = Outages(self.wanted.producer, served, others)
        now = self._at.micros()
        begins = {topic: self.wanted.places.get(topic, now) for topic in served}
        late = int(self.protocol.delay_s * SECOND) + SECOND
        self._begins |= {topic: begin - late for topic, begin in begins.items()}
        is_first = not self.wanted.places
        since = min(begins.values(), default=now)
        reason = "nothing has come yet" if is_first else "not running"
        for link in self.links:
            self._outages.lost(link.where.name, since, reason, is_first)

    async def _speak(self) -> None:
        while True:
            self._publish()
            self._tell_set_aside()
            self._tell_uncounted(self._at.steady())
            self._judge_calm()
            self._renew_quiet()
            self._recent.age(self._at.steady())
            for spoken in self._outages.words_at(self._at.micros(), LAG):
                self._outlet.say(spoken)
            await self._at.sleep(WORD_EVERY / SECOND)

    def _heard(self, link: str, heard: Heard, frame: bytes, ts_recv: int) -> None:
        self._emit(heard.records)
        if refusals := heard.refusals:
            totals = next(Totals(s.records, s.refused) for s in self.statuses() if s.name == link)
            count, now = len(refusals), self._at.steady()
            for refusal in refusals[: self._complaints.admits(link, count, totals, frame, now)]:
                self._refuse(link, refusal, frame, ts_recv)

    def _emit(self, records: Sequence[msgspec.Struct]) -> None:
        """Hand on what is new, wanted, and not from before we began: older must not alert."""
        trades: list[msgspec.Struct] = []
        forced: list[msgspec.Struct] = []
        assets, is_new, begins = self.wanted.assets, self._recent.is_new, self._begins
        for record in records:
            if type(record) is Trade:
                if (
                    record.ts_event >= begins["trades"]
                    and (assets is None or record.asset in assets)
                    and is_new(record.event_id)
                ):
                    trades.append(record)
                    self._note_pace(record)
            elif (
                isinstance(record, Liquidation | OpenInterest)
                and record.ts_event >= begins["liquidations"]
                and (assets is None or record.asset in assets)
                and (isinstance(record, Liquidation) or self._is_due(record))
                and is_new(record.event_id)
            ):
                forced.append(record)
        if trades:
            self._outlet.records("trades", trades)
        if forced:
            self._outlet.records("liquidations", forced)
            self._note_forced(sum(isinstance(one, Liquidation) for one in forced))

    def _note_forced(self, orders: int) -> None:
        if orders:
            self._burning.note(self.protocol.venue, orders, self._at.steady())
            self._outages.unmute("liquidations", self._at.micros())

    def _is_due(self, reading: OpenInterest) -> bool:
        """Say whether an instrument's last reading is old enough for another."""
        last = self._readings.get(reading.venue_symbol, 0)
        if reading.ts_event < last + READ_EVERY:
            return False
        self._readings[reading.venue_symbol] = reading.ts_event
        return True

    def _refuse(self, link: str, refusal: Refusal, frame: bytes, ts_recv: int) -> None:
        # No offset names it: a number made of its content, so that a repeat is the same row.
        place = int(natural_id(link, refusal.field, frame.hex())[:13], 16)
        self._outlet.letter(letter((link, 0, place), refusal.field, refusal.reason, frame, ts_recv))

    def _tell_uncounted(self, now: float) -> None:
        for link, reason, frame in self._complaints.over(now):
            log.error("%s: %s", link, reason)
            self._refuse(link, Refusal("", reason), frame, self._at.micros())

    def _lost(self, link: str, since: int, reason: str) -> None:
        log.warning("%s lost: %s", link, reason)
        self._outages.lost(link, since - int(self.protocol.delay_s * SECOND), reason)
        FEED.reconnects.labels(self.protocol.venue).inc()

    def _back(self, link: str, until: int) -> None:
        # By the venue's clock, in which what was missed is stamped.
        until += max(status.ahead for status in self.statuses())
        self._outages.back(link, until)
        live = len(self._plans[link].live())
        self._outages.connected(link, until, f"{live} streams")
        self._tasks.create_task(self._catch_up(link))

    async def _ask_readings(self) -> None:
        """Ask, one after the other, what is open of instruments of which no stream tells it."""
        requests = list(filter(None, map(self.protocol.reading, self._symbols)))
        while requests:
            for request in requests:
                await self._at.sleep(max(ASK_EVERY_S / len(requests), ASK_LEAST_S))
                try:
                    parsed = await reading(self._rest, self._instruments, request, self._at.micros)
                except NoAnswer as problem:
                    log.info("%s: %s", self.protocol.venue, problem)
                else:
                    self._emit(parsed.records)

    async def _catch_up(self, link: str) -> None:
        """Ask for what a link missed, then say topic by topic what is missing for good."""
        outages = {topic: self._outages.outage(link, topic) for topic in ("liquidations", "trades")}
        # Spans as they are now: a link may be lost again while its history is asked for.
        spans = {
            topic: (outage.since, outage.until, outage.is_first)
            for topic, outage in outages.items()
            if outage is not None and outage.until is not None
        }
        missing: dict[str, Counter[str]] = {topic: Counter() for topic in spans}
        streams = [stream for stream in self._plans[link].live() if not stream.is_reading]
        for topic, (since, until, is_first) in spans.items():
            # Forced orders first: most venues keep none, and nobody waits for them then.
            for stream in [] if is_first else streams:
                if stream.topics[-1] == topic:
                    reason = await self._fill(stream, (since, until))
                    for affected in set(stream.topics) & spans.keys():
                        missing[affected][reason] += 1
            self._close(link, topic, until, missing[topic])

    async def _fill(self, stream: Stream, span: tuple[int, int]) -> str:
        """Hand on what the venue keeps of a stream in a span; return why some is missing, or ""."""
        since, until = span
        asked = max(since, until - MOST_HISTORY), until
        requests = self.protocol.first(stream, self._symbols, *asked)
        answer = await past(self._rest, self._instruments, requests, asked, self._at.micros)
        self._emit(answer.records)
        await self._outlet.room()
        return answer.missing or ("longer than an hour ago" if since < asked[0] else "")

    def _close(self, link: str, topic: str, until: int, reasons: Counter[str]) -> None:
        outage = self._outages.outage(link, topic)
        if outage is None or outage.until != until:
            return  # lost again meanwhile
        complete = reasons.pop("", 0)
        missing = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
        if missing:
            FEED.gaps.labels(self.protocol.venue, topic).inc()
            missing = f"{missing}, of {reasons.total() + complete} streams"
        self._outages.close(link, topic, missing, self._at.micros())

    def _note_pace(self, trade: Trade) -> None:
        """Note a trade; where its instrument was quiet, ask for what it printed meanwhile."""
        since = self._paces.note(trade.venue_symbol, self._at.steady(), trade.ts_event)
        if since is not None:
            self._tasks.create_task(self._fill_hole(trade.venue_symbol, (since, trade.ts_event)))

    async def _fill_hole(self, symbol: str, span: tuple[int, int]) -> None:
        for link, stream in self._streams_of(symbol):
            if reason := await self._fill(stream, span):
                self._outages.gap(link, "trades", span, f"no trade of {symbol}; {reason}")

    def _renew_quiet(self) -> None:
        """Have links renewed that stand, but give nothing more of an instrument."""
        for symbol in self._paces.quiet(self._at.steady()):
            names = {link for link, _ in self._streams_of(symbol)}
            for link in self.links:
                if link.where.name not in names:
                    continue
                if link.status.state == "live":
                    link.renew(f"no trade of {symbol}, while others trade")
                else:  # the outage of the whole link is told already
                    self._paces.forget(symbol)

    def _streams_of(self, symbol: str) -> Iterator[tuple[str, Stream]]:
        for name, plan in self._plans.items():
            for stream in plan.streams:
                if stream.symbol == symbol and "trades" in stream.topics:
                    yield name, stream

    def _judge_calm(self) -> None:
        """Call forced orders silent where the others' say that calm cannot be."""
        missing = self._burning.missing(self.protocol.venue, self._at.steady())
        if missing >= LEAST:
            since = self._at.micros() - WINDOW_S * SECOND
            reason = f"no forced order for {WINDOW_S} s: by the others' it should be {missing:.0f}"
            self._outages.mute("liquidations", since, reason)

    def _tell_set_aside(self) -> None:
        for name, plan in self._plans.items():
            back, plan.back = plan.back, []
            for stream in back:
                log.warning("%s: %s is served after all", name, stream.name)
                what = f"{stream.name} is served after all"
                self._outages.connected(name, self._at.micros(), what)
            news, plan.news = plan.news, []
            for stream, reason in news:
                log.error("%s: %s is not served: %s", name, stream.name, reason)
                refusal = Refusal("subscription", f"{stream.name}: {reason}")
                self._refuse(name, refusal, stream.name.encode(), self._at.micros())

    def _publish(self) -> None:
        venue, now = self.protocol.venue, self._at.micros()
        for link in self.links:
            status, stream = link.status, link.where.name.partition("/")[2]
            FEED.frames.labels(venue, stream).set(status.frames)
            FEED.records.labels(venue, stream).set(status.records)
            FEED.refused.labels(venue, stream).set(status.refused)
            if status.ts_records:
                FEED.age.labels(venue, stream).set((now - status.ts_records) / 1e6)
