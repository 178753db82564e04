"""The sink from Kafka into its own chDB, with its settings as shipped."""

import logging

from bench.meter import Meter, arguments
from schemas import metrics
from sinks import clickhouse, consumer, migrate
from streams import kafka
from streams.settings import Settings


def main() -> None:
    """Run the sink's loop until the wanted rows are committed."""
    url, wanted, name = arguments()
    logging.disable()
    settings = Settings(kafka_url=url, group=name)
    client = clickhouse.open_client("chdb", ".")
    migrate.migrate(client, "undertow")
    meter = Meter(wanted)
    rows = metrics.ROWS.labels("trades")._value
    consumer.run(
        kafka.consumer_conf(settings, "sink"),
        clickhouse.Writer(client),
        clickhouse.Intents(client),
        batch_rows=settings.batch_rows,
        flush_s=settings.flush_s,
        stopping=lambda: meter.add(int(rows.get()) - meter.seen),
    )
    meter.tell()


main()
