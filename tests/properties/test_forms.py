"""What people do to files changes no record: split, shuffled, repeated, cut, renamed, packed."""

import bz2
import gzip
import lzma
import random
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from backports import zstd
from forms import FORMS, Form
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.status import DeadLetter
from streams.core import pipeline
from streams.core.params import Params
from streams.sources.open import SourceError, open_source
from streams.sources.pace import paced

NOT_AFTER = 2**53
PACKINGS: dict[str, Any] = {
    "": bytes, ".gz": gzip.compress, ".zst": zstd.compress, ".lz4": lz4.frame.compress,
    ".bz2": bz2.compress, ".xz": lzma.compress,
}  # fmt: skip
few = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


class Read:
    """What a folder holds: records without times of receipt, bars and sums, and complaints."""

    def __init__(self, path: Path) -> None:
        self.letters: list[DeadLetter] = []
        self.records: Counter[Any] = Counter()
        self.findings: list[Any] = []
        self.source = open_source(path)
        state, params = pipeline.State(), Params()
        for topic, record in paced(self.source, NOT_AFTER):
            if isinstance(record, DeadLetter):
                self.letters.append(record)
                continue
            step = pipeline.step(params, state, topic, record)
            self.findings += [output for to, output in step.outputs if to != "board_minutes"]
            if step.refused is None and type(record).__name__ != "FeedStatus":
                self.records[str(record).partition("ts_recv")[0]] += 1
        self.late = state.fold.late

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Read)
            and self.records == other.records
            and self.late == other.late
            and list(map(str, self.findings)) == list(map(str, other.findings))
        )


def text(form: Form, rows: list[str], header: bool = True) -> bytes:
    lines = [form.header] if form.header and header else []
    return "".join(f"{line}\n" for line in lines + rows).encode()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def as_it_was(form: Form) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / form.name, text(form, form.rows))
        return Read(Path(folder))


def read_or_refused(folder: Path, name: str) -> Read | None:
    """Read a folder; None where it is refused in words that name the file."""
    try:
        return Read(folder)
    except SourceError as problem:
        if name not in str(problem):
            raise
        return None


def renamed(name: str, mark: str) -> str:
    stem, dot, end = name.rpartition(".")
    # A dump of ours is known by its whole name.
    return name if name == "trades.ndjson" else f"{stem}{mark}{dot}{end}"


@forms
def test_every_row_of_a_form_is_read(form: Form) -> None:
    read = as_it_was(form)
    assert read.letters == []
    assert read.late == 0
    assert sum(read.records.values()) >= len(form.rows)


@forms
@few
@given(st.integers(1, 39), st.sampled_from(list(PACKINGS)), st.booleans())
def test_split_into_folders_and_packed(form: Form, cut: int, packing: str, deep: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for part, rows in (("a", form.rows[:cut]), ("b", form.rows[cut:])):
            place = Path(folder) / part / ("deep" if deep else "") / form.name
            write(place.with_name(place.name + packing), PACKINGS[packing](text(form, rows)))
        assert Read(Path(folder)) == as_it_was(form)


@forms
@few
@given(st.integers(0, 2**32))
def test_shuffled_within_a_minute(form: Form, seed: int) -> None:
    rows = random.Random(seed).sample(form.rows, len(form.rows))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / form.name, text(form, rows))
        assert Read(Path(folder)) == as_it_was(form)


@forms
@few
@given(st.booleans(), st.integers(0, 38))
def test_repeated_by_file_or_by_row(form: Form, by_row: bool, first: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if by_row:
            rows = [row for row in form.rows for _ in range(2)]
            write(Path(folder) / form.name, text(form, rows))
        else:
            write(Path(folder) / form.name, text(form, form.rows))
            write(Path(folder) / "again" / renamed(form.name, "-2"), text(form, form.rows[first:]))
        read, right = Read(Path(folder)), as_it_was(form)
        if by_row and form.name in MANY_ALIKE:
            assert sum(read.records.values()) == 2 * sum(right.records.values())
            return
        assert read == right
        assert all(
            one.topic and one.offset > 0 and ("first seen" in one.reason or one.field == "ts_open")
            for one in read.letters
        )


#: Forms in which two equal rows are two orders: of one message, of one second, of one transaction.
MANY_ALIKE = {"deribit_liquidations_2025-02-27.csv", "compound.csv", "non_mm_trades.csv"}


@forms
@few
@given(st.integers(1, 2_000))
def test_cut_off_anywhere_what_is_whole_is_read_and_the_rest_is_named(
    form: Form, back: int
) -> None:
    whole = text(form, form.rows)
    content = whole[: max(len(whole) - back, len(form.header) + 2)]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / form.name, content)
        read = read_or_refused(Path(folder), form.name)
        if read is None:
            return
        lines = content.decode().count("\n") + 1
        assert {one.topic for one in read.letters} <= {form.name}
        assert {one.offset for one in read.letters} <= {lines}
        missing = as_it_was(form).records - read.records
        assert sum(missing.values()) <= sum(as_it_was(form).records.values())
        assert sum(read.records.values()) + 3 >= (lines - 1 - bool(form.header))


@forms
@few
@given(st.sampled_from(["x.csv", "data.bin", "2025.txt", "download (1).csv"]))
def test_renamed_it_is_read_the_same_or_refused_by_name(form: Form, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name, text(form, form.rows))
        read = read_or_refused(Path(folder), name)
        assert form.named if read is None else read == as_it_was(form)


@forms
def test_in_a_zip_of_many_or_of_one(form: Form) -> None:
    half = len(form.rows) // 2
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(Path(folder) / "all.zip", "w") as archive:
            archive.writestr(f"a/{form.name}", text(form, form.rows[:half]))
            archive.writestr(f"b/{form.name}", text(form, form.rows[half:]))
            archive.writestr(f"__MACOSX/a/._{form.name}", b"\x00\x05")
        assert Read(Path(folder)) == as_it_was(form)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (form.name + ".zip")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(form.name, text(form, form.rows))
        assert Read(Path(folder)) == as_it_was(form)


@forms
def test_one_bad_row_costs_itself(form: Form) -> None:
    rows = [*form.rows[:20], "…broken,row", *form.rows[20:]]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / form.name, text(form, rows))
        read = Read(Path(folder))
        assert read == as_it_was(form)
        [letter] = read.letters
        assert (letter.topic, letter.offset) == (form.name, 21 + bool(form.header))
