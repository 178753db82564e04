"""Whales' deposits as a chain watcher tells them: blocks, confirmations, reorganisations."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from schemas.identity import natural_id
from schemas.onchain import WhaleTransfer
from schemas.status import FeedStatus
from schemas.words import SECOND, grid_usd
from streams.simulate.market import feeds
from streams.simulate.market.emit import START_US, Item
from streams.simulate.market.params import VENUES, Market
from streams.simulate.market.state import Floats, Rng, Tape


class Chain(NamedTuple):
    """A chain's mean seconds between blocks and the confirmations an exchange waits for."""

    name: str
    block_s: float
    confirmations: int


CHAINS = {"BTC": Chain("bitcoin", 600.0, 1), "ETH": Chain("ethereum", 12.0, 12)}
OTHER = Chain("solana", 0.4, 32)
#: The watcher tells a transfer within this many seconds of its block.
TELLS_WITHIN_S = 45
#: Share of hoarders' transfers that a reorganisation takes back; half of those come again.
REORGS = 0.02


def transfers(
    market: Market, tape: Tape, seed: int, venues: int, start_us: int = START_US
) -> list[WhaleTransfer]:
    """Return every telling in order of receipt. A block comes before the exchange credits."""
    rng = feeds.generator(seed, 8)
    tellings = []
    for number, row in enumerate(tape.whales):
        first = _transfer(rng, market, tape, row, number, venues, start_us)
        tellings.append(first)
        if row[4] == 0 and rng.random() < REORGS:
            undone = int(rng.integers(60, 600)) * SECOND
            tellings.append(replace(first, version=2, removed=True, ts_recv=first.ts_recv + undone))
            if rng.random() < 0.5:
                tellings.append(replace(first, version=3, ts_recv=first.ts_recv + 2 * undone))
    return sorted(tellings, key=lambda t: (t.ts_recv, t.event_id))


def items(tellings: list[WhaleTransfer], seconds: int, start_us: int = START_US) -> Iterator[Item]:
    """Yield the tellings with the watcher's word once a second."""
    alive = FeedStatus(producer="sim-chain", state="alive", ts_event=start_us)
    i = 0
    for second in range(seconds):
        while i < len(tellings) and tellings[i].ts_recv < start_us + (second + 1) * SECOND:
            yield "whale_transfers", tellings[i]
            i += 1
        if second >= TELLS_WITHIN_S:
            at = start_us + (second + 1 - TELLS_WITHIN_S) * SECOND
            yield "whale_transfers", replace(alive, ts_event=at)
    yield "whale_transfers", replace(alive, ts_event=start_us + (seconds + 60) * SECOND)


def _transfer(
    rng: Rng, market: Market, tape: Tape, row: Floats, number: int, venues: int,
    start_us: int,
) -> WhaleTransfer:  # fmt: skip
    asset, at, usd, venue = int(row[0]), int(row[1]), float(row[2]), int(row[3])
    base = market.assets[asset]
    chain = CHAINS.get(base.asset, OTHER)
    wait = chain.block_s * float(rng.gamma(chain.confirmations))
    event = max(0, int(at - wait)) * SECOND
    price = base.price * float(np.exp(tape.price[asset, at]))
    facts: dict[str, Any] = {"from_owner": "unknown", "from_kind": "unknown"}
    return WhaleTransfer(
        event_id=f"sim:{chain.name}:{number}",
        provider="sim-chain",
        chain=chain.name,
        asset=base.asset,
        transfer_kind="transfer",
        tx_hash=natural_id("sim", chain.name, number),
        leg=0,
        to_owner=VENUES[venue if venues > 1 else 0],
        to_kind="exchange",
        quantity=usd / price,
        notional_usd=grid_usd(usd),
        ts_event=start_us + event,
        ts_recv=start_us + event + int(rng.uniform(3, TELLS_WITHIN_S - 1) * SECOND),
        **facts,
    )
