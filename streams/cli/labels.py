"""`undertow labels`: whose addresses are, as public sets say."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from streams.cli.options import Refused, option, settled, with_json
from streams.feeds.label_sets import About
from streams.feeds.labels import Label, Labels
from streams.process import label_file
from streams.process.label_file import LabelsUnreadable

_SET = click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
def labels() -> None:
    """Read public sets of labelled addresses; feeds name the owners of transfers by them.

    \b
    A set is one of
      a table with the columns address, owner [, kind, source, confidence, date]
      an account table or the combined JSON of etherscan-labels
      a table of addresses in DefiLlama's adapters: chain_family, entity, address
    """


@labels.command("import", epilog="\b\nundertow labels import accounts.csv --date 2023-10-01")
@_SET
@click.option("--source", help="what its labels are known by [the file's name]")
@click.option("--date", "day", help="the day of its telling, YYYY-MM-DD [the file's]")
@click.option("--confidence", type=click.FloatRange(0, 1), help="how sure it is [by its form]")
@option("data_dir")
def import_set(
    path: Path, source: str | None, day: str | None, confidence: float | None, **given: Any
) -> None:
    """Take in the set of labels at PATH; what the same source said before is replaced.

    Without --confidence, Etherscan's tags count 0.9, a table 0.8, DefiLlama's adapters 0.7.
    """
    kept, file = _kept(given)
    read = _read(path, source, day, confidence)
    sources = {label.source for label in read}
    others = [label for label in kept.all() if label.source not in sources]
    label_file.save(file, Labels([*others, *read]))
    kinds = Counter(label.kind for label in read)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    click.echo(f"{len(read):,} labels read ({counts}), beside {len(others):,} of others", err=True)


@labels.command(epilog="\b\nundertow labels show 0x28c6c06298d514db089934071355e5743bf21d60")
@click.argument("addresses", nargs=-1)
@click.option("--owner", help="of this owner alone: binance")
@with_json
@option("data_dir")
def show(addresses: tuple[str, ...], owner: str | None, as_json: bool, **given: Any) -> None:
    """Print the labels of ADDRESSES, or all, as a table that `import` reads."""
    kept, _ = _kept(given)
    chosen = [x for address in addresses for x in kept.of(address)] if addresses else kept.all()
    chosen = [label for label in chosen if owner in (None, label.owner)]
    if as_json:
        click.echo(msgspec.json.encode(chosen).decode())
    else:
        click.echo(label_file.as_csv(chosen), nl=False)
    if addresses and not chosen:
        click.echo("nobody says whose they are", err=True)


@labels.command(epilog="\b\nundertow labels diff accounts.csv")
@_SET
@click.option("--source", help="compare with this source alone [all of them]")
@with_json
@option("data_dir")
def diff(path: Path, source: str | None, as_json: bool, **given: Any) -> None:
    """Print what the set at PATH says otherwise than the labels that are kept.

    `new`: an address that nobody labels; `other owner` or `other kind`: what is kept names
    another; `gone`: kept from --source, and not in the set.
    """
    kept, _ = _kept(given)
    read = _read(path, source, None, None)
    rows = [row for label in read if (row := _difference(kept, label, source)) is not None]
    listed = {(label.family, label.address) for label in read}
    rows += [
        {"change": "gone", "address": x.address, "kept": x.owner, "set": ""}
        for x in kept.all()
        if x.source == source and (x.family, x.address) not in listed
    ]
    if as_json:
        click.echo(msgspec.json.encode(rows).decode())
    else:
        for row in rows:
            click.echo(f"{row['change']:<12} {row['address']:<44} {row['kept']} -> {row['set']}")
    counts = Counter(row["change"] for row in rows)
    shown = ", ".join(f"{count} {change}" for change, count in counts.most_common())
    click.echo(f"{len(read):,} labels compared: {shown or 'no difference'}", err=True)


def _difference(kept: Labels, label: Label, source: str | None) -> dict[str, str] | None:
    said = [x for x in kept.of(label.address) if source in (None, x.source)]
    row = {"address": label.address, "kept": said[0].owner if said else "", "set": label.owner}
    if not said:
        return {"change": "new", **row}
    if said[0].owner != label.owner:
        return {"change": "other owner", **row}
    if said[0].kind != label.kind:
        return {"change": "other kind", **row, "kept": said[0].kind, "set": label.kind}
    return None


def _kept(given: dict[str, Any]) -> tuple[Labels, Path]:
    file = label_file.file_of(settled(**given).data_dir)
    try:
        return label_file.load(file), file
    except LabelsUnreadable as problem:
        raise Refused(str(problem)) from None


def _read(path: Path, source: str | None, day: str | None, confidence: float | None) -> list[Label]:
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d")
    about = About(source or path.name.partition(".")[0], confidence, day or written)
    try:
        read, faults = label_file.read_set(path, about)
    except LabelsUnreadable as problem:
        raise Refused(str(problem)) from None
    for fault in faults[:5]:
        click.echo(f"{path.name}: {fault}", err=True)
    if faults:
        click.echo(f"{path.name}: {len(faults)} rows are no labels", err=True)
    if not read:
        raise Refused(f"{path}: no labels in it")
    return read
