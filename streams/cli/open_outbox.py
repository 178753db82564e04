"""The outbox as commands open it, beside a `notify` that works with it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streams.cli.options import Refused
from streams.process.settings import Settings


@contextlib.contextmanager
def open_outbox(settings: Settings) -> Iterator[Any]:
    """Yield the outbox of the data directory, or refuse with one line."""
    from sinks.webhooks.outbox import Outbox
    from sinks.webhooks.outbox_file import explained

    path = outbox_path(settings)
    try:
        with Outbox(path) as outbox:
            yield outbox
    except ValueError as problem:
        raise Refused(str(problem)) from None
    except sqlite3.Error as problem:
        raise Refused(str(explained(path, problem))) from None


def outbox_path(settings: Settings) -> Path:
    """Return where the outbox lies; refuse where there is none."""
    path = Path(settings.data_dir) / "outbox.sqlite"
    if not path.exists():
        raise Refused(f"no outbox at {path} yet: `undertow notify` makes it when it starts")
    return path
