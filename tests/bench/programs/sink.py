"""The sink from Kafka into its own chDB, with its settings as shipped."""

import logging

from bench.meter import Meter, arguments
from schemas import metrics
from sinks import clickhouse, migrate
from streams import stack
from streams.settings import Settings


def main() -> None:
    """Run the sink's loop until the wanted rows are committed."""
    url, wanted, name = arguments()
    logging.disable()
    settings = Settings(kafka_url=url, group=name, data_dir=".")
    client = clickhouse.open_client("chdb", ".")
    migrate.migrate(client, "undertow")
    meter = Meter(wanted)
    rows = metrics.ROWS.labels("trades")._value
    stack.run_sink(settings, client, lambda: meter.add(int(rows.get()) - meter.seen))
    meter.tell()


main()
