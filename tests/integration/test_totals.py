"""The SQL totals say what the detector's say."""

import itertools

import pytest
from nights import START, liquidation

from schemas.words import SECOND
from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.migrate import migrate
from streams.core.detectors.totals import Seen, add, total
from streams.core.detectors.venue_rates import unthrottle
from streams.core.params import TotalsParams


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    made = open_client("chdb", tmp_path_factory.mktemp("data"))
    migrate(made, "totals")
    yield made
    made.close()


def test_the_multipliers_in_sql_are_those_of_the_parameters(client) -> None:
    rows = client.query("SELECT * FROM hidden_multipliers").result_rows
    params = TotalsParams()
    wanted = [
        (rule, share, *row)
        for rule, table in params.multipliers.items()
        for share, row in zip((0.0, *params.shares), table, strict=True)
    ]
    assert sorted(rows) == sorted(wanted)


def test_totals_by_venue_are_seen_and_estimated(client) -> None:
    start = START // 30 * 30
    orders = [
        liquidation(second, n, 1e4, "BTC", venue)
        for second in range(start, start + 90)
        for n, venue in enumerate(("binance", "bybit"))
        if venue == "bybit" or second % 3 == 0
    ]
    lo, hi = 0, len(orders)
    Writer(client).insert(
        Batch("liquidations", "liquidations", 0, lo, hi - 1, orders, range(lo, hi))
    )
    seen = Seen("latest_per_second")
    for _ in range(30):
        add(seen, 1e4, unthrottle(1 / 3, 30))
    total_usd = total(TotalsParams(), [seen])
    rows = client.query("SELECT * FROM totals_24h ORDER BY venue").result_rows
    assert rows[0][:2] == ("BTC", "binance")
    assert rows[0][2:] == pytest.approx(total_usd)
    assert rows[1] == ("BTC", "bybit", 9e5, 9e5, 9e5, 9e5)


def test_batches_of_a_recorder_are_not_estimated(client) -> None:
    made = liquidation(START + 5, 0, 1e5, "SOL", "binance")
    batch = type(made)(**{f: getattr(made, f) for f in made.__struct_fields__} | {"orders": 7})
    place = itertools.count(1_000)
    at = next(place)
    Writer(client).insert(
        Batch("liquidations", "liquidations", 0, at, at, [batch], range(at, at + 1))
    )
    rows = client.query("SELECT * FROM totals_24h WHERE asset = 'SOL'").result_rows
    assert rows == [("SOL", "binance", 1e5, None, None, None)]
    assert batch.ts_event // SECOND == START + 5
