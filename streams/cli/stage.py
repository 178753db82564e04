"""What every long-running stage begins with: settings, logs, health, and a Kafka that answers."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Any

import click

from schemas.topic_identity import TopicsUnfit
from streams.cli.options import Refused, settled, with_kafka
from streams.core.params import ParamsError
from streams.process.logs import log_to_stderr
from streams.process.settings import Settings

log = logging.getLogger("undertow")


@contextlib.contextmanager
def stage(given: dict[str, Any]) -> Iterator[Settings]:
    """Yield the settings of a long-running stage that logs, is watched, and has its Kafka."""
    from streams.process import health

    # Until the stage listens itself: as a container's first process we would not hear it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = settled(**given)
    log_to_stderr(settings)
    try:
        with health.serving(settings):
            yield with_kafka(settings)
    except (health.CannotServe, ParamsError, TopicsUnfit, click.ClickException) as problem:
        refused = problem if isinstance(problem, click.ClickException) else Refused(str(problem))
        if settings.log_format == "text":
            raise refused from None
        log.critical(refused.format_message())
        sys.exit(refused.exit_code)
