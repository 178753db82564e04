"""Faust's recovery a fetch at a time; by itself it takes each row through queues and timeouts.

    fetched rows ──> table, offset noted ──> the last of each partition goes Faust's way,
                                             which has it already and sees whether that was all
"""

from collections.abc import Mapping
from typing import Any

from streams.agents.tables import StateTable


def take(app: Any, generation: int, fetched: Mapping[Any, list[Any]]) -> dict[Any, list[Any]]:
    """Take the changelog rows that a recovery waits for; return what else was fetched."""
    recovery = app.tables.recovery
    left = dict(fetched)
    if not recovery.in_recovery or generation != app.consumer_generation_id:
        return left
    for tp in fetched.keys() & recovery.active_tps:
        table, records = recovery.tp_to_table[tp], fetched[tp]
        if not records or not isinstance(table, StateTable):
            continue
        if recovery.buffers[table]:
            recovery.flush_buffers()
        seen = recovery.active_offsets.get(tp)
        if seen is not None:
            records = [record for record in records if record.offset > seen]
        if records:
            table.take(records)
            recovery.active_offsets[tp] = records[-1].offset
        left[tp] = fetched[tp][-1:]
    return left
