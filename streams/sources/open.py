"""Opens whatever recording a path holds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from schemas.identity import natural_id
from schemas.topics import TOPICS
from streams.feeds.frames import UnreadableFrame
from streams.sources import Source, coinalyze, ndjson, no_record, tardis
from streams.sources.families import FAMILIES, Family, Opening, nearly
from streams.sources.lines import SourceError, head, merged
from streams.sources.packed import BROKEN_FILE, is_litter, problem_of, unpacked
from streams.sources.raw_frames import Reading

__all__ = ["FAMILIES", "SUPPORTED", "SourceError", "open_source", "taken_for"]

#: What `open_source` reads, one form a line, for --help.
SUPPORTED = "\n".join(f"  {family.what}" for family in FAMILIES)


#: Texts and programs that stand beside recordings.
_NOTES = (".md", ".txt", ".py", ".ipynb", ".sh", ".toml", ".yaml", ".yml", ".ini", ".cfg")


class Taken(NamedTuple):
    """What a file is taken for: a family, or why it is none; `lost` where it may hold records."""

    path: Path
    family: Family | None
    reason: str = ""
    lost: bool = False


def open_source(
    path: Path,
    by_the_run: bool = False,
    keep_repeats: bool | None = None,
    tell: Callable[[str], None] = lambda _: None,
    reading: Reading = Reading(),
) -> Source:
    """Open a recording (a file, or a folder of them) as one stream ordered by receipt.

    Forms may be mixed in a folder: they merge by time. Files of no known form beside
    known ones are named in the source's `name`. `by_the_run`: our own dumps give trades as
    `schemas.scan.columns.Trades` where many follow each other. `keep_repeats`: equal rows are as
    many orders, None as each form has it. `tell` hears of work that takes long before the first
    record. `reading`: how raw frames are read. Raises SourceError, one line,
    when nothing is there or nothing is recognised.
    """
    taken = taken_for(path)
    chosen: dict[Family, list[Path]] = {}
    for one in taken:
        if one.family is not None:
            chosen.setdefault(one.family, []).append(one.path)
    others = [one for one in taken if one.family is None]
    if not chosen:
        raise SourceError(_nothing(path, others))
    opening = Opening(by_the_run, keep_repeats, tell, reading)
    source = _together([family.source(files, opening) for family, files in chosen.items()])
    lost = [_named(one) for one in others if one.lost]
    silent = [_named(one) for one in others if not one.lost]
    name = source.name
    if lost:
        name += f" (not read: {_some(lost)})"
    if silent:
        name += f" (no records in {_some(silent)})"
    return replace(source, name=name, unread=tuple(lost))


def taken_for(path: Path) -> list[Taken]:
    """Say of each file of a recording what it is taken for. Raises SourceError for no file."""
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    files = [path] if path.is_file() else _visible(path)
    if not files:
        raise SourceError(f"{path}: the folder has no files")
    taken = []
    for file in files:
        try:
            for one in unpacked(file):
                taken.append(_recognised(one, alone=path.is_file()))
        except BROKEN_FILE as problem:
            taken.append(Taken(file, None, str(problem)[:200] or "cannot be unpacked", True))
    return _once(taken)


def _recognised(file: Path, alone: bool) -> Taken:
    first = head(file)
    if not any(line.strip() for line in first):
        return Taken(file, None, problem_of(file) or "is empty", True)
    if why := tardis.unread(first):
        return Taken(file, None, why, True)
    family = next((x for x in FAMILIES if x.recognises(file, first)), None)
    if family is not None:
        try:
            family.reader_of(file)
        except SourceError as problem:
            return Taken(file, None, str(problem).removeprefix(f"{file.name}: "), True)
        if _is_header_alone(family, file, first):
            return Taken(file, None, "a header without rows", False)
        return Taken(file, family)
    if ndjson.topic_of(file) in {*TOPICS, "truth"}:
        return Taken(file, None, "concluded from records", False)
    if why := no_record.why(file, first):
        return Taken(file, None, why, False)
    if file.suffix.lower() in _NOTES and not alone and not no_record.rows_in(first):
        return Taken(file, None, "notes", False)
    return Taken(file, None, nearly(file, first) or no_record.seen(file, first), True)


def _is_header_alone(family: Family, file: Path, first: list[str]) -> bool:
    lines = [line for line in first if line.strip()]
    try:
        return len(lines) == 1 and family.reader_of(file)(lines[0]) is None
    except UnreadableFrame:
        return False


def _once(taken: list[Taken]) -> list[Taken]:
    """Leave out files whose records stand in another one in other words."""
    merged_tables = [
        one.path for one in taken if one.family and coinalyze.merged_columns(head(one.path, 1))
    ]
    if not merged_tables:
        return taken
    symbols = {symbol for path in merged_tables for symbol in coinalyze.symbols_of(path)}
    reason = f"the same hours stand in {merged_tables[0].name}"
    return [
        Taken(one.path, None, reason, False)
        if one.family and one.path not in merged_tables and coinalyze.symbol_in(one.path) in symbols
        else one
        for one in taken
    ]


def _nothing(path: Path, others: Sequence[Taken]) -> str:
    if others and not any(one.lost for one in others):
        if len(others) == 1 and others[0].path == path:
            return f"{path}: holds no record: {others[0].reason}"
        named = "; ".join(_named(one) for one in others[:6])
        return f"{path}: holds no record: {named}{'; …' * (len(others) > 6)}"
    named = _some([_named(one) for one in others])
    return f"{path}: not a recording in a known form ({named}); `undertow run --help` lists them"


def _named(one: Taken) -> str:
    return f"{one.path.name}: {one.reason}" if one.reason else one.path.name


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _together(sources: list[Source]) -> Source:
    if len(sources) == 1:
        return sources[0]
    spans = [source.span for source in sources if source.span]
    known = len(spans) == len(sources)
    return Source(
        name=" + ".join(source.name for source in sources),
        identity=natural_id(*(source.identity for source in sources)),
        items=merged([source.items for source in sources]),
        span=(min(s[0] for s in spans), max(s[1] for s in spans)) if known else None,
        # A silence must outlast what is normal for the slowest of them.
        gap_after_s=max(source.gap_after_s for source in sources),
        clocked=tuple(sorted({topic for source in sources for topic in source.clocked})),
        timed=tuple(sorted({topic for source in sources for topic in source.timed})),
    )


def _visible(folder: Path) -> list[Path]:
    """Files of a folder and those below it, not hidden ones."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not is_litter(path.name)
        and not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
    ]
