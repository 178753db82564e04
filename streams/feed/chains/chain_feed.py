"""One chain's ears: its link, its ledger, and words on both."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

import aiohttp
import msgspec

from schemas.identity import natural_id
from schemas.market import Liquidation
from schemas.onchain import WhaleTransfer
from schemas.status import letter
from schemas.words import SECOND
from streams.feed.complaints import Complaints, Totals
from streams.feed.connection import KeepFrame, LinkStatus, Listener, Time, Where, keep_none
from streams.feed.dialogue import Dialogue, Heard
from streams.feed.link import Connects, Link
from streams.feed.outages import Outages, Spoken, moment
from streams.feed.outlet import Outlet
from streams.feed.recent import Recent
from streams.feeds.frames import Refusal
from streams.feeds.ledger import Ledger

log = logging.getLogger("undertow.feed")
TOPICS = ("whale_transfers", "liquidations")
#: Words run so far behind receipt, and what was missed is waited for so long.
LAG, FILLED_WITHIN_S = SECOND, 15.0
#: A chain without a head for so long is silent; no chain here waits so long for a block.
HEADS_WITHIN_US = 90 * SECOND
_TOPIC_OF: dict[type, str] = {WhaleTransfer: "whale_transfers", Liquidation: "liquidations"}


class Source(msgspec.Struct, frozen=True):
    """Where a chain is heard: its name, the url, and one connection's side of its protocol.

    `speaks` are the topics on which it tells how far it has come. A provider without blocks has
    no ledger.
    """

    name: str
    url: str
    dialogue: Callable[[], Dialogue]
    ledger: Ledger | None = None
    speaks: tuple[str, ...] = ("whale_transfers",)


class ChainFeed:
    """A chain connected, until `run` is cancelled."""

    def __init__(
        self,
        source: Source,
        producer: str,
        outlet: Outlet,
        at: Time,
        keep_frame: KeepFrame = keep_none,
    ) -> None:
        self._source = source
        self._outlet = outlet
        self._at = at
        self._recent = Recent()
        self._complaints = Complaints()
        name = f"{source.name}/node"
        self._outages = Outages(producer, {topic: {name} for topic in source.speaks}, ())
        where = Where(name, source.url, has_trades=False)
        listener = Listener(keep_frame, self._heard, self._lost, self._back, outlet.room)
        self._link = Link(where, source.dialogue, listener, Connects(30, at), at)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Keep the chain's link."""
        self._outages.lost(self._link.where.name, self._at.micros(), "started", is_first=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._link.keep(session))
            tasks.create_task(self._speak())

    def end(self) -> None:
        """Say that we stop."""
        self._tell_uncounted(float("inf"))
        self._say(self._outages.end(self._at.micros()))

    def statuses(self) -> Iterator[LinkStatus]:
        """Yield what the link is doing."""
        yield self._link.status

    async def _speak(self) -> None:
        began = self._at.micros()
        while True:
            now = self._at.micros()
            if self._source.ledger is not None:
                self._judge(self._source.ledger.ts_head or began, now)
            self._tell_uncounted(self._at.steady())
            self._say(self._outages.words_at(now, LAG))
            await self._at.sleep(1.0)

    def _judge(self, ts_head: int, now: int) -> None:
        """Say that a chain is silent whose node gives no heads, whatever else it answers."""
        for topic in self._source.speaks:
            if now - ts_head >= HEADS_WITHIN_US:
                self._outages.mute(topic, ts_head, "the node gives no heads")
            else:
                self._outages.unmute(topic, now)

    def _tell_uncounted(self, now: float) -> None:
        for link, reason, frame in self._complaints.over(now):
            log.error("%s: %s", link, reason)
            self._refuse(link, [Refusal("", reason)], frame, self._at.micros())

    def _say(self, words: Iterator[Spoken]) -> None:
        for spoken in words:
            self._outlet.say(spoken)

    def _heard(self, link: str, heard: Heard, frame: bytes, ts_recv: int) -> None:
        by_topic: dict[str, list[msgspec.Struct]] = {}
        for record in heard.records:
            topic = _TOPIC_OF.get(type(record))
            if topic is not None and self._is_new(record):
                by_topic.setdefault(topic, []).append(record)
        for topic, records in by_topic.items():
            self._outlet.records(topic, records)
        if heard.refusals:
            status, count = self._link.status, len(heard.refusals)
            totals, now = Totals(status.records, status.refused), self._at.steady()
            admitted = self._complaints.admits(link, count, totals, frame, now)
            self._refuse(link, heard.refusals[:admitted], frame, ts_recv)

    def _is_new(self, record: msgspec.Struct) -> bool:
        name = f"{record.event_id}#{record.version}"  # type: ignore[attr-defined]
        return self._recent.is_new(name)

    def _refuse(self, link: str, refusals: Sequence[Refusal], frame: bytes, ts_recv: int) -> None:
        for refusal in refusals:
            place = int(natural_id(link, refusal.field, frame.hex())[:13], 16)
            made = letter((link, 0, place), refusal.field, refusal.reason, frame, ts_recv)
            self._outlet.letter(made)

    def _lost(self, link: str, since: int, reason: str) -> None:
        log.warning("%s lost: %s", link, reason)
        self._outages.lost(link, since, reason)

    def _back(self, link: str, until: int) -> None:
        self._outages.back(link, until)
        self._outages.connected(link, until, self._source.name)
        task = asyncio.create_task(self._fill(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fill(self, link: str) -> None:
        """Wait until the blocks that were missed are in, and say which are missing for good."""
        ledger = self._source.ledger
        outages = (self._outages.outage(link, topic) for topic in self._source.speaks)
        is_first = any(outage is not None and outage.is_first for outage in outages)
        # A provider without blocks cannot be asked for them.
        missing = "" if ledger is not None or is_first else "alerts are told once"
        waited = 0.0
        while ledger is not None and not ledger.is_whole() and waited < FILLED_WITHIN_S:
            await self._at.sleep(0.1)
            waited += 0.1
        if ledger is not None and ledger.gaps:
            gaps, ledger.gaps = ledger.gaps, []
            spans = (f"{moment(gap.since)} to {moment(gap.until)}" for gap in gaps)
            missing = f"blocks from {', '.join(spans)} were not heard"
        for topic in self._source.speaks:
            if self._outages.outage(link, topic) is not None:
                self._outages.close(link, topic, missing, self._at.micros())
