"""Outbox time, of which is every time in the file: it never goes back and never jumps.

It runs with the machine's steady clock while a process has the file, and over a restart by what
the wall clock says has passed, at most LONGEST_GAP_US. So a wrong wall clock neither silences
an endpoint nor ages what is kept. It is not the time of day: only differences mean anything.
"""

import sqlite3
import time

from schemas.topics import DAY_MS

#: The most that a restart adds to outbox time, longer than any pause between attempts.
LONGEST_GAP_US = 2 * DAY_MS * 1000


def wall_us() -> int:
    """Return the time of day, microseconds UTC."""
    return time.time_ns() // 1000


def steady_us() -> int:
    """Return a time that no one can set; it goes on while the machine sleeps, where it can."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock) // 1000


def resumed_us(db: sqlite3.Connection, wall_us: int) -> int:
    """Return outbox time at this start, and let nothing wait for longer than a gap."""
    noted = db.execute("SELECT outbox_us, wall_us FROM clock").fetchone()
    if noted is None:
        # A new file, or one of version 1 or rescued, whose times are of the wall clock.
        (latest,) = db.execute("SELECT max(changed_us) FROM deliveries").fetchone()
        noted = (latest, latest) if latest else (wall_us, wall_us)
    outbox_us, then_us = map(int, noted)
    now_us = outbox_us + min(max(wall_us - then_us, 0), LONGEST_GAP_US)
    latest_us = now_us + LONGEST_GAP_US
    with db:
        db.execute(
            "UPDATE deliveries SET next_attempt_us = ? WHERE next_attempt_us > ?",
            (latest_us, latest_us),
        )
        db.execute(
            "UPDATE endpoints SET hold_until_us = ? WHERE hold_until_us > ?",
            (latest_us, latest_us),
        )
    return now_us
