"""How long rows are kept: days of event time, table by table. Findings are kept for ever.

What is older goes when its whole partition (a day of trades, a month of all else) is older:
dropping costs nothing, and no row is written anew.
"""

import re
from collections.abc import Mapping
from typing import Any

from sinks.clickhouse.rows import PARTITIONED_BY

FOR_EVER = frozenset(
    {"cascades", "market_cascades", "stress", "thresholds", "whale_selling", "alerts"}
)
MOST_DAYS = 3_650
_TTL = re.compile(r"TTL toDateTime\(\w+\) \+ toIntervalDay\((\d+)\)")
_ONE = re.compile(r"(\w+)=(\d{1,5})")


def days_of(text: str) -> dict[str, int]:
    """Read `trades=30,bars=400`: days by table, 0 for ever; raises ValueError in words."""
    days: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _ONE.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not table=days, as in trades=30,bars=400")
        table, number = match[1], int(match[2])
        if table in FOR_EVER:
            raise ValueError(f"{table} are findings, and findings are kept for ever")
        if table not in PARTITIONED_BY:
            known = ", ".join(sorted(PARTITIONED_BY.keys() - FOR_EVER))
            raise ValueError(f"no table {table!r}; there are {known}")
        if number > MOST_DAYS:
            raise ValueError(f"{part}: {MOST_DAYS} days at most; 0 keeps for ever")
        days[table] = number
    return days


def statements(client: Any, days: Mapping[str, int], stored_as: str = "") -> list[str]:
    """Return what makes the client's tables keep so many days; tables not named stay as they are.

    `stored_as` is what is put behind a table's name where its rows are.
    """
    query = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
    engines = dict(client.query(query).result_rows)
    made = []
    for table, wanted in sorted(days.items()):
        match = _TTL.search(engines.get(table + stored_as, ""))
        now = int(match[1]) if match else 0
        if wanted == now:
            continue
        if wanted == 0:
            made.append(f"ALTER TABLE {table} REMOVE TTL")
            continue
        # What is stored already is looked through, not written anew.
        made.append(
            f"ALTER TABLE {table} MODIFY SETTING"
            " ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1"
        )
        column = PARTITIONED_BY[table][0]
        made.append(f"ALTER TABLE {table} MODIFY TTL toDateTime({column}) + INTERVAL {wanted} DAY")
    return made
