"""Rows are kept for so many days of event time, on tables that hold rows already; findings stay."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sinks.clickhouse.client import open_client
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.retention import days_of, statements
from streams.cli import main

DAY_S = 86_400
_databases = count()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = open_client("chdb", tmp_path_factory.mktemp("data"))
    yield client
    client.close()


@pytest.fixture
def client(engine: Any) -> Any:
    migrate(engine, f"kept_{next(_databases)}")
    now = int(time.time())
    for table, column in (("trades", "event_id"), ("cascades", "finding_id")):
        # A row a day, and one of 2020, as a replay of an old night has.
        engine.command(
            f"INSERT INTO {table} ({column}, ts_event) SELECT toString(number),"
            f" fromUnixTimestamp64Micro(toInt64({now} - number * {DAY_S}) * 1000000, 'UTC')"
            f" FROM (SELECT arrayJoin(arrayConcat(range(40), [2000])) AS number)"
            " SETTINGS async_insert = 0"
        )
    return engine


def rows_of(client: Any, table: str) -> int:
    client.command(f"OPTIMIZE TABLE {table} FINAL")
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])


def test_a_table_that_was_filled_before_forgets_what_is_older(client: Any) -> None:
    assert rows_of(client, "trades") == 41
    assert migrate(client, client.database, {"trades": 10}) == []
    # A day's partition goes when the youngest row in it is too old.
    assert rows_of(client, "trades") in (10, 11)
    assert rows_of(client, "cascades") == 41


def test_without_the_setting_nothing_is_forgotten_and_what_was_set_stays(client: Any) -> None:
    migrate(client, client.database)
    assert rows_of(client, "trades") == 41
    migrate(client, client.database, {"trades": 10, "bars": 400})
    migrate(client, client.database)
    assert statements(client, {"trades": 10, "bars": 400}) == []


def test_0_keeps_for_ever_from_then_on(client: Any) -> None:
    migrate(client, client.database, {"trades": 3_000})
    migrate(client, client.database, {"trades": 0})
    query = "SELECT engine_full FROM system.tables WHERE name = 'trades' AND database = currentDatabase()"
    assert "TTL" not in client.query(query).result_rows[0][0]
    assert statements(client, {"trades": 0}) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cascades=5", "findings are kept for ever"),
        ("trades", "is not table=days"),
        ("trades=-1", "is not table=days"),
        ("trades=9999", "3650 days at most"),
        ("trade=5", "no table 'trade'"),
        ("sink_intent=5", "no table 'sink_intent'"),
    ],
)
def test_what_cannot_be_kept_so_is_refused_in_one_line(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=why):
        days_of(text)
    asked = ["migrate", "--data-dir", str(tmp_path), "--retention", text]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 2
    assert why in done.output
    assert done.output.count("\n") == 1


def test_days_are_read_by_table() -> None:
    assert days_of("trades=30, bars=400,") == {"trades": 30, "bars": 400}
    assert days_of("") == {}
