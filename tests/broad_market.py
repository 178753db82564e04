"""10 October 2025 over as many assets as asked: the hours around the fall, simulated.

    ... 2 days that warm up ──> minutes of calm ──> 20:50, the fall ──> minutes of the event

BTC and ETH are those of `oct10`; what that preset puts into three others is spread over all the
rest, the n-th of them in proportion to 1/n.
"""

from collections.abc import Iterator
from heapq import merge

from msgspec.structs import replace

from streams.simulate.market import chain, core, emit, feeds
from streams.simulate.market.emit import Item
from streams.simulate.market.params import OCT10, AssetParams, Market

#: Second of the preset's day at which the fall's news comes.
FALL = 75_000
SEED = 4
#: Seconds that one print of a venue and side stands for.
TRADES_EVERY_S = 10


def market(assets: int, before_s: int) -> Market:
    """Return `oct10` of so many assets, its day begun `before_s` before the fall."""
    majors, others = OCT10.assets[:2], OCT10.assets[2:]
    weights = [1 / (n + 1) for n in range(assets - len(majors))]
    first = FALL - before_s
    planned = [replace(news, at=news.at - first) for news in OCT10.planned]
    return replace(
        OCT10,
        assets=(
            *majors,
            *(_share(others, n, weight / sum(weights)) for n, weight in enumerate(weights)),
        ),
        planned=tuple(news for news in planned if news.at > -core.WARM_UP),
    )


def _share(others: tuple[AssetParams, ...], number: int, share: float) -> AssetParams:
    """Return the asset that has `share` of the books, positions and usual dollars of `others`."""
    first = others[0]
    return replace(
        first,
        asset=others[number].asset if number < len(others) else f"ALT{number}",
        depth_usd=share * sum(row.depth_usd for row in others),
        omega=share * sum(row.omega for row in others),
        median_day_usd=share * sum(row.median_day_usd for row in others),
    )


def night(assets: int, before_s: int, after_s: int) -> Iterator[Item]:
    """Yield the raw topics of it, with all faults, by time of receipt."""
    of, rule, wrong = market(assets, before_s), feeds.RULES["45_latest"], emit.Faults()
    tape = core.run(of, SEED, (before_s + after_s) / 86_400)
    seconds, venues = tape.price.shape[1], len(rule.shares)
    dark = emit.outages(wrong, seconds, venues, SEED)
    orders = emit.orders(of, tape, SEED, giants=True)
    topics = (
        emit.liquidations(of, tape, orders, rule, wrong, dark, SEED),
        emit.trades(of, tape, venues, dark, SEED, TRADES_EVERY_S),
        chain.items(chain.transfers(of, tape, SEED, venues), seconds),
    )
    return merge(*topics, key=_received)


def _received(item: Item) -> int:
    _, record = item
    return getattr(record, "ts_recv", record.ts_event)
