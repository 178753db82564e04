"""The loop of a run: every item of the source through the pipeline, from where it stood."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np

from schemas import metrics
from schemas.findings import Alert
from schemas.fitting import readable
from schemas.scan.bar_sums import add_each
from schemas.scan.columns import Trades
from schemas.status import DeadLetter, FeedStatus
from schemas.topics import RAW_TOPICS
from streams.core import pipeline, refusals
from streams.core.alerts import dated
from streams.core.fold import fold_columns
from streams.core.params import Params
from streams.process import clock, health
from streams.run.checkpoint import Checkpoint, digest_of, encode
from streams.run.row_writer import Rows
from streams.sources import Item, Source
from streams.sources.lines import BREAKS_OFF
from streams.sources.pace import paced
from streams.sources.series import AGAIN, STOOD_BEFORE

#: The next checkpoint waits this many times what the last one cost: at most 5 % go to them.
REST = 20
#: How long a wait for event time overlooks a stop, seconds.
NAP_S = 0.2

_COUNTERS = {
    "taken": metrics.RECORDS,
    "refused": metrics.REFUSED,
    "letters": metrics.DEAD_LETTERS,
    "found": metrics.FINDINGS,
}
Counts = Counter[tuple[str, ...]]


class Ears(NamedTuple):
    """`tell` hears progress (event time, records), `say` lines for people; `stop` is asked."""

    tell: Callable[[int, int], None]
    say: Callable[[str], None]
    stop: Callable[[], object]


class Outlets(NamedTuple):
    """Where outputs go: `rows` to the tables, alerts also to `notify`.

    `note` has what people were told so far written into its table. Alerts of seconds judged more
    than `alert_max_age_s` ago are marked; 0: none is.
    """

    rows: Rows
    notify: Callable[[Alert], None]
    note: Callable[[], object]
    alert_max_age_s: float


class SourceChanged(Exception):
    """The source no longer gives what it gave before the checkpoint."""


def drive(
    params: Params,
    source: Source,
    run: Checkpoint,
    outlets: Outlets,
    ears: Ears,
    speed: float | None,
    checkpoint_s: float,
) -> bool:
    """Take items until the source ends (True) or a stop is asked for (False).

    Either way a checkpoint is left there. `speed` is event seconds a second of wall clock,
    None as fast as it goes. Raises SourceChanged.
    """
    began, rows = time.monotonic() - run.elapsed_s, outlets.rows
    items = _behind(source, run, ears)
    health.come_round()
    pace, counts = _Pace(speed, ears.stop), Counts()
    due = time.monotonic() + checkpoint_s
    item: Item | None = None
    for item in items:
        topic, record = item
        clocked = None
        if isinstance(record, FeedStatus) and topic == source.told_on:
            clocked = record.ts_event
            pace.wait(clocked)
        _take(params, run, item, outlets, counts)
        if clocked is not None:
            run.at = clocked
            ears.tell(run.at, run.records)
            if rows.show():
                outlets.note()
                _publish(counts, run)
            if time.monotonic() >= due:
                due = _mark(run, item, rows, began, checkpoint_s)
        if ears.stop():
            break
    if item is not None:
        _mark(run, item, rows, began, checkpoint_s)
    _publish(counts, run)
    return not ears.stop()


def _behind(source: Source, run: Checkpoint, ears: Ears) -> Iterator[Item]:
    """Return the source's items behind those that `run` has taken."""
    if source.begin is not None:
        return source.begin(run.at)
    items = paced(source, run.not_after)
    records, last = 0, None
    for last in islice(items, run.items):
        if ears.stop():
            return iter(())
        if isinstance(last[1], FeedStatus):
            health.come_round(ready=False)
            ears.tell(last[1].ts_event, records)
        elif not isinstance(last[1], DeadLetter):
            records += len(last[1]) if isinstance(last[1], Trades) else 1
    if run.items and (last is None or digest_of(last) != run.last):
        raise SourceChanged
    return items


def _take(
    params: Params,
    run: Checkpoint,
    item: Item,
    outlets: Outlets,
    counts: Counts,
) -> None:
    (topic, record), rows = item, outlets.rows
    run.items += 1
    if isinstance(record, DeadLetter):
        counts["refused", "recording", "invalid"] += 1
        counts["letters", "recording"] += 1
        repeats = record.reason.startswith((STOOD_BEFORE, AGAIN))
        run.tally.repeats += repeats
        if record.reason.startswith(BREAKS_OFF):
            run.tally.broken.append(record.topic)
        elif not repeats:
            run.tally.unread += 1
        rows.put(record)
        return
    if topic == "feed_status":  # a live feed's, of a gap or a link: for people
        rows.put(record)
        return
    if isinstance(record, Trades):
        _take_run(run, record, rows, counts)
        return
    counts["taken", topic] += 1
    step = pipeline.step(params, run.state, topic, record)
    run.records += not isinstance(record, FeedStatus)
    _store(run, topic, record, step.refused, rows, counts)
    for to, output in step.outputs:
        if to == "bars":  # within its bounds, as they are those of what it sums
            rows.put(output)
            continue
        for one in readable(to, output, clock.now_us):
            _tell(*one, outlets, counts)


def _tell(
    to: str,
    output: msgspec.Struct,
    outlets: Outlets,
    counts: Counts,
) -> None:
    if isinstance(output, Alert):
        output = dated(output, clock.now_us(), outlets.alert_max_age_s)
    outlets.rows.put(output)
    if isinstance(output, DeadLetter):
        counts["letters", output.topic] += 1
        return
    if to != "feed_status":
        counts["found", to] += 1
    if isinstance(output, Alert):
        outlets.notify(output)


def _take_run(run: Checkpoint, trades: Trades, rows: Rows, counts: Counts) -> None:
    """Take in trades by the batch: what `_take` does for each of them."""
    count, late = len(trades), run.state.fold.late
    counts["taken", "trades"] += count
    run.records += count
    again = fold_columns(
        run.state.fold, trades.words, trades.of, np.ones(count, np.bool_), add_each
    )
    late = run.state.fold.late - late
    run.tally.late += late
    counts["refused", "trades", "late"] += late
    if again:
        kept = np.ones(count, np.bool_)
        kept[again] = False
        counts["refused", "trades", "duplicate"] += len(again)
        run.tally.repeats += len(again)
        trades = Trades(trades.words, trades.of.only(kept))
    if len(trades):
        rows.put_trades(trades)


def _store(
    run: Checkpoint,
    topic: str,
    record: msgspec.Struct,
    refused: str | None,
    rows: Rows,
    counts: Counts,
) -> None:
    if refused is not None:
        counts["refused", topic, refused] += 1
    run.tally.repeats += refused == "duplicate"
    if refused in refusals.LETTERS:
        counts["letters", topic] += 1
        rows.refuse(topic, record, *refusals.LETTERS[refused])
    elif refused != "duplicate" and topic in RAW_TOPICS and not isinstance(record, FeedStatus):
        rows.put(record)
        run.tally.late += refused == "late"


def _mark(run: Checkpoint, item: Item, rows: Rows, began: float, checkpoint_s: float) -> float:
    """Queue a checkpoint behind all rows so far; return when the next one is due."""
    start = time.monotonic()
    rows.flush()
    run.last = digest_of(item)
    run.elapsed_s = start - began
    rows.mark(encode(run))
    end = time.monotonic()
    return end + max(checkpoint_s, REST * (end - start))


def _publish(counts: Counts, run: Checkpoint) -> None:
    """Add what was counted to the metrics: in bulk, as each costs more than a record."""
    for (kind, *labels), number in counts.items():
        _COUNTERS[kind].labels(*labels).inc(number)
    counts.clear()
    metrics.STATE.labels("assets", "0").set(len(run.state.shard.assets))
    health.come_round()


class _Pace:
    """Holds event time to `speed` seconds a second of wall clock."""

    def __init__(self, speed: float | None, stop: Callable[[], object]) -> None:
        self._speed = speed
        self._stop = stop
        self._start: tuple[float, int] | None = None

    def wait(self, ts_event: int) -> None:
        if self._speed is None:
            return
        if self._start is None:
            self._start = (time.monotonic(), ts_event)
        due = self._start[0] + (ts_event - self._start[1]) / 1e6 / self._speed
        while (left := due - time.monotonic()) > 0 and not self._stop():
            health.come_round()
            time.sleep(min(left, NAP_S))
