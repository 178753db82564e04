"""Recovery notes no offset of a partition that a rebalance has taken away meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from faust.tables.recovery import RebalanceAgain
from faust.types import TP

from streams.core.params import Params
from streams.detect import faust_recovery
from streams.detect.app import create_app
from streams.process.settings import Settings


class Record:
    """A row of a changelog as librdkafka hands it on."""

    def __init__(self, tp: TP, offset: int) -> None:
        self._told = {"topic": tp.topic, "partition": tp.partition, "offset": offset}

    def __getattr__(self, name: str) -> Any:
        row = {"key": b"0/BTC", "value": b"1", "headers": [("term", b"1")], "error": None}
        return lambda: (row | self._told)[name]


def test_a_rebalance_ends_the_reading_before_another_row_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(Settings(data_dir=str(tmp_path)), Params())
    running, table = app.tables.recovery, app.tables["assets"]
    tp = TP(table.changelog_topic.get_topic_name(), 0)
    running.tp_to_table[tp] = table
    running.active_offsets.update({tp: -1})
    running.active_highwaters.update({tp: 9})
    closed = []

    class Reader:
        """Gives a row each time; during the second a rebalance takes the partition away."""

        def __init__(self, _: Any) -> None:
            self._asked = 0

        def assign(self, _: Any) -> None: ...

        def consume(self, *_: Any) -> list[Record]:
            self._asked += 1
            if self._asked == 2:
                asyncio.get_running_loop().call_soon(rebalance)
            return [Record(tp, self._asked - 1)]

        def close(self) -> None:
            closed.append(self._asked)

    def rebalance() -> None:
        running.revoke(tp)
        running._generation_id += 1

    class Heard:
        def heard(self) -> None: ...

    monkeypatch.setattr(faust_recovery, "Consumer", Reader)
    with pytest.raises(RebalanceAgain):
        asyncio.run(running._read(Heard(), [tp]))
    assert closed == [2]
    assert tp not in running.active_offsets
    assert dict(table.of_partition(0)) == {b"0/BTC": b"1"}
