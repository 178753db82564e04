"""The same tables on a cluster: each statement of a migration, told to every node.

    trades            Distributed over the cluster: what sinks write to and views read
    trades_local      ReplicatedReplacingMergeTree on each node: a shard's rows on its replicas
    sink_intent, …    replicated to every node, not sharded: what sinks and `migrate` remember

A row is sent to the shard that its identity hashes to, so two tellings of a record meet on one
shard, where FINAL makes them one. An insert goes through with its token to each shard's table,
whose window of tokens is as long as a single server's: a retry changes nothing there either.
"""

import re
from typing import NamedTuple

#: What tells a table's rows apart, to the shards; each is part of the table's key.
SHARDED_BY = {
    "trades": "venue, instrument",
    "bars": "venue, instrument",
    "feed_status": "producer",
    "market_cascades": "finding_id",
    "dead_letters": "topic",
    "notifications": "notification_id",
}
_OTHERS = "asset"
#: On every node whole.
EVERYWHERE = ("schema_migrations", "sink_intent", "sink_splits")
LOCAL = "_local"
#: As many tokens as `non_replicated_deduplication_window` keeps, and for a week: a cluster's
#: own default forgets them after an hour, and a sink may be away for longer.
_WINDOW = (
    "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
)

_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\s*\((.*)\)\s*ENGINE = (\w+)(.*)", re.S)
_COPY = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) AS (\w+)")
_VIEW = re.compile(r"CREATE OR REPLACE VIEW (\w+) AS\s(.*)", re.S)
_ALTER = re.compile(r"ALTER TABLE `?(\w+)`?\s(.*)", re.S)
_MOVE = re.compile(r"INSERT INTO (\w+)\s.*", re.S)
_DROP = re.compile(r"DROP TABLE IF EXISTS (\w+)")
_RENAME = re.compile(r"RENAME TABLE (\w+) TO (\w+)")
#: What a table over others does not have.
_STORED_ONLY = ("MODIFY SETTING", "MODIFY TTL", "REMOVE TTL")


class UnknownStatement(Exception):
    """A statement that nobody has said how to tell a cluster."""


class Cluster(NamedTuple):
    """A cluster by the name that its servers have it under, and our database on it."""

    name: str
    database: str

    @property
    def on(self) -> str:
        """Return the clause that tells every node."""
        return f"ON CLUSTER '{self.name}'"

    def over(self, table: str) -> str:
        """Return the statement that makes a table over the local ones of every shard."""
        key = SHARDED_BY.get(table.removesuffix("_replacing"), _OTHERS)
        return (
            f"CREATE TABLE IF NOT EXISTS {table} {self.on} AS {table}{LOCAL} ENGINE ="
            f" Distributed('{self.name}', '{self.database}', {table}{LOCAL}, cityHash64({key}))"
        )

    def statements(self, statement: str) -> list[str]:
        """Return what a statement for a single server is on the cluster; raises UnknownStatement.

        They may be run again from the first, as that statement may.
        """
        for form, told in (
            (_CREATE, self._create), (_COPY, self._copy), (_VIEW, self._view), (_MOVE, self._move),
            (_ALTER, self._alter), (_DROP, self._drop), (_RENAME, self._rename),
        ):  # fmt: skip
            if match := form.fullmatch(statement.strip()):
                return told(match)
        raise UnknownStatement(" ".join(statement.split())[:80])

    def everywhere(self, statement: str) -> str:
        """Return an ALTER of one table as every node is told it: a comment on it alone."""
        return re.sub(r"^ALTER TABLE (\S+)", rf"ALTER TABLE \1 {self.on}", statement)

    def _create(self, match: re.Match[str]) -> list[str]:
        table, columns, engine, rest = match.groups()
        place = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"
        if table in EVERYWHERE:
            place = "'/clickhouse/tables/{uuid}/all', '{shard}-{replica}'"
        arguments = re.match(r"\(([^)]*)\)", rest)
        if arguments:
            place, rest = f"{place}, {arguments.group(1)}", rest[arguments.end() :]
        rest = rest.replace("non_replicated_deduplication_window = 10000", _WINDOW)
        stored = table if table in EVERYWHERE else table + LOCAL
        made = (
            f"CREATE TABLE IF NOT EXISTS {stored} {self.on}\n({columns})\n"
            f"ENGINE = Replicated{engine}({place}){rest}"
        )
        return [made] if table in EVERYWHERE else [made, self.over(table)]

    def _copy(self, match: re.Match[str]) -> list[str]:
        table, other = match.groups()
        made = f"CREATE TABLE IF NOT EXISTS {table}{LOCAL} {self.on} AS {other}{LOCAL}"
        return [made, self.over(table)]

    def _view(self, match: re.Match[str]) -> list[str]:
        return [f"CREATE OR REPLACE VIEW {match[1]} {self.on} AS {match[2]}"]

    def _move(self, match: re.Match[str]) -> list[str]:
        more = ", " if " SETTINGS " in " ".join(match[0].split()) else " SETTINGS "
        return [f"{match[0]}{more}distributed_foreground_insert = 1"]

    def _alter(self, match: re.Match[str]) -> list[str]:
        table, what = match.groups()
        stored = f"ALTER TABLE {table}{LOCAL} {self.on} {what}"
        over = f"ALTER TABLE {table} {self.on} {what}"
        if table in EVERYWHERE or table.endswith(LOCAL):
            return [over]
        return [stored] if what.startswith(_STORED_ONLY) else [stored, over]

    def _drop(self, match: re.Match[str]) -> list[str]:
        gone = f"DROP TABLE IF EXISTS {match[1]}"
        return [f"{gone} {self.on} SYNC", f"{gone}{LOCAL} {self.on} SYNC"]

    def _rename(self, match: re.Match[str]) -> list[str]:
        table, to = match.groups()
        return [
            f"RENAME TABLE {table}{LOCAL} TO {to}{LOCAL} {self.on}",
            self.over(to),
            f"DROP TABLE IF EXISTS {table} {self.on} SYNC",
        ]
