"""A feed that lies again and again, or whose records come too late, is told of; one slip is not."""

import msgspec
import pytest
from nights import NIGHT, PARAMS, PRODUCERS, START, Item, alive, night, play, with_feeds

from schemas.findings import Alert, FeedFinding
from schemas.market import Liquidation, Trade
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import pipeline
from streams.core.alerts import dated
from streams.core.detectors import faults
from streams.detect import misplaced
from streams.kafka.records import partition_of

WHOLE = with_feeds({}, {})


def alerts(items: list[Item], kind: str) -> list[Alert]:
    return [r for r in play(items) if isinstance(r, Alert) and r.kind == kind]


def with_leaps(topic: str, count: int) -> list[Item]:
    """The night, with some words of a topic's producer that leap a day ahead."""
    items, left = [], count
    for at, (where, record) in enumerate(WHOLE):
        items.append((where, record))
        if at % 2_000 == 1_000 and left:
            second = record.ts_event // SECOND - START if isinstance(record, FeedStatus) else 1_000
            items.append((topic, alive(PRODUCERS[topic], second + 86_400)))
            left -= 1
    return items


@pytest.mark.parametrize("topic", list(PRODUCERS))
def test_words_that_are_refuted_again_and_again_are_told_once(topic: str) -> None:
    assert alerts(with_leaps(topic, faults.DOUBTS - 1), "feed.doubted") == []
    [alert] = alerts(with_leaps(topic, faults.DOUBTS + 2), "feed.doubted")
    assert PRODUCERS[topic] in alert.title


@pytest.mark.parametrize(("topic", "kind"), [("trades", Trade), ("liquidations", Liquidation)])
def test_an_input_whose_records_come_too_late_is_told_and_told_again_when_they_do_not(
    topic: str, kind: type[msgspec.Struct]
) -> None:
    late_until = 1_200

    def delayed(second: int, record: msgspec.Struct) -> int:
        return second + (20 if isinstance(record, kind) and second - START < late_until else 0)

    rows: list[tuple[int, int, str, msgspec.Struct]] = [
        (delayed(second, record), 1, where, record) for second, where, record in night()
    ]
    rows += [
        (START + second, 0, where, alive(name, second - 1))
        for second in range(1, 2_440)
        for where, name in PRODUCERS.items()
    ]
    rows.sort(key=lambda row: row[:3])
    played = list(play([(where, record) for _, _, where, record in rows]))
    kinds = [
        (r.kind, r.title) for r in played if isinstance(r, Alert) and f"late-{topic}" in r.title
    ]
    assert [kind for kind, _ in kinds] == ["feed.late", "feed.recovered"]


def test_a_night_without_faults_tells_of_none() -> None:
    assert [r.kind for r in play(WHOLE) if isinstance(r, Alert) and "feed." in r.kind] == []


def test_a_silence_and_its_end_go_to_the_topic_of_feeds() -> None:
    state, rows = pipeline.State(), []
    for topic, record in with_feeds({"whale_transfers": (1_380, 1_950)}, {}):
        outputs = pipeline.step(PARAMS, state, topic, record).outputs
        rows += [r for where, r in outputs if where == "feed_status"]
    assert [(r.producer, r.state, r.ts_event // SECOND - START) for r in rows] == [
        ("chain", "silent", 1_380),
        ("chain", "recovered", 1_950),
    ]


def test_a_feed_that_is_silent_on_trades_and_orders_at_once_is_told_once() -> None:
    topics = ("trades", "liquidations", "whale_transfers")
    items: list[Item] = []
    for second in range(400):
        items += [(topic, alive("other", second)) for topic in topics]
        if not 100 <= second < 300:
            items += [(topic, alive("both", second)) for topic in topics[:2]]
    news = [r.kind for r in play(items) if isinstance(r, Alert)]
    assert news == ["feed.silent", "feed.recovered"]


def test_a_record_on_another_partition_than_its_key_s_is_told_once_an_hour_with_the_mend() -> None:
    orders = [r for _, _, r in NIGHT if isinstance(r, Liquidation) and r.asset == "BTC"]
    right = partition_of(b"BTC", 4)
    assert misplaced.look("liquidations", orders[0], right, 4) is None
    assert misplaced.look("liquidations", alive("x", 1), right + 1, 4) is None
    wrong = [misplaced.look("liquidations", order, (right + 1) % 4, 4) for order in orders]
    assert len({f.finding_id for f in wrong if isinstance(f, FeedFinding)}) == 1
    assert wrong[0] is not None
    assert "partitioner=murmur2_random" in wrong[0].reason


def test_an_alert_is_replayed_when_it_is_written_too_long_after_its_second() -> None:
    [alert, *_] = alerts(WHOLE, "cascade.onset")
    assert not dated(alert, alert.ts_detect + 900 * SECOND, 900).replayed
    assert dated(alert, alert.ts_detect + 901 * SECOND, 900).replayed
    assert not dated(alert, alert.ts_detect + 10**15, 0).replayed
