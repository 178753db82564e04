"""The stopwatch of every program; only the standard library, as peers run elsewhere."""

import json
import sys
import time


class Meter:
    """Times from the record `skip` (caches warm, groups joined) to the record `wanted`."""

    def __init__(self, wanted: int, skip: int | None = None) -> None:
        self.wanted = wanted
        self.skip = wanted // 10 if skip is None else skip
        self.seen = 0
        self._began: tuple[int, float, float] | None = None
        self._ended: tuple[float, float] | None = None

    def add(self, count: int = 1) -> bool:
        """Count records; return whether all that were wanted are through."""
        self.seen += count
        if self._began is None and self.seen >= self.skip:
            self._began = (self.seen, time.perf_counter(), time.process_time())
        if self._ended is None and self.seen >= self.wanted:
            self._ended = (time.perf_counter(), time.process_time())
        return self._ended is not None

    def tell(self, more: dict[str, float] | None = None) -> None:
        """Print records, wall and CPU seconds between the two marks, and what else there is."""
        if not (self._began and self._ended):
            raise SystemExit(f"only {self.seen} of {self.wanted} records came")
        first, wall, cpu = self._began
        usage = {
            "records": self.seen - first,
            "seconds": self._ended[0] - wall,
            "cpu_s": self._ended[1] - cpu,
        } | (more or {})
        # Not `sys.stdout`, which Faust takes for its log.
        print(json.dumps(usage), file=sys.__stdout__, flush=True)


def arguments() -> tuple[str, int, str]:
    """Return bootstrap servers, how many records to take, and a name nobody else has."""
    return sys.argv[1], int(sys.argv[2]), sys.argv[3]
