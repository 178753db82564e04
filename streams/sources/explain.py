"""What a recording would be read as, file by file, before anything is concluded from it."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from schemas.bars import Bar
from schemas.market import Liquidation
from schemas.status import FeedStatus
from streams.feeds.frames import UnreadableFrame
from streams.sources.lines import numbered, outcomes_of
from streams.sources.open import Taken, taken_for
from streams.sources.packed import packing

#: Complaints of a file that are shown.
SHOWN = 3
#: Records between two words on progress.
_EVERY = 100_000


class Explained(msgspec.Struct):
    """One file: what it is taken for and why, what it holds, and what of it is not used.

    `first` and `last` are event times in microseconds, None where nothing is read. `records` are
    counted by kind; `repeats` of them were there before, in this file or another. `bad` rows are
    dead letters, `complaints` the first of them.
    """

    path: str
    packing: str
    form: str
    evidence: str
    lacks: str
    first: int | None = None
    last: int | None = None
    rows: int = 0
    records: dict[str, int] = {}
    repeats: int = 0
    bad: int = 0
    complaints: list[str] = []
    reason: str = ""


def explained(path: Path, tell: Callable[[int, int], None]) -> Iterator[Explained]:
    """Yield what each file is taken for and holds; `tell` hears (event time, records so far).

    Reads all of it. Raises SourceError where there is no file.
    """
    seen: set[str] = set()
    total = 0
    for one in taken_for(path):
        shown = _name(one.path, path)
        if one.family is None:
            yield Explained(shown, _packing(one.path), "", "", "", reason=one.reason or "unknown")
            continue
        family = one.family
        evidence = family.evidence(one.path)
        file = Explained(shown, _packing(one.path), family.what, evidence, family.lacks)
        total = _count(one, file, seen, total, tell)
        yield file


def _count(
    one: Taken, file: Explained, seen: set[str], total: int, tell: Callable[[int, int], None]
) -> int:
    assert one.family is not None
    records, number = Counter[str](), 0
    lines = one.family.lines or numbered
    read = one.family.reader_of(one.path)
    for line, _, got in outcomes_of(one.path, read, lambda _, record: record, lines):
        number = max(number, line)
        if isinstance(got, UnreadableFrame):
            file.bad += 1
            if len(file.complaints) < SHOWN:
                field = f"{got.field}: " if got.field else ""
                file.complaints.append(f"line {line}: {field}{got.reason}")
            continue
        records[_kind(got)] += 1
        total += 1
        ts = got.ts_open if isinstance(got, Bar) else got.ts_event
        file.first = ts if file.first is None else min(file.first, ts)
        file.last = ts if file.last is None else max(file.last, ts)
        if isinstance(got, Liquidation):
            file.repeats += got.event_id in seen
            seen.add(got.event_id)
        if total % _EVERY == 0:
            tell(ts, total)
    file.rows, file.records = number, dict(records)
    return total


def _kind(record: object) -> str:
    if isinstance(record, FeedStatus):
        return "feed_status"
    tag = type(record).__struct_config__.tag  # type: ignore[attr-defined]
    return str(tag)


def _name(file: Path, root: Path) -> str:
    if file == root:
        return file.name
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else f"…/{file.name}"


def _packing(path: Path) -> str:
    try:
        return packing(path)
    except OSError:
        return ""
