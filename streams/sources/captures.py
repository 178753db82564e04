"""Raw frames that people captured: one JSON frame a line, of any venue that we parse.

    1626916408.60732: {"stream":"bchusd_perp@aggTrade","data":{…}}             (cryptofeed)
    2019-11-01T00:00:00.1234567Z {…}                                           (Tardis, raw)
    1723705562482123456 {…}                                                    (hftbacktest)
    {"localTimestamp":"2019-…","message":{…}}   {"venue":"okx","frame":{…}}    (wrapped)
    {…}                                                                        (bare)

A time of receipt before or around a frame is kept; without one, the record's own time stands in,
and what has none of its own is refused. The venue is the one that the wrapper or the path names and
whose parser reads the frame; where neither names one, the only one that can read it. Answers of
REST are frames too (Whale Alert's `transactions`).
"""

import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from schemas.market import MarkPrice
from schemas.words import MAX_MICROS
from streams.feeds import registry
from streams.feeds.frames import Parsed, UnreadableFrame
from streams.feeds.instruments import Instruments
from streams.sources.build import CHAINS, VENUE_NAMES, venues_in
from streams.sources.lines import Reader, numbered
from streams.sources.tables import stamp

_PREFIX = re.compile(r"\s*\"?(\d{4}-\d\d-\d\dT[\d:.]+Z?|\d{10,19}(?:\.\d+)?)\"?[:,;\s]\s*(?=[\[{])")
#: What a capture's own remarks begin with: the address connected to, and what was sent there.
_REMARK = re.compile(r"(?:wss?|https?)://|#|//")
_FRAME_KEYS = ("frame", "raw", "message", "msg", "payload", "info")
_TIME_KEYS = (
    *("ts_recv", "localTimestamp", "local_timestamp", "received_at", "received", "recv_ts", "recv"),
    *("receive_time", "recv_time", "local_time"),
)
_OBJECTS = re.compile(rb"\[\s*\{")
_UNREAD = re.compile(r"'(.+)' is not read")
#: Channels of books, quotes and candles, which hold no record and are most of many captures.
_NO_RECORDS = re.compile(
    r"depth|book|quote|bbo|kline|candle|funding|index|heartbeat|spread|l2|ticks", re.IGNORECASE
)
_VENUE_KEYS = ("venue", "exchange")
_VENUES = tuple(name for name in registry.VENUES if name not in CHAINS)
#: A Binance order without the message around it, and as REST's allForceOrders wrote one.
_ORDER = {"s", "S", "q", "p", "ap", "z", "T"}
_REST_ORDER = {
    "symbol": "s", "side": "S", "origQty": "q", "price": "p", "averagePrice": "ap",
    "executedQty": "z", "time": "T", "type": "o", "timeInForce": "f", "status": "X",
}  # fmt: skip
_NO_TIME = MAX_MICROS - 1


def recognises(path: Path, first: list[str]) -> bool:
    """Tell whether any of a file's first frames is a venue's."""
    read = reader_of(path)
    if any(line.lstrip()[:1] in ("{", "[") or _PREFIX.match(line) for line in first):
        for _, text in _frames(path, first):
            try:
                records = read(text)
            except UnreadableFrame:
                continue
            some = records if isinstance(records, list) else []
            good = any(not isinstance(one, UnreadableFrame) for one in some)
            # A word of control tells a venue only where the path names it too.
            if good or (records is not None and venues_in(path)):
                return True
    return False


def _frames(path: Path, first: list[str]) -> Iterator[tuple[int, str]]:
    if _is_document(first):
        yield from lines(path)
    else:
        yield from enumerate(first, 1)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield numbered lines; a document written over several lines comes as one, the first."""
    rows = numbered(path)
    begun = list(islice(rows, 2))
    if _is_document([text for _, text in begun]):
        yield begun[0][0], "\n".join(text for _, text in chain(begun, rows))
        return
    yield from chain(begun, rows)


def _opens(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _whole(text: str) -> bool:
    try:
        msgspec.json.decode(text.strip())
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True


def _is_document(first: list[str]) -> bool:
    """Return whether lines are the beginning of one document, not a frame each."""
    texts = [text for text in first if text.strip()]
    return len(texts) > 1 and _opens(texts[0]) and not _whole(texts[0]) and not _whole(texts[1])


def reader_of(path: Path) -> Reader:
    """Return the reader of one file's frames."""
    named = venues_in(path)
    tables: dict[str, Instruments] = {}
    usual: list[str] = []

    def read(line: str) -> list[Any] | None:
        text = line.strip()
        if not text or _REMARK.match(text):
            return None
        received, text = _prefixed(text)
        try:
            return read_frame(text, received)
        except UnreadableFrame:
            if not (elements := _elements(text)):
                raise
        got: list[Any] = []
        for element in elements:
            try:
                got += read_frame(element, received)
            except UnreadableFrame as problem:
                got.append(problem)
        return got

    def read_frame(text: str, received: int) -> list[Any]:
        venue, wrapped, frame = _unwrapped(text)
        received = wrapped or received
        venues = [venue] if venue else [*usual, *named] or list(_VENUES)
        parsed, by = _parsed(frame, received, venues, tables)
        if parsed is None and not venue:
            parsed, by = _parsed(frame, received, list(_VENUES), tables)
        if parsed is None:
            raise UnreadableFrame("", by)
        if not venue and parsed.records:
            usual[:] = [by]
        return _timed(parsed, received)

    return read


def _parsed(
    frame: bytes, received: int, venues: list[str], tables: dict[str, Instruments]
) -> tuple[Parsed | None, str]:
    """Return what the one venue that reads a frame makes of it, and its name; or None and why."""
    good: dict[str, Parsed] = {}
    refusals: dict[str, str] = {}
    control: tuple[Parsed, str] | None = None
    for venue in dict.fromkeys(venues):
        if venue not in tables:
            tables[venue] = registry.bundled(venue).of_connection()
        parsed = registry.parse(venue, None, frame, tables[venue], received or _NO_TIME)
        if parsed.records:
            good[venue] = parsed
        elif parsed.refusals:
            refusals[venue] = parsed.refusals[0].reason
        elif parsed.control or not _OBJECTS.match(frame):
            control = control or (parsed, venue)
    if len(good) == 1:
        return next((parsed, venue) for venue, parsed in good.items())
    if good:
        return None, f"{' and '.join(good)} can both have sent it: say the venue in the path"
    if control is not None:
        return control
    for venue, reason in refusals.items():
        if (unread := _UNREAD.match(reason)) is not None:
            if _NO_RECORDS.search(unread[1]):
                return Parsed([], []), venue
            if len(refusals) > 1:
                return None, f"{unread[1]!r} is no channel that is read"
    if len(refusals) == 1:
        return None, next(f"{venue}: {reason}" for venue, reason in refusals.items())
    return None, "no frame of a venue that is known here"


def _timed(parsed: Parsed, received: int) -> list[Any]:
    got: list[Any] = [UnreadableFrame(one.field, one.reason) for one in parsed.refusals]
    for record in parsed.records:
        if isinstance(record, MarkPrice):
            continue  # no topic carries it
        if received:
            got.append(record)
        elif record.ts_event >= _NO_TIME:
            got.append(UnreadableFrame("ts_recv", "neither the frame nor its line says a time"))
        else:
            got.append(msgspec.structs.replace(record, ts_recv=record.ts_event))
    return got


def _prefixed(text: str) -> tuple[int, str]:
    """Return the time of receipt that stands before a frame (0 where none does) and the frame."""
    matched = _PREFIX.match(text)
    if matched is None:
        return 0, text
    moment = matched[1]
    if "T" in moment and not moment.endswith("Z"):
        moment += "Z"
    try:
        return stamp(moment, "ts_recv"), text[matched.end() :].rstrip()
    except UnreadableFrame:
        return 0, text[matched.end() :].rstrip()


def _unwrapped(text: str) -> tuple[str, int, bytes]:
    """Return what is written around a frame (its venue, its receipt), and the frame."""
    if text.startswith("[") and (row := _row(text)) is not None:
        return row
    if not text.startswith("{"):
        return "", 0, text.encode()
    try:
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return "", 0, text.encode()
    venue = next((_text(fields[key]) for key in _VENUE_KEYS if key in fields), "").lower()
    venue = VENUE_NAMES.get(venue, venue)
    keys = (*_FRAME_KEYS, "data") if venue in registry.VENUES else _FRAME_KEYS
    frame = next((fields[key] for key in keys if key in fields), None)
    if frame is None or bytes(frame)[:1] not in (b"{", b"[", b'"'):
        return "", 0, _bare_order(fields) or text.encode()
    received = 0
    for key in _TIME_KEYS:
        if key in fields:
            try:
                received = stamp(_text(fields[key]), key)
            except UnreadableFrame:
                continue
            break
    return (venue if venue in registry.VENUES else ""), received, _completed(_inner(frame))


def _completed(frame: bytes) -> bytes:
    try:
        return _bare_order(msgspec.json.decode(frame, type=dict[str, msgspec.Raw])) or frame
    except (msgspec.DecodeError, UnicodeError):
        return frame


def _elements(text: str) -> list[str]:
    """Return the elements of an array of objects, as some write many frames into one document."""
    if not text.startswith("["):
        return []
    try:
        elements = msgspec.json.decode(text, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return []
    objects = elements and all(bytes(one).startswith(b"{") for one in elements)
    return [bytes(one).decode(errors="replace") for one in elements] if objects else []


def _bare_order(fields: dict[str, msgspec.Raw]) -> bytes:
    """Return the message of a Binance order that stands alone, empty for anything else."""
    if set(_REST_ORDER) <= set(fields):
        fields = {short: fields[name] for name, short in _REST_ORDER.items()}
    if not fields.keys() >= _ORDER or "e" in fields:
        return b""
    return msgspec.json.encode({"e": "forceOrder", "E": fields["T"], "o": fields})


def _row(text: str) -> tuple[str, int, bytes] | None:
    """Read [time, frame] and [time, venue, frame], as some write."""
    try:
        cells = msgspec.json.decode(text, type=list[msgspec.Raw])
        if len(cells) not in (2, 3) or bytes(cells[-1])[:1] not in (b"{", b"["):
            return None
        received = stamp(_text(cells[0]), "ts_recv")
    except (msgspec.DecodeError, UnreadableFrame):
        return None
    venue = _text(cells[1]).lower() if len(cells) == 3 else ""
    venue = VENUE_NAMES.get(venue, venue)
    return (venue if venue in registry.VENUES else ""), received, bytes(cells[-1])


def _inner(frame: msgspec.Raw) -> bytes:
    raw = bytes(frame)
    return msgspec.json.decode(raw, type=str).encode() if raw[:1] == b'"' else raw


def _text(raw: msgspec.Raw) -> str:
    text = bytes(raw).decode(errors="replace")
    return text.strip('"')


WHAT = "raw frames, one a line, with or without the time of receipt before or around them"
LACKS = "what each venue's feed lacks; without a time of receipt, the record's own stands in"
