"""A name that a worker gets back when it is started again, so that the cluster knows it."""

import fcntl
from pathlib import Path
from typing import IO
from uuid import uuid4

_locks: list[IO[bytes]] = []


def claim(data_dir: str, stage: str) -> str:
    """Return `<node>-<number>`: the first of this stage that no living process here holds.

    A killed worker's number is free at once, and its successor is the same member of its
    group and ends the same transactions, without waiting for a session to run out.
    """
    folder = Path(data_dir) / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        lock = open(folder / f"{stage}-{number}", "ab")  # noqa: SIM115 - held until we end
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            number += 1
            continue
        _locks.append(lock)
        return f"{_node(folder)}-{number}"


def _node(folder: Path) -> str:
    """Return this data directory's name, drawn once."""
    file = folder / "node"
    if file.exists():  # written for nothing it would need room on a full disk
        return file.read_text()
    drawn = folder / f".node-{uuid4().hex}"
    drawn.write_text(uuid4().hex[:12])
    try:
        file.hardlink_to(drawn)  # whole or not at all, and the first one wins
    except FileExistsError:
        pass
    finally:
        drawn.unlink()
    return file.read_text()
