"""Our own dumps: a folder of <topic>.ndjson[.gz] or .parquet, or one such file, a record a line."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any

from schemas.codec import decode_many
from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS, TOPICS
from schemas.words import SECOND
from streams.feeds.frames import UnreadableFrame
from streams.process.clock import not_after
from streams.sources import Item, Source
from streams.sources.lines import (
    BARS_CLOCKED,
    Reader,
    SourceError,
    data_files,
    head,
    identity_of,
    items_of,
    numbered,
    time_of,
    with_dead_letters,
)
from streams.sources.packed import packing
from streams.sources.time_order import by_time, looked_at, span

#: Topics that are input; the rest of a dump is what was concluded from them.
READ = (*RAW_TOPICS, "bars")
GAP_AFTER_S = 600.0
#: So our own writers name a topic's file.
_PLAIN = re.compile(r"([a-z_]+)\.ndjson(?:\.\w+)?")
_TAG = re.compile(r'"type"\s*:\s*"([a-z_]+)"')
_TIMED = re.compile(r'"ts_(?:recv|open|event|detect)"\s*:\s*\d{16}')
_TOPIC_OF_TAG = {
    str(kind.__struct_config__.tag): topic.name
    for topic in TOPICS.values()
    for kind in topic.payload
    if kind is not FeedStatus or topic.name == "feed_status"
}
#: An item so much later than those before it is a stray, unless most of the next ones are too.
STRAY_AHEAD = 60 * SECOND
LOOK = 64


def ndjson_source(path: Path | Sequence[Path], by_the_run: bool = False) -> Source:
    """Read a dump in the order in which it was written, merged over files by receipt.

    The order within a file is kept, because a FeedStatus line speaks for the lines before it.
    A file that goes back in time (partition after partition) is sorted by event time. A topic
    without words on time beside others that have them is paced like one of a dump that has
    none. Bars are read only where there are no trades, of which they are the sums.
    `by_the_run` gives trades as `schemas.scan.columns.Trades` where many follow each other. Raises
    SourceError when nothing is there.
    """
    files = data_files(path, recognises)
    topics = {topic_of(file) for file in files}
    if "trades" in topics:
        files = [file for file in files if topic_of(file) != "bars"]
    orders = {file: looked_at(file) for file in files}
    parts = [
        _keyed(file, by_the_run and not _is_parquet(file), orders[file].goes_back) for file in files
    ]
    without_trades = "bars" in topics and "trades" not in topics
    timed = {str(topic_of(file)) for file, order in orders.items() if order.has_words}
    untimed = {str(topic_of(file)) for file in files} - timed
    paced = BARS_CLOCKED if without_trades else RAW_TOPICS
    name = f"dump of {', '.join(sorted(str(topic_of(file)) for file in files))}"
    if few := sorted(str(topic_of(f)) for f, o in orders.items() if o.has_few):
        name += f"; too few words on time in {', '.join(few)}: paced by their own records"
    if timed and untimed:
        name += f"; no words on time in {', '.join(sorted(untimed))}: paced by their own records"
    if sorted_ := [file.name for file in files if orders[file].goes_back]:
        name += f"; sorted by time: {', '.join(sorted_)}"
    return Source(
        name=name,
        identity=identity_of("ndjson", files),
        items=(item for _, item in merge(*parts, key=lambda pair: pair[0])),
        span=span(orders.values()),
        gap_after_s=GAP_AFTER_S,
        clocked=tuple(sorted(untimed)) if timed else paced,
        timed=tuple(sorted(timed)),
    )


def recognises(path: Path, head: list[str]) -> bool:
    """Tell whether a file's name is an input topic's, or its lines are such a topic's records."""
    if _PLAIN.fullmatch(path.name) and topic_of(path) in READ:
        return True
    return _topic_in(head) in READ


def topic_of(path: Path) -> str | None:
    """Return the topic that a file's name says, None when it says none."""
    matched = _PLAIN.fullmatch(path.name)
    return matched[1] if matched else _topic_in(head(path)) or None


def _topic_in(first: list[str]) -> str:
    """Return the topic whose records the first lines are, empty for none."""
    words = ""
    for line in first:
        matched = _TAG.search(line)
        if matched and matched[1] in _TOPIC_OF_TAG and _TIMED.search(line):
            # Words on time stand among the records of every topic.
            words = _TOPIC_OF_TAG[matched[1]]
            if words != "feed_status":
                return words
    return words


def reader_of(path: Path) -> Reader:
    """Return the reader of one file's lines; raises SourceError where it is no input."""
    topic = topic_of(path)
    if topic not in READ:
        raise SourceError(f"{path}: {topic!r} is not an input topic ({', '.join(READ)})")
    return lambda line: _decoded(topic, line)


def _is_parquet(path: Path) -> bool:
    return packing(path) == "parquet"


def _keyed(path: Path, by_the_run: bool, goes_back: bool) -> Iterator[tuple[int, Item]]:
    """Each item under the latest time of receipt so far, which orders the merge."""
    topic = topic_of(path)
    if topic not in READ:
        raise SourceError(f"{path}: {topic!r} is not an input topic ({', '.join(READ)})")
    lines = (lambda file: by_time(numbered(file))) if goes_back else numbered
    if topic == "trades" and by_the_run and not goes_back:
        # Only here: what compiles the scanner is slow to load.
        from streams.sources.runs import outcomes

        items = with_dead_letters(path, outcomes(path), topic)
    else:
        items = items_of(path, lambda line: _decoded(topic, line), _as_it_is, topic, lines)
    yield from _under_latest(items)


def _under_latest(items: Iterator[Item]) -> Iterator[tuple[int, Item]]:
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


def _decoded(topic: str, line: str) -> list[Any]:
    records, problem = decode_many(topic, line.encode(), not_after=not_after())
    if problem is not None:
        records.append(UnreadableFrame(problem.field, problem.reason))
    return records


def _as_it_is(_: int, record: Any) -> Any:
    return record
