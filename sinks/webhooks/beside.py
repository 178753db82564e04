"""Work in a thread beside what its process does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(name: str, work: Callable[[threading.Event], object]) -> Iterator[Callable[[], None]]:
    """Run `work` in a thread of that name; yield what raises the error that ended it, if one did.

    At the end the event that `work` was given is set, and its return waited for.
    """
    ended, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            work(ended)
        except BaseException as problem:
            while isinstance(problem, BaseExceptionGroup):
                problem = problem.exceptions[0]
            failed.append(problem)

    def check() -> None:
        if failed:
            raise failed[0]

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()
