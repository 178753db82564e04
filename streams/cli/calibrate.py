"""`undertow calibrate`: thresholds for a budget of false alarms, from one's own history."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from streams.cli.options import Refused, option, settled
from streams.cli.store import asking
from streams.process.settings import Settings

#: Rows asked for at a time: what an embedded database answers in one go is bounded.
_ROWS = 400_000


@click.command()
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="a recording; without it the liquidations that ClickHouse holds",
)
@click.option(
    "--budget",
    type=click.FloatRange(0.05, 50),
    default=1.0,
    show_default=True,
    help="false alarms a week and asset",
)
@click.option(
    "--known",
    type=click.Path(path_type=Path, dir_okay=False),
    help="cascades that are real, as truth.ndjson; their alarms are not false",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="params.json",
    show_default=True,
    help="the file that UNDERTOW_PARAMS shall name",
)
@option("params")
@option("data_dir")
@option("clickhouse_url")
def calibrate(
    source: Path | None, budget: float, known: Path | None, out: Path, **given: Any
) -> None:  # fmt: skip
    """Fit thresholds to a budget of false alarms and write the parameter file.

    Every alarm in the history counts as false but those near cascades named in --known: with
    unnamed cascades in it, thresholds come out too high rather than too low. All other
    parameters are taken over from UNDERTOW_PARAMS.

    \b
    undertow calibrate --source my-recording/ --budget 0.5 --out fitted.json
    """
    from streams.core.params import ParamsError
    from streams.evaluate import fit, labelled
    from streams.process.params_file import load_params
    from streams.sources.lines import SourceError

    settings = settled(**given)
    try:
        spans = labelled.truth_lines(known) if known else []
        recording = _recorded(source) if source else _stored(settings)
        made = fit.fit(recording, spans, budget, load_params(settings.params))
    except (SourceError, ParamsError, fit.TooLittle) as problem:
        raise Refused(str(problem)) from None
    out.write_bytes(msgspec.json.format(msgspec.json.encode(made.params)) + b"\n")
    _show(made, Console(width=None if sys.stdout.isatty() else 110))
    click.echo(f"{out}: use it with UNDERTOW_PARAMS={out}", err=True)


def _recorded(path: Path) -> Any:
    from streams.evaluate.recorded import Recording, take
    from streams.process.progress import telling
    from streams.sources.open import open_source

    recording, source = Recording(), open_source(path)
    with telling(source.name, source.span) as tell:
        for number, (topic, record) in enumerate(source.items):
            if topic == "liquidations":
                take(recording, record)
            if number % 50_000 == 0:
                tell(recording.last, number)
    return recording


def _stored(settings: Settings) -> Any:
    from sinks.sql.protocol import QueryError
    from streams.evaluate.recorded import Recording, add

    recording = Recording()
    try:
        with asking(settings) as ask:
            for asset, first, last in _spans(ask):
                for row in _rows(ask, asset, first, last):
                    side, venue, coverage, at, usd, orders = row
                    add(recording, asset, side, venue, coverage, int(at), usd, int(orders))
                click.echo(f"  {asset} {first} to {last}", err=True)
    except (QueryError, OSError) as problem:
        raise Refused(str(problem)) from None
    return recording


def _spans(ask: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (asset, first day, last day) of about _ROWS orders each."""
    sql = (
        "SELECT asset, toString(toDate(ts_event)) AS day, count() FROM liquidations"
        " GROUP BY asset, day ORDER BY asset, day"
    )
    days = [json.loads(line) for line in ask(sql).splitlines() if line]
    span: tuple[str, str, str] | None = None
    rows = 0
    for asset, day, count in days:
        if span and (span[0] != asset or rows + int(count) > _ROWS):
            yield span
            span, rows = None, 0
        span, rows = (asset, span[1] if span else day, day), rows + int(count)
    if span:
        yield span


def _rows(ask: Any, asset: str, first: str, last: str) -> Iterator[list[Any]]:
    sql = (
        "SELECT position_side, venue, coverage, toUnixTimestamp64Micro(ts_event), notional_usd,"
        f" orders FROM liquidations FINAL WHERE asset = '{asset}' AND NOT removed"
        f" AND toDate(ts_event) BETWEEN '{first}' AND '{last}'"
    )
    for line in ask(sql).splitlines():
        if line:
            yield json.loads(line)


def _show(made: Any, console: Console) -> None:
    title = (
        f"{made.weeks:.1f} weeks watched, {made.silent_hours:.1f} h silent left out;"
        f" at most {made.budget:g} alarms a week and asset"
    )
    table = Table(
        "", "feed", "orders", "threshold", "95 %", "alone", "alarms/week", "was", title=title
    )
    for one in (*made.assets, *(one for one in (made.market, made.breadth) if one)):
        threshold = one.threshold
        table.add_row(
            one.asset, one.feed_class, f"{one.orders:,}", f"{threshold.value:.2f}",
            f"{threshold.low:.2f} to {threshold.high:.2f}", f"{one.plain:.2f}",
            f"{threshold.false_a_week:.2f}",
            f"{one.before:.2f}",
        )  # fmt: skip
    console.print(table)
    if made.market is None:
        console.print("the majors' market-wide threshold keeps its default: two of them are needed")
    console.print(
        "The middle of each interval lies between what was shipped and what this history alone"
        " says, the nearer to the latter the longer it is. The threshold lies above it, so that"
        " the budget is kept in nine of ten cases; the interval says how little is known."
    )
    if made.unpriced:
        console.print(f"{made.unpriced:,} orders without a worth were left out")
