"""Nothing fetched is skipped, and nothing is committed before it is done."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.detect import agent
from streams.detect import commits as progress_module
from streams.detect.commits import Hole, Progress


class Consumer:
    """Keeps what was committed."""

    def __init__(self) -> None:
        self.committed: list[dict[str, int]] = []

    def assignment(self) -> set[str]:
        return {"bars-0"}

    async def _commit(self, offsets: dict[str, int]) -> bool:
        self.committed.append(offsets)
        return True


def app() -> Any:
    return SimpleNamespace(rebalancing=False, consumer_generation_id=1, consumer=Consumer())


def event(offset: int, previous: int | None, generation: int = 1, tp: str = "bars-0") -> Any:
    message = SimpleNamespace(
        tp=tp, topic="bars", partition=0, offset=offset, previous=previous, generation_id=generation
    )
    message.records = [message]
    return SimpleNamespace(message=message)


def take_all(progress: Progress, *events: Any) -> None:
    _, mine = asyncio.run(progress.take_ours(list(events)))
    for one in mine:
        progress.take(one.message)


def test_a_gap_that_kafka_left_is_no_hole() -> None:
    take_all(Progress(app()), event(5, None), event(6, 5), event(9, 6))


def test_a_fetched_record_that_never_came_is_a_hole() -> None:
    with pytest.raises(Hole, match="9 came after 5, but 8 was fetched"):
        take_all(Progress(app()), event(5, None), event(9, 8))


def test_what_was_fetched_under_an_older_generation_is_left_out() -> None:
    progress = Progress(app())
    _, mine = asyncio.run(progress.take_ours([event(5, None, generation=0), event(7, None)]))
    assert [e.message.offset for e in mine] == [7]


def test_commits_name_the_offset_after_the_last_one_done() -> None:
    host = app()
    progress = Progress(host)
    take_all(progress, event(5, None), event(6, 5))
    asyncio.run(progress.done(1, progress.taken))
    assert host.consumer.committed == [{"bars-0": 7}]


def test_nothing_is_committed_before_it_is_done_nor_after_a_rebalance() -> None:
    host = app()
    progress = Progress(host)
    take_all(progress, event(5, None))
    asyncio.run(progress.commit())
    host.consumer_generation_id = 2
    asyncio.run(progress.done(1, progress.taken))
    asyncio.run(progress.commit())
    assert host.consumer.committed == []


def test_a_batch_of_nothing_but_an_older_generation_does_not_wait_for_ever() -> None:
    progress = Progress(app())
    take_all(progress, event(5, None, generation=0))
    assert not asyncio.run(asyncio.wait_for(progress.confirmed(1), 5))


def test_after_a_silence_the_broker_is_asked_before_anything_is_written() -> None:
    host = app()
    progress = Progress(host)
    take_all(progress, event(5, None), event(6, 5))
    assert asyncio.run(progress.confirmed(1))
    # Asked by committing where this generation began: nothing new is claimed.
    assert host.consumer.committed == [{"bars-0": 5}]
    assert asyncio.run(progress.confirmed(1))
    assert len(host.consumer.committed) == 1


def test_a_replaced_worker_is_not_confirmed() -> None:
    host = app()
    progress = Progress(host)
    take_all(progress, event(5, None))

    async def refuse(_: dict[str, int]) -> bool:
        host.rebalancing = True
        return False

    host.consumer._commit = refuse
    assert not asyncio.run(progress.confirmed(1))


def test_a_batch_that_does_not_end_is_stuck_and_a_broker_away_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = app()
    progress = Progress(host)
    take_all(progress, event(5, None), event(6, 5))
    asyncio.run(progress.confirmed(1))
    monkeypatch.setattr(agent, "STUCK_S", 0.0)
    assert agent.stuck(-1.0, progress) == ""
    assert "handed on" in agent.stuck(1.0, progress)
    with progress.at_work():
        assert "come along" in agent.stuck(1.0, progress)
        monkeypatch.setattr(progress_module, "SILENT_S", -1.0)  # the broker has not answered
        assert agent.stuck(1.0, progress) == ""


def test_a_batch_that_failed_is_logged_by_each_topics_own_first_offset(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(agent, "end_at_once", lambda: None)
    batch = [event(9, 8), event(7, 6), event(3, 2)]
    batch[2].message.topic = "liquidations"
    agent.stop_before_commit("detect", batch, ValueError("odd"))
    assert "['bars[0]@7', 'liquidations[0]@3']" in caplog.text


@pytest.mark.parametrize(("took", "wait"), [(0.0, 1.0), (0.1, 1.0), (1.0, 4.0), (60.0, 10.0)])
def test_state_that_takes_long_to_store_is_stored_less_often(took: float, wait: float) -> None:
    assert agent.store_again_s(took) == pytest.approx(wait)


class Stream:
    """A Faust stream of events that are there at once; no others come."""

    def __init__(self, count: int) -> None:
        self.enable_acks = True
        self._count = count

    async def events(self) -> Any:
        for number in range(self._count):
            yield number
        await asyncio.Event().wait()


def test_runs_that_came_while_others_were_worked_on_are_taken_together_in_order() -> None:
    batches: list[list[int]] = []
    stream = Stream(agent.RUNS * 3)

    async def take(batch: list[int]) -> None:
        batches.append(list(batch))
        for _ in range(50):
            await asyncio.sleep(0)

    async def scene() -> None:
        reading = asyncio.create_task(agent.each_batch("a", stream, take))
        async with asyncio.timeout(60):
            while sum(map(len, batches)) < agent.RUNS * 3:
                await asyncio.sleep(0)
        reading.cancel()

    asyncio.run(scene())
    assert [number for batch in batches for number in batch] == list(range(agent.RUNS * 3))
    assert max(map(len, batches)) == agent.RUNS
    assert not stream.enable_acks
