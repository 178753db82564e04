"""clickhouse-go, -jdbc, -connect and SQLAlchemy read every table and view as JSON says that it is."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
import sqlalchemy

from sinks.clickhouse.client import open_client
from sinks.clickhouse.migrate import migrate
from sinks.sql.endpoint import Endpoint, serve
from sinks.sql.reader import Reader

CLIENTS = Path(__file__).resolve().parents[1] / "clients"
ROWS = 40
#: Tables forget what is old.
NOW = int(time.time())
#: One expression for each type, so that rows differ, and every third value that may lack does.
VALUES = {
    "String": "concat('é\"\\\\', char(9), toString(number))",
    "Float64": "number * 1.25 + 0.1",
    "Int64": "toInt64(number) - 5",
    "UInt32": "number + 4000000000",
    "UInt64": "number + 18000000000000000000",
    "Bool": "number % 2 = 1",
    "DateTime": f"toDateTime({NOW} - number * 7, 'UTC')",
    "DateTime64": f"fromUnixTimestamp64Micro(toInt64({NOW}123456 - number * 1000003), 'UTC')",
}
#: What views leave out unless it says so: bars of a second, silent feeds, episodes that ended, and
#: what was open before and after.
NAMED = {
    "width": "1000000",
    "state": "if(number % 2 = 0, 'silent', 'recovered')",
    "phase": "if(number % 2 = 0, 'closed', 'onset')",
    "open_interest.asset": "concat('é\"\\\\', char(9), toString(intDiv(number, 2)))",
    "open_interest.venue": "'okx'",
    "open_interest.instrument": "'P'",
    "open_interest.quantity": "number + 1.5",
    "open_interest.ts_event": f"fromUnixTimestamp64Micro(toInt64({NOW}123456 - intDiv(number, 2) * 1000003 + if(number % 2 = 0, -1, 1) * 5000000), 'UTC')",
}
#: What no table of ours has today, and what spans several blocks.
MORE = [
    "SELECT toInt8(-1), toInt16(-2), toInt32(-3), toUInt8(4), toUInt16(5), toFloat32(0.5), toDate('2025-01-02'), toDecimal64('12.5000', 4) AS d, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), toFixedString('abc', 3), CAST('b' AS Enum8('a' = 1, 'b' = 2)), toIPv4('1.2.3.4')",
    "SELECT [[1, 2], [], [3]] AS a, map('k', [1, 2], 'l', []) AS m, CAST([] AS Array(LowCardinality(String))) AS e, [toLowCardinality('x'), 'y'] AS l, CAST(NULL AS LowCardinality(Nullable(String))) AS n, [NULL, 'z'] AS o",
    "SELECT number, toString(number) AS s, if(number % 7 = 0, NULL, number) AS n, toLowCardinality(toString(number % 300)) AS l FROM numbers(150000)",
    "SELECT (1, 'a', [toLowCardinality('b')]) AS t, [(1, NULL), (2, 'c')] AS l, map('k', map('m', 1.5)) AS m",
    "SELECT 1 AS a WHERE 0",
]
BAD = ["SELECT * FROM nope", "SELECT nope", "DROP TABLE trades", "SELECT 1 1"]


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = open_client("chdb", tmp_path_factory.mktemp("run"))
    migrate(client, "undertow")
    for (table,) in client.query("SELECT name FROM system.tables WHERE database = 'undertow' AND engine LIKE '%MergeTree'").result_rows:  # fmt: skip
        columns = client.query(
            "SELECT name, type FROM system.columns WHERE database = 'undertow' AND default_kind = '' AND table = {t:String}",
            parameters={"t": table},
        ).result_rows
        names, values = zip(
            *((name, expression(table, name, kind)) for name, kind in columns), strict=True
        )
        client.command(
            f"INSERT INTO undertow.{table} ({', '.join(names)})"
            f" SELECT {', '.join(values)} FROM numbers({ROWS}) SETTINGS async_insert = 0"
        )
    yield client
    client.close()


def expression(table: str, name: str, kind: str) -> str:
    return NAMED.get(f"{table}.{name}") or NAMED.get(name) or value(kind)


def value(kind: str) -> str:
    name, _, inner = kind.partition("(")
    if name == "LowCardinality":
        return value(inner[:-1])
    if name == "Nullable":
        return f"if(number % 3 = 0, NULL, {value(inner[:-1])})"
    if name == "Array":
        return f"arrayResize([{value(inner[:-1])}], number % 4)"
    return VALUES[name]


@pytest.fixture(scope="module")
def endpoint(owner: Any) -> Iterator[Endpoint]:
    endpoint = serve(owner.path)
    yield endpoint
    endpoint.stop()


@pytest.fixture(scope="module")
def statements(owner: Any) -> list[str]:
    tables = owner.query("SELECT name FROM system.tables WHERE database = 'undertow' ORDER BY name")
    return [f"SELECT * FROM {name} ORDER BY ALL" for (name,) in tables.result_rows] + MORE


@pytest.fixture(scope="module")
def truth(owner: Any, statements: list[str]) -> list[dict[str, Any]]:
    """What JSON says, as clients say it: columns, and rows with times in microseconds."""
    reader = Reader(owner.path)
    try:
        return [
            values(json.loads(reader.run(f"{sql} FORMAT JSONCompact").body)) for sql in statements
        ]
    finally:
        reader.close()


def values(answer: dict[str, Any]) -> dict[str, Any]:
    kinds = [column["type"] for column in answer["meta"]]
    rows = [
        [as_said(kind, one) for kind, one in zip(kinds, row, strict=True)] for row in answer["data"]
    ]
    return {"columns": [column["name"] for column in answer["meta"]], "rows": rows}


def as_said(kind: str, one: Any) -> Any:
    if isinstance(one, str) and re.search(r"\bDate", kind):
        moment = datetime.fromisoformat(one).replace(tzinfo=UTC)
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    return one


def differences(
    statements: list[str], truth: list[dict[str, Any]], given: list[dict[str, Any]]
) -> list[str]:
    """Name each statement whose answer is another, and its first difference."""
    differences = []
    for sql, wanted, given_cell in zip(statements, truth, given, strict=True):
        # clickhouse-go tells no columns of an answer without rows.
        if given_cell.get("error") or (
            given_cell.get("columns") != wanted["columns"] and wanted["rows"]
        ):
            differences.append(f"{sql}: {given_cell.get('error') or given_cell.get('columns')}")
        elif len(given_cell["rows"]) != len(wanted["rows"]):
            differences.append(f"{sql}: {len(given_cell['rows'])} rows, not {len(wanted['rows'])}")
        else:
            cells = [
                (name, cell, other)
                for row, row_got in zip(wanted["rows"], given_cell["rows"], strict=True)
                for name, cell, other in zip(wanted["columns"], row, row_got, strict=True)
                if not same(cell, other)
            ]
            differences += [f"{sql}: {cells[0]} and {len(cells) - 1} more"] if cells else []
    return differences


def same(wanted: Any, cell: Any) -> bool:
    if isinstance(wanted, list):
        return isinstance(cell, list) and len(wanted) == len(cell) and all(map(same, wanted, cell))
    if isinstance(wanted, dict):
        return (
            isinstance(cell, dict)
            and wanted.keys() == cell.keys()
            and all(same(wanted[k], cell[k]) for k in wanted)
        )
    if isinstance(wanted, bool) or isinstance(cell, bool) or wanted is None or cell is None:
        return wanted is cell
    if isinstance(wanted, float) or isinstance(cell, float):
        return float(wanted) == float(cell)
    return str(wanted) == str(cell)


def plain(one: Any) -> Any:
    """Say a Python value as JSON says it, times in microseconds."""
    if isinstance(one, datetime):
        return as_said("DateTime", one.replace(tzinfo=None).isoformat())
    if isinstance(one, date):
        return as_said("Date", one.isoformat())
    if isinstance(one, bytes):
        return one.decode()
    if isinstance(one, list | tuple):
        return [plain(each) for each in one]
    if isinstance(one, dict):
        return {str(key): plain(each) for key, each in one.items()}
    return str(one) if isinstance(one, Decimal | IPv4Address) else one


def answered(columns: Sequence[str], given: Iterable[Any]) -> dict[str, Any]:
    return {"columns": list(columns), "rows": [plain(list(row)) for row in given]}


def needed(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        reason = f"{' and '.join(missing)} not installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def run(command: list[str], cwd: Path, stdin: str = "") -> str:
    done = subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Where Go's own installer puts it, which few have in their path.
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    needed("go" if go is None else go)
    program = tmp_path_factory.mktemp("go") / "client"
    run([str(go), "build", "-o", str(program), "."], CLIENTS / "go")
    return program


def test_a_type_that_native_is_not_rewritten_for_is_a_readable_error(
    go_client: Path, endpoint: Endpoint
) -> None:
    sql = "SELECT sumState(number) AS s FROM numbers(3)"
    [line] = run(
        [str(go_client), f"127.0.0.1:{endpoint.port}", "lz4"], go_client.parent, sql
    ).splitlines()
    assert "Code: 48. DB::Exception: Type AggregateFunction(sum, UInt64) cannot be sent" in line


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("mvn", "javac")
    folder = tmp_path_factory.mktemp("jars")
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    run(command, CLIENTS / "java")
    return folder


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4"])
def test_clickhouse_go_reads_every_table_and_view(
    go_client: Path, endpoint: Endpoint, statements: list[str], truth: list[Any], compression: str
) -> None:
    place = f"127.0.0.1:{endpoint.port}"
    out = run([str(go_client), place, compression], go_client.parent, "\n".join(statements + BAD))
    given = [json.loads(line) for line in out.splitlines()]
    assert differences(statements, truth, given[: len(statements)]) == []
    for answer in given[len(statements) :]:
        assert re.search(r'"Code: \d+\. DB::Exception: [^"]+\([A-Z_]+\)', answer["error"] + '"')


def test_clickhouse_jdbc_reads_every_table_and_view(
    jars: Path, endpoint: Endpoint, statements: list[str], truth: list[Any]
) -> None:
    command = ["java", "-cp", f"{jars}/*", str(CLIENTS / "java" / "Client.java")]
    out = run([*command, f"127.0.0.1:{endpoint.port}"], jars, "\n".join(statements + BAD))
    metadata, *given = [json.loads(line) for line in out.splitlines()]
    assert {"trades", "board_24h"} <= set(metadata["tables"])
    assert {"price", "ts_event"} <= set(metadata["columns"])
    assert differences(statements, truth, given[: len(statements)]) == []
    for answer in given[len(statements) :]:
        assert re.search(r"Code: \d+\. DB::Exception: ", answer["error"])


@pytest.mark.parametrize("compress", [False, "lz4", "gzip"])
def test_clickhouse_connect_reads_every_table_and_view(
    endpoint: Endpoint, statements: list[str], truth: list[Any], compress: Any
) -> None:
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=endpoint.port, compress=compress, settings={"max_threads": 1}
    )
    results = [client.query(sql) for sql in statements]
    client.close()
    given = [answered(result.column_names, result.result_rows) for result in results]
    assert differences(statements, truth, given) == []


def test_sqlalchemy_reads_every_table_and_view(
    endpoint: Endpoint, statements: list[str], truth: list[Any]
) -> None:
    engine = sqlalchemy.create_engine(f"clickhousedb://127.0.0.1:{endpoint.port}/undertow")
    with engine.connect() as connection:
        results = [connection.exec_driver_sql(sql) for sql in statements]
        given = [answered(list(result.keys()), result.all()) for result in results]
    engine.dispose()
    assert differences(statements, truth, given) == []


def test_there_are_rows_to_compare(statements: list[str], truth: list[Any]) -> None:
    empty = [sql for sql, answer in zip(statements, truth, strict=True) if not answer["rows"]]
    assert set(empty) <= {MORE[-1]}
