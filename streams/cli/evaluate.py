"""`undertow evaluate`: how well the detectors do, and by how much not."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.cli.options import Refused, option, settled

#: Rows of the printed table: what it is called, and the key of evaluate.json.
SHOWN = (
    ("FA/week", "false_alarms_per_week"),
    ("recall", "recall"),
    ("<=60 s", "within_60s"),
    ("<=120 s", "within_120s"),
    ("damage to come", "damage_to_come"),
)

#: What may be measured by itself, and what that is.
PARTS = {
    "scores": "all but whales",
    "outages": "a venue silent from before the onset",
    "market": "the market-wide call",
    "whales": "deposits",
    "transfer": "thresholds on redrawn markets",
    "self-calibration": "the same moved by themselves",
    "first-hours": "assets just met",
}
#: Those that judge thresholds as they are in a file of parameters, or shipped.
OF_SHIPPED = ("transfer", "self-calibration", "first-hours")


@click.command()
@click.option("--quick", is_flag=True, help="22 days of one seed each way, no whales; a minute")
@click.option("--calibrate-on", help="seeds that thresholds are fitted on, 171,172")
@click.option("--seeds", help="seeds that are judged, 281,282,283")
@click.option("--days", type=click.IntRange(15, 400), help="simulated days of each seed [120]")
@click.option("--score", help="the score held against the bars [the product's]")
@click.option("--without", help="rivals left out, BOCPD,GLR: the first costs as much as all others")
@click.option(
    "--input",
    "recording",
    type=click.Path(path_type=Path, file_okay=False),
    help="a labelled recording instead: a folder of topics with truth.ndjson",
)
@click.option(
    "--part",
    type=click.Choice([*PARTS]),
    help="one part alone: " + ", ".join(PARTS.values()),
)
@option("params")
@click.option("--strict", is_flag=True, help="exit code 1 when a bar is missed")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default="build", show_default=True
)
def evaluate(
    quick: bool, calibrate_on: str | None, seeds: str | None, days: int | None,
    score: str | None, without: str | None, recording: Path | None, part: str | None,
    strict: bool, out: Path,
    **given: Any,
) -> None:  # fmt: skip
    """Measure detectors and rivals on simulated markets, and hold them against the bars.

    Thresholds come from some seeds, figures from others. Writes OUT/evaluate.json and
    OUT/evaluate.html. It is a measurement: a missed bar is no error unless --strict. Needs
    6 GB of memory and matplotlib (`make evaluate` brings it).

    With --input the product itself is run over a recording, and rivals on the same orders,
    beside what its truth.ndjson says of cascades; `undertow simulate` writes such a folder.

    \b
    undertow evaluate --quick
    undertow evaluate --input market/ --strict

    \b
    {"kind":"cascade","asset":"BTC","position_side":"long","t0":…,"t95":…,"end":…}
    {"kind":"grey","asset":"BTC","position_side":"long","t0":…,"end":…}   neither way
    {"kind":"whale","event_id":"…","sells":true}          times: microseconds UTC
    """
    if recording is not None:
        _finish(_of_recording(recording, settled(**given).params), out)
        return
    run, protocol, params = _parts()
    plan = run.QUICK if quick else run.Plan()
    changed: dict[str, Any] = {
        "calibrate_on": _seeds(calibrate_on), "seeds": _seeds(seeds), "days": days, "ours": score
    }  # fmt: skip
    # Each at work holds half a gigabyte.
    changed["workers"] = min(4, os.cpu_count() or 2)
    changed["rivals"] = _rivals(plan.rivals, without)
    plan = _replaced(plan, {k: v for k, v in changed.items() if v is not None})
    if plan.ours not in protocol.CONTENDERS:
        raise Refused(f"--score is one of {', '.join(protocol.CONTENDERS)}, not {plan.ours!r}")
    if part in OF_SHIPPED:
        shipped = _by_shipped(part, _seeds(seeds), days, settled(**given).params)
        _finish(shipped, out)
        _end(shipped, strict)
        return
    if set(plan.seeds) & set(plan.calibrate_on):
        raise Refused("a seed that thresholds are fitted on cannot be judged too")
    began = time.monotonic()
    with _telling() as tell:
        if part == "scores":
            plan = _replaced(plan, {"whales": False})
        of = {"outages": run.under_outages, "market": run.of_market, "whales": run.of_whales}
        result = of.get(part or "", run.evaluate)(params.NORMAL, plan, tell)
    result["seconds"] = round(time.monotonic() - began)
    _finish(result, out)
    if quick:
        click.echo("a quick run says that all of it works; bars are for the whole one", err=True)
    _end(result, strict)


def _end(result: dict[str, Any], strict: bool) -> None:
    if strict and any(bar["reached"] is False for bar in result["bars"]):
        sys.exit(1)


def _by_shipped(
    part: str, seeds: tuple[int, ...] | None, days: int | None, params_file: str
) -> dict[str, Any]:
    """Run one of OF_SHIPPED."""
    from streams.core.params import ParamsError
    from streams.evaluate import first_hours, self_calibrated, transfer
    from streams.process.params_file import load_params
    from streams.simulate.market.params import NORMAL

    try:
        params = load_params(params_file)
    except ParamsError as problem:
        raise Refused(str(problem)) from None
    with _telling() as tell:
        if part == "transfer":
            days = days or transfer.TEST_DAYS
            return transfer.evaluate(params, seeds or transfer.SEEDS, tell, days)
        if part == "self-calibration":
            return self_calibrated.evaluate(params, seeds or self_calibrated.SEEDS, tell)
        seeds, days = seeds or first_hours.SEEDS, days or first_hours.DAYS
        return first_hours.evaluate(params, NORMAL, seeds, days, tell)


def _parts() -> Any:
    try:
        from streams.evaluate import html_report, protocol, run  # noqa: F401 (all or none)
        from streams.simulate.market import params
    except ImportError as missing:
        raise Refused(
            f"{missing.name} is not installed: `make evaluate` brings it, or pip install matplotlib"
        ) from None
    return run, protocol, params


def _replaced(plan: Any, changed: dict[str, Any]) -> Any:
    from msgspec.structs import replace

    return replace(plan, **changed)


def _rivals(every: tuple[str, ...], without: str | None) -> tuple[str, ...]:
    left_out = (without or "").replace(",", " ").split()
    unknown = sorted(set(left_out) - set(every))
    if unknown:
        raise Refused(f"--without takes some of {', '.join(every)}, not {', '.join(unknown)}")
    return tuple(name for name in every if name not in left_out)


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        seeds = tuple(int(x) for x in text.replace(",", " ").split())
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0:
        raise Refused(f"seeds are whole numbers separated by commas, not {text!r}")
    return seeds


def _of_recording(folder: Path, params_file: str) -> dict[str, Any]:
    _parts()
    from streams.core.params import ParamsError
    from streams.evaluate import labelled
    from streams.process.params_file import load_params
    from streams.process.progress import telling
    from streams.sources.open import SourceError, open_source

    try:
        truth = labelled.truth_lines(folder / "truth.ndjson")
        source = open_source(folder)
        with telling(source.name, source.span) as tell:
            result = labelled.evaluate(load_params(params_file), source, truth, tell)
    except (SourceError, ParamsError) as problem:
        raise Refused(str(problem)) from None
    return result | {"input": str(folder)}


def _finish(result: dict[str, Any], out: Path) -> None:
    from streams.evaluate import html_report

    result["command"] = " ".join(["undertow", *sys.argv[1:]])
    result["made"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")

    out.mkdir(parents=True, exist_ok=True)
    shape = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    written = [out / "evaluate.json"]
    written[0].write_bytes(orjson.dumps(result, option=shape))
    if "feeds" in result:
        written.append(out / "evaluate.html")
        written[1].write_text(html_report.html(result))
    click.echo(", ".join(map(str, written)), err=True)
    show(result, Console(width=None if sys.stdout.isatty() else 120))


def show(result: dict[str, Any], console: Console) -> None:
    """Print every score on every feed, and the bars."""
    ours = result["score"]
    for group in ("feeds", "giants"):
        for case in result.get(group, ()):
            with_giants = " with planted giants" if group == "giants" else ""
            table = Table("score", *(name for name, _ in SHOWN), "p50", f"{ours} less it",
                          title=f"{case}{with_giants}")  # fmt: skip
            paired = result["ours_less_rival"].get(f"giants_{case}" if with_giants else case, {})
            for name, rival in result["rivals"].items():
                if case in rival[group]:
                    table.add_row(*_cells(name, rival[group][case], paired.get(name)))
            console.print(table)
    for outage, by_score in result.get("outages", {}).items():
        table = Table("score", *(name for name, _ in SHOWN), "p50", "", title=outage)
        for name, row in by_score.items():
            table.add_row(*_cells(name, row, None))
        console.print(table)
    for prior, by_history in result.get("first_hours", {}).items():
        table = Table(
            "met before", *(name for name, _ in SHOWN), "p50", "", title=f"prior: {prior}"
        )
        for name, row in by_history.items():
            table.add_row(*_cells(name, row, None))
        console.print(table)
    if "whale_foreign" in result:
        table = Table("own flow", "noise / sale", "power <= .05", "<= .01", "shifted <= .05",
                      "<= .01", "KS", title="Whales on another market")  # fmt: skip
        for row in result["whale_foreign"]:
            names = ("own", "noise", "power_05", "power_01", "fpr_05", "fpr_01", "ks")
            table.add_row(*(f"{row[name]:.3f}" for name in names))
        console.print(table)
    for source, by_class in result.get("transfer", {}).items():
        table = Table("assets", "feed", "FA/week", "recall", "damage to come", "cascades",
                      title=f"thresholds: {source}")  # fmt: skip
        for liquidity, by_feed in by_class.items():
            for feed, row in by_feed.items():
                table.add_row(liquidity, feed, *_of_market(row))
        console.print(table)
    if not result["bars"]:
        return
    table = Table("bar", "must reach", "figure", "reached", title="Bars")
    for bar in result["bars"]:
        figure = "not measured" if bar["figure"] is None else f"{bar['figure']:.3f}"
        reached = {True: "yes", False: "NO", None: "-"}[bar["reached"]]
        table.add_row(bar["bar"], bar["must"], figure, reached)
    console.print(table)


def _of_market(row: dict[str, Any]) -> list[str]:
    low, high = row["false_alarms_per_week_interval"]
    shares = (f"{row[key]:.3f}" for key in ("recall", "damage_to_come"))
    weekly = f"{row['false_alarms_per_week']:.2f} [{low:.2f}, {high:.2f}]"
    return [weekly, *shares, str(row["cascades"])]


def _cells(name: str, row: dict[str, Any], paired: dict[str, Any] | None) -> list[str]:
    shares = ("-" if row[key] is None else f"{row[key]:.3f}" for _, key in SHOWN)
    median = row["delay_s"]["p50"]
    cells = [name, *shares, "missed" if median is None else f"{median:.0f} s"]
    gain = (paired or {}).get("damage_to_come")
    if not gain:
        return [*cells, ""]
    spread = "" if gain["interval"] is None else " [{:+.3f}, {:+.3f}]".format(*gain["interval"])
    return [*cells, f"{gain['value']:+.3f}{spread}"]


@contextmanager
def _telling() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what hears of each part that is done: a bar on a terminal, lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what, done, of: console.print(f"  {done}/{of}  {what}", highlight=False)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("compiling and simulating", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)
