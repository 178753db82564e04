"""What a stream gave while we were away, from the venue's REST answers."""

import msgspec

from streams.feed.protocol import Get, Protocol, Stream
from streams.feed.rest import NoAnswer, Rest
from streams.feeds import registry
from streams.feeds.instruments import Instruments

#: Pages asked for at most: a stream that has more is told as a gap.
PAGES = 50


class Past(msgspec.Struct):
    """Records of a span in order of time, and why some of it is missing, "" where none is."""

    records: list[msgspec.Struct] = []
    missing: str = ""


async def past(
    rest: Rest,
    protocol: Protocol,
    instruments: Instruments,
    stream: Stream,
    span: tuple[int, int],
    ts_recv: int,
) -> Past:
    """Return what the venue keeps of a stream in `span` (after, before; microseconds)."""
    after, before = span
    request = protocol.first(stream, after, before)
    if request is None:
        return Past(missing="the venue keeps no history of it")
    records: list[msgspec.Struct] = []
    earliest, full = before, False
    for _ in range(PAGES):
        try:
            page = await rest.ask(request)
        except NoAnswer as problem:
            return Past(_in_span(records, after, before), str(problem))
        parsed = _parsed(protocol, instruments, request, page, ts_recv)
        if parsed is None:
            return Past(_in_span(records, after, before), f"{request.path}: not readable")
        times = [record.ts_event for record in parsed]  # type: ignore[attr-defined]
        records += parsed
        earliest = min([earliest, *times])
        full = len(parsed) >= int(request.query.get("limit", 1 << 30))
        following = protocol.next(request, page, times, after, before)
        if following is None:
            break
        request = following
    else:
        return Past(_in_span(records, after, before), f"more than {PAGES} pages")
    # Where pages go back in time, they must reach the beginning.
    reached = protocol.goes_forward or earliest <= after or not full
    return Past(_in_span(records, after, before), "" if reached else "it keeps too little of it")


def _parsed(
    protocol: Protocol, instruments: Instruments, request: Get, page: bytes, ts_recv: int
) -> list[msgspec.Struct] | None:
    known = instruments.of_connection()
    known.channels[-1] = request.channel
    channel = request.channel.partition(":")[0]
    parsed = registry.parse(protocol.venue, channel, page, known, ts_recv)
    return None if parsed.refusals and not parsed.records else parsed.records


def _in_span(records: list[msgspec.Struct], after: int, before: int) -> list[msgspec.Struct]:
    within = [r for r in records if after <= r.ts_event <= before]  # type: ignore[attr-defined]
    return sorted(within, key=lambda record: record.ts_event)  # type: ignore[attr-defined]
