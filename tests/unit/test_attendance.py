"""Who speaks, who is waited for, and what waits."""

from nights import PARAMS, PRODUCERS, START, Item, alive

from schemas.words import SECOND
from streams.core import attendance, pipeline
from streams.core.attendance import Attendance
from streams.core.shard import INPUTS


def after(items: list[Item]) -> dict[tuple[str, str], Attendance]:
    """The rows of a shard that has heard the words of `items`."""
    state = pipeline.State()
    for topic, record in items:
        pipeline.step(PARAMS, state, topic, record)
    shard = state.shard
    rows = attendance.of_inputs(0, shard.inputs, shard.away, PARAMS.stale_after_s)
    return {(row.topic, row.producer): row for row in rows}


def words_until(**last: int) -> list[Item]:
    """A word a second of each producer, named topic/producer with / as __, up to its last."""
    return [
        (topic, alive(producer, second))
        for second in range(max(last.values()) + 1)
        for name, until in last.items()
        for topic, _, producer in [name.partition("__")]
        if second <= until
    ]


def test_nobody_waits_where_all_have_come_as_far() -> None:
    rows = after(words_until(liquidations__a=50, bars__rollup=50, whale_transfers__c=49))
    assert {row.standing for row in rows.values()} == {"alive"}
    assert all(row.holds_back == [] for row in rows.values())
    assert rows["bars", "rollup"].ts_last == (START + 50) * SECOND


def test_the_producer_that_lags_is_named_with_every_input_that_waits_for_it() -> None:
    rows = after(
        words_until(
            liquidations__slow=20, liquidations__quick=50, bars__rollup=50, whale_transfers__c=50
        )
    )
    assert rows["liquidations", "slow"].holds_back == ["liquidations", "bars", "whale_transfers"]
    assert rows["liquidations", "slow"].behind_s == 30
    assert rows["liquidations", "quick"].holds_back == []


def test_an_input_nobody_ever_spoke_on_holds_all_back_until_it_is_left_out() -> None:
    rows = after(words_until(liquidations__a=50, bars__rollup=50))
    nobody = rows["whale_transfers", "nobody"]
    assert (nobody.standing, nobody.ts_last) == ("never", None)
    assert nobody.holds_back == ["bars", "liquidations"]
    rows = after(words_until(liquidations__a=150, bars__rollup=150))
    assert rows["whale_transfers", "nobody"].left_out
    assert not any(row.holds_back for row in rows.values())


def test_a_producer_that_stopped_is_silent_by_its_word_and_stale_without() -> None:
    items = words_until(liquidations__dies=30, liquidations__lives=150, bars__rollup=150)
    items += [("bars", alive("rollup", 151, "silent"))]
    rows = after(items)
    assert rows["liquidations", "dies"].standing == "stale"
    assert rows["liquidations", "lives"].standing == "alive"
    assert rows["bars", "rollup"].standing == "silent"


def test_a_word_that_is_not_believed_yet_is_shown_beside_the_last_that_is() -> None:
    items = words_until(**{f"{topic}__{PRODUCERS.get(topic, 'rollup')}": 50 for topic in INPUTS})
    rows = after([*items, ("liquidations", alive("forced", 90_000))])
    forced = rows["liquidations", "forced"]
    assert forced.ts_last == (START + 50) * SECOND
    assert forced.ts_doubted == (START + 90_000) * SECOND
