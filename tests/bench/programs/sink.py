"""The sink from Kafka into its own chDB, with its settings as shipped."""

import logging

from bench.meter import Meter, arguments
from schemas import metrics
from sinks.clickhouse import client as clickhouse
from sinks.clickhouse import migrate
from streams.process.settings import Settings
from streams.stack import processes


def main() -> None:
    """Run the sink's loop until the wanted rows are committed."""
    url, wanted, name = arguments()
    logging.disable()
    settings = Settings(kafka_url=url, group=name, data_dir=".")
    client = clickhouse.open_client("chdb", ".")
    migrate.migrate(client, "undertow")
    meter = Meter(wanted)
    rows = metrics.ROWS.labels("trades")._value
    processes.run_sink(settings, client, lambda: meter.add(int(rows.get()) - meter.seen))
    meter.tell()


main()
