"""Hyperliquid's own files: the fills that a node writes, and the tables of its 2023 history.

    {"local_time":"…","block_time":"…","block_number":777,"events":[["0xuser",{fill}],…]}
    ["0xuser",{fill}]                                                      (the older node_fills)
    time,user,coin,side,px,sz,crossed                                            (non_mm_trades.csv)

A node tells both parties' fills of each print: the taker's (`crossed`) is the print. A liquidation
stands in both too, and is told once. Spot pairs are not followed. The table of 2023 has no ids and
rows of makers without their takers: the k-th equal row of either side is one print.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

from schemas.market import Liquidation, Trade
from streams.feeds import hyperliquid, registry
from streams.feeds.checks import PriceIn, SizeIn, Word
from streams.feeds.frames import Parsed, UnreadableFrame
from streams.sources.build import Terms, instrument_of, taker, trade, yes
from streams.sources.lines import Reader
from streams.sources.tables import Build, Table, stamp

_FILL = re.compile(r'"startPosition"')


class _Block(msgspec.Struct):
    events: list[tuple[str, msgspec.Raw]]
    local_time: str = ""


class _Peek(msgspec.Struct, gc=False):
    coin: str
    tid: int
    crossed: bool = False
    liquidation: Any = None


class _Side(msgspec.Struct, array_like=True, gc=False):
    time: str
    coin: Word
    side: str
    px: PriceIn
    sz: SizeIn
    crossed: str


_BLOCK = msgspec.json.Decoder(_Block)
_EVENT = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_PEEK = msgspec.json.Decoder(_Peek)


def recognises(path: Path, first: list[str]) -> bool:
    """Tell whether a file's lines are blocks of fills, or fills with their users."""
    for line in first:
        if line.startswith('{"local_time"') and '"events"' in line:
            return True
        if line.startswith('["0x') and _FILL.search(line):
            return True
    return False


def reader_of(path: Path) -> Reader:
    """Return the reader of a node's fills."""
    instruments = registry.bundled("hyperliquid")
    seen: dict[str, None] = {}

    def read(line: str) -> list[Any] | None:
        try:
            block = _Block([_EVENT.decode(line)]) if line.startswith("[") else _BLOCK.decode(line)
            received = stamp(block.local_time, "local_time") if block.local_time else 0
            got: list[Any] = []
            for user, raw in block.events:
                fill = _PEEK.decode(raw)
                if fill.coin.startswith("@") or "/" in fill.coin:
                    continue
                if fill.crossed:
                    frame = b'{"channel":"trades","data":[%b]}' % bytes(raw)
                    got += _got(hyperliquid.parse_trades(frame, received, instruments), received)
                if fill.liquidation is not None:
                    user_json = msgspec.json.encode(user)
                    frame = b'{"channel":"userFills","data":{"user":%b,"fills":[%b]}}'
                    parsed = hyperliquid.parse_user_fills(
                        frame % (user_json, bytes(raw)), received, instruments
                    )
                    got += [one for one in _got(parsed, received) if _is_new(one, seen)]
        except msgspec.DecodeError as problem:
            raise UnreadableFrame("", str(problem)) from None
        return got

    return read


def _is_new(record: Any, seen: dict[str, None]) -> bool:
    """Return whether a liquidation is not the other party's; few are remembered at a time."""
    event_id = getattr(record, "event_id", None)
    if event_id is None:
        return True
    if event_id in seen:
        return False
    seen[event_id] = None
    if len(seen) > 10_000:
        seen.pop(next(iter(seen)))
    return True


def _got(parsed: Parsed, received: int) -> list[Any]:
    """Return records as a node tells them, with all that happened; and what was refused."""
    got: list[Any] = [UnreadableFrame(one.field, one.reason) for one in parsed.refusals]
    for record in parsed.records:
        changes: dict[str, Any] = (
            {} if received >= record.ts_event else {"ts_recv": record.ts_event}
        )
        if isinstance(record, Liquidation):
            changes |= {"coverage": "full", "stream": "node_fills"}
        got.append(msgspec.structs.replace(record, **changes))
    return got


def _sides(path: Path) -> Build:
    seen: dict[tuple[Any, ...], int] = {}

    def build(x: _Side) -> Trade | None:
        at, crossed, side = stamp(x.time), yes(x.crossed, "crossed"), taker(x.side)
        bought = (side == "buy") == crossed
        facts = (at, x.coin, x.px, x.sz, bought)
        of_this = seen[(*facts, crossed)] = seen.get((*facts, crossed), 0) + 1
        if of_this <= seen.get((*facts, not crossed), 0):
            return None
        instrument = instrument_of("hyperliquid", x.coin)
        terms = Terms(x.sz, x.px, at, at)
        number = f"{at}:{x.px}:{x.sz}:{bought}#{of_this}"
        return trade("hyperliquid", instrument, number, "buy" if bought else "sell", terms)

    return build


WHAT = "Hyperliquid node fills: JSON lines, blocks or single fills"
LACKS = "full; fills; prints of auto-deleveraging are not marked; spot pairs are not followed"
SIDES = Table(
    what="Hyperliquid's history of 2023: non_mm_trades",
    columns=_Side,
    build=_sides,
    lacks="no ids, no receipt; prints between two market makers are not there",
    gap_after_s=86_400.0,
)
