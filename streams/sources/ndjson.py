"""Our own dumps: a folder of <topic>.ndjson[.gz], or one such file, a record a line."""

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any

from schemas.codec import InvalidRecord, decode, decode_many
from schemas.topics import RAW_TOPICS, TOPICS
from schemas.words import SECOND
from streams.feeds.frames import UnreadableFrame
from streams.process.clock import not_after
from streams.sources import Item, Source
from streams.sources.lines import (
    BARS_CLOCKED,
    SourceError,
    data_files,
    identity_of,
    items_of,
    time_of,
    with_dead_letters,
)

#: Topics that are input; the rest of a dump is what was concluded from them.
READ = (*RAW_TOPICS, "bars")
GAP_AFTER_S = 600.0
#: An item so much later than those before it is a stray, unless most of the next ones are too.
STRAY_AHEAD = 60 * SECOND
LOOK = 64


def ndjson_source(path: Path | Sequence[Path], by_the_run: bool = False) -> Source:
    """Read a dump in the order in which it was written, merged over files by receipt.

    The order within a file is kept, because a FeedStatus line speaks for the lines
    before it. Bars are read only where there are no trades, of which they are the sums.
    `by_the_run` gives trades as `schemas.scan.columns.Trades` where many follow each other. Raises
    SourceError when nothing is there.
    """
    files = data_files(path, recognises)
    topics = {topic_of(file) for file in files}
    if "trades" in topics:
        files = [file for file in files if topic_of(file) != "bars"]
    parts = [_keyed(file, by_the_run) for file in files]
    without_trades = "bars" in topics and "trades" not in topics
    return Source(
        name=f"dump of {', '.join(sorted(str(topic_of(file)) for file in files))}",
        identity=identity_of("ndjson", files),
        items=(item for _, item in merge(*parts, key=lambda pair: pair[0])),
        span=None,
        gap_after_s=GAP_AFTER_S,
        clocked=BARS_CLOCKED if without_trades else RAW_TOPICS,
    )


def recognises(path: Path, head: list[str]) -> bool:
    """Tell whether a file's name is an input topic's."""
    return topic_of(path) in READ


def topic_of(path: Path) -> str | None:
    """Return the topic that a file's name says, None when it says none."""
    name = path.name.removesuffix(".gz")
    return name.removesuffix(".ndjson") if name.endswith(".ndjson") else None


def _keyed(path: Path, by_the_run: bool) -> Iterator[tuple[int, Item]]:
    """Each item under the latest time of receipt so far, which orders the merge."""
    topic = topic_of(path)
    if topic not in READ:
        raise SourceError(f"{path}: {topic!r} is not an input topic ({', '.join(READ)})")
    if topic == "trades" and by_the_run:
        # Only here: what compiles the scanner is slow to load.
        from streams.sources.runs import outcomes

        items = with_dead_letters(path, outcomes(path), topic)
    else:
        items = items_of(path, lambda line: _decoded(topic, line), _as_it_is, topic)
    yield from _by_time(items)


def _by_time(items: Iterator[Item]) -> Iterator[tuple[int, Item]]:
    """Yield each item under the latest time so far, strays under that of the items around them.

    One line from the future would hold back all that follow it in the merge.
    """
    latest, waiting = 0, deque[Item]()
    while waiting or (waiting := deque(islice(items, 1))):
        item = waiting.popleft()
        ts = time_of(item[1])
        if ts > latest + STRAY_AHEAD:
            waiting.extend(islice(items, LOOK - len(waiting)))
            following = sorted(time_of(record) for _, record in waiting)
            if following and following[len(following) // 2] < ts - STRAY_AHEAD:
                ts = latest or following[0]
        latest = max(latest, ts)
        yield latest, item


def _decoded(topic: str, line: str) -> Any:
    try:
        if TOPICS[topic].many and line.lstrip()[:1] == "[":
            return _many(topic, line)
        return decode(topic, line.encode(), not_after=not_after())
    except InvalidRecord as problem:
        raise UnreadableFrame(problem.field, problem.reason) from None


def _many(topic: str, line: str) -> list[Any]:
    """Return the records of an array, as a message of many has them; it is taken as a whole."""
    records, problem = decode_many(topic, line.encode(), not_after=not_after())
    if problem is not None:
        raise problem
    return records


def _as_it_is(_: int, record: Any) -> Any:
    return record
