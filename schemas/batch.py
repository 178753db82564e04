"""Trades by the batch: decoded as `codec.decode` does, their fields compared on columns.

payload {...}       one record
payload [{...},..]  many trades in one message: each counts as if it had come alone
rows that fail any check are named, and the caller asks `codec.decode` for the reason
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.market import TradeRow
from schemas.status import FeedStatus
from schemas.words import MAX_AHEAD, check_words

#: Distinct (venue, asset, instrument) remembered; then they are learnt anew.
WORDS = 65_536
Row = TradeRow | FeedStatus

_rows = msgspec.json.Decoder(TradeRow | FeedStatus | list[TradeRow])
_parts = msgspec.json.Decoder(list[msgspec.Raw])


class Words(dict[tuple[str, str, str], int]):
    """Numbers for (venue, asset, instrument), -1 where they are malformed or disagree."""

    def __init__(self) -> None:
        self.known: list[tuple[str, str, str]] = []
        self._dollars: list[bool] = []
        self._as_array = np.zeros(0, dtype=np.bool_)

    def __missing__(self, key: tuple[str, str, str]) -> int:
        try:
            dollars = check_words(*key)
        except ValueError:
            return -1  # not remembered: there may be any number of them
        self[key] = code = len(self.known)
        self.known.append(key)
        self._dollars.append(dollars)
        return code

    def in_dollars(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return, for each number, whether its instrument is quoted in dollars; -1: no."""
        if len(self._as_array) != len(self._dollars) + 1:
            self._as_array = np.array([*self._dollars, False], dtype=np.bool_)
        return self._as_array[numbers]

    def bounded(self) -> None:
        """Forget all when there are too many; numbers given out before no longer hold."""
        if len(self.known) > WORDS:
            self.clear()
            self.__init__()  # type: ignore[misc]


class Columns(NamedTuple):
    """Trades column by column; `usd` is NaN where not known, `word` a number of Words."""

    event_id: list[str]
    word: NDArray[np.int64]
    buys: NDArray[np.bool_]
    price: NDArray[np.float64]
    quantity: NDArray[np.float64]
    usd: NDArray[np.float64]
    ts_event: NDArray[np.int64]
    ts_recv: NDArray[np.int64]

    def only(self, rows: NDArray[np.bool_]) -> "Columns":
        """Return some of the rows."""
        ids = [event_id for event_id, kept in zip(self.event_id, rows, strict=True) if kept]
        return Columns(ids, *(column[rows] for column in self[1:]))  # type: ignore[arg-type]


def decode(payloads: Sequence[bytes | None]) -> list[Row | list[TradeRow] | None]:
    """Decode messages of `trades`; None for what is no record, or not certainly one."""
    try:
        # One call for a joined batch is no faster, and could read across messages.
        return [_rows.decode(payload) for payload in payloads]  # type: ignore[arg-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        return [_one(payload) for payload in payloads]


def _one(payload: bytes | None) -> Row | list[TradeRow] | None:
    if payload is None:
        return None
    try:
        found: Row | list[TradeRow] = _rows.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found


def elements(payload: bytes) -> list[bytes] | None:
    """Return the elements of an array payload, None for any other payload."""
    if payload.lstrip()[:1] != b"[":
        return None
    try:
        return [bytes(part) for part in _parts.decode(payload)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def columns(words: Words, rows: Sequence[TradeRow]) -> Columns:
    """Lay rows out as columns."""
    usd = [row.notional_usd for row in rows]
    return Columns(
        [row.event_id for row in rows],
        np.array([words[row.venue, row.asset, row.instrument] for row in rows], dtype=np.int64),
        np.array([row.aggressor_side == "buy" for row in rows], dtype=np.bool_),
        np.array([row.price for row in rows], dtype=np.float64),
        np.array([row.quantity for row in rows], dtype=np.float64),
        np.array(usd, dtype=np.float64),
        np.array([row.ts_event for row in rows], dtype=np.int64),
        np.array([row.ts_recv for row in rows], dtype=np.int64),
    )


def together(pieces: Sequence[Columns]) -> Columns:
    """Return columns one below the other."""
    if len(pieces) == 1:
        return pieces[0]
    ids = [event_id for piece in pieces for event_id in piece.event_id]
    columns = (np.concatenate([piece[n] for piece in pieces]) for n in range(1, len(pieces[0])))
    return Columns(ids, *columns)


def sound(words: Words, of: Columns, not_after: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows `Trade` and `codec.decode` would take: words, times and worth agree.

    `not_after` is each row's latest believable time, microseconds.
    """
    good = of.word >= 0
    good &= of.ts_event <= np.minimum(of.ts_recv + MAX_AHEAD, not_after)
    good &= of.ts_recv <= not_after
    product = of.price * of.quantity
    fits = (0.5 * product <= of.usd) & (of.usd <= 2.0 * product)
    # The negation, as a worth that is not known (NaN) is never wrong.
    wrong = ~fits & (np.abs(of.usd - product) > 1.0)
    if wrong.any():
        good &= ~(wrong & words.in_dollars(of.word))
    return good


def latest(stamps_ms: Sequence[int]) -> NDArray[np.int64]:
    """Return the latest believable time of messages by Kafka's stamps; none: no limit."""
    stamps = np.array(stamps_ms, dtype=np.int64)
    return np.where(stamps < 0, np.iinfo(np.int64).max, stamps * 1_000 + MAX_AHEAD)
