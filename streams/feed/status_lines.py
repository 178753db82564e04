"""A line a connection on a terminal; elsewhere a line of the log a minute."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from streams.feed.connection import LinkStatus

log = logging.getLogger("undertow.feed")
_LOGGED_EVERY = 60


@contextmanager
def showing() -> Iterator[Callable[[list[LinkStatus], int], None]]:
    """Yield what hears each second how the links do, and the time in microseconds."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            yield lambda statuses, now: live.update(table(statuses, now))
    else:
        yield _logged()


def table(statuses: list[LinkStatus], now: int) -> Table:
    """Return the lines: link, state, frames, records, seconds since the last frame, refused."""
    lines = Table(box=None, pad_edge=False)
    for name in ("link", "state", "frames", "records", "age", "refused", ""):
        lines.add_column(name, justify="left" if name in ("link", "state", "") else "right")
    for one in statuses:
        age = f"{max(0, now - one.ts_frame) / 1e6:.1f} s" if one.ts_frame else ""
        counts = (f"{one.frames:,}", f"{one.records:,}", age, f"{one.refused:,}")
        lines.add_row(one.name, one.state, *counts, one.reason)
    return lines


def _logged() -> Callable[[list[LinkStatus], int], None]:
    seconds = 0

    def show(statuses: list[LinkStatus], now: int) -> None:
        nonlocal seconds
        if seconds % _LOGGED_EVERY == 0 and statuses:
            live = sum(one.state == "live" for one in statuses)
            records = sum(one.records for one in statuses)
            log.info("%d of %d links live, %d records", live, len(statuses), records)
        seconds += 1

    return show
