"""Labels of addresses, kept in a file under DATA_DIR."""

import csv
import gzip
import io
import os
import zlib
from pathlib import Path

import msgspec

from streams.feeds.label_sets import About, SetProblem, read
from streams.feeds.labels import Label, Labels

COLUMNS = tuple(field.name for field in msgspec.structs.fields(Label))
_NOBODY = About("labels", None, "1970-01-01")


class LabelsUnreadable(ValueError):
    """A file of labels that cannot be read; the message is one line."""


def file_of(data_dir: str) -> Path:
    """Return where the labels of a data directory are kept."""
    return Path(data_dir) / "labels.csv"


def load(path: Path) -> Labels:
    """Return the labels of a file, none where there is no file. Raises LabelsUnreadable."""
    if not path.exists():
        return Labels()
    labels, problems = read_set(path, _NOBODY)
    if problems:
        raise LabelsUnreadable(f"{path}: {problems[0]}")
    return Labels(labels)


def read_set(path: Path, about: About) -> tuple[list[Label], list[str]]:
    """Return the labels of a public set, plain or .gz, and complaints. Raises LabelsUnreadable."""
    try:
        packed = path.read_bytes()
        text = (gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed).decode()
        return read(text.removeprefix("\ufeff"), about)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, SetProblem) as problem:
        raise LabelsUnreadable(f"{path}: {problem}") from None


def save(path: Path, labels: Labels) -> None:
    """Put labels into a file, in place of what it held; a crash leaves the one or the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(as_csv(labels.all()), encoding="utf-8")
    os.replace(beside, path)


def as_csv(labels: list[Label]) -> str:
    """Return labels as the table that `read_set` takes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(msgspec.structs.astuple(label) for label in labels)
    return text.getvalue()
