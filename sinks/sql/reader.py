"""Read-only SQL over the embedded database: what a stranger's query may do, and doing it.

The engine's readonly=1 alone lets through more than reading tables (measured on chDB
26.9): `SELECT file('/etc/passwd')` reads any file, `INTO OUTFILE` writes one, DESCRIBE
opens urls, SYSTEM STOP MERGES and KILL QUERY run. So a query is first parsed by the
engine's own parser and written out again in canonical form; that text is checked, and
only that text is run, so what was checked is what runs.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sinks.clickhouse.client import DATABASE, DataDirBusy, is_locked

READONLY = 164
UNKNOWN = 1001

_CODE = re.compile(r"\bCode: (\d+)\.")
_TOKEN = re.compile(
    r"""
      (?P<string> '(?:[^'\\]|\\.)*' )
    | (?P<quoted> `(?:[^`\\]|\\.)*` )
    | (?P<word> [^\W\d]\w* )
    | (?P<number> \d\w* )
    | (?P<sign> \S )
    """,
    re.VERBOSE | re.DOTALL,
)
_STATEMENTS = frozenset({"select", "with", "show", "describe", "explain", "exists", "("})
#: Table functions that touch nothing but tables here and numbers; every other is refused.
_TABLE_FUNCTIONS = frozenset(
    {"generaterandom", "generateseries", "generate_series", "merge", "null", "numbers"}
    | {"numbers_mt", "primes", "sqlstandardvalues", "values", "view", "zeros", "zeros_mt"}
)
#: Functions that read files or call out, by whatever syntax they are named.
_FUNCTIONS = frozenset({"file", "eval", "hascolumnintable", "catboostevaluate"})
#: Scalar functions that share a harmful table function's name and are harmless.
_HARMLESS = frozenset({"format"})


class Limits(NamedTuple):
    """What one query may use: seconds, bytes, rows."""

    seconds: int = 30
    memory_bytes: int = 1_000_000_000
    result_rows: int = 1_000_000
    result_bytes: int = 200_000_000

    def options(self) -> str:
        """Return the limits as settings of a chDB connection that only reads, with FINAL."""
        return (
            f"readonly=1&final=1&max_execution_time={self.seconds}"
            f"&max_memory_usage={self.memory_bytes}&max_result_rows={self.result_rows}"
            f"&max_result_bytes={self.result_bytes}"
        )


class QueryError(Exception):
    """A query that was refused or failed: ClickHouse's `code` and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Answer(NamedTuple):
    """A result in `fmt`, with the counts ClickHouse reports beside it."""

    body: bytes
    fmt: str
    rows: int
    elapsed_ns: int


def refuse(why: str) -> QueryError:
    """Word a refusal as ClickHouse words its own."""
    text = f"Code: {READONLY}. DB::Exception: {why}: this endpoint only reads. (READONLY)"
    return QueryError(READONLY, text)


class Reader:
    """Runs queries on an embedded database of this process, one fresh connection each.

    Fresh, because after a failed query a chDB connection hands the failed query's rows
    to the next one; opening costs under a millisecond. Threads may share a Reader.
    """

    def __init__(self, path: str | Path, limits: Limits | None = None) -> None:
        """Open the database at `path`; raises DataDirBusy when another process owns it."""
        self._path = Path(path).resolve()
        self._options = (limits or Limits()).options()
        # Held open so that the engine does not stop between two queries.
        self._keeper = self._connect()
        try:
            self._banned = self._banned_functions()
        except BaseException:
            self._keeper.close()
            raise

    def close(self) -> None:
        """Let go of the database."""
        self._keeper.close()

    def run(
        self,
        sql: str,
        fmt: str = "TabSeparated",
        params: Mapping[str, str] | None = None,
        database: str = DATABASE,
    ) -> Answer:
        """Run one reading statement; `params` are as in ClickHouse's `param_name`.

        A FORMAT clause in `sql` wins over `fmt`. Raises QueryError.
        """
        connection = self._connect()
        try:
            _query(connection, f"USE {_name(database)}")
            canonical = self._canonical(connection, sql)
            fmt = check(canonical, self._banned) or fmt
            result = _query(connection, canonical, fmt, params)
            elapsed = int(result.elapsed() * 1e9)
            return Answer(result.bytes() or b"", fmt, result.rows_read(), elapsed)
        finally:
            connection.close()

    def _canonical(self, connection: Any, sql: str) -> str:
        """Have the engine parse `sql` and write it out again, without comments."""
        escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        ask = "SELECT formatQuerySingleLine({sql:String}) FORMAT RawBLOB"
        try:
            result = _query(connection, ask, "RawBLOB", {"sql": escaped})
        except QueryError as problem:
            # The engine's complaint ends by quoting our wrapper around the query.
            text = problem.text.split(": In scope SELECT formatQuery")[0]
            raise QueryError(problem.code, text) from None
        try:
            return str((result.bytes() or b"").decode())
        except UnicodeDecodeError:
            raise QueryError(UNKNOWN, "Code: 1001. The query is not UTF-8 text.") from None

    def _connect(self) -> Any:
        # Loading chDB costs 0.1 s and 250 MB, and a process forked after it would hang.
        import chdb

        try:
            connection: Any = chdb.connect(f"{self._path}?{self._options}")  # type: ignore[no-untyped-call]
        except RuntimeError as problem:
            if is_locked(self._path):
                raise DataDirBusy(self._path) from problem
            raise
        return connection

    def _banned_functions(self) -> frozenset[str]:
        ask = "SELECT lower(name) FROM system.table_functions"
        names = set(_query(self._keeper, ask).bytes().decode().split())
        ask = "SELECT lower(name) FROM system.functions WHERE name ILIKE 'ai%'"
        names |= set(_query(self._keeper, ask).bytes().decode().split())
        return frozenset(names - _TABLE_FUNCTIONS - _HARMLESS)


def check(canonical: str, banned: frozenset[str]) -> str:
    """Refuse what does more than read tables; return the format the query names, or ''.

    `canonical` is the engine's own rendering. Raises QueryError with code 164.
    """
    tokens = list(_tokens(canonical))
    if not tokens or tokens[0].lower() not in _STATEMENTS:
        raise refuse(f"{tokens[0] if tokens else 'nothing'} is refused")
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        name = token.strip("`").lower()
        if token.startswith("'"):
            continue
        if name == "outfile" and before.lower() == "into":
            raise refuse("INTO OUTFILE is refused")
        called = after == "(" or before.lower() == "apply"
        if name in _FUNCTIONS or (called and name in banned):
            raise refuse(f"{name}() is refused")
        # chDB's own `default` database shows the file system as tables.
        if name == "default" and after == ".":
            raise refuse("database default is refused")
    named = tokens[-2:-1] == ["FORMAT"]
    return tokens[-1].strip("`") if named else ""


def _tokens(canonical: str) -> Iterator[str]:
    return (found.group() for found in _TOKEN.finditer(canonical))


def _name(database: str) -> str:
    return "`" + database.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _query(
    connection: Any, sql: str, fmt: str = "TabSeparated", params: Mapping[str, str] | None = None
) -> Any:
    """Run `sql` as it is; raises QueryError."""
    try:
        return connection.query(sql, fmt, params=dict(params or {}))
    except Exception as problem:
        text = str(problem)
        start = max(text.find("Code: "), 0)
        found = _CODE.search(text)
        raise QueryError(int(found.group(1)) if found else UNKNOWN, text[start:]) from problem
