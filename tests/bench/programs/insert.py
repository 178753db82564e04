"""The limit of the sink: `client.insert` of columns that lie ready, in batches of its size."""

from bench import load
from bench.meter import Meter, arguments
from sinks.clickhouse import client as clickhouse
from sinks.clickhouse import migrate
from sinks.clickhouse.rows import COLUMNS, Coords, columns
from streams.process.settings import Settings


def main() -> None:
    """Insert the wanted rows."""
    _, wanted, _ = arguments()
    size = Settings().batch_rows
    client = clickhouse.open_client("chdb", ".")
    migrate.migrate(client, "undertow")
    trades = list(load.trades(wanted))
    ready = [
        columns("trades", part, Coords("trades", 0, range(at, at + len(part))))
        for at in range(0, wanted, size)
        if (part := trades[at : at + size])
    ]
    types = client.create_insert_context("trades", column_names=COLUMNS["trades"]).column_types
    meter = Meter(wanted)
    for number, part in enumerate(ready):
        client.insert(
            "trades",
            part,
            column_names=COLUMNS["trades"],
            column_types=types,
            column_oriented=True,
            settings={"async_insert": 0, "insert_deduplication_token": f"bench:{number}"},
        )
        meter.add(len(part[0]))
    meter.tell()


main()
