"""Words for the person who waits, on stderr."""

import sys
import time


def say(line: str) -> None:
    """Print one line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
