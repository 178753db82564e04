"""Progress of long work on stderr: a bar on a terminal, a line each tenth elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Tell = Callable[[int, int], None]


@contextmanager
def telling(title: str, span: tuple[int, int] | None) -> Iterator[Tell]:
    """Yield what hears (event time in microseconds, records so far)."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from _bar(console, title, span)
    else:
        yield _lines(console, title, span)


def _bar(console: Console, title: str, span: tuple[int, int] | None) -> Iterator[Tell]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[moment]}  {task.fields[records]:,} records"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        total = span[1] - span[0] if span else None
        task = bar.add_task(title, total=total, moment="", records=0)

        def tell(ts_event: int, records: int) -> None:
            done = ts_event - span[0] if span else None
            bar.update(task, completed=done, moment=moment(ts_event), records=records)

        yield tell


def _lines(console: Console, title: str, span: tuple[int, int] | None) -> Tell:
    console.print(title, highlight=False)
    shown = 0

    def tell(ts_event: int, records: int) -> None:
        nonlocal shown
        if span is None or span[1] <= span[0]:
            return
        tenth = (ts_event - span[0]) * 10 // (span[1] - span[0])
        if tenth > shown:
            shown = tenth
            console.print(
                f"  {min(tenth * 10, 100):>3} %  {moment(ts_event)}  {records:,} records",
                highlight=False,
            )

    return tell


def moment(ts_event: int) -> str:
    """Write an event time (microseconds) as people read it, UTC."""
    return datetime.fromtimestamp(ts_event / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
