"""Raw frames as the venues sent them, a line each: recorded, and played through the same parsers.

    1791565601482000 <tab> bybit <tab> 3f2a-1 <tab> allLiquidation <tab> {"topic":"allLiq…"}

Receipt in microseconds, venue, connection, channel, the frame's own bytes. The channel is empty
where the frame tells it; `trade:PI_XBTUSD` is an answer of REST and what it was asked of. One of
history comes on `bybit/rest:AFTER-BEFORE@…`, and only what lies in that span is of it. Bytes
that cannot stand in a line follow `base64:`. A line on `@instruments` holds a venue's own metadata,
which holds from there on. Files are compressed with zstd, a frame an interval, so that a crash
costs the last interval alone. Packed otherwise, or not at all, they are read as well.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
from backports import zstd

from schemas.market import MarkPrice, Trade
from schemas.words import MAX_MICROS, MIN_MICROS, SECOND
from streams.feeds import registry
from streams.feeds.frames import UnreadableFrame
from streams.feeds.instruments import Instruments
from streams.feeds.ledger import Prices
from streams.sources import Item, Source
from streams.sources.chain_frames import CHAINS, Hear, Judging, chain_of
from streams.sources.lines import (
    Reader,
    data_files,
    head,
    identity_of,
    items_of,
    numbered,
    time_of,
)
from streams.sources.time_order import by_time, looked_at

#: The channel under which a venue's metadata stands among its frames.
METADATA = "@instruments"
GAP_AFTER_S = 600.0
LEVEL = 1
#: Bytes that are written before their interval is over.
MOST_WAITING = 1 << 20
ROTATE_S = 3600
#: Event ids remembered, so that what two connections told counts once.
REMEMBERED = 200_000

_LINE = re.compile(r"\d{16}\t[a-z0-9_.-]{1,40}\t[^\t]{0,100}\t[^\t]{0,200}\t")
_ENCODED = b"base64:"
#: The connection of an answer of REST, and the span that was asked for.
_REST = re.compile(r"[a-z0-9_]+/rest(?::(\d{1,17})-(\d{1,17}))?@")


class RawFrame(NamedTuple):
    """One frame as it came: `connection` names one socket, among all files played together."""

    ts_recv: int
    venue: str
    connection: str
    channel: str
    raw: bytes


class FrameWriter:
    """Writes frames into files of a folder, an hour each; a crash costs `flush_s` of them.

    Raises OSError where the folder cannot take them.
    """

    def __init__(self, folder: Path, flush_s: float = 2.0) -> None:
        self._folder = folder
        self._flush_us = int(flush_s * SECOND)
        self._file: IO[bytes] | None = None
        self._metadata: dict[tuple[str, bytes], RawFrame] = {}
        self._lines: list[bytes] = []
        self._size = 0
        self._began = 0
        self._opened_at = 0
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, frame: RawFrame) -> None:
        """Add one frame."""
        self.tick(frame.ts_recv)
        if frame.channel == METADATA:
            self._metadata[frame.venue, frame.raw] = frame
        self._add(frame)
        if self._size >= MOST_WAITING:
            self._flush()

    def tick(self, now: int) -> None:
        """Write out what has waited for an interval at `now`, microseconds."""
        if self._lines and now - self._began >= self._flush_us:
            self._flush()
        if self._file is not None and now - self._opened_at >= ROTATE_S * SECOND:
            self.close()

    def close(self) -> None:
        """Write out what waits; the next frame begins a file."""
        if self._lines:
            self._flush()
        if self._file is not None:
            self._file.close()
        self._file = None

    def _add(self, frame: RawFrame) -> None:
        if not self._lines:
            self._began = frame.ts_recv
        line = to_line(frame)
        self._lines.append(line)
        self._size += len(line)

    def _flush(self) -> None:
        lines = b"".join(self._lines)
        if self._file is None:
            self._file = _new_file(self._folder, self._began)
            self._opened_at = self._began
            # Whoever plays this file alone needs what the venue said of its contracts.
            again = [frame._replace(ts_recv=self._began) for frame in self._metadata.values()]
            lines = b"".join(map(to_line, again)) + lines
        self._file.write(zstd.compress(lines, LEVEL))
        self._file.flush()
        self._lines, self._size = [], 0


def to_line(frame: RawFrame) -> bytes:
    """Return a frame's line, from which `of_line` gives the same bytes."""
    head_ = f"{frame.ts_recv}\t{frame.venue}\t{frame.connection}\t{frame.channel}\t".encode()
    return head_ + _in_a_line(frame.raw) + b"\n"


def of_line(line: str) -> RawFrame:
    """Return the frame of a line. Raises UnreadableFrame."""
    parts = line.split("\t", 4)
    if len(parts) != 5 or not parts[0].isdigit() or len(parts[0]) != 16:
        raise UnreadableFrame("", "not receipt, venue, connection, channel and frame")
    ts_recv = int(parts[0])
    if not MIN_MICROS <= ts_recv <= MAX_MICROS:
        raise UnreadableFrame("ts_recv", f"{ts_recv} us is not between 2015 and 2100")
    raw = parts[4].encode()
    if raw.startswith(_ENCODED):
        try:
            raw = b64decode(raw[len(_ENCODED) :], validate=True)
        except ValueError:
            raise UnreadableFrame("raw", "not base64") from None
    return RawFrame(ts_recv, parts[1], parts[2], parts[3], raw)


def recognises(path: Path, head: list[str]) -> bool:
    """Tell whether a file's first line is a raw frame's."""
    return bool(head) and _LINE.match(head[0]) is not None


class Reading(NamedTuple):
    """How frames are read: `prepare` has a venue's instruments read by what was learnt."""

    prepare: Callable[[str, Instruments], None] = lambda venue, instruments: None
    judging: Judging = Judging()


def frames_source(path: Path | Sequence[Path], reading: Reading = Reading()) -> Source:
    """Play recorded frames in the order of receipt; what several connections told counts once.

    Raises SourceError when nothing is there.
    """
    files = data_files(path, recognises)
    player = _Player(reading)
    parts = [_lazily(file, player) for file in files]
    return Source(
        name=f"raw frames, {len(files)} file{'s' * (len(files) > 1)}",
        identity=identity_of("raw_frames", files),
        items=(item for _, item in merge(*parts, key=lambda part: part[0]) if item is not None),
        span=None,
        gap_after_s=GAP_AFTER_S,
    )


def reader_of(path: Path) -> Reader:
    """Return the reader of one file's lines."""
    return _Player().records


class _Player:
    """Parses frames as the connections did that heard them."""

    def __init__(self, reading: Reading = Reading()) -> None:
        self._prepare = reading.prepare
        self._judging = reading.judging
        self._prices = Prices()
        self._chains: dict[tuple[str, str], Hear] = {}
        self._tables: dict[str, Instruments] = {}
        self._connections: dict[tuple[str, str], Instruments] = {}
        self._seen: dict[tuple[str, int], None] = {}

    def records(self, line: str) -> list[Any]:
        """Return a line's records and complaints, in the frame's order. Raises UnreadableFrame."""
        frame = of_line(line)
        if frame.venue not in registry.VENUES:
            raise UnreadableFrame("venue", f"{frame.venue[:40]!r} is not one that is read")
        if frame.channel == METADATA:
            return self._describe(frame)
        if frame.venue in CHAINS and frame.connection.startswith(f"{frame.venue}/"):
            return self._of_chain(frame)
        channel = _channel_of(frame)
        if asked := _REST.match(frame.connection):
            return self._answer(frame, channel, asked)
        known = self._known(frame)
        if ":" in frame.channel:
            known.channels[-1] = frame.channel
        parsed = registry.parse(frame.venue, channel, frame.raw, known, frame.ts_recv)
        records: list[Any] = [record for record in parsed.records if self._is_new(record)]
        if not parsed.control:  # what the venue refused us is no datum
            records += [UnreadableFrame(r.field, r.reason) for r in parsed.refusals]
        return records

    def _of_chain(self, frame: RawFrame) -> list[Any]:
        key = frame.venue, frame.connection.rpartition("@")[2]  # a process
        if key not in self._chains:
            tokens = self._tables.get(frame.venue) or registry.bundled(frame.venue)
            self._chains[key] = chain_of(frame.venue, self._judging, tokens, self._prices)
        hear = self._chains[key]
        records, refusals = hear(frame.connection, frame.channel, frame.raw, frame.ts_recv)
        complaints = [UnreadableFrame(one.field, one.reason) for one in refusals]
        return [*filter(self._is_new, records), *complaints]

    def _answer(self, frame: RawFrame, channel: str | None, asked: re.Match[str]) -> list[Any]:
        """Return what an answer of REST tells: of history, the span that was asked for."""
        known = self._new_connection(frame.venue)
        known.channels[-1] = frame.channel
        parsed = registry.parse(frame.venue, channel, frame.raw, known, frame.ts_recv)
        if asked[1] is None:
            refusals: list[Any] = [UnreadableFrame(r.field, r.reason) for r in parsed.refusals]
            return [*filter(self._is_new, parsed.records), *refusals]
        since, until = int(asked[1]), int(asked[2])
        within = [one for one in parsed.records if since <= one.ts_event <= until]
        return [one for one in within if self._is_new(one)]

    def _describe(self, frame: RawFrame) -> list[Any]:
        try:
            document = msgspec.json.decode(frame.raw)
            table = registry.instruments_of(frame.venue, document, METADATA)
        except (ValueError, RecursionError) as problem:
            raise UnreadableFrame(METADATA, str(problem)[:200]) from None
        if frame.venue in self._tables:  # a venue has an endpoint a product
            self._tables[frame.venue].update(table)
        table = self._tables.setdefault(frame.venue, table)
        for venue, connection in self._connections:
            if venue == frame.venue:
                channels = self._connections[venue, connection].channels
                self._connections[venue, connection] = table.of_connection()
                self._connections[venue, connection].channels = channels
                self._prepare(venue, self._connections[venue, connection])
        return []

    def _known(self, frame: RawFrame) -> Instruments:
        key = frame.venue, frame.connection
        if key not in self._connections:
            self._connections[key] = self._new_connection(frame.venue)
        return self._connections[key]

    def _new_connection(self, venue: str) -> Instruments:
        known = (self._tables.get(venue) or registry.bundled(venue)).of_connection()
        self._prepare(venue, known)
        return known

    def _is_new(self, record: Any) -> bool:
        if isinstance(record, MarkPrice):  # told on no topic: nothing is concluded from it
            return False
        key = record.event_id, getattr(record, "version", 1)
        if key in self._seen:
            return False
        self._seen[key] = None
        if isinstance(record, Trade) and record.notional_usd is not None:
            self._prices.hear(record.asset, record.price, record.ts_event)
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True


def _channel_of(frame: RawFrame) -> str | None:
    """Return the parser's channel, None where the frame is to tell it. Raises UnreadableFrame."""
    if not frame.channel:
        return None
    first = frame.channel.partition(":")[0]
    if first in registry.VENUES[frame.venue].channels:
        return first
    try:
        return registry.channel_named(frame.venue, frame.channel)
    except KeyError:
        raise UnreadableFrame("channel", f"{frame.channel[:60]!r} is not read") from None


def _lazily(path: Path, player: _Player) -> Iterator[tuple[int, Item | None]]:
    """Yield a file's items under their times, and first its own time alone.

    Merged, a file is so opened when its turn has come: a year has 8,760 of them.
    """
    try:
        latest = of_line(head(path, 1)[0]).ts_recv
    except (IndexError, UnreadableFrame):
        latest = 0
    yield latest, None
    goes_back = looked_at(path, _receipt).goes_back
    lines = (lambda file: by_time(numbered(file), _receipt)) if goes_back else numbered
    for topic, record in items_of(path, player.records, lambda _, record: record, None, lines):
        latest = max(latest, time_of(record))
        yield latest, (topic, record)


def _receipt(line: str) -> int | None:
    stamp = line[:16]
    return int(stamp) if stamp.isdigit() and int(stamp) >= MIN_MICROS else None


def _in_a_line(raw: bytes) -> bytes:
    if b"\n" in raw or b"\r" in raw or raw.startswith(_ENCODED) or not _is_text(raw):
        return _ENCODED + b64encode(raw)
    return raw


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _new_file(folder: Path, now: int) -> IO[bytes]:
    """Open a file that is not there yet, named by the second of its first frame."""
    began = datetime.fromtimestamp(now / SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        suffix = f"-{number}" * (number > 1)
        try:
            return (folder / f"frames-{began}{suffix}.zst").open("xb")
        except FileExistsError:
            number += 1
