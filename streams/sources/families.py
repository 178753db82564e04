"""Every form of recording that is read: what tells it, what reads it, and what it cannot tell."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.market import Liquidation
from streams.feeds.identities import occurring
from streams.sources import (
    Source,
    archives,
    captures,
    coinalyze,
    hyperliquid_files,
    klines,
    krishna,
    lending,
    listed,
    ndjson,
    raw_frames,
    tables,
    tardis,
    vision,
)
from streams.sources import binance_recorder as recorder
from streams.sources.lines import BARS_CLOCKED, Reader, head, identity_of, merged, numbered
from streams.sources.series import Lines, ordered, streamed
from streams.sources.time_order import span

#: Bytes from which on people are told that a file is looked at.
LARGE = 50 << 20


class Opening(NamedTuple):
    """How a recording is to be opened.

    `by_the_run`: our own dumps give trades as columns where many follow each other.
    `keep_repeats`: rows that are equal are as many orders, not one written twice; None: as the
    form has it. `tell` hears that a large file is looked at before it is read. `reading`
    says how raw frames are read.
    """

    by_the_run: bool = False
    keep_repeats: bool | None = None
    tell: Callable[[str], None] = lambda _: None
    reading: raw_frames.Reading = raw_frames.Reading()


class Family(NamedTuple):
    """One form of recording: what tells it, what reads its files, its line in --help.

    `lacks`: what it cannot tell. `evidence`: by what a file was known. `lines`: how its lines are
    read, None for one after the other.
    """

    recognises: Callable[[Path, list[str]], bool]
    source: Callable[[Sequence[Path], Opening], Source]
    what: str
    lacks: str
    reader_of: Callable[[Path], Reader]
    evidence: Callable[[Path], str]
    lines: Lines | None = None


def _of_table(table: tables.Table) -> Family:
    def recognises(path: Path, first: list[str]) -> bool:
        return tables.layout(table, path, first) is not None

    def reader_of(path: Path) -> Reader:
        return tables.reader(table, path, head(path))

    source = partial(
        _source,
        what=table.what,
        reader_of=reader_of,
        series=table.series,
        gap_after_s=table.gap_after_s,
        clocked=BARS_CLOCKED if table is klines.KLINES else (),
    )

    def evidence(path: Path) -> str:
        return tables.evidence(table, path, head(path))

    return Family(recognises, source, table.what, table.lacks, reader_of, evidence)


def nearly(path: Path, first: list[str]) -> str:
    """Say which table a file looks like that its name does not say; empty for none."""
    for table in (vision.AGG_TRADES, vision.TRADES, vision.SNAPSHOT, klines.KLINES):
        here = tables.layout(table._replace(named=None, bare=()), path, first)
        if here is not None:
            return f"looks like {table.what}, which its name does not say"
    return ""


def _of_lines(
    recognises: Callable[[Path, list[str]], bool],
    reader_of: Callable[[Path], Reader],
    what: str,
    lacks: str,
    gap_after_s: float = 600.0,
    lines: Lines = numbered,
) -> Family:
    source = partial(
        _source,
        what=what,
        reader_of=reader_of,
        series=lambda _: "",
        gap_after_s=gap_after_s,
        lines=lines,
    )
    return Family(recognises, source, what, lacks, reader_of, _first_line, lines)


def _first_line(path: Path) -> str:
    line = next((line for line in head(path) if line.strip()), "")
    return f"lines like {line[:60]}{'…' * (len(line) > 60)}"


def _source(
    files: Sequence[Path],
    opening: Opening,
    *,
    what: str,
    reader_of: Callable[[Path], Reader],
    series: Callable[[Path], str],
    gap_after_s: float,
    clocked: tuple[str, ...] = (),
    lines: Lines = numbered,
) -> Source:
    """Stream files of one form, merged by time over the series that they make."""
    keyed = sorted((series(path), path.name, str(path), path) for path in files)
    groups = [[one[-1] for one in group] for _, group in groupby(keyed, key=lambda one: one[0])]
    if opening.keep_repeats:
        reader_of = partial(_each_kept, reader_of)
    _tell_large(files, opening)
    looked = [ordered(group, reader_of, lines) for group in groups]
    form = what.partition(":")[0]
    name = f"{form}, {len(files)} file{'s' * (len(files) > 1)}"
    if back := [name for one in looked for name in one.sorted_names]:
        name += f"; sorted by time: {', '.join(back[:5])}{', …' * (len(back) > 5)}"
    options: dict[str, Any] = {"clocked": clocked} if clocked else {}
    return Source(
        name=name,
        identity=identity_of(f"{form}{opening.keep_repeats or ''}", files),
        items=merged([streamed(one, len(looked)) for one in looked]),
        span=span(order for one in looked for _, order in one.files),
        gap_after_s=gap_after_s,
        **options,
    )


def _tell_large(files: Sequence[Path], opening: Opening) -> None:
    large = [path.name for path in files if path.stat().st_size > LARGE]
    if large:
        names = ", ".join(large[:3]) + ", …" * (len(large) > 3)
        opening.tell(f"looking whether the rows follow the order of time: {names}")


def _each_kept(reader_of: Callable[[Path], Reader], path: Path) -> Reader:
    """Return a reader whose k-th liquidation of equal facts in a file is one of its own."""
    read, counts = reader_of(path), dict[str, int]()

    def kept(record: Any) -> Any:
        if not isinstance(record, Liquidation):
            return record
        return msgspec.structs.replace(record, event_id=occurring(record.event_id, counts))

    def read_each(line: str) -> Any:
        got = read(line)
        return [kept(one) for one in got] if isinstance(got, list) else kept(got)

    return read_each


def _ndjson(files: Sequence[Path], opening: Opening) -> Source:
    _tell_large(files, opening)
    return ndjson.ndjson_source(files, opening.by_the_run)


#: In the order of how sure their marks are.
FAMILIES = (
    Family(
        ndjson.recognises,
        _ndjson,
        "our own dumps and exports: <topic>.ndjson[.gz], <topic>.parquet",
        "",
        ndjson.reader_of,
        lambda path: f"its name says the topic {ndjson.topic_of(path)}",
    ),
    Family(
        raw_frames.recognises,
        lambda files, opening: raw_frames.frames_source(files, opening.reading),
        "raw frames of the venues, as `undertow record` writes them: .zst, .gz or plain",
        "what each venue's feed leaves out",
        raw_frames.reader_of,
        _first_line,
    ),
    *map(_of_table, (tardis.ROWS, tardis.TICKERS)),
    *map(_of_table, (vision.AGG_TRADES, vision.METRICS, vision.SNAPSHOT, vision.TRADES)),
    *map(_of_table, (archives.BYBIT, klines.KLINES)),
    *map(_of_table, (krishna.BATCHES, recorder.ORDERS, recorder.PRINTS)),
    *map(_of_table, (coinalyze.MERGED, coinalyze.LIQUIDATIONS, coinalyze.OPEN_INTEREST)),
    _of_lines(
        coinalyze.recognises_wide,
        coinalyze.wide_reader,
        "Coinalyze history as a wide table: a column a market",
        coinalyze.LACKS_WIDE,
        3 * 86_400.0,
    ),
    _of_lines(
        coinalyze.recognises_answer,
        coinalyze.answer_reader,
        "Coinalyze's API answers: liquidation and open-interest history",
        coinalyze.LACKS_WIDE,
        3 * 86_400.0,
        captures.lines,
    ),
    *map(_of_table, (lending.AAVE, lending.AAVE_COLLATERAL, lending.DUNE)),
    *map(_of_table, (lending.COMPOUND, lending.LIQUITY)),
    _of_table(hyperliquid_files.SIDES),
    _of_table(listed.INTEREST),
    *map(_of_table, (archives.OKX, archives.BYBIT_SPOT, archives.GATE_FORCED, archives.GATE)),
    _of_table(listed.ROWS),
    _of_lines(
        hyperliquid_files.recognises,
        hyperliquid_files.reader_of,
        hyperliquid_files.WHAT,
        hyperliquid_files.LACKS,
    ),
    _of_lines(
        captures.recognises,
        captures.reader_of,
        f"captures: {captures.WHAT}",
        captures.LACKS,
        lines=captures.lines,
    ),
)
