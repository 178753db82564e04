"""A view of an embedded database that another process has open: hard links to its files.

ClickHouse never changes a file of a part: it writes a new part beside it, renames it into
its place and removes what it replaces eight minutes later. So links to the parts of a
moment are the tables of that moment, take no room of their own, and cost the process that
writes nothing. Only the reader's own folder is ever written to.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

#: Partition, first and last block, how often merged, last mutation.
_PART = re.compile(r"(.+)_(\d+)_(\d+)_(\d+)(?:_(\d+))?")
#: What is no table of data although it lies where those do.
_METADATA = ("format_version.txt",)
_LOCK = ".lock"
_TRIES = 5


class SnapshotError(Exception):
    """The files cannot be linked; the message is one clear line."""


class Table(NamedTuple):
    """A stored table: `name` and `folder`, which is relative to the database's path."""

    database: str
    name: str
    folder: str


def folder_of_readers(path: Path) -> Path:
    """Return where snapshots of the database at `path` stand: beside it, on its file system."""
    return path.parent / f"{path.name}.readers"


@contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """Make a folder for one reader of the database at `path`, and remove it behind the block.

    A lock beside it says that its reader lives. Raises SnapshotError.
    """
    sweep(path)
    readers = folder_of_readers(path)
    folder = readers / f"{os.getpid()}-{time.time_ns():x}"
    try:
        readers.mkdir(exist_ok=True)
        lock = folder.with_suffix(_LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir()
    except OSError as problem:
        raise SnapshotError(f"cannot write to {readers}: {problem.strerror}") from problem
    with lock:
        try:
            yield folder
        finally:
            _remove(folder)


def sweep(path: Path) -> None:
    """Remove what readers of the database at `path` left that were killed."""
    for lock in folder_of_readers(path).glob(f"*{_LOCK}"):
        with suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock.with_suffix(""))


def _remove(folder: Path) -> None:
    """Remove a reader's folder, and its lock when nothing is left."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        folder.with_suffix(_LOCK).unlink(missing_ok=True)


class Snapshot:
    """The links to one database, brought up to date by `refresh`."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._parts: dict[Table, frozenset[str]] = {}
        self._statements: dict[str, bytes] = {}

    def begin(self) -> None:
        """Link the whole database; raises SnapshotError."""
        self._copy_metadata()
        for table, parts in self.changed().items():
            self._parts[table] = parts

    def has_other_tables(self) -> bool:
        """Say whether tables or views were made, changed or dropped since `begin`."""
        return _statements(self._source) != self._statements

    def changed(self) -> dict[Table, frozenset[str]]:
        """Return the tables whose parts are others than those linked, with their parts now.

        The new parts are linked already. Raises SnapshotError.
        """
        for attempt in range(_TRIES):
            listed = self._listed()
            differing = {t: parts for t, parts in listed.items() if parts != self._parts.get(t)}
            try:
                for table, parts in differing.items():
                    self._link_all(table, parts - self._parts.get(table, frozenset()))
            except FileNotFoundError:
                time.sleep(0.01 * attempt)  # a merge took its place meanwhile
            else:
                return differing
        raise SnapshotError(f"the parts in {self._source} change faster than they can be linked")

    def forget(self, table: Table, parts: frozenset[str]) -> None:
        """Let go of the parts of `table` that are not among `parts`; nobody has it open."""
        for name in self._parts.get(table, frozenset()) - parts:
            shutil.rmtree(self._target / table.folder / name, ignore_errors=True)
        self._parts[table] = parts

    def _copy_metadata(self) -> None:
        self._statements = _statements(self._source)
        for name, content in self._statements.items():
            place = self._target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        for link in (self._source / "metadata").iterdir():
            if link.is_symlink():
                (self._target / "metadata" / link.name).symlink_to(os.readlink(link))

    def _listed(self) -> dict[Table, frozenset[str]]:
        return {
            table: frozenset(_uncovered(os.listdir(self._source / table.folder)))
            for table in _tables(self._source)
        }

    def _link_all(self, table: Table, parts: Iterable[str]) -> None:
        source, target = self._source / table.folder, self._target / table.folder
        target.mkdir(parents=True, exist_ok=True)
        for name in _METADATA:
            if not (target / name).exists():
                _link(source / name, target / name)
        for part in parts:
            if (target / part).exists():
                shutil.rmtree(target / part)  # half of it, from an attempt before
            _link_tree(source / part, target / part)


def _link_tree(source: Path, target: Path) -> None:
    target.mkdir()
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_dir():  # a projection
                _link_tree(source / entry.name, target / entry.name)
            else:
                _link(source / entry.name, target / entry.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise SnapshotError(f"cannot link {source} into {target.parent}: {problem}") from problem


def _statements(path: Path) -> dict[str, bytes]:
    """Return what made each database, table and view, by file relative to `path`."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for folder in _metadata_folders(path)
        for file in folder.glob("*.sql")
    }


def _metadata_folders(path: Path) -> list[Path]:
    metadata = path / "metadata"
    databases = [(metadata / name.stem).resolve() for name in metadata.glob("*.sql")]
    return [metadata.resolve(), *(folder for folder in databases if folder.is_dir())]


def _tables(path: Path) -> list[Table]:
    """Return the tables that have a folder of data; a view has none."""
    tables = []
    for database in (path / "metadata").glob("*.sql"):
        for file in (path / "metadata" / database.stem).glob("*.sql"):
            named = re.search(rb"UUID '([0-9a-f-]{36})'", file.read_bytes()[:2000])
            identity = named.group(1).decode() if named else ""
            folder = f"store/{identity[:3]}/{identity}"
            if identity and (path / folder / _METADATA[0]).exists():
                tables.append(Table(database.stem, file.stem, folder))
    return tables


def _uncovered(names: Iterable[str]) -> Iterator[str]:
    """Choose the parts that no other part replaces, as the engine does when it loads a table."""
    ranges: dict[str, list[tuple[int, int, int, int, str]]] = {}
    for name in names:
        if name.startswith(("tmp", "delete_tmp")) or not (match := _PART.fullmatch(name)):
            continue
        partition, first, last, level, mutation = match.groups()
        part = (int(first), -int(last), -int(mutation or 0), -int(level), name)
        ranges.setdefault(partition, []).append(part)
    for parts in ranges.values():
        reach = -1
        for _, last, _, _, name in sorted(parts):
            # What covers comes before what is covered, and ranges never cross.
            if -last > reach:
                reach = -last
                yield name
