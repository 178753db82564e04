"""Where diagnostics go: stderr, as text or as one JSON object a line, without secrets."""

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from schemas.redact import redacted
from streams.process.settings import Settings

#: Kafka's clients tell of a broker that is away many times a second: once in this, seconds.
CLIENTS_EVERY_S = 10.0
_CLIENTS = ("aiokafka", "undertow.librdkafka")
#: Faust's own machinery, under its names or those of our classes: eighty lines at each start, of
#: which an operator needs none.
_INTERNALS = ("faust", "mode", "aiokafka", "streams.detect")


class JsonLines(logging.Formatter):
    """One JSON object a line, whatever line breaks the message has."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; `time` is UTC."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Seldom(logging.Filter):
    """Passes a line of Kafka's clients once in a while, however its numbers differ."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be written."""
        if not record.name.startswith(_CLIENTS):
            return True
        text, now = re.sub(r"\d+", "", record.getMessage()), time.monotonic()
        if now - self._logged_at.get(text, -CLIENTS_EVERY_S) < CLIENTS_EVERY_S:
            return False
        self._logged_at[text] = now
        return True


class Masked:
    """A text stream that no known secret passes: logs, tracebacks, warnings, refusals alike."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text` redacted; return its length, as its writer knows it."""
        self._stream.write(redacted(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line redacted."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def mask_stderr() -> None:
    """Let nothing reach stderr but through `Masked`, whatever this process prints there."""
    if not isinstance(sys.stderr, Masked):
        sys.stderr = Masked(sys.stderr)


def log_to_stderr(settings: Settings) -> None:
    """Send diagnostics to stderr, those of an unexpected end too, in the form asked for."""
    mask_stderr()
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonLines() if settings.log_format == "json" else text)
    handler.addFilter(Seldom())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    if settings.log_level == "info":
        for name in _INTERNALS:
            logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _unexpected
    threading.excepthook = lambda thread_end: _unexpected(
        thread_end.exc_type, thread_end.exc_value or thread_end.exc_type(), thread_end.exc_traceback
    )


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    log = logging.getLogger("undertow")
    log.critical("unexpected: %s", error, exc_info=(kind, error, trace))
