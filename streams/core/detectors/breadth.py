"""Breadth: how many assets are forced at once, and for how much, against what is usual.

    S = 1/2 ln((B + 1) / (muB + 1)) + 1/2 ln((L + m) / (muL + m))

B: assets that were forced in the last minute, by their own Z30; L: the USD of their forced
orders then, less the asset that has most of it; muB, muL: the same of whole minutes, over seven
days; m: one ordinary order. One account or one coin has B = 1 and L = 0,
whatever it loses. A feed that shows rows of many orders, or one a second, has its own usual.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

from streams.core.params import MarketParams

#: Without anything forced for longer, minutes, nobody knows whether anybody watched.
UNWATCHED_MIN = 60


class Usual(msgspec.Struct, array_like=True):
    """Assets and USD (less the asset with most) of a usual minute, learnt from `minutes`."""

    minutes: int = 0
    assets: float = 0.0
    usd: float = 0.0


class Breadth(msgspec.Struct):
    """One position side of the market.

    `last`: (second, asset, USD) of the last minute, `sums`: [pulses, USD] of each asset in it;
    `minute`, `within`: the minute that is open, and USD by asset in it.
    """

    minute: int = 0
    usual: Usual = msgspec.field(default_factory=Usual)
    last: list[tuple[int, str, float]] = []
    sums: dict[str, list[float]] = {}
    within: dict[str, float] = {}


def begin(minute: int, born: int) -> Breadth:
    """Return the state of a side on which nothing was forced in the minutes since `born`."""
    return Breadth(minute=minute, usual=Usual(minutes=max(0, minute - born)))


def step(
    params: MarketParams, state: Breadth, second: int, forced_usd: Mapping[str, float]
) -> float | None:
    """Take in the USD forced of each asset in a second; return S in nats.

    None in the first minutes, or where fewer than two assets are forced. USD are on the grid of
    `grid_usd`, so that sums can be taken apart again.
    """
    _close(params, state, second // 60)
    _leave(state, second - 60)
    usual = state.usual
    for asset in sorted(forced_usd):
        usd = forced_usd[asset]
        state.last.append((second, asset, usd))
        of_asset = state.sums.setdefault(asset, [0.0, 0.0])
        of_asset[0], of_asset[1] = of_asset[0] + 1, of_asset[1] + usd
        state.within[asset] = state.within.get(asset, 0.0) + usd
    if usual.minutes < params.min_history_min or len(state.sums) < 2:
        return None
    besides = _besides_most(of_asset[1] for of_asset in state.sums.values())
    breadth = math.log((len(state.sums) + 1.0) / (usual.assets + 1.0))
    return 0.5 * breadth + 0.5 * math.log(
        (besides + params.order_usd) / (usual.usd + params.order_usd)
    )


def _close(params: MarketParams, state: Breadth, minute: int) -> None:
    """Learn the open minute once it is over, and those after it in which nothing was forced."""
    if minute <= state.minute:
        return
    usual = state.usual
    assets, usd = float(len(state.within)), _besides_most(state.within.values())
    assets = min(assets, 8 * usual.assets + 4)
    usd = min(usd, 8 * usual.usd + 40 * params.order_usd)
    usual.minutes += 1
    gain = 1.0 / min(usual.minutes, params.baseline_min)
    usual.assets += (assets - usual.assets) * gain
    usual.usd += (usd - usual.usd) * gain
    empty = min(minute - state.minute - 1, UNWATCHED_MIN)
    young = usual.minutes + empty <= params.baseline_min
    keep = usual.minutes / (usual.minutes + empty) if young else (1.0 - gain) ** empty
    usual.minutes += empty
    usual.assets, usual.usd = usual.assets * keep, usual.usd * keep
    state.minute, state.within = minute, {}


def _leave(state: Breadth, until: int) -> None:
    """Take out what is older than a minute."""
    gone = 0
    for second, asset, usd in state.last:
        if second > until:
            break
        of_asset = state.sums[asset]
        of_asset[0], of_asset[1] = of_asset[0] - 1, of_asset[1] - usd
        if not of_asset[0]:
            del state.sums[asset]
        gone += 1
    del state.last[:gone]


def _besides_most(usd: Iterable[float]) -> float:
    """Return the sum of all but the largest; exact, in whatever order."""
    worths = sorted(usd)
    return sum(worths[:-1])
