"""What the next owner of a trades partition must know, in the metadata of its committed offset.

    trades   ····[== ids of second 7 ==]···(200,000 or more)···[= of 8 and 9 =]  committed
                  └── read again for its ids ──┘  └ skipped ┘   └ read again ┘      └ the clock

The clock is written down: a producer's last word may lie hours back, and a message count says
nothing of it. Ids are not, they are most of the trades; the bookmark says where to read them
again. Both are in the one committed record of the offset, or neither is.

Without a bookmark (a group from before there were any, an offset set by hand) the words and ids
of as much message time are read again as a mute producer is waited for.
"""

import base64
import logging
import zlib
from collections.abc import Callable
from itertools import pairwise

import msgspec

from streams.core import fold
from streams.core.detectors.faults import Doubts, LateShare
from streams.core.detectors.watermark import InputClock, Pending
from streams.rollup.take import Partition

log = logging.getLogger("undertow.rollup")
#: A broker takes less than 4,096 characters (offset.metadata.max.bytes); the topic's id is there
#: as well.
ROOM = 4_095 - 60
FORM = "undertow-1:"
#: A gap of fewer messages is read through: librdkafka has fetched them by the time it skips.
GAP = 200_000
#: Stretches kept apart; the smallest gaps between more are read through.
STRETCHES = 8

#: Offsets from the first to before the second.
Stretch = tuple[int, int]


class Bookmark(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one partition at `offset`, but for the ids that `stretches` have.

    `whole` is False where the clock's producers found no room: their words are read again.
    """

    offset: int
    frontier: int
    late: int
    clock: InputClock
    stretches: list[Stretch]
    whole: bool = True
    doubts: Doubts = msgspec.field(default_factory=Doubts)
    late_share: LateShare = msgspec.field(default_factory=LateShare)


def of(part: Partition) -> str:
    """Return the bookmark of a partition's position, as text with room in a commit."""
    state = part.state
    # What only findings say of feeds (darkness, silences, when they joined) changes nothing here,
    # nor does why a producer said what is not believed yet.
    joined = {name: state.clock.joined[name] for name in state.clock.trial}
    pending = {voice: _without_reason(waiting) for voice, waiting in state.clock.pending.items()}
    clock = msgspec.structs.replace(state.clock, dark=[], quiet={}, joined=joined, pending=pending)
    mark = Bookmark(
        offset=part.position,
        frontier=state.frontier,
        late=state.late,
        clock=clock,
        stretches=_stretches([part.spans[second] for second in state.ids if second in part.spans]),
        doubts=state.doubts,
        late_share=state.late_share,
    )
    # Names of a single word go first, then those that are no producers yet, then all.
    fewer = msgspec.structs.replace(clock, met={})
    fewest = msgspec.structs.replace(fewer, pending={})
    for kept in (clock, fewer, fewest):
        doubts = state.doubts if kept is clock else Doubts()
        text = _encoded(msgspec.structs.replace(mark, clock=kept, doubts=doubts))
        if len(text) <= ROOM:
            return text
    bare = InputClock(now=clock.now, dark_since=clock.dark_since, lead=clock.lead, run=clock.run)
    return _encoded(msgspec.structs.replace(mark, clock=bare, whole=False, doubts=Doubts()))


def read(text: str | None, offset: int) -> Bookmark | None:
    """Return what `of` wrote for this offset; None where it did not."""
    if not text or not text.startswith(FORM):
        return None
    try:
        packed = zlib.decompress(base64.b64decode(text[len(FORM) :], validate=True))
        mark = msgspec.msgpack.decode(packed, type=Bookmark)
    except (ValueError, zlib.error, msgspec.MsgspecError):
        return None
    return mark if mark.offset == offset else None


def resumed(
    number: int,
    offset: int,
    text: str | None,
    kept: Stretch,
    back: Callable[[int], int],
) -> tuple[Partition, int]:
    """Return a partition as it was at a committed offset, and where to begin to read.

    `kept` is what there is of the log; `back` returns the offset from which words are read
    again that lead up to another, and is asked only where no bookmark has them.
    """
    low, end = kept
    if offset < 0:
        return Partition(number, fold.FoldState(), low, low), low
    live_from = min(max(offset, low), end)
    mark = read(text, offset)
    state, stretches = fold.FoldState(), []
    if mark is not None:
        state = fold.FoldState(
            clock=mark.clock, late=mark.late, frontier=mark.frontier, doubts=mark.doubts,
            late_share=mark.late_share,
        )  # fmt: skip
        stretches = [(max(first, low), min(last, live_from)) for first, last in mark.stretches]
        stretches = [(first, last) for first, last in stretches if first < last]
    _tell_gone(number, mark.stretches if mark else [], offset, kept)
    whole = mark is not None and mark.whole
    if not whole:
        begin = min([back(live_from), *(first for first, _ in stretches)])
        stretches = [(begin, live_from)]
        log.warning(
            "rollup: trades[%d]: %s at offset %d; words and ids are read again from %d",
            number, "no bookmark" if mark is None else "no room for every producer", offset, begin,
        )  # fmt: skip
    part = Partition(
        number,
        state,
        live_from,
        live_from,
        late_told=state.late,
        stretches=stretches,
        words_known=whole,
    )
    clock = fold.clock_record(state, 0, 1) if whole else None
    if clock is not None:
        part.clock_told = clock.ts_event, clock.state  # behind the bookmark, committed with it
    return part, next_wanted(part, 0)


def next_wanted(part: Partition, offset: int) -> int:
    """Return the first offset at or after `offset` that has anything new to say."""
    for first, last in part.stretches:
        if offset < last:
            return max(offset, first)
    return max(offset, part.live_from)


def _tell_gone(number: int, stretches: list[Stretch], offset: int, kept: Stretch) -> None:
    low, end = kept
    if offset > end:
        log.error(
            "rollup: trades[%d]: ends at offset %d, before the committed %d: Kafka has lost what"
            " was folded; going on at its end",
            number, end, offset,
        )  # fmt: skip
    elif low > offset:
        log.error(
            "rollup: trades[%d]: offsets %d to %d were deleted before they were folded:"
            " retention is shorter than this worker was away",
            number, offset, low,
        )  # fmt: skip
    elif any(first < low for first, _ in stretches):
        log.warning(
            "rollup: trades[%d]: begins at offset %d: trades of open seconds are deleted, and"
            " would count again if they were sent again",
            number, low,
        )  # fmt: skip


def _stretches(spans: list[tuple[int, int]]) -> list[Stretch]:
    """Return spans (both ends in) as few stretches, in order."""
    joined: list[Stretch] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last + 1))
        else:
            joined.append((first, last + 1))
    gaps = [after[0] - before[1] for before, after in pairwise(joined)]
    least = max([GAP, *sorted(gaps, reverse=True)[STRETCHES - 1 : STRETCHES]])
    wide: list[Stretch] = joined[:1]
    for gap, stretch in zip(gaps, joined[1:], strict=True):
        if gap > least:
            wide.append(stretch)
        else:
            wide[-1] = (wide[-1][0], stretch[1])
    return wide


def _without_reason(waiting: Pending) -> Pending:
    return msgspec.structs.replace(
        waiting, status=msgspec.structs.replace(waiting.status, reason="")
    )


def _encoded(mark: Bookmark) -> str:
    return FORM + base64.b64encode(zlib.compress(msgspec.msgpack.encode(mark))).decode()
