"""A checkpoint is read back whole, or said not to be usable; never half."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nights import PARAMS, clocked, night

from streams.core import pipeline
from streams.run import checkpoint
from streams.run.checkpoint import Checkpoint, Unusable, encode, load, write
from streams.sources import Source

NIGHT = Source("the night", "night", iter(()), None, 600.0)


@pytest.fixture(scope="module")
def taken() -> Checkpoint:
    run = checkpoint.begin(NIGHT, PARAMS.version)
    for topic, record in clocked(night(seconds=700, burst_at=500)):
        pipeline.step(PARAMS, run.state, topic, record)
        run.items += 1
        run.last = checkpoint.digest_of((topic, record))
    run.tally.written["trades"] = 7
    return run


def reason(path: Path, source: Source = NIGHT, params: str = PARAMS.version) -> str:
    with pytest.raises(Unusable) as refusal:
        load(path, source, params)
    return str(refusal.value)


def test_what_was_written_is_read_back_whole(taken: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / checkpoint.NAME
    write(path, encode(taken))
    loaded = load(path, NIGHT, PARAMS.version)
    assert loaded
    assert loaded == taken
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.NAME]


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert load(tmp_path / checkpoint.NAME, NIGHT, PARAMS.version) is None


def test_another_run_or_version_is_named(taken: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / checkpoint.NAME
    write(path, encode(taken))
    assert "the night" in reason(path, replace(NIGHT, identity="other"))
    assert "parameters" in reason(path, params="other")
    write(path, encode(msgspec.structs.replace(taken, format=checkpoint.FORMAT + 1)))
    assert "version" in reason(path)
    body = msgspec.msgpack.encode({"format": checkpoint.FORMAT, "nothing": "else"})
    write(path, checkpoint._digest(body) + body)
    assert "version" in reason(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_never_taken_for_a_checkpoint(
    data: st.DataObject, taken: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = encode(taken)
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = (
        content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    )
    path = tmp_path_factory.mktemp("damaged") / checkpoint.NAME
    for damaged in (content[:at], flipped):
        path.write_bytes(damaged)
        assert reason(path) == "it is damaged"


def test_a_write_that_finds_no_space_leaves_the_one_before_and_no_rest(
    taken: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / checkpoint.NAME
    write(path, encode(taken))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, b"x" * 1000)
    assert load(path, NIGHT, PARAMS.version) == taken
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.NAME]
