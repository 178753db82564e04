"""Words for the person who waits."""

import sys
import time


def say(line: str) -> None:
    """Print one line with the time on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
