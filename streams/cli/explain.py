"""What `undertow run --explain` prints of a source."""

from pathlib import Path
from typing import Any

import click
import msgspec

from streams.process.progress import moment


def explain(source: Path, as_json: bool) -> bool:
    """Print what each file of `source` is taken for; return whether anything of it is lost.

    Raises SourceError.
    """
    from streams.process.progress import telling
    from streams.sources.explain import explained
    from streams.sources.open import taken_for

    lost = any(one.lost for one in taken_for(source))
    with telling(f"reading {source}", None) as tell:
        for file in explained(source, tell):
            click.echo(msgspec.json.encode(file) if as_json else "\n".join(_lines(file)))
            lost = lost or file.bad > 0
    return lost


def _lines(file: Any) -> list[str]:
    packed = f" ({file.packing})" if file.packing else ""
    if not file.form:
        return [f"{file.path}{packed}", f"  not used   {file.reason}"]
    counts = ", ".join(f"{count:,} {kind}" for kind, count in file.records.items()) or "no record"
    lines = [
        f"{file.path}{packed}",
        f"  taken for  {file.form}",
        f"  because    {file.evidence}",
        f"  holds      {counts} in {file.rows:,} rows",
    ]
    if file.first is not None:
        lines.append(f"  from       {moment(file.first)} until {moment(file.last)} UTC")
    if file.repeats:
        lines.append(f"  repeats    {file.repeats:,} liquidations stand there again: count once")
    if file.bad:
        lines.append(f"  not used   {file.bad:,} rows that cannot be read")
        lines += [f"             {complaint}" for complaint in file.complaints]
    if file.lacks:
        lines.append(f"  not told   {file.lacks}")
    return lines
