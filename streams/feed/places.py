"""How far each producer has written, by topic, in a small file: where the next process goes on."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from schemas.status import FeedStatus

log = logging.getLogger("undertow.feed")


class Places:
    """Times (microseconds) before which everything was written, by producer and topic."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_new = False
        try:
            self._times = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, int]])
        except (OSError, ValueError):
            self._times = {}

    def of(self, producer: str) -> dict[str, int]:
        """Return how far a producer of this name has written each topic."""
        return dict(self._times.get(producer, {}))

    def written(self, topic: str, status: FeedStatus, parts: int) -> Callable[[], None]:
        """Return what hears that a word was taken by one of `parts` partitions."""
        missing = parts

        def heard() -> None:
            nonlocal missing
            missing -= 1
            if missing == 0 and status.state in ("alive", "silent"):
                times = self._times.setdefault(status.producer, {})
                times[topic] = max(times.get(topic, 0), status.ts_event)
                self._is_new = True

        return heard

    def save(self) -> None:
        """Write the file, if there is news; what a full disk does not take is for the next time.

        After a restart more is asked for then than is missing, and counts once.
        """
        if not self._is_new:
            return
        beside = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(self._times))
            os.replace(beside, self._path)
        except OSError as problem:
            log.warning("not noted how far the feed has come: %s", problem)
            return
        self._is_new = False
