"""Numbered SQL files applied once each, in order; the same files on chDB and a server."""

import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from importlib.resources import files
from typing import Any, NamedTuple

from sinks.clickhouse import comments, retention
from sinks.clickhouse.cluster import LOCAL, Cluster

# What may hide a semicolon: strings, quoted names, comments. An unclosed one runs to the end.
_PIECE = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<quoted> '(?:[^'\\]|\\.)*(?:'|\Z) | `(?:[^`\\]|\\.)*(?:`|\Z)
                | "(?:[^"\\]|\\.)*(?:"|\Z) )
    | (?P<end> ; )
    | (?P<plain> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_UNKNOWN_SETTING = 115
_KNOWN = """CREATE TABLE IF NOT EXISTS schema_migrations
(name String, checksum String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6))
ENGINE = ReplacingMergeTree ORDER BY name"""
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """A migration that cannot be applied: `name`, `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"migration {name}: {reason}")
        self.name = name
        self.reason = reason


class Migration(NamedTuple):
    """One numbered file: its name, its text, and the hash of the text."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Hash of the text; an applied file whose hash changed is an error."""
        return blake2b(self.text.encode(), digest_size=8).hexdigest()


def statements(text: str) -> Iterator[str]:
    """Split SQL at the semicolons that end statements; comments are dropped."""
    kept: list[str] = []
    for piece in _PIECE.finditer(text):
        if piece.lastgroup == "end":
            statement, kept = "".join(kept).strip(), []
            if statement:
                yield statement
        else:
            kept.append(" " if piece.lastgroup == "comment" else piece.group())
    if statement := "".join(kept).strip():
        yield statement


def migrations() -> list[Migration]:
    """Return the shipped migrations in order of their numbers."""
    folder = files("sinks.clickhouse") / "migrations"
    numbered = [
        Migration(entry.name, entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if _NAME.fullmatch(entry.name)
    ]
    return sorted(numbered)


def migrate(
    client: Any, database: str, days: Mapping[str, int] | None = None, cluster: str = ""
) -> list[str]:
    """Bring `database` up to date, making it where it is missing, and use it from here on.

    Returns the names applied now, none when nothing was to do. A crash between two
    statements is repaired by the next run: every statement may run twice. `days` are kept by
    table, as in `sinks.clickhouse.retention`; `cluster` names the servers that share the tables.
    Raises MigrationError when a file changed after it was applied, or fails.
    """
    shared = Cluster(cluster, database) if cluster else None
    quoted = "`" + database.replace("\\", "\\\\").replace("`", "\\`") + "`"
    everywhere = f" {shared.on}" if shared else ""
    client.command(f"CREATE DATABASE IF NOT EXISTS {quoted}{everywhere}", use_database=False)
    client.database = database
    _run(client, shared, _KNOWN)
    query = "SELECT name, checksum FROM schema_migrations FINAL"
    applied = dict(client.query(query).result_rows)
    done = []
    for migration in migrations():
        known = applied.get(migration.name)
        if known is None:
            _apply(client, migration, shared)
            done.append(migration.name)
        elif known != migration.checksum:
            raise MigrationError(migration.name, "was changed after it was applied; add a new one")
    stored_as = LOCAL if shared else ""
    for statement in retention.statements(client, days or {}, stored_as):
        _run(client, shared, statement)
    for statement in comments.statements(client):
        client.command(shared.everywhere(statement) if shared else statement)
    return done


def _run(client: Any, shared: Cluster | None, statement: str) -> None:
    for one in shared.statements(statement) if shared else [statement]:
        client.command(one)


def _apply(client: Any, migration: Migration, shared: Cluster | None) -> None:
    for statement in statements(migration.text):
        try:
            _run(client, shared, statement)
        except Exception as problem:
            # What an older server cannot be told to leave undone, it does not do.
            if getattr(problem, "code", None) == _UNKNOWN_SETTING and "MODIFY SETTING" in statement:
                continue
            head = " ".join(statement.split())[:80]
            raise MigrationError(migration.name, f"{head}...: {problem}") from problem
    row = [migration.name, migration.checksum]
    client.insert("schema_migrations", [row], column_names=["name", "checksum"])
