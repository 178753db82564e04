"""`undertow parse`: what we make of a venue's raw frames."""

import re
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from streams.cli.options import Refused
from streams.feeds import registry
from streams.feeds.instruments import Instruments
from streams.process.clock import now_us

_CHANNELS = "\b\nVenues and their channels:\n" + "\n".join(
    f"  {name:<14}{', '.join(venue.channels)}" for name, venue in registry.VENUES.items()
)


#: What others call a venue, and its products that we hear under one name.
_ALIASES = {
    "okex": "okx",
    "gateio": "gate",
    "gate.io": "gate",
    "huobi": "htx",
    "evm": "ethereum",
    "aave": "ethereum",
    "esplora": "bitcoin",
    "mempool": "bitcoin",
    "whale-alert": "whale_alert",
}
_PRODUCTS = re.compile(r"-(usdm|coinm|um|cm|futures|swap|linear|inverse|perpetual|v[0-9])$")


class _VenueName(click.Choice):  # type: ignore[type-arg]
    """A venue's name as we write it, from the ways in which others do: binance-coinm, okex."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        name = str(value).lower()
        if name not in self.choices:
            name = _PRODUCTS.sub("", name.replace("_", "-"))
        return super().convert(_ALIASES.get(name, name), param, ctx)


@click.command(epilog=_CHANNELS)
@click.argument("venue", type=_VenueName(list(registry.VENUES)))
@click.option("--channel", help="the frames' channel, else each frame tells its own")
@click.option(
    "--instruments",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="the venue's own metadata, as JSON [the snapshot in this package]",
)
@click.option("--ts-recv", type=int, help="when the frames came, microseconds UTC [now]")
def parse(venue: str, channel: str | None, instruments: Path | None, ts_recv: int | None) -> None:
    """Read raw frames of VENUE from stdin, one a line, and print what each holds, as JSON.

    For each line: {"records": [...], "refusals": [{"field", "reason"}], "control": bool}. A
    record's fields are those of our topics; a refusal names the field of the bad item.

    \b
    echo '{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1791565601482,"data":[
      {"T":1791565600992,"s":"BTCUSDT","S":"Buy","v":"0.006","p":"82396.90"}]}' |
      tr -d '\\n' | undertow parse bybit --channel allLiquidation
    """
    known = registry.bundled(venue) if instruments is None else _read(venue, instruments)
    known = known.of_connection()
    if channel is not None:
        known.channels[-1] = channel  # Bitfinex's frames do not say what they are of
        channel = _channel(venue, channel)
    if known.date:
        click.echo(f"contracts of {venue} as of {known.date}: {known.source}", err=True)
    encode = msgspec.json.Encoder().encode
    for line in sys.stdin.buffer:
        frame = line.rstrip(b"\r\n")
        received = now_us() if ts_recv is None else ts_recv
        parsed = registry.parse(venue, channel, frame, known, received)
        shown = {
            "records": parsed.records,
            "refusals": parsed.refusals,
            "control": parsed.control,
        }
        print(encode(shown).decode())


def _channel(venue: str, name: str) -> str:
    try:
        return registry.channel_named(venue, name)
    except KeyError:
        channels = ", ".join(registry.VENUES[venue].channels)
        raise Refused(f"{venue} has no channel {name!r}, only {channels}") from None


def _read(venue: str, path: Path) -> Instruments:
    try:
        document: Any = msgspec.json.decode(path.read_bytes())
        return registry.instruments_of(venue, document, str(path))
    except (ValueError, RecursionError) as problem:
        raise Refused(f"{path}: {problem}") from None
