"""Where a run has come to: source position, state and row counts in one file.

    checkpoint.msgpack = digest of the rest │ Checkpoint as MessagePack

Written beside itself and renamed, so that a kill or a full disk leaves the one before.
"""

import contextlib
import os
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

import msgspec

from schemas.scan.columns import Trades
from streams.core import pipeline
from streams.process import clock
from streams.sources import Item, Source

NAME = "checkpoint.msgpack"
#: Raised when an older file, though it decodes, no longer means the same.
FORMAT = 11
_DIGEST = 16


class Tally(msgspec.Struct):
    """Rows handed to each table, letters written about each topic, and late records.

    `broken` are files of the source whose end is missing; `repeats` stood there before; `unread`
    are rows of the source that could not be used.
    """

    written: dict[str, int] = {}
    refused: dict[str, int] = {}
    late: int = 0
    broken: list[str] = []
    repeats: int = 0
    unread: int = 0


class Checkpoint(msgspec.Struct):
    """All that a run remembers between two items of its source.

    `run` stands in kafka_topic of its rows; `items` were taken from the paced source, of
    which `records` carried data and `last` is the digest of the last one; `at` is the
    event time told last and `not_after` the latest believable one, in microseconds.
    """

    source: str
    source_name: str
    params: str
    run: str = msgspec.field(default_factory=lambda: f"run:{uuid4().hex[:12]}")
    format: int = FORMAT
    items: int = 0
    records: int = 0
    last: bytes = b""
    at: int = 0
    elapsed_s: float = 0.0
    not_after: int = msgspec.field(default_factory=clock.not_after)
    tally: Tally = msgspec.field(default_factory=Tally)
    state: pipeline.State = msgspec.field(default_factory=pipeline.State)


class Unusable(Exception):
    """A checkpoint that this run cannot go on from; the message says why."""


def begin(source: Source, params_version: str) -> Checkpoint:
    """Return the checkpoint of a run that has taken nothing yet."""
    return Checkpoint(source=source.identity, source_name=source.name, params=params_version)


def load(path: Path, source: Source, params_version: str) -> Checkpoint | None:
    """Read the checkpoint of a run of `source` under these parameters; None without a file.

    Raises Unusable for another run's, another version's, or one that is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    kept = decode(content)
    if kept.source != source.identity:
        raise Unusable(f"it is of {kept.source_name}")
    if kept.params != params_version:
        raise Unusable("it is of other detector parameters")
    return kept


def decode(content: bytes) -> Checkpoint:
    """Read the file's content; raises Unusable when damaged or of another version."""
    digest, body = content[:_DIGEST], content[_DIGEST:]
    if digest != _digest(body):
        raise Unusable("it is damaged")
    try:
        decoded = msgspec.msgpack.decode(body, type=Checkpoint)
    except msgspec.DecodeError:
        raise Unusable("another version of undertow wrote it") from None
    if decoded.format != FORMAT:
        raise Unusable("another version of undertow wrote it")
    return decoded


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the file's content."""
    body = msgspec.msgpack.encode(checkpoint)
    return _digest(body) + body


def write(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file at `path`, whole or not at all; raises OSError."""
    beside = path.with_name(path.name + ".new")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        # On a full disk its blocks are somebody's.
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def digest_of(item: Item) -> bytes:
    """Return what tells one item of a source from others."""
    topic, record = item
    content = record.digest() if isinstance(record, Trades) else msgspec.msgpack.encode(record)
    return _digest(topic.encode() + content)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST).digest()
