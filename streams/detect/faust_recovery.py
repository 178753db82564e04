"""Faust's recovery, with changelogs read by librdkafka: a thousand rows at a time, ahead of us.

Faust takes each row through two queues and a timeout, at 5,000 to 10,000 rows a second:

    highwaters, offsets ──> we read to each partition's end ──> Faust seeks there, finds that
                            and move the offsets                nothing is left, and completes
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery
from faust.types import TP

from streams.detect import faust_tables
from streams.kafka import clients
from streams.process.settings import Settings

log = logging.getLogger("undertow.detect")
BATCH = 1_000
NOTHING_YET_S = 0.005


def consumer_conf(settings: Settings) -> dict[str, Any]:
    """Return the settings of the consumer that reads changelogs; it joins no group."""
    # The broker tells a partition's end by an answer without rows, which it else puts off.
    ends_told = {
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": 20,
    }
    return clients.consumer_conf(settings, "detect-recovery") | ends_told


class Tables(TableManager):
    """Faust's tables, recovered by QuickRecovery."""

    @property
    def recovery(self) -> Recovery:
        """Return the one recovery service."""
        if self._recovery is None:
            self._recovery = QuickRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class QuickRecovery(Recovery):
    """Reads the changelogs before Faust would; what it does not read is Faust's as before."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        # A rebalance ends it at any time; Faust's bound on a seek would end the recovery
        # for good.
        whole = getattr(coro, "__name__", "") == "_seek_offsets"
        await super()._wait(coro, None if whole else timeout)

    async def _seek_offsets(self, consumer: Any, tps: Any, offsets: Any, title: str) -> None:
        if title == "active":
            await self._read(consumer, tps)
        await super()._seek_offsets(consumer, tps, offsets, title)

    async def _read(self, consumer: Any, tps: Iterable[Any]) -> None:
        """Take in every row from the offsets to the ends, and move the offsets along.

        Raises RebalanceAgain when the partitions are no longer those that we set out with.
        """
        offsets, ends, generation = self.active_offsets, self.active_highwaters, self._generation_id
        left = {
            TP(*tp)
            for tp in tps
            if offsets[tp] < ends[tp] and isinstance(self.tp_to_table[tp], faust_tables.StateTable)
        }
        if not left:
            return
        reader = Consumer(self.app.recovery_conf)  # type: ignore[attr-defined]
        reader.assign([TopicPartition(tp.topic, tp.partition, offsets[tp] + 1) for tp in left])
        try:
            while left:
                if self._generation_id != generation:
                    # An offset noted now would outlive the rows of a partition that left us.
                    raise RebalanceAgain
                # Not awaited in a thread: what a thread is at cannot be cancelled.
                messages = reader.consume(BATCH, 0)
                left -= self._take(messages)
                left = {tp for tp in left if offsets[tp] < ends[tp]}
                if messages:
                    consumer.heard()
                await asyncio.sleep(0 if messages else NOTHING_YET_S)
        except KafkaException as problem:
            log.warning("recovery goes on row by row: %s", problem)
        finally:
            reader.close()

    def _take(self, messages: list[Any]) -> set[TP]:
        """Take in rows; return the partitions that have come to their end."""
        read: dict[tuple[str, int], list[faust_tables.Row]] = {}
        ended: dict[TP, int] = {}
        for message in messages:
            at, problem = (message.topic(), message.partition()), message.error()
            if problem is None:
                row = message.offset(), message.key(), message.value(), message.headers()
                read.setdefault(at, []).append(row)
            elif problem.code() == KafkaError._PARTITION_EOF:
                ended[TP(*at)] = message.offset() - 1
            elif not problem.retriable():
                raise KafkaException(problem)
        for at, rows in read.items():
            tp = TP(*at)
            self.tp_to_table[tp].take(tp.partition, rows)  # type: ignore[attr-defined]
            self.active_offsets[tp] = rows[-1][0]
        # Its last rows may have been compacted: a partition ends where the broker says.
        for tp, offset in ended.items():
            self.active_offsets[tp] = max(self.active_offsets[tp], offset)
        return set(ended)
