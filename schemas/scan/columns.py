"""Trades by the batch: their fields in columns (`schemas.scan.trades` lays them out), and compared.

payload {...}       one record
payload [{...},..]  many trades in one message: each counts as if it had come alone
rows that fail any check are named, and messages that are not plainly trades are `odd`:
for both the caller asks `codec.decode`
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.market import Trade
from schemas.scan.seen_ids import EventIds
from schemas.texts import identity_problem
from schemas.words import MAX_AHEAD, MAX_MICROS, MIN_MICROS, check_words

#: Distinct instruments remembered (under each of a venue's names); then they are learnt anew.
WORDS = 16_384
Ints = NDArray[np.int64]


class Words:
    """Numbers for what a trade's four names say, -1 where they are malformed or disagree.

    `labels` are (venue, asset, instrument, venue_symbol); `words` numbers, and `known` lists,
    the first three of them, as one instrument may go by several symbols.
    """

    def __init__(self) -> None:
        self.labels: list[tuple[str, str, str, str]] = []
        self.known: list[tuple[str, str, str]] = []
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._of_label: list[int] = []
        self._dollars: list[bool] = []
        #: What `schemas.scan.trades` finds labels by.
        self.names: Any = None
        self._arrays = np.full(1, -1, np.int64), np.zeros(1, np.bool_)

    def bounded(self) -> None:
        """Forget all when there are too many; numbers given out before no longer hold."""
        if len(self.labels) > WORDS:
            self.__init__()  # type: ignore[misc]

    def learn(self, venue: str, asset: str, instrument: str, venue_symbol: str) -> bool:
        """Give new names the next label; return False where they are malformed or disagree."""
        try:
            dollars = check_words(venue, asset, instrument)
        except ValueError:
            return False  # not remembered: there may be any number of them
        if identity_problem(venue_symbol):
            return False
        # One text a venue: each bar looks at it, and the caches hold few instruments' own.
        key = (sys.intern(venue), asset, instrument)
        if key not in self._numbers:
            self._numbers[key] = len(self.known)
            self.known.append(key)
            self._dollars.append(dollars)
        self.labels.append((*key, venue_symbol))
        self._of_label.append(self._numbers[key])
        return True

    def words_of(self, labels: Ints) -> Ints:
        """Return the number of each label's venue, asset and instrument; -1 stays."""
        return self._as_arrays()[0][labels]

    def in_dollars(self, words: Ints) -> NDArray[np.bool_]:
        """Return, for each word, whether its instrument is quoted in dollars; -1: no."""
        return self._as_arrays()[1][words]

    def _as_arrays(self) -> tuple[Ints, NDArray[np.bool_]]:
        if len(self._arrays[0]) != len(self.labels) + 1:
            self._arrays = (
                np.array([*self._of_label, -1], np.int64),
                np.array([*self._dollars, False], np.bool_),
            )
        return self._arrays


class Columns(NamedTuple):
    """Trades column by column; `usd` is NaN where not known, `word` and `label` as in Words."""

    event_id: EventIds
    word: Ints
    label: Ints
    buys: NDArray[np.bool_]
    price: NDArray[np.float64]
    quantity: NDArray[np.float64]
    usd: NDArray[np.float64]
    ts_event: Ints
    ts_recv: Ints

    def only(self, rows: NDArray[np.bool_]) -> "Columns":
        """Return some of the rows."""
        return Columns(*(column[rows] for column in self))  # type: ignore[arg-type]

    def part(self, first: int, last: int) -> "Columns":
        """Return the rows from `first` to before `last`."""
        if first == 0 and last == len(self.event_id):
            return self
        return Columns(*(column[first:last] for column in self))  # type: ignore[arg-type]


class Trades(msgspec.Struct, frozen=True):
    """Sound trades that were received within one second; `of` is numbered by `words`."""

    words: Words
    of: Columns

    @property
    def ts_recv(self) -> int:
        """Return the latest time of receipt, microseconds."""
        return int(self.of.ts_recv.max())

    def __len__(self) -> int:
        return len(self.of.event_id)

    def records(self, rows: NDArray[np.bool_]) -> list[Trade]:
        """Return some of the trades as records."""
        of = self.of.only(rows)
        names = [self.words.labels[label] for label in of.label.tolist()]
        sides = np.where(of.buys, "buy", "sell").tolist()
        worth = [None if x != x else x for x in of.usd.tolist()]
        zipped = zip(of.event_id.tolist(), names, sides, of.price.tolist(), of.quantity.tolist(),
                     worth, of.ts_event.tolist(), of.ts_recv.tolist(), strict=True)  # fmt: skip
        return [
            Trade(event_id=i, venue=name[0], instrument=name[2], venue_symbol=name[3],
                  asset=name[1], aggressor_side=side, price=price, quantity=quantity,
                  notional_usd=usd, ts_event=event, ts_recv=recv)
            for i, name, side, price, quantity, usd, event, recv in zipped
        ]  # fmt: skip

    def digest(self) -> bytes:
        """Return bytes that tell these trades from others."""
        return "\x1f".join(self.of.event_id.tolist()).encode() + b"".join(
            column.tobytes() for column in self.of[3:]
        )


class Scanned(NamedTuple):
    """Trades of some messages in order; `message` and `element` (-1: no array) of each row.

    `odd` are the messages, by their place, that are left to `codec.decode`.
    """

    of: Columns
    message: Ints
    element: Ints
    odd: Ints


def sound(words: Words, of: Columns, not_after: Ints) -> NDArray[np.bool_]:
    """Return which rows `codec.decode` would take: words, ranges, times and worth agree.

    `not_after` is each row's latest believable time, microseconds.
    """
    good = of.word >= 0
    good &= (of.price > 0) & (of.price <= 1e9) & (of.quantity > 0) & (of.quantity <= 1e15)
    # A worth that is not known (NaN) is never wrong.
    good &= ~(of.usd > 1e10)
    good &= (of.ts_event >= MIN_MICROS) & (of.ts_recv >= MIN_MICROS)
    good &= of.ts_event <= np.minimum(of.ts_recv + MAX_AHEAD, not_after)
    good &= of.ts_recv <= np.minimum(MAX_MICROS, not_after)
    product = of.price * of.quantity
    fits = (0.5 * product <= of.usd) & (of.usd <= 2.0 * product)
    wrong = ~fits & (np.abs(of.usd - product) > 1.0)
    if wrong.any():
        good &= ~(wrong & words.in_dollars(of.word))
    return good


def latest(stamps_ms: Sequence[int] | Ints) -> Ints:
    """Return the latest believable time of messages by Kafka's stamps; none: no limit."""
    stamps = np.array(stamps_ms, dtype=np.int64)
    return np.where(stamps < 0, np.iinfo(np.int64).max, stamps * 1_000 + MAX_AHEAD)
