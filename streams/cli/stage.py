"""What every long-running stage begins with: settings, logs, health, and a Kafka that answers."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from schemas.topic_identity import TopicsUnfit
from streams.cli.options import Refused, settled, with_kafka
from streams.core.params import ParamsError
from streams.process.logs import log_to_stderr
from streams.process.settings import Settings

log = logging.getLogger("undertow")


@contextlib.contextmanager
def stage(
    given: dict[str, Any], before: Callable[[Settings], object] = lambda _: None
) -> Iterator[Settings]:
    """Yield the settings of a long-running stage that logs, is watched, and has its Kafka.

    `before` sees them while nothing is waited for yet; it raises ValueError for what cannot be.
    """
    from streams.process import health

    # Until the stage listens itself: as a container's first process we would not hear it.
    # At once: an exit that is raised may meet a call of C, and come out as a SystemError.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    settings = settled(**given)
    log_to_stderr(settings)
    try:
        _checked(settings, before)
        with health.serving(settings, click.get_current_context().info_name or "undertow"):
            yield with_kafka(settings)
    except (health.CannotServe, ParamsError, TopicsUnfit, click.ClickException) as problem:
        refused = problem if isinstance(problem, click.ClickException) else Refused(str(problem))
        if settings.log_format == "text":
            raise refused from None
        log.critical(refused.format_message())
        sys.exit(refused.exit_code)


def _checked(settings: Settings, before: Callable[[Settings], object]) -> None:
    try:
        before(settings)
    except ValueError as problem:
        raise Refused(str(problem)) from None
