"""`undertow simulate`: a calibrated market as raw topics, its truth apart."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import click
import orjson

from schemas.codec import encode

PRESETS = ("normal", "nov", "oct10")
FEEDS = (
    "full", "45_latest", "45_largest", "100_latest", "100_largest", "three_latest",
    "three_largest",
)  # fmt: skip


@click.command()
@click.option("--preset", type=click.Choice(PRESETS), default="normal", show_default=True)
@click.option("--days", type=click.FloatRange(0.05, 400), default=1.0, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--feeds", type=click.Choice(FEEDS), default="45_latest", show_default=True)
@click.option("--faults/--no-faults", default=True, help="late, repeated, skewed, outages")
@click.option("--giants/--no-giants", default=True, help="planted single huge orders")
@click.option(
    "--trades-every", type=click.Choice(["1", "10", "60", "none"]), default="1", show_default=True,
    help="seconds that one print a venue and side stands for",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def simulate(
    preset: Any, days: float, seed: int, feeds: str, faults: bool, giants: bool, trades_every: str,
    out: Path,
) -> None:  # fmt: skip
    """Write a simulated market's raw topics and its truth into the folder OUT.

    `undertow run --source OUT` reads the topics; truth.ndjson is for scoring alone. The same
    options give the same bytes.

    \b
    undertow simulate --preset oct10 --days 1 --out market/
    """
    from streams.simulate.market import chain, core, emit, params, truth
    from streams.simulate.market.feeds import RULES

    market, rule = params.preset(preset), RULES[feeds]
    wrong = emit.Faults() if faults else emit.NO_FAULTS
    tape = core.run(market, seed, days)
    seconds, venues = tape.price.shape[1], len(rule.shares)
    dark = emit.outages(wrong, seconds, venues, seed)
    true_orders = emit.orders(market, tape, seed, giants)
    tellings = chain.transfers(market, tape, seed, venues)
    topics: dict[str, Iterable[emit.Item]] = {
        "liquidations": emit.liquidations(market, tape, true_orders, rule, wrong, dark, seed),
        "whale_transfers": chain.items(tellings, seconds),
    }
    if trades_every != "none":
        topics["trades"] = emit.trades(market, tape, venues, dark, seed, int(trades_every))
    out.mkdir(parents=True, exist_ok=True)
    for topic, items in topics.items():
        count = _write(out / f"{topic}.ndjson", (encode(record) for _, record in items))
        click.echo(f"{topic}\t{count}")
    lines = truth.lines(market, tape, true_orders, tellings, dark)
    click.echo(f"truth\t{_write(out / 'truth.ndjson', (orjson.dumps(line) for line in lines))}")


def _write(path: Path, lines: Iterable[bytes]) -> int:
    count, rest = 0, iter(lines)
    with path.open("wb") as stream:
        while block := list(islice(rest, 10_000)):
            stream.write(b"\n".join(block) + b"\n")
            count += len(block)
    return count
