"""Where diagnostics go: stderr, as text or as one JSON object a line."""

import json
import logging
import re
import sys
import threading
import time
from datetime import UTC, datetime
from types import TracebackType

from streams.settings import Settings

#: Kafka's clients tell of a broker that is away many times a second: once in this, seconds.
CLIENTS_EVERY_S = 10.0
_CLIENTS = ("aiokafka", "undertow.librdkafka")


class JsonLines(logging.Formatter):
    """One JSON object a line, whatever line breaks the message has."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; `time` is UTC."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0]:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


class Seldom(logging.Filter):
    """Passes a line of Kafka's clients once in a while, however its numbers differ."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be written."""
        if not record.name.startswith(_CLIENTS):
            return True
        text, now = re.sub(r"\d+", "", record.getMessage()), time.monotonic()
        if now - self._told.get(text, -CLIENTS_EVERY_S) < CLIENTS_EVERY_S:
            return False
        self._told[text] = now
        return True


def log_to_stderr(settings: Settings) -> None:
    """Send diagnostics to stderr, those of an unexpected end too, in the form asked for."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonLines() if settings.log_format == "json" else text)
    handler.addFilter(Seldom())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    sys.excepthook = _unexpected
    threading.excepthook = lambda told: _unexpected(
        told.exc_type, told.exc_value or told.exc_type(), told.exc_traceback
    )


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    log = logging.getLogger("undertow")
    log.critical("unexpected: %s", error, exc_info=(kind, error, trace))
