"""The tables of a cluster: every statement parsed by the real engine, and run by it where it can.

chDB has no Keeper, so what is told here loses its ON CLUSTER and its replicas before it runs; the
tables over the shards are real, over one shard that is this process. Replication itself, and two
shards that are two servers, are not tested here.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from schemas.bars import Bar
from schemas.market import Liquidation
from schemas.words import SECOND
from sinks.clickhouse import cluster, comments
from sinks.clickhouse.client import Batch, Writer
from sinks.clickhouse.cluster import EVERYWHERE, LOCAL, SHARDED_BY, Cluster, UnknownStatement
from sinks.clickhouse.intents import Intents
from sinks.clickhouse.migrate import migrate, migrations, statements
from sinks.clickhouse.rows import COLUMNS

T = 1_763_683_200_000_000
_SHARD = "<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>"
#: chDB takes a shard for itself where its port is that of the configuration; nobody listens there.
CONFIG = (
    f"<clickhouse><tcp_port>9000</tcp_port><remote_servers><one>{_SHARD}</one>"
    f"<two>{_SHARD}{_SHARD}</two></remote_servers></clickhouse>"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    config = folder / "config.xml"
    config.write_text(CONFIG)
    options = {"config-file": str(config)}
    client = clickhouse_connect.get_client(
        interface="chdb", path=str(folder / "data"), chdb_options=options
    )
    yield client
    client.close()


class Told:
    """What a cluster's servers were told by `migrate`, run on this one engine."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.statements: list[str] = []

    def migrate(self, name: str, days: dict[str, int] | None = None) -> list[str]:
        """Migrate a database of the cluster `name` (and of that name); return what was told."""
        plain, first = self.engine.command, len(self.statements)

        def command(sql: str, **more: Any) -> Any:
            self.statements.append(sql)
            return plain(_stand_alone(sql), **more)

        self.engine.command = command
        try:
            migrate(self.engine, f"on_{name}", days, name)
        finally:
            self.engine.command = plain
        return self.statements[first:]


def _stand_alone(sql: str) -> str:
    sql = re.sub(r" ON CLUSTER '\w+'", "", sql)
    sql = re.sub(r"Replicated(\w+)\('[^']+', '[^']+'(?:, )?", r"\1(", sql)
    return re.sub(r"replicated_deduplication_window(_seconds = \d+)?", _window, sql)


def _window(match: re.Match[str]) -> str:
    return "merge_with_ttl_timeout = 604800" if match[1] else "non_replicated_deduplication_window"


@pytest.fixture(scope="module")
def sharded(engine: Any) -> Told:
    sharded = Told(engine)
    sharded.migrate("one")
    return sharded


def test_the_engine_s_parser_takes_every_statement(engine: Any, sharded: Told) -> None:
    assert len(sharded.statements) > 100
    for sql in sharded.statements:
        [[formatted]] = engine.query("SELECT formatQuery({q:String})", {"q": sql}).result_rows
        assert ("ON CLUSTER" in formatted) != sql.startswith("INSERT INTO")


def test_each_table_is_replicated_and_read_over_all_shards(engine: Any, sharded: Told) -> None:
    made = [sql for sql in sharded.statements if sql.startswith("CREATE TABLE")]
    stored = [sql for sql in made if "MergeTree" in sql]
    assert all(re.search(r"ENGINE = Replicated(Replacing)?MergeTree\('", sql) for sql in stored)
    query = "SELECT name, engine FROM system.tables WHERE database = 'on_one' AND engine != 'View'"
    engines = dict(engine.query(query).result_rows)
    for table in COLUMNS:
        assert engines[table] == "Distributed"
        assert engines[table + LOCAL] == "ReplacingMergeTree"
    assert engines.keys() == {*COLUMNS, *(t + LOCAL for t in COLUMNS), *EVERYWHERE}


def test_tables_have_the_columns_that_rows_fill_and_comments(engine: Any, sharded: Told) -> None:
    for table, names in COLUMNS.items():
        for place in (table, table + LOCAL):
            described = engine.query(f"DESCRIBE on_one.{place}").result_rows
            assert [row[0] for row in described] == list(names)
    engine.database = "on_one"
    assert comments.statements(engine) == []
    query = "SELECT table, name FROM system.columns WHERE database = 'on_one' AND comment = ''"
    assert engine.query(query).result_rows == []


def test_a_row_s_shard_follows_from_its_identity_alone(engine: Any, sharded: Told) -> None:
    query = "SELECT name, sorting_key FROM system.tables WHERE database = 'on_one'"
    keys = dict(engine.query(query).result_rows)
    for table in COLUMNS:
        columns = SHARDED_BY.get(table, "asset").split(", ")
        assert set(columns) <= set(keys[table + LOCAL].split(", "))


def test_a_retry_under_its_token_changes_nothing_through_a_table_over_shards(
    engine: Any, sharded: Told
) -> None:
    engine.database = "on_one"
    bars = [
        Bar(venue="okx", instrument="BTC-USDT-PERP", asset="BTC", ts_open=T + n * SECOND,
            width=SECOND, high=2.0, low=1.0, quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=1)
        for n in range(50)
    ]  # fmt: skip
    batch = Batch("bars", "bars", 0, 0, 49, bars, range(50))
    for _ in range(3):
        assert Writer(engine).insert(batch) == 50
    assert engine.query("SELECT count() FROM bars_local").result_rows == [(50,)]
    assert engine.query("SELECT sum(trades) FROM bars_1s").result_rows == [(50,)]
    Intents(engine).write([batch])
    assert [(i.table, i.lo, i.hi) for i in Intents(engine).last()] == [("bars", 0, 49)]


def test_every_view_reads_over_the_shards(engine: Any, sharded: Told) -> None:
    order = Liquidation(
        event_id="l", venue="okx", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT",
        asset="BTC", position_side="long", order_side=None, price=None, price_kind=None,
        quantity=None, notional_usd=1e6, coverage="full", stream="s", ts_event=T, ts_recv=T,
    )  # fmt: skip
    for name in ("one", "two"):
        if name == "two":
            sharded.migrate("two")
        engine.database = f"on_{name}"
        Writer(engine).insert(Batch("liquidations", "liquidations", 0, 0, 0, [order], [0]))
        query = f"SELECT name FROM system.tables WHERE database = 'on_{name}' AND engine = 'View'"
        views = [row[0] for row in engine.query(query).result_rows]
        assert {"press_24h", "inflows_before", "leverage_rebuild"} <= set(views)
        for view in views:
            engine.query(f"SELECT * FROM {view}")
    assert engine.query("SELECT notional_usd FROM on_one.board_24h").result_rows == [(1e6,)]


def test_retention_is_told_where_the_rows_are(engine: Any, sharded: Told) -> None:
    def altered(days: int) -> list[str]:
        return [x for x in sharded.migrate("one", {"trades": days}) if x.startswith("ALTER")]

    setting, ttl = altered(30)
    assert setting.startswith("ALTER TABLE trades_local ON CLUSTER 'one' MODIFY SETTING")
    assert ttl.startswith("ALTER TABLE trades_local ON CLUSTER 'one' MODIFY TTL")
    assert altered(30) == []
    assert altered(0) == ["ALTER TABLE trades_local ON CLUSTER 'one' REMOVE TTL"]
    assert altered(0) == []


def test_a_statement_of_a_new_form_is_refused_not_guessed() -> None:
    shared = Cluster("c", "d")
    with pytest.raises(UnknownStatement, match="OPTIMIZE TABLE trades"):
        shared.statements("OPTIMIZE TABLE trades")
    for migration in migrations():
        for statement in statements(migration.text):
            assert shared.statements(statement)


def test_the_window_of_tokens_is_as_long_as_a_single_server_s() -> None:
    [sql, _] = Cluster("c", "d").statements(
        "CREATE TABLE IF NOT EXISTS t (asset String) ENGINE = ReplacingMergeTree(version)"
        " ORDER BY asset SETTINGS non_replicated_deduplication_window = 10000"
    )
    assert (
        "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', version)"
        in sql
    )
    assert cluster._WINDOW in sql
    assert "non_replicated" not in sql
