"""`undertow feed learn`: what venues do not say, from recorded frames."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from schemas.market import Liquidation
from streams.cli.options import Refused, option, settled
from streams.feeds import learning, registry
from streams.feeds.instruments import Instruments
from streams.feeds.learning import Learnt
from streams.process import learnt_file
from streams.sources.lines import SourceError


@click.command(
    epilog="\b\nundertow record frames/ --venues gate,binance\n"
    "curl 'https://api.gateio.ws/api/v4/futures/usdt/liq_orders?from=…' > orders.json\n"
    "undertow feed learn frames/ --orders orders.json"
)
@click.argument("frames", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--orders",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="answers of Gate's REST liq_orders over the same time, one a file",
)
@option("data_dir")
def learn(frames: Path, orders: tuple[Path, ...], **given: Any) -> None:
    """Learn from recorded FRAMES whose sign Gate's WebSocket gives, and what Binance's streams
    of one symbol sample; keep both with their evidence in DATA_DIR/learnt.json.

    Until it is learnt, positions of Gate's liquidations are unknown. At least 20 cases are needed,
    of which 2 % at most speak against it. `feed` reads the file when it starts.
    """
    from streams.sources.raw_frames import Reading, frames_source

    settings = settled(**given)
    path = learnt_file.file_of(settings.data_dir)
    try:
        before = learnt_file.load(path)
        items = frames_source(frames, Reading(_as_order)).items
        heard = [record for _, record in items if isinstance(record, Liquidation)]
        answered = [order for file in orders for order in _orders(file)]
    except (SourceError, ValueError) as problem:
        raise Refused(str(problem)) from None
    streamed = [one for one in heard if one.stream == "futures.public_liquidates"]
    answered += [one for one in heard if one.venue == "gate" and one.stream == "liq_orders"]
    gate, binance = learning.gate_sign(streamed, answered), learning.binance_sample(heard)
    learnt = Learnt(
        gate=gate if gate.sign else before.gate,
        binance=binance if binance.coverage else before.binance,
        source=str(frames),
        date=datetime.now(UTC).date().isoformat(),
    )
    click.echo(msgspec.json.encode({"gate": gate, "binance": binance}).decode())
    if gate.sign or binance.coverage:
        learnt_file.save(path, learnt)
        click.echo(f"kept in {path}", err=True)
    else:
        click.echo("not enough to learn from: nothing is kept", err=True)


def _as_order(venue: str, instruments: Instruments) -> None:
    """Read Gate's sign as if it were the order's: what is learnt is whether that holds."""
    instruments.liquidation_sign = "order"


def _orders(file: Path) -> list[Liquidation]:
    known = registry.bundled("gate")
    now = int(file.stat().st_mtime * 1e6)
    parsed = registry.parse("gate", "liq_orders", file.read_bytes(), known, now)
    if not parsed.records and parsed.refusals:
        raise Refused(f"{file}: {parsed.refusals[0].field}: {parsed.refusals[0].reason}")
    return list(parsed.records)
