"""Who is waited for: producers, as `undertow feeds` shows them, that hold others back."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from streams.core.attendance import Attendance
from streams.core.detectors.darkness import NOBODY
from streams.core.params import Params, ParamsError
from streams.doctor import kafka_feeds
from streams.doctor.verdict import Verdict, broken, look, well
from streams.kafka.tails import NoAnswer
from streams.process.params_file import load_params
from streams.process.progress import moment
from streams.process.settings import Settings
from streams.run.stored_feeds import NoRun, stored_feeds

#: What to do about a producer, by its standing.
_MEND = {
    "never": "start a feed for it; without one it is gone on without 90 s after the others began",
    "unread": "its words lie there and nobody takes them: start `undertow rollup` and `detect`",
}


def on_kafka(settings: Settings) -> Iterator[Verdict]:
    """Yield who is waited for, as the stages have stored it."""
    if (params := _params(settings)) is None:
        return
    try:
        rows, _ = kafka_feeds.inputs(settings, params)
    except kafka_feeds.NoTopic:
        return  # said of the topics
    except NoAnswer as problem:
        yield broken("waits", f"Kafka does not tell {problem}", "look into the broker's log")
        return
    yield from checks(rows)


def of_run(settings: Settings) -> Iterator[Verdict]:
    """Yield who is waited for in the run of the data directory, nothing where there is none."""
    if (params := _params(settings)) is None:
        return
    try:
        source, rows = stored_feeds(settings, params)
    except NoRun:
        return
    for verdict in checks(rows):
        yield Verdict(verdict.check, verdict.state, f"{source}: {verdict.what}", verdict.next_step)


def checks(rows: Sequence[Attendance]) -> Iterator[Verdict]:
    """Yield one verdict for each producer on a topic that holds back others, or is left out."""
    by_producer: dict[tuple[str, str], list[Attendance]] = defaultdict(list)
    for row in rows:
        if row.holds_back or row.left_out:
            by_producer[row.topic, row.producer].append(row)
    for (topic, producer), lagging in sorted(by_producer.items()):
        yield _of_producer(topic, producer, lagging)
    is_heard = any(row.standing not in ("never", "unread") for row in rows)
    if is_heard and not by_producer:
        yield well("waits", "nobody is waited for; `undertow feeds` shows how far each has come")


def _of_producer(topic: str, producer: str, rows: list[Attendance]) -> Verdict:
    last = min((row.ts_last for row in rows if row.ts_last is not None), default=None)
    at = "has said nothing yet" if last is None else f"is at {moment(last)} UTC"
    who = f"{producer} on {topic}" if producer != NOBODY else f"whoever should speak on {topic}"
    next_step = _MEND.get(rows[0].standing, f"start {producer} again, or look why it is behind")
    if held_back := sorted({name for row in rows for name in row.holds_back}):
        return look("waits", f"{', '.join(held_back)} wait for {who}, which {at}", next_step)
    what = f"{who} {at}: it is gone on without, and findings say so"
    return look("waits", what, next_step)


def _params(settings: Settings) -> Params | None:
    try:
        return load_params(settings.params)
    except ParamsError:
        return None  # said of the thresholds
