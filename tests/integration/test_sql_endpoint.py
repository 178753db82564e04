"""The SQL endpoint over a real chDB: what clients need works, what strangers want does not."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from urllib.parse import urlencode

import clickhouse_connect
import lz4.frame
import pytest
import sqlalchemy
from backports import zstd
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError

from schemas.market import Trade
from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.migrate import migrate
from sinks.sql.compression import FRAMES, compressed, plain_from_frames
from sinks.sql.endpoint import MAX_SQL_BYTES, EndpointError, serve
from sinks.sql.query import query
from sinks.sql.reader import Limits, QueryError, Reader

T = 1_763_683_200_000_000
LIMITS = Limits(seconds=1, result_rows=100_000)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def owner(data_dir):
    client = open_client("chdb", data_dir)
    migrate(client, "undertow")
    yield client
    client.close()


@pytest.fixture(scope="module")
def endpoint(owner):
    handle = serve(owner.path, limits=LIMITS)
    yield handle
    handle.stop()


@pytest.fixture(scope="module")
def client(endpoint):
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=endpoint.port, autogenerate_session_id=False
    )
    yield client
    client.close()


def ask(endpoint, sql="", headers=None, method=None, body=None, path="/", **arguments):
    """Ask as curl does: (status, headers, text)."""
    url = f"{endpoint.url}{path}" + (f"?{urlencode(arguments)}" if arguments else "")
    data = body if body is not None else sql.encode() or None
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.headers, problem.read().decode()


def trade(n):
    return Trade(
        event_id=f"t{n}", venue="binance", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT",
        asset="BTC", aggressor_side="buy", price=60_000.0, quantity=0.5, notional_usd=30_000.0,
        ts_event=T + n, ts_recv=T + n,
    )  # fmt: skip


# ---- what clients need


def test_ping_and_an_empty_query_say_ok(endpoint):
    assert ask(endpoint, path="/ping")[::2] == (200, "Ok.\n")
    assert ask(endpoint)[::2] == (200, "Ok.\n")
    assert ask(endpoint, method="POST", body=b"")[::2] == (200, "Ok.\n")


def test_a_query_may_stand_in_the_url_the_body_or_both(endpoint):
    assert ask(endpoint, query="SELECT 1")[2] == "1\n"
    assert ask(endpoint, "SELECT 2")[2] == "2\n"
    assert ask(endpoint, "+ 3", query="SELECT 2")[2] == "5\n"


def test_a_format_clause_wins_over_the_default_format(endpoint):
    status, headers, text = ask(endpoint, "SELECT 1 AS x", default_format="JSONEachRow")
    assert (status, json.loads(text)) == (200, {"x": 1})
    assert headers["X-ClickHouse-Format"] == "JSONEachRow"
    _, headers, text = ask(endpoint, "SELECT 1 AS x FORMAT CSV", default_format="JSON")
    assert (headers["X-ClickHouse-Format"], text) == ("CSV", "1\n")
    assert headers["Content-Type"].startswith("text/csv")
    _, headers, _ = ask(endpoint, "SELECT 1")
    assert headers["X-ClickHouse-Format"] == "TabSeparated"


def test_parameters_are_values_not_sql(endpoint):
    text = ask(endpoint, "SELECT {x:String} AS x", param_x="a' OR 1 --")[2]
    assert text == "a\\' OR 1 --\n"
    assert ask(endpoint, "SELECT {n:Int32} + 1", param_n="4")[2] == "5\n"


def test_the_database_is_the_run_s_unless_another_is_named(endpoint):
    for database in ({}, {"database": "default"}, {"database": "undertow"}):
        assert ask(endpoint, "SELECT currentDatabase()", **database)[2] == "undertow\n"
    assert ask(endpoint, "SELECT currentDatabase()", database="system")[2] == "system\n"
    status, headers, text = ask(endpoint, "SELECT 1", database="nope`; DROP")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "81")
    assert "UNKNOWN_DATABASE" in text


def test_limits_may_be_lowered_and_looks_changed(endpoint):
    sql = "SELECT getSetting('max_result_rows'), getSetting('join_use_nulls')"
    for asked in (
        ask(endpoint, sql, max_result_rows=7, join_use_nulls=1),
        ask(endpoint, f"{sql} SETTINGS max_result_rows = 7, join_use_nulls = 1"),
        ask(endpoint, f"{sql} SETTINGS max_result_rows = 7 FORMAT TSV SETTINGS join_use_nulls = 1"),
    ):
        assert (asked[2], asked[1]["X-Undertow-Ignored"]) == ("7\ttrue\n", None)


def test_limits_are_not_the_caller_s_to_lift(endpoint):
    sql = "SELECT getSetting('max_execution_time')"
    for wanted in ("60", "0", "-1", "nan", "x"):
        _, headers, text = ask(endpoint, sql, max_execution_time=wanted, allow_ddl="1")
        assert (text, headers["X-Undertow-Ignored"]) == ("1\n", "allow_ddl,max_execution_time")
    assert ask(endpoint, f"{sql} SETTINGS max_execution_time = 60")[::2] == (
        500,
        "Code: 452. DB::Exception: Setting max_execution_time shouldn't be greater than 1, or 0."
        " (SETTING_CONSTRAINT_VIOLATION)\n",
    )
    for clause in ("readonly = 0", "allow_ddl = 1", "output_format_schema = '/tmp/x'"):
        assert ask(endpoint, f"{sql} SETTINGS {clause}")[0] == 403
        assert ask(endpoint, f"SELECT * FROM ({sql} SETTINGS {clause})")[0] == 403


def test_a_name_may_be_settings(endpoint):
    sql = "SELECT t.SETTINGS, SETTINGS FROM (SELECT 1 AS SETTINGS) AS t WHERE SETTINGS = 1"
    assert ask(endpoint, sql)[2] == "1\t1\n"
    assert "max_threads" in ask(endpoint, "SHOW SETTINGS LIKE 'max_threads'")[2]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("lz4", lz4.frame.compress),
        ("deflate", zlib.compress),
    ],
)
def test_a_compressed_request_is_unpacked_within_bounds(endpoint, encoding, pack):
    headers = {"Content-Encoding": encoding}
    assert ask(endpoint, body=pack(b"SELECT 7"), headers=headers)[2] == "7\n"
    bomb = pack(b"SELECT 7 " + b" " * 50 * MAX_SQL_BYTES)
    status, body, _ = ask(endpoint, body=bomb, headers=headers)
    assert status == 413
    assert body.get("X-ClickHouse-Exception-Code") == "381"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("lz4", lz4.frame.compress),
        ("zstd", zstd.compress),
    ],
)
def test_a_request_compressed_in_several_frames_is_read_to_its_end(endpoint, encoding, pack):
    headers = {"Content-Encoding": encoding}
    body = pack(b"SELECT ") + pack(b"7") + pack(b" + 1")
    assert ask(endpoint, body=body, headers=headers)[2] == "8\n"
    bomb = pack(b"SELECT 7") + pack(b" " * (MAX_SQL_BYTES // 2)) * 3
    assert ask(endpoint, body=bomb, headers=headers)[0] == 413


def test_a_torn_compressed_request_is_an_error_not_a_crash(endpoint):
    for encoding in ("lz4", "br2"):
        status, _, text = ask(endpoint, body=b"\x00\x01", headers={"Content-Encoding": encoding})
        assert status in (403, 500)
        assert text.startswith("Code: ")
    whole = lz4.frame.compress(b"SELECT 1")
    for torn in (whole[:-6], whole + whole[:-6], whole + b"SELECT 2"):
        assert ask(endpoint, body=torn, headers={"Content-Encoding": "lz4"})[0] == 500


MANY = "SELECT number, toString(number) FROM numbers(99999)"


@pytest.mark.parametrize(
    ("encoding", "undo"),
    [
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("lz4", lz4.frame.decompress),
        ("zstd", zstd.decompress),
    ],
)
def test_an_answer_comes_in_an_encoding_that_the_client_takes(endpoint, encoding, undo):
    plain = raw(endpoint, MANY)[1]
    headers, body = raw(endpoint, MANY, {"Accept-Encoding": f"br;q=1.0, {encoding};q=0.5"})
    assert headers["Content-Encoding"] == encoding
    assert len(body) < 0.8 * len(plain)
    assert undo(body) == plain
    for refused in (f"{encoding};q=0", "br", "identity"):
        assert raw(endpoint, MANY, {"Accept-Encoding": refused})[0]["Content-Encoding"] is None
    asked = {"Accept-Encoding": encoding}
    headers, body = raw(endpoint, MANY, asked, enable_http_compression=0)
    assert (headers["Content-Encoding"], body) == (None, plain)


def test_clickhouse_s_own_frames_go_both_ways(endpoint):
    plain = raw(endpoint, MANY)[1]
    _, body = raw(endpoint, MANY, compress=1)
    assert plain_from_frames(body, 10**8) == plain
    assert body[16:17] == b"\x82"
    question = compressed(b"SELECT 40 + 2", FRAMES)
    assert ask(endpoint, body=question, decompress=1)[2] == "42\n"
    torn = question[:-1] + b"?"
    status, headers, _ = ask(endpoint, body=torn, decompress=1)
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "40")
    bomb = compressed(b"SELECT 1 " + b" " * 50 * MAX_SQL_BYTES, FRAMES)
    assert ask(endpoint, body=bomb, decompress=1)[0] == 413
    with pytest.raises(urllib.error.HTTPError) as caught:
        raw(endpoint, "SELECT nope", compress=1)
    assert plain_from_frames(caught.value.read(), 10**6).startswith(b"Code: 47. ")


def raw(endpoint, sql, headers=None, **arguments):
    """Ask, and return headers and bytes as they came; raises HTTPError."""
    request = urllib.request.Request(
        f"{endpoint.url}/?{urlencode(arguments)}", sql.encode(), headers or {}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers, answer.read()


def test_head_says_what_get_would(endpoint):
    answer = ask(endpoint, query=MANY)
    head = ask(endpoint, query=MANY, method="HEAD")
    assert (head[0], head[2]) == (200, "")
    assert head[1]["Content-Length"] == answer[1]["Content-Length"] == str(len(answer[2]))
    assert ask(endpoint, method="HEAD")[::2] == (200, "")
    assert ask(endpoint, query="SELECT nope", method="HEAD")[::2] == (404, "")


def test_the_summary_counts_rows_that_were_read(endpoint):
    summary = json.loads(
        ask(endpoint, "SELECT sum(number) FROM numbers(5000)")[1]["X-ClickHouse-Summary"]
    )
    assert summary["read_rows"] == "5000"
    assert summary["read_bytes"] == "40000"
    assert summary["result_rows"] == "1"


def test_an_error_has_one_code(endpoint):
    for sql in (
        "SELECT nope", "SELECT 1 1", "SELECT throwIf(1)", "SELECT 1 FORMAT Nope",
        "SELECT toInt32('x')", "SELECT 1 SETTINGS readonly = 0", "SELECT number FROM numbers(300000)",
        "SELECT * FROM (SELECT 1 SETTINGS max_threads = 'x')",
    ):  # fmt: skip
        status, headers, text = ask(endpoint, sql)
        assert status >= 400
        assert text.count("Code: ") == 1
        assert text.startswith(f"Code: {headers['X-ClickHouse-Exception-Code']}. DB::Exception: ")
        assert text.count("(version") == 0


def test_bad_sql_is_answered_with_its_code_and_text(endpoint):
    for sql, status, code in (
        ("SELECT 1 1", 400, 62),
        ("SELECT nope", 404, 47),
        ("SELECT * FROM no", 404, 60),
    ):
        http_status, headers, text = ask(endpoint, sql)
        assert (http_status, headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
        assert text.startswith(f"Code: {code}. DB::Exception: ")
        assert "formatQuery" not in text


def test_a_failed_query_s_rows_never_reach_the_next_one(endpoint):
    for _ in range(4):
        status, _, text = ask(endpoint, "SELECT number FROM numbers(300000)")
        assert (status, text[:9]) == (500, "Code: 396")
        assert ask(endpoint, "SELECT 42")[2] == "42\n"


def test_a_query_that_takes_too_long_is_stopped(endpoint):
    status, headers, _ = ask(endpoint, "SELECT count() FROM numbers(1000000000000)")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (408, "159")


def test_clickhouse_connect_reads_types_parameters_and_frames(client):
    sql = "SELECT {a:String}, toDateTime64('2025-01-01', 6, 'UTC'), [1, 2], map('k', 1.5), NULL"
    row = client.query(sql, parameters={"a": "x\ty'\n"}).result_rows[0]
    assert (row[0], row[2], row[3], row[4]) == ("x\ty'\n", [1, 2], {"k": 1.5}, None)
    assert client.query_arrow("SELECT number FROM numbers(3)").num_rows == 3
    assert client.command("SELECT 1") == 1
    with client.query_row_block_stream("SELECT number FROM numbers(50000)") as blocks:
        assert sum(len(block) for block in blocks) == 50_000


def test_clickhouse_connect_sees_errors_as_a_server_s(client):
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM nope")
    assert caught.value.code == 60
    with pytest.raises(DatabaseError) as caught:
        client.insert("trades", [[1.0]], column_names=["price"])
    assert caught.value.code == 164
    with pytest.raises(ProgrammingError, match="readonly"):
        client.query("SELECT 1", settings={"allow_ddl": 0})


def test_clickhouse_connect_sends_settings(client):
    sql = "SELECT toUInt64(getSetting('max_threads')), getSetting('join_use_nulls')"
    assert client.query(sql, settings={"max_threads": 1, "join_use_nulls": 1}).result_rows == [
        (1, True)
    ]
    with pytest.raises(DatabaseError, match="TOO_MANY_ROWS"):
        client.query("SELECT number FROM numbers(50)", settings={"max_result_rows": 10})


def test_sqlalchemy_reads_tables_views_and_rows(endpoint):
    engine = sqlalchemy.create_engine(f"clickhousedb://default@127.0.0.1:{endpoint.port}/undertow")
    with engine.connect() as connection:
        inspected = sqlalchemy.inspect(connection)
        assert {"trades", "board_24h"} <= set(inspected.get_table_names()) | set(
            inspected.get_view_names()
        )
        assert "price" in {column["name"] for column in inspected.get_columns("trades")}
        trades = sqlalchemy.Table("trades", sqlalchemy.MetaData(), autoload_with=connection)
        rows = connection.execute(sqlalchemy.select(trades.c.price).limit(1)).all()
        assert rows in ([], [(60_000.0,)])
        with pytest.raises(sqlalchemy.exc.DBAPIError, match="Code: 60"):
            connection.execute(sqlalchemy.text("SELECT * FROM nope"))
    engine.dispose()


def test_the_async_client_connects_too(endpoint):
    async def read():
        client = await clickhouse_connect.get_async_client(host="127.0.0.1", port=endpoint.port)
        try:
            return (await client.query("SELECT 5")).result_rows
        finally:
            await client.close()

    assert asyncio.run(read()) == [(5,)]


def test_clients_read_whole_batches_without_doubles_while_the_owner_inserts(owner, client):
    failures = []

    def insert():
        try:
            for lo in range(0, 4_000, 200):
                records = [trade(n) for n in range(lo, lo + 200)]
                offsets = range(lo, lo + 200)
                for shift in (0, 10**6):  # told twice, under two tokens
                    Writer(owner).insert(
                        Batch("trades", "trades", 0, lo + shift, lo + shift + 199, records, offsets)
                    )
        except Exception as problem:
            failures.append(problem)

    thread = threading.Thread(target=insert)
    thread.start()
    seen = [0]
    while thread.is_alive():
        seen.append(client.query("SELECT count() FROM trades").result_rows[0][0])
    thread.join()
    assert not failures
    seen.append(client.query("SELECT count() FROM trades").result_rows[0][0])
    assert seen == sorted(seen)
    assert all(count % 200 == 0 for count in seen)
    assert seen[-1] == 4_000


# ---- what strangers want


HARMFUL = [
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT file('/etc/passwd')",
    "SELECT FiLe ('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    "SELECT /* x */ file /* y */ ('/etc/passwd')",
    "SELECT * APPLY file FROM (SELECT '/etc/passwd')",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd')",
    "SELECT arrayMap(file, ['/etc/passwd'])",
    "SELECT (SELECT '$a$', $a$'$a$, file('/etc/passwd'))",
    "SELECT '\\'', file('/etc/passwd'), '\\''",
    "DESCRIBE TABLE file('/etc/passwd')",
    "DESCRIBE TABLE url('http://127.0.0.1:1/x.csv')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV')",
    "SELECT * FROM remote('127.0.0.1', 'system', 'one')",
    "SELECT * FROM cluster('default', 'system', 'one')",
    "SELECT * FROM executable('id', 'TSV', 'a String')",
    "SELECT * FROM sqlite('/tmp/x.db', 't')",
    "SELECT * FROM Python(reader)",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM file('/etc/passwd')))",
    "SELECT * FROM viewIfPermitted(SELECT 1 AS a ELSE null('a Int32'))",
    "EXPLAIN SELECT * FROM file('/etc/passwd')",
    "WITH x AS (SELECT * FROM file('/etc/passwd')) SELECT * FROM x",
    "SELECT 1 IN (SELECT * FROM file('/etc/passwd'))",
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO OUTFILE '{out}' TRUNCATE FORMAT CSV",
    "INSERT INTO FUNCTION file('{out}') SELECT 1",
    "INSERT INTO trades (price) VALUES (1)",
    "SELECT * FROM default.`/etc/passwd`",
    "EXISTS TABLE default.`/etc/passwd`",
    "SELECT hasColumnInTable('default', '/etc/passwd', 'c1')",
    "SELECT 1; DROP TABLE trades",
    "DROP TABLE trades",
    "CREATE TABLE x (a Int32) ENGINE = Memory",
    "CREATE TEMPORARY TABLE x (a Int32)",
    "ALTER TABLE trades DELETE WHERE 1",
    "OPTIMIZE TABLE trades",
    "SYSTEM STOP MERGES",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "BACKUP DATABASE undertow TO File('{out}')",
    "SET readonly = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT aiGenerate('a', 'b')",
    "",
    "--",
]


@pytest.mark.parametrize("sql", HARMFUL)
def test_nothing_but_reading_tables_is_allowed(endpoint, tmp_path, sql):
    sql = sql.replace("{out}", str(tmp_path / "out"))
    status, headers, text = ask(endpoint, sql or " ; ")
    assert status in (400, 403, 500)
    assert headers["X-ClickHouse-Exception-Code"] in ("62", "164")
    assert "root:" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'file(', 'INTO OUTFILE' -- file(",
        "SELECT format('{}', 'a')",
        "SELECT * FROM numbers(3)",
        "SELECT * FROM view(SELECT 1)",
        "SHOW TABLES",
        "DESC trades",
        "EXPLAIN SELECT count() FROM trades",
        "EXISTS trades",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "WITH 1 AS x SELECT x;",
        "SELECT * FROM what_triggered",
        "SELECT 1 FORMAT Null",
        "SHOW CREATE TABLE trades",
        "USE system",
    ],
)
def test_ordinary_questions_are_answered(endpoint, sql):
    assert ask(endpoint, sql)[0] == 200


def test_every_table_function_is_refused_or_known_to_be_harmless(owner, endpoint):
    names = owner.query("SELECT name FROM system.table_functions").result_rows
    allowed = {
        name
        for (name,) in names
        if "is refused" not in ask(endpoint, f"DESCRIBE TABLE {name}()")[2]
        and name != "viewIfPermitted"  # does not parse without its arguments: see HARMFUL
    }
    assert allowed == {
        "SQLStandardValues", "format", "generateRandom", "generateSeries", "generate_series",
        "merge", "null", "numbers", "numbers_mt", "primes", "values", "view", "zeros", "zeros_mt",
    }  # fmt: skip


@pytest.mark.parametrize(
    "sql",
    [
        "EXISTS TABLE {d:Identifier}.{t:Identifier}",
        "EXISTS VIEW {d:Identifier}.{t:Identifier}",
        "DESCRIBE TABLE {d:Identifier}.{t:Identifier}",
        "SHOW CREATE TABLE {d:Identifier}.{t:Identifier}",
        "SELECT count() FROM {d:Identifier}.{t:Identifier}",
        "SELECT 1 IN (SELECT 1 FROM {d:Identifier}.{t:Identifier})",
        "EXPLAIN SELECT 1 FROM {d:Identifier}.{t:Identifier}",
        "SELECT count() FROM merge({d:String}, {t:String})",
        "SHOW COLUMNS FROM {t:Identifier} FROM {d:Identifier}",
        "SELECT joinGet(concat({d:String}, '.', {t:String}), 'c1', 1)",
        "SELECT dictGet(concat({d:String}, '.', {t:String}), 'c1', 1)",
        "EXISTS TABLE {t:Identifier}",
        "SELECT count() FROM {t:Identifier}",
    ],
)
@pytest.mark.parametrize(
    "name", ["default", "DEFAULT", "`default`", "_temporary_and_external_tables"]
)
def test_nothing_tells_whether_a_file_is_there(endpoint, tmp_path, sql, name):
    (tmp_path / "there.csv").write_text("c1,c2\n1,2\n")
    statuses = []
    for file in ("there.csv", "gone_.csv"):
        arguments = {"param_d": name, "param_t": str(tmp_path / file)}
        status, _, text = ask(endpoint, sql, **arguments)
        statuses.append((status, text.replace(file, "it")))
    assert statuses[0] == statuses[1]


def test_names_may_be_parameters(endpoint):
    names = {"param_d": "system", "param_t": "one", "param_c": "dummy"}
    sql = "SELECT {c:Identifier}, '{c:Identifier}' FROM {d:Identifier}.{t:Identifier}"
    assert ask(endpoint, sql, **names)[2] == "0\t{c:Identifier}\n"
    odd = "a`b.c\\d 'e"
    assert (
        ask(endpoint, "SELECT {c:Identifier} FROM (SELECT 3 AS `a\\`b.c\\\\d 'e`)", param_c=odd)[2]
        == "3\n"
    )


def test_a_form_s_parameters_are_looked_at_too(endpoint):
    fields = {"query": "EXISTS TABLE {d:Identifier}.`/etc/passwd`", "param_d": "default"}
    body = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, _, text = ask(endpoint, body=f"{body}--x--\r\n".encode(), headers=headers)
    assert (status, "default is refused" in text) == (403, True)


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none", "Origin": "http://localhost"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/", "/ping", "/elsewhere"])
def test_another_s_web_page_is_refused(endpoint, headers, path):
    for method in ("GET", "POST", "HEAD"):
        status, body, _ = ask(endpoint, path=path, headers=headers, method=method)
        assert (status, body["X-ClickHouse-Exception-Code"]) == (403, "164")


def test_a_page_of_our_own_and_an_address_bar_are_not(endpoint):
    host = f"127.0.0.1:{endpoint.port}"
    for headers in (
        {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert ask(endpoint, "SELECT 1", headers=headers)[2] == "1\n"


def test_no_browser_guesses_what_an_answer_is(endpoint):
    for path, sql in (("/", "SELECT 1"), ("/", "SELECT nope"), ("/ping", ""), ("/elsewhere", "")):
        assert ask(endpoint, sql, path=path)[1]["X-Content-Type-Options"] == "nosniff"


def test_a_page_that_rebinds_its_name_to_loopback_is_refused(endpoint):
    for host in ("evil.example", "evil.example:8123", "127.0.0.1.evil.example", "[::2]:1", ""):
        status, _, text = ask(endpoint, "SELECT 1", headers={"Host": host})
        assert (status, "not this machine" in text) == (403, True)
    for host in ("localhost", "127.0.0.1:1", "[::1]:9", f"localhost:{endpoint.port}"):
        assert ask(endpoint, "SELECT 1", headers={"Host": host})[2] == "1\n"


def test_a_header_cannot_be_forged_through_an_argument(endpoint):
    status, headers, _ = ask(
        endpoint, "SELECT 1", query_id="a\r\nX-Evil: 1", **{"b\r\nX-Evil": "1"}
    )
    assert status == 200
    assert headers["X-Evil"] is None


def test_other_methods_and_too_long_queries_are_refused(endpoint):
    assert ask(endpoint, method="DELETE")[0] == 403
    assert ask(endpoint, body=b"SELECT 1 " + b" " * MAX_SQL_BYTES)[0] == 413
    assert ask(endpoint, body=b"SELECT '\xff'")[0] == 400


# ---- opening, closing, asking from another process


def test_a_taken_port_is_a_clear_error_and_leaves_the_first_serving(owner, endpoint):
    with pytest.raises(EndpointError, match=f"127.0.0.1:{endpoint.port}.*in use"):
        serve(owner.path, port=endpoint.port)
    assert ask(endpoint, "SELECT 1")[2] == "1\n"


def test_stopping_twice_is_stopping(owner):
    handle = serve(owner.path)
    assert ask(handle, "SELECT 1")[2] == "1\n"
    handle.stop()
    handle.stop()
    with pytest.raises(urllib.error.URLError):
        ask(handle, "SELECT 1")


def test_a_reader_of_the_process_answers_without_http(owner):
    reader = Reader(owner.path)
    assert reader.run("SELECT 1 AS x FORMAT JSONEachRow").body == b'{"x":1}\n'
    with pytest.raises(QueryError, match="INTO OUTFILE") as caught:
        reader.run("SELECT 1 INTO OUTFILE '/tmp/x'")
    assert caught.value.code == 164
    reader.close()


def elsewhere(data_dir, sql="SELECT count() FROM trades", **env):
    """Run `query` in another process: (exit code, stdout, last line of stderr)."""
    code = f"from sinks.sql.query import query; print(query({sql!r}, 'CSV', data_dir={str(data_dir)!r}))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | env
    )
    return ran.returncode, ran.stdout.strip(), (ran.stderr.strip().splitlines() or [""])[-1]


@pytest.fixture
def note(data_dir, endpoint):
    path = data_dir / "endpoint.json"
    path.write_text(json.dumps({"url": endpoint.url, "pid": os.getpid()}))
    yield path
    path.unlink(missing_ok=True)


def test_another_process_asks_the_run_that_serves(data_dir, note):
    code, out, _ = elsewhere(data_dir, "SELECT 40 + 2", http_proxy="http://127.0.0.1:9")
    assert (code, out) == (0, "42")


def test_another_process_is_told_of_errors_as_they_are(data_dir, note):
    code, _, error = elsewhere(data_dir, "SELECT nope")
    assert code == 1
    assert "QueryError: Code: 47" in error


def test_another_process_reads_beside_the_owner_that_does_not_serve(data_dir, owner, endpoint):
    count = str(owner.query("SELECT count() FROM trades FINAL").result_rows[0][0])
    assert elsewhere(data_dir)[:2] == (0, count)
    note = data_dir / "endpoint.json"
    note.write_text('{"url": "http://127.0.0.1:9", "pid": 1}')  # left by a killed run
    answer = elsewhere(data_dir)
    note.unlink()
    assert answer[:2] == (0, count)


def test_with_no_run_the_database_is_opened_and_only_read(tmp_path):
    with pytest.raises(QueryError, match="nothing has been stored"):
        query("SELECT 1", data_dir=tmp_path)
    make = (
        "from sinks.clickhouse.client import open_client; from sinks.clickhouse.migrate import migrate;"
        f"migrate(open_client('chdb', {str(tmp_path)!r}), 'undertow')"
    )
    subprocess.run([sys.executable, "-c", make], check=True)
    assert elsewhere(tmp_path)[:2] == (0, "0")
    code, _, error = elsewhere(tmp_path, "DROP TABLE trades")
    assert code == 1
    assert "DROP is refused" in error
