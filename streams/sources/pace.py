"""A source's own word on how far it has come, written in-band beside its records.

record 10.2   record 10.9 │ alive 10.0 │ record 11.3 │ … 40 min nothing … │ record
                                              alive+silent, then recovered ┘
"""

from collections.abc import Iterator

from schemas.scan.columns import Trades
from schemas.status import DeadLetter, FeedStatus, letter
from schemas.words import SECOND, WORD_EVERY, FeedState
from streams.sources import Item, Source

#: Binance pushes a liquidation up to a second after its order traded, so a recording's
#: clock runs this far behind receipt; seconds then close without calling those late.
LAG = SECOND
#: At a silence and at the end the clock runs on, so that the last seconds close.
RUN_ON = 4 * SECOND
#: A word that leaps is believed where records, or its producer's words, go on; a topic
#: may have no records, so the recording says a word so long before it.
GOES_ON = 10 * SECOND
#: Of ten words a second only those are said that close a second under the shipped grace: the first
#: tenth at or after it. The others would change no finding (a test says so), and cost as much.
CLOSES = 300_000


def paced(source: Source, not_after: int) -> Iterator[Item]:
    """Yield the source's items with FeedStatus records between them.

    One `alive` per second of receive time in which something came, at a third of it, to every
    topic of `source.clocked`; `silent` and `recovered` around recorder gaps. FeedStatus that the
    source brings stays. Items stamped after `not_after` (microseconds) come out as dead letters.
    """
    clock = 0
    for number, (topic, record) in enumerate(source.items, 1):
        if isinstance(record, DeadLetter | FeedStatus):
            yield topic, record
            continue
        received = _received(record)
        if isinstance(record, Trades) and received > not_after:
            believable = record.of.ts_recv <= not_after
            for _ in range(int((~believable).sum())):
                yield "dead_letters", _future(source, topic, number, not_after)
            if not believable.any():
                continue
            record = Trades(record.words, record.of.only(believable))
            received = record.ts_recv
        if received > not_after:
            yield "dead_letters", _future(source, topic, number, not_after)
            continue
        if clock and received - clock > source.gap_after_s * SECOND:
            yield from _say(source, "alive", clock + RUN_ON)
            yield from _say(source, "silent", clock + RUN_ON, "the recording has a gap")
            yield from _say(source, "recovered", received - LAG)
            clock = received
        elif not clock or _closed_by(received) > _closed_by(clock):
            if clock and received - clock > GOES_ON:
                yield from _say(
                    source, "alive", (received - LAG - GOES_ON) // WORD_EVERY * WORD_EVERY
                )
            yield from _say(source, "alive", (received - LAG) // WORD_EVERY * WORD_EVERY)
        clock = max(clock, received)
        yield topic, record
    if clock:
        yield from _say(source, "alive", clock + RUN_ON)


def _closed_by(received: int) -> int:
    return (received - LAG - CLOSES) // SECOND


def _received(record: object) -> int:
    for name in ("ts_recv", "ts_close", "ts_event"):
        stamp = getattr(record, name, None)
        if isinstance(stamp, int):
            return stamp
    raise TypeError(f"{type(record).__name__} carries no time")


def _say(source: Source, state: FeedState, ts_event: int, reason: str = "") -> Iterator[Item]:
    for topic in source.clocked:
        yield (
            topic,
            FeedStatus(producer="replay", state=state, ts_event=ts_event, reason=reason),
        )


def _future(source: Source, topic: str, number: int, not_after: int) -> DeadLetter:
    reason = f"stamped in the future; record {number} of {source.name}"
    return letter((topic, 0, number), "ts_event", reason, b"", not_after)
