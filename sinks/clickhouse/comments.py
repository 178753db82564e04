"""What tables, views and columns say, written into the database that has them."""

import tomllib
from importlib.resources import files
from typing import Any, NamedTuple

from sinks.clickhouse.cluster import LOCAL


class Comments(NamedTuple):
    """Comments of tables; of columns by name; and by `table.column` where one says more."""

    tables: dict[str, str]
    columns: dict[str, str]
    only: dict[str, str]

    def of_column(self, table: str, column: str) -> str:
        """Return what a column says; empty where nobody wrote it down."""
        table = table.removesuffix(LOCAL)
        return self.only.get(f"{table}.{column}") or self.columns.get(column, "")


def comments() -> Comments:
    """Return what `comments.toml` says."""
    text = (files("sinks.clickhouse") / "comments.toml").read_text("utf-8")
    return Comments(**tomllib.loads(text))


def statements(client: Any) -> list[str]:
    """Return what would bring the comments of the client's database up to date: one a table."""
    wanted = comments()
    changes: dict[str, list[str]] = {}
    query = "SELECT name, comment FROM system.tables WHERE database = currentDatabase()"
    for table, said in client.query(query).result_rows:
        text = wanted.tables.get(table.removesuffix(LOCAL), "")
        changes[table] = [f"MODIFY COMMENT {_quoted(text)}"] if text not in ("", said) else []
    query = "SELECT table, name, comment FROM system.columns WHERE database = currentDatabase()"
    for table, column, said in client.query(query).result_rows:
        text = wanted.of_column(table, column)
        if text not in ("", said):
            changes.setdefault(table, []).append(f"COMMENT COLUMN `{column}` {_quoted(text)}")
    return [f"ALTER TABLE `{name}` {', '.join(some)}" for name, some in changes.items() if some]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
