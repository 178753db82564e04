"""`undertow detect`: the detectors as Faust agents."""

from typing import Any

import click

from streams.cli.options import option, watched
from streams.cli.stage import stage
from streams.process.params_file import load_params


@click.command()
@option("kafka_url")
@option("data_dir")
@option("partitions")
@option("params")
@option("flush_s")
@watched
def detect(**given: Any) -> None:
    """Run the detectors as Faust agents. Run as many as there are partitions.

    \b
    undertow detect --kafka-url broker1:9092 --partitions 8 --params fitted.json
    """
    from streams.detect import topics
    from streams.detect.app import create_app, work
    from streams.process.program import end_at_once

    with stage(given) as settings:
        topics.guard(topics.fit(settings), end_at_once)
        app = create_app(settings, load_params(settings.params))
        topics.make_changelogs(settings, app)
        work(app)
