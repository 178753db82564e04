"""`undertow feed`: venues' live streams into Kafka."""

from typing import Any

import click

from streams.cli.learn import learn
from streams.cli.options import Refused, option, stopping, watched
from streams.cli.stage import stage


@click.group(invoke_without_command=True)
@click.pass_context
@option("venues")
@option("assets")
@option("feed_name")
@option("venue_urls")
@option("confirmations")
@option("transfer_least_usd")
@option("kafka_url")
@option("data_dir")
@watched
def feed(context: click.Context, **given: Any) -> None:
    """Hear venues live, and write what they tell to Kafka.

    A second feed of the same venues, under another --feed-name, may run beside the first: what
    both tell counts once. What a feed missed is asked for, else told as a gap in feed_status.

    \b
    undertow feed --venues binance,bybit --assets BTC,ETH --kafka-url broker1:9092
    undertow feed --venues binance,bybit --assets all --feed-name second
    """
    if context.invoked_subcommand:
        return
    from streams.feed import worker
    from streams.feed.kafka_outlet import NotDelivered
    from streams.feed.listing import Nothing
    from streams.feed.status_lines import showing
    from streams.feed.wanted import Unfit

    with stage(given) as settings:
        try:
            with showing() as show:
                worker.run(settings, stopping(), show)
        except (Unfit, Nothing) as problem:
            raise Refused(str(problem)) from None
        except NotDelivered as problem:
            raise click.ClickException(str(problem)) from None


feed.add_command(learn)
