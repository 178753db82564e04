"""Words on time, ten a second or only those that close one: the same findings, as soon."""

import random

import msgspec
import pytest
from nights import NIGHT, PARAMS, Item

from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS
from schemas.words import SECOND, WORD_EVERY
from streams.core import pipeline
from streams.core.params import Params
from streams.sources import Source
from streams.sources.pace import LAG, paced


def spread() -> list[Item]:
    """The night's records over the whole of their seconds, some received half a second later."""
    draw = random.Random(8)
    rows = []
    for number, (_, topic, record) in enumerate(NIGHT):
        at = record.ts_event + draw.randrange(900_000)  # type: ignore[attr-defined]
        received = at + draw.choice([0, 50_000, 500_000])
        moved = msgspec.structs.replace(record, ts_event=at, ts_recv=received)  # type: ignore[call-arg]
        rows.append((received, number, topic, moved))
    return [(topic, record) for _, _, topic, record in sorted(rows, key=lambda row: row[:2])]


SPREAD = spread()


def every_tenth() -> list[Item]:
    """The night with a word at each tenth of a second in which something came."""
    items: list[Item] = []
    last = 0
    for topic, record in SPREAD:
        received = record.ts_recv  # type: ignore[attr-defined]
        at = (received - LAG) // WORD_EVERY * WORD_EVERY
        if at > last:
            items += _words(at)
            last = at
        items.append((topic, record))
    return items + _words(last + 4 * SECOND)


def _words(at: int) -> list[Item]:
    feed_status = FeedStatus(producer="replay", state="alive", ts_event=at)
    return [(topic, feed_status) for topic in RAW_TOPICS]


def judged(items: list[Item]) -> tuple[list[msgspec.Struct], dict[int, int]]:
    """Outputs but for bars, and after which item each second was closed."""
    state, outputs, closed = pipeline.State(), list[msgspec.Struct](), dict[int, int]()
    data = 0
    for topic, record in items:
        data += not isinstance(record, FeedStatus)
        outputs += [
            r for t, r in pipeline.step(PARAMS, state, topic, record).outputs if t != "bars"
        ]
        closed.setdefault(state.shard.frontier, data)
    return outputs, closed


def test_ten_words_a_second_lead_to_what_the_few_that_close_a_second_lead_to() -> None:
    source = Source("n", "n", iter(SPREAD), None, 600.0)
    few = list(paced(source, 2**53))
    many = every_tenth()
    words = [sum(isinstance(r, FeedStatus) for _, r in items) for items in (few, many)]
    assert words[1] > 1.5 * words[0]
    (outputs, closed), (of_many, closed_by_many) = judged(few), judged(many)
    assert outputs == of_many
    assert len(outputs) > 10
    # And no second closes later for it, counted in records that came.
    assert all(closed[at] <= closed_by_many.get(at, closed[at]) for at in closed)


@pytest.mark.parametrize("grace_ms", [0, 250, 1_000, 2_500])
def test_a_second_is_judged_at_its_end_and_grace(grace_ms: int) -> None:
    params = Params(grace_ms=grace_ms)
    state = pipeline.State()
    for tenth in range(200):
        at = 1_763_683_200 * SECOND + tenth * WORD_EVERY
        for topic, record in _words(at):
            pipeline.step(params, state, topic, record)
    frontier = state.shard.frontier
    assert params.ts_judged(frontier - 1) <= at < params.ts_judged(frontier)
