"""What is known of one chain from one connection to the next. Pure: time is handed in.

frames ── parser ──> worth, and large enough ──> reorg ──> whose it is ──> records
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from schemas.market import Liquidation
from schemas.onchain import WhaleTransfer
from schemas.words import SECOND, grid_usd
from streams.feeds import deposits, reorg
from streams.feeds.deposits import Owners
from streams.feeds.labels import Labels
from streams.feeds.reorg import Ask, Chain, Gap, Head, Record, Step

#: Coins that count as a dollar each.
DOLLARS = frozenset({"USDT", "USDC", "DAI", "FDUSD", "TUSD", "PYUSD", "USDE", "USDS", "USD1"})
#: Below these coins nothing is large, whatever the price of the last years: used where no price
#: is heard.
ALWAYS_SMALL = {"BTC": 1.0, "WBTC": 1.0, "ETH": 20.0, "WETH": 20.0}
#: What a wrapped coin is worth.
_COIN_OF = {"WETH": "ETH", "STETH": "ETH", "WBTC": "BTC", "CBBTC": "BTC", "WBNB": "BNB"}
#: A price heard longer ago is not one.
PRICE_LASTS = 300 * SECOND

#: Returns the dollars that a coin costs at a time, None where no price was heard.
Price = Callable[[str, int], float | None]


def coin_of(asset: str) -> str:
    """Return the coin that a wrapped one stands for, others as they are."""
    return _COIN_OF.get(asset, asset)


class Prices:
    """The last price heard of each coin, in dollars."""

    def __init__(self) -> None:
        self._prices: dict[str, tuple[float, int]] = {}

    def hear(self, asset: str, price: float, ts: int) -> None:
        """Take in a price."""
        self._prices[asset] = price, ts

    def of(self, asset: str, ts: int) -> float | None:
        """Return what a coin costs at `ts` microseconds, None where nothing fresh was heard."""
        price, heard = self._prices.get(asset, (0.0, 0))
        return price if heard and ts - heard <= PRICE_LASTS else None


class Ledger:
    """A chain's blocks and owners; `gaps` are spans that nobody told of, to be read and cleared.

    `ts_head` is when a head was last heard, microseconds.
    """

    def __init__(
        self,
        chain: Chain,
        labels: Labels | None = None,
        price: Price = lambda asset, ts: None,
        least_usd: float = 100_000.0,
    ) -> None:
        self.chain = chain
        self.gaps: list[Gap] = []
        self.ts_head: int | None = None
        self.labels = labels or Labels()
        self._price = price
        self._least_usd = least_usd
        self._owners = Owners()

    def head(self, head: Head, ts_recv: int) -> tuple[list[Any], list[Ask]]:
        """Take in a head; return records to tell, and what to ask the node."""
        self.ts_head = max(self.ts_head or 0, ts_recv)
        return self._after(reorg.hear_head(self.chain, head, ts_recv))

    def block(
        self, block: str, records: Iterable[Record], is_whole: bool, ts_recv: int
    ) -> tuple[list[Any], list[Ask]]:
        """Take in records of a block; return records to tell, and what to ask the node."""
        large = [one for record in records if (one := self._large(record)) is not None]
        return self._after(reorg.hear_records(self.chain, block, large, is_whole, ts_recv))

    def removed(self, block: str, ts_recv: int) -> tuple[list[Any], list[Ask]]:
        """Take in that a block is no longer of the chain."""
        return self._after(reorg.hear_removed(self.chain, block, ts_recv))

    def is_whole(self) -> bool:
        """Say whether nothing is known to be missing."""
        blocks = self.chain.blocks.values()
        return not self.chain.orphans and all(block.is_whole for block in blocks)

    def _after(self, step: Step) -> tuple[list[Any], list[Ask]]:
        if step.gap is not None:
            self.gaps.append(step.gap)
        records: list[Any] = []
        for record in step.records:
            if isinstance(record, WhaleTransfer):
                records += deposits.step(self._owners, self.labels, record)
            else:
                records.append(record)
        return records, step.asks

    def _large(self, record: Record) -> Record | None:
        """Return a record with its worth, None for a transfer too small to matter."""
        if record.notional_usd is not None or record.quantity is None:
            return record
        asset = coin_of(record.asset)
        price = 1.0 if asset in DOLLARS else self._price(asset, record.ts_recv)
        if isinstance(record, Liquidation):
            worth = 0.0 if price is None else record.quantity * price
            known = grid_usd(worth) if 0.0 < worth <= 1e10 else None
            return msgspec.structs.replace(record, notional_usd=known)
        if price is None:
            small = record.quantity < ALWAYS_SMALL.get(record.asset, 0.0)
            return None if small else record
        worth = record.quantity * price
        if not self._least_usd <= worth <= 1e10:
            return None
        return msgspec.structs.replace(record, notional_usd=grid_usd(worth))
