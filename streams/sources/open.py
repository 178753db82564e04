"""Opens whatever recording a path holds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from schemas.identity import natural_id
from schemas.topics import TOPICS
from streams.sources import Source, klines, krishna, ndjson, raw_frames, tardis, vision
from streams.sources import binance_recorder as recorder
from streams.sources.lines import SourceError, head, merged

__all__ = ["SUPPORTED", "SourceError", "open_source"]


class Family(NamedTuple):
    """One form of recording: what tells it, what reads it, and its line in --help."""

    recognises: Callable[[Path, list[str]], bool]
    source: Callable[[Path | Sequence[Path]], Source]
    what: str


#: In the order of how sure their marks are.
FAMILIES = (
    Family(ndjson.recognises, ndjson.ndjson_source, "our own dumps: <topic>.ndjson[.gz]"),
    Family(
        raw_frames.recognises,
        raw_frames.frames_source,
        "raw frames of the venues, as `undertow record` writes them: .zst, .gz or plain",
    ),
    Family(
        tardis.recognises,
        tardis.tardis_source,
        "Tardis CSV: trades and liquidations of " + ", ".join(tardis.EXCHANGES),
    ),
    Family(
        vision.recognises,
        vision.vision_source,
        "Binance Vision: SYMBOL-aggTrades-DATE.csv[.gz] or .zip",
    ),
    Family(
        klines.recognises,
        klines.klines_source,
        "Binance klines with the taker split: SYMBOL-1m-DATE.csv[.gz] or .zip",
    ),
    Family(krishna.recognises, krishna.krishna_source, "liqs.csv of Krishna5972/liqs"),
    Family(
        recorder.recognises,
        recorder.recorder_source,
        "headerless forceOrder and aggTrade CSV of Binance recorders",
    ),
)

#: What `open_source` reads, one form a line, for --help.
SUPPORTED = "\n".join(f"  {family.what}" for family in FAMILIES)


def open_source(path: Path, by_the_run: bool = False) -> Source:
    """Open a recording (a file, or a folder of them) as one stream ordered by receipt.

    Forms may be mixed in a folder: they merge by time. Files of no known form beside
    known ones are named in the source's `name`. `by_the_run`: our own dumps give trades as
    `schemas.scan.columns.Trades` where many follow each other. Raises SourceError, one line, when
    nothing is there or nothing is recognised.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    files = [path] if path.is_file() else _visible(path)
    if not files:
        raise SourceError(f"{path}: the folder has no files")
    chosen: dict[Family, list[Path]] = {}
    others = []
    for file in files:
        first = head(file)
        family = next((x for x in FAMILIES if x.recognises(file, first)), None)
        if family is None:
            why = tardis.unread(first)
            others.append(f"{file.name}: {why}" if why else file.name)
        else:
            chosen.setdefault(family, []).append(file)
    if not chosen:
        forms = "; ".join(family.what for family in FAMILIES)
        named = f" ({_some(others)})" if len(others) > 1 or ": " in others[0] else ""
        raise SourceError(f"{path}: not a recording in a known form{named}; looked for {forms}")
    sources = [
        ndjson.ndjson_source(files, True)
        if by_the_run and family.source is ndjson.ndjson_source
        else family.source(files)
        for family, files in chosen.items()
    ]
    source = _together(sources)
    if others:
        name, lost = f"{source.name} (not read: {_some(others)})", tuple(filter(_is_input, others))
        source = replace(source, name=name, unread=lost)
    return source


def _is_input(name: str) -> bool:
    """Return whether a file that is not read may have been input: our own conclusions are not."""
    return ndjson.topic_of(Path(name)) not in {*TOPICS, "truth"}


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
    """Data files of a folder and those below it, not its hidden files or notes."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        and path.suffix.lower() not in (".md", ".txt")
    ]
