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

#: What tells the rows of each panel apart. All readers see these, so one poll serves them all.
_SHARED = {
    "episodes": ("episode_id",),
    "changed": ("episode_id",),
    "market": ("episode_id",),
    "stress": ("episode_id",),
    "scores": ("asset", "position_side"),
    "totals": ("asset", "venue"),
    "tape": ("event_id",),
    "whales": ("event_id", "venue"),
    "alerts": ("alert_id",),
    "feeds": ("venue",),
    "silent": ("dedup_key",),
    "gaps": ("producer", "state", "ts_event", "reason"),
    "letters": ("topic", "reason"),
}
#: And of those that are asked for by asset or episode.
_SINGLE = {
    "chart": ("t",),
    "curve": ("t",),
    "marks": ("episode_id", "phase", "ts_event"),
    "waterfall": ("level_bps",),
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
    """A statement, and the columns that tell its rows apart."""

    sql: str
    key: tuple[str, ...]

    def values(self) -> set[str]:
        """Return the names of the values that the statement asks for."""
        return {match[1] for match in _VALUE.finditer(self.sql)}


def _read(keys: Mapping[str, tuple[str, ...]]) -> dict[str, Panel]:
    return {
        name: Panel((_STATEMENTS / f"{name}.sql").read_text().strip(), key)
        for name, key in keys.items()
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
    """Return the statement of the data's own time, and a number that changes with what is stored.

    `run` restricts it to the rows of one embedded run, which may lie before others' rows.
    """
    where = " WHERE kafka_topic = {run:String}" if run else ""
    each = " UNION ALL ".join(f"SELECT maxOrNull({t}) AS t FROM {name}{where}" for name, t in _ENDS)
    stored = "SELECT sum(total_rows) FROM system.tables WHERE database = currentDatabase()"
    return f"SELECT toString(max(t)) AS at, ({stored}) AS stored FROM ({each})"
