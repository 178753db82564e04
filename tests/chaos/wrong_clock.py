"""`undertow` on a machine whose clock is set: wrong by what the file CHAOS_CLOCK says, seconds.

Python's time of day alone is wrong; librdkafka's, in C, is right, and so are all steady clocks.
"""

import os
import time
from pathlib import Path

from streams.cli import main

LOOK_S = 0.05
_right, _right_ns = time.time, time.time_ns
_looked = [-LOOK_S, 0.0]


def wrong_by_s() -> float:
    """Return what the file says now, 0 without one."""
    if time.monotonic() - _looked[0] >= LOOK_S:
        try:
            _looked[1] = float(Path(os.environ["CHAOS_CLOCK"]).read_text())
        except (OSError, ValueError):
            _looked[1] = 0.0
        _looked[0] = time.monotonic()
    return _looked[1]


time.time = lambda: _right() + wrong_by_s()
time.time_ns = lambda: _right_ns() + int(wrong_by_s() * 1e9)
main()
