"""How late records reach us, by venue, as the tables have it: what grace must cover."""

from collections.abc import Callable
from typing import Any

import msgspec

#: Records of a venue below which its tail is not known.
ENOUGH = 1_000
_TABLES = {"trades": "venue", "liquidations": "venue", "whale_transfers": "chain"}


class Lateness(msgspec.Struct, frozen=True):
    """Receipt less event time of one venue's records in the last day of the data, milliseconds."""

    topic: str
    venue: str
    records: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    most_ms: float


def lateness(ask: Callable[[str], Any]) -> list[Lateness]:
    """Return every venue's; `ask` answers a query as JSONCompactEachRow."""
    rows: list[Lateness] = []
    for table, venue in _TABLES.items():
        answer = ask(
            f"SELECT {venue} AS of, count() AS n,"
            " arrayMap(x -> x / 1000, quantiles(0.5, 0.99, 0.999)("
            "dateDiff('microsecond', ts_event, ts_recv))) AS q,"
            " max(dateDiff('microsecond', ts_event, ts_recv)) / 1000 AS most"
            f" FROM {table} WHERE ts_event > (SELECT max(ts_event) FROM {table}) - INTERVAL 1 DAY"
            " GROUP BY of ORDER BY n DESC, of"
        )
        text = answer if isinstance(answer, str) else bytes(answer).decode()
        for line in text.splitlines():
            of, n, (p50, p99, p999), most = msgspec.json.decode(line)
            rows.append(Lateness(table, of, int(n), p50, p99, p999, most))
    return rows


def grace_ms(rows: list[Lateness], lag_ms: float) -> int | None:
    """Return the least grace that keeps 999 of 1,000 records of every venue in time.

    `lag_ms` is how far the feeds' words run behind receipt. In steps of 50 ms; None where no venue
    has enough records to tell.
    """
    tails = [row.p999_ms - lag_ms for row in rows if row.records >= ENOUGH]
    return None if not tails else max(0, -int(-max(tails) // 50) * 50)
