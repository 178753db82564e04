"""The market-wide call beside plain pooled rules, on a real recording of 151 assets.

    "$5M in five minutes over all"     fires on one coin's squeeze as well
    "40 assets within 60 s"            fires where a recorder's buffers run over
    the product's, with shipped thresholds

`python -m streams.evaluate.pooled DATA` prints when each fires around the known event, and how
often elsewhere. Rules are armed again half an hour after they last held; times are ISO, UTC.
"""

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from schemas.findings import MarketFinding
from schemas.market import Liquidation
from schemas.words import SECOND
from streams.core.params import Params
from streams.evaluate import real

REARM_S = 1_800


class Called(msgspec.Struct, frozen=True):
    """When it was first told in the event's hour, ISO, and how often on other hours."""

    event: str | None
    elsewhere: int


def compared(recording: real.Recording) -> dict[str, Called]:
    """Return the rules' calls and the product's, from a day after the recording's beginning."""
    onsets = [
        finding.ts_detect // SECOND
        for finding in real.play(Params(), recording)
        if isinstance(finding, MarketFinding) and finding.phase == "onset"
    ]
    # A rule is told as the product is: when its second has passed by the grace.
    later = Params().ts_judged(0) // SECOND
    rules = {
        "$5M in five minutes over all": [s + later for s in more_usd(recording.orders)],
        "40 assets within 60 s": [s + later for s in more_assets(recording.orders)],
        "undertow": onsets,
    }
    return {name: _called(seconds) for name, seconds in rules.items()}


def more_usd(orders: Sequence[Liquidation], usd: float = 5e6, within_s: int = 300) -> list[int]:
    """Return the seconds at which the rule of dollars fires."""
    total, last = 0.0, deque[tuple[int, float]]()

    def holds(second: int, order: Liquidation) -> bool:
        nonlocal total
        last.append((second, order.notional_usd or 0.0))
        total += order.notional_usd or 0.0
        while last[0][0] <= second - within_s:
            total -= last.popleft()[1]
        return total >= usd

    return list(_fires(orders, holds))


def more_assets(orders: Sequence[Liquidation], assets: int = 40, within_s: int = 60) -> list[int]:
    """Return the seconds at which the rule of breadth fires."""
    counts, last = Counter[str](), deque[tuple[int, str]]()

    def holds(second: int, order: Liquidation) -> bool:
        last.append((second, order.asset))
        counts[order.asset] += 1
        while last[0][0] <= second - within_s:
            _, gone = last.popleft()
            counts[gone] -= 1
            if not counts[gone]:
                del counts[gone]
        return len(counts) >= assets

    return list(_fires(orders, holds))


def _fires(
    orders: Sequence[Liquidation], holds: Callable[[int, Liquidation], bool]
) -> Iterator[int]:
    armed_at = 0
    for order in sorted(orders, key=lambda order: order.ts_event):
        second = order.ts_event // SECOND
        if holds(second, order):
            if second >= armed_at:
                yield second
            armed_at = second + REARM_S


def _called(seconds: Sequence[int]) -> Called:
    scored = [s for s in seconds if s >= real.FIRST]
    inside = [s for s in scored if real.SQUEEZE[0] <= s < real.SQUEEZE[1]]
    return Called(real.iso(inside[0] * SECOND) if inside else None, len(scored) - len(inside))


if __name__ == "__main__":
    comparison = compared(real.load(Path(sys.argv[1])))
    print(msgspec.json.format(msgspec.json.encode(comparison)).decode())
