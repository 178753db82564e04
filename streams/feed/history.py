"""What a stream gave while we were away, from the venue's REST answers."""

from collections.abc import Callable, Sequence

import msgspec

from streams.feed.protocol import Get, Protocol
from streams.feed.rest import NoAnswer, Rest
from streams.feeds import registry
from streams.feeds.frames import Parsed
from streams.feeds.instruments import Instruments

#: Pages asked for at most: a stream that has more is told as a gap.
PAGES = 50


class Past(msgspec.Struct):
    """Records of a span in order of time, and why some of it is missing, "" where none is."""

    records: list[msgspec.Struct] = []
    missing: str = ""


async def past(
    rest: Rest,
    instruments: Instruments,
    requests: Sequence[Get] | None,
    span: tuple[int, int],
    clock: Callable[[], int],
) -> Past:
    """Return what the venue keeps of a stream in `span` (after, before; microseconds).

    `clock` tells when a page came: it may have waited, and holds what was printed meanwhile.
    """
    if requests is None:
        return Past(missing="the venue keeps no history of it")
    whole = Past()
    for request in requests:
        one = await _pages(rest, instruments, request, span, clock)
        whole.records += one.records
        whole.missing = whole.missing or one.missing
    within = [r for r in whole.records if span[0] <= r.ts_event <= span[1]]  # type: ignore[attr-defined]
    within.sort(key=lambda record: record.ts_event)  # type: ignore[attr-defined]
    return Past(within, whole.missing)


async def reading(
    rest: Rest, instruments: Instruments, request: Get, clock: Callable[[], int]
) -> Parsed:
    """Return what an answer about one moment tells. Raises NoAnswer."""
    page = await rest.ask(request)
    ts_recv = clock()
    rest.keep(request, page, ts_recv, None)
    return _parsed(rest.protocol, instruments, request, page, ts_recv)


async def _pages(
    rest: Rest,
    instruments: Instruments,
    request: Get,
    span: tuple[int, int],
    clock: Callable[[], int],
) -> Past:
    protocol = rest.protocol
    records: list[msgspec.Struct] = []
    earliest, full = span[1], False
    for _ in range(PAGES):
        try:
            page = await rest.ask(request)
        except NoAnswer as problem:
            return Past(records, str(problem))
        ts_recv = clock()
        rest.keep(request, page, ts_recv, span)
        parsed = _parsed(protocol, instruments, request, page, ts_recv)
        if parsed.refusals and not parsed.records:
            return Past(records, f"{request.path}: not readable: {parsed.refusals[0].reason}"[:200])
        times = [record.ts_event for record in parsed.records]
        records += parsed.records
        earliest = min([earliest, *times])
        full = bool(parsed.records) and len(parsed.records) >= int(request.query.get("limit", 0))
        following = protocol.next(request, page, times, *span)
        if following is None or following == request:
            break
        request = following
    else:
        return Past(records, f"more than {PAGES} pages")
    # Where pages go back in time, they must reach the beginning.
    reached = protocol.goes_forward or earliest <= span[0] or not full
    return Past(records, "" if reached else "it keeps too little of it")


def _parsed(
    protocol: Protocol, instruments: Instruments, request: Get, page: bytes, ts_recv: int
) -> Parsed:
    known = instruments.of_connection()
    known.channels[-1] = request.channel
    channel = request.channel.partition(":")[0]
    return registry.parse(protocol.venue, channel, page, known, ts_recv)
