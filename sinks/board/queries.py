"""The SQL behind each panel, as of a moment of event time: what was known at `at`.

Findings count from `ts_detect` on, orders and transfers from `ts_event` on. Each text in
`statements/` is a statement that anybody may run: `as_sql` puts the values in.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: Points of a chart at most.
POINTS = 1_800
_STATEMENTS = Path(__file__).parent / "statements"
_VALUE = re.compile(r"\{(\w+):([^}]+)\}")

#: What tells the rows of each panel apart, and the tables that it rests on. All listeners see
#: these, so one poll serves them all.
_SHARED = {
    "episodes": (("episode_id",), ("cascades",)),
    "changed": (("episode_id",), ("cascades", "liquidations")),
    "market": (("episode_id",), ("market_cascades",)),
    "stress": (("episode_id",), ("stress",)),
    "scores": (("asset", "position_side"), ("scores",)),
    "totals": (("asset", "venue"), ("liquidations",)),
    "tape": (("event_id",), ("liquidations",)),
    "whales": (("event_id", "venue"), ("whale_selling", "whale_transfers")),
    "alerts": (("alert_id",), ("alerts", "notifications")),
    "feeds": (("venue",), ("liquidations", "bars")),
    "silent": (("dedup_key",), ("alerts",)),
    "gaps": (("producer", "state", "ts_event", "reason"), ("feed_status",)),
    "letters": (("topic", "reason"), ("dead_letters",)),
}
#: And of those that are asked for by asset or episode.
_SINGLE = {
    "chart": (("t",), ("bars", "liquidations")),
    "curve": (("t",), ("scores",)),
    "levels": (("quote", "price_from"), ("liquidations",)),
    "marks": (("episode_id", "phase", "ts_event"), ("cascades",)),
    "waterfall": (("level_bps",), ("cascades", "liquidations", "bars")),
}
#: Where a table's rows say how far the data go.
_ENDS = (
    ("liquidations", "ts_event"),
    ("bars", "ts_open"),
    ("whale_transfers", "ts_event"),
    ("cascades", "ts_detect"),
    ("whale_selling", "ts_detect"),
    ("alerts", "ts_detect"),
)


class Panel(NamedTuple):
    """A statement, the columns that tell its rows apart, and the tables that it rests on."""

    sql: str
    key: tuple[str, ...]
    tables: tuple[str, ...]

    def values(self) -> set[str]:
        """Return the names of the values that the statement asks for."""
        return {match[1] for match in _VALUE.finditer(self.sql)}


def _read(panels: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> dict[str, Panel]:
    return {
        name: Panel((_STATEMENTS / f"{name}.sql").read_text().strip(), key, tables)
        for name, (key, tables) in panels.items()
    }


SHARED = _read(_SHARED)
PANELS = SHARED | _read(_SINGLE)


def as_sql(sql: str, values: Mapping[str, str]) -> str:
    """Return the statement with each `{name:Type}` replaced by its value."""

    def literal(match: re.Match[str]) -> str:
        name, kind = match.groups()
        text = values[name].replace("\\", "\\\\").replace("'", "\\'")
        if kind == "String":
            return f"'{text}'"
        return f"toDateTime64('{text}', 6, 'UTC')" if kind.startswith("Date") else values[name]

    return _VALUE.sub(literal, sql)


def clock(run: str) -> str:
    """Return the statement of the data's own time, and of how much each table holds.

    `run` restricts the time to the rows of one embedded run, which may lie before others' rows.
    """
    where = " WHERE kafka_topic = {run:String}" if run else ""
    each = " UNION ALL ".join(f"SELECT maxOrNull({t}) AS t FROM {name}{where}" for name, t in _ENDS)
    stored = (
        "SELECT groupArray((name, total_rows, total_bytes)) FROM system.tables"
        " WHERE database = currentDatabase() AND total_rows IS NOT NULL"
    )
    return f"SELECT toString(max(t)) AS at, ({stored}) AS stored FROM ({each})"
