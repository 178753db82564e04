"""Migration 0003: bars become a replacing table, whole wherever it is stopped."""

import itertools

import pytest

from schemas.bars import Bar
from schemas.words import SECOND
from sinks.clickhouse import migrate as migrations
from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.migrate import MigrationError, migrate, statements

T = 1_763_683_200_000_000  # 2025-11-21 00:00:00 UTC
WHOLE = migrations.migrations()
OLD = [m for m in WHOLE if m.name < "0003"]
[BARS] = [m for m in WHOLE if m.name.startswith("0003")]
_databases = itertools.count()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    client = open_client("chdb", tmp_path_factory.mktemp("data"))
    yield client
    client.close()


def bar(n):
    # Two months, so that the copy spans partitions.
    return Bar(
        venue="okx", instrument="BTC-USDT-PERP", asset="BTC", ts_open=T + n * 86_400 * SECOND, width=SECOND, high=2.0,
        low=1.0, quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=1,
    )  # fmt: skip


def write_old(client, lo, hi):
    """Write the same bars into a table that has the columns of its time."""
    client.command(
        "INSERT INTO bars SELECT 'okx', 'BTC-USDT-PERP', 'BTC', fromUnixTimestamp64Micro(toInt64("
        f"{T} + number * {86_400 * SECOND}), 'UTC'), {SECOND}, 2, 1, 1, 2, 0, 1, 'bars', 0, number"
        f" FROM numbers({lo}, {hi - lo}) SETTINGS async_insert = 0"
    )


def write(client, lo, hi):
    records = [bar(n) for n in range(lo, hi)]
    Writer(client).insert(Batch("bars", "bars", 0, lo, hi - 1, records, range(lo, hi)))


def engine_of(client, table):
    sql = (
        f"SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = '{table}'"
    )
    return [row[0] for row in client.query(sql).result_rows]


@pytest.mark.parametrize("stopped_after", range(len(list(statements(BARS.text)))))
def test_bars_are_whole_wherever_the_migration_was_stopped(engine, monkeypatch, stopped_after):
    name = f"bars_{next(_databases)}"
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", lambda: OLD)
        migrate(engine, name)
    write_old(engine, 0, 30)
    half = "; ".join([*list(statements(BARS.text))[:stopped_after], "SELEC nothing"])
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", lambda: [*OLD, BARS._replace(text=half)])
        with pytest.raises(MigrationError):
            migrate(engine, name)
    assert BARS.name in migrate(engine, name)
    assert engine_of(engine, "bars") == ["ReplacingMergeTree"]
    assert engine_of(engine, "bars_replacing") == []
    assert engine.query("SELECT count(), sum(trades) FROM bars FINAL").result_rows == [(30, 30)]
    sums = engine.query("SELECT sum(trades), any(open), any(close) FROM bars_1s").result_rows
    assert sums == [(30, None, None)]


def test_a_part_of_a_bar_written_under_two_tokens_is_one_part(engine):
    migrate(engine, f"bars_{next(_databases)}")
    write(engine, 0, 20)
    write(engine, 5, 20)
    assert engine.query("SELECT sum(trades) FROM bars_1s").result_rows == [(20,)]
    assert engine.query("SELECT sum(trades) FROM bars_1m").result_rows == [(20,)]
