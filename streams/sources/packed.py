"""A file's text, whatever it is packed in: its first bytes tell, as people rename files.

gzip, zip of one file, zstd, lz4, bz2, xz ──> lines
zip or tar of many, and what is packed twice ──> files
Parquet ──> lines: JSON where the rows are our own records, else CSV with a header
"""

import atexit
import bz2
import csv
import gzip
import io
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

from backports import zstd

#: What can go wrong with a file's bytes part-way, none of it fatal to the rest. RuntimeError is
#: how lz4 and a zip with a password say it.
BROKEN_FILE = (
    OSError,
    EOFError,
    zlib.error,
    zstd.ZstdError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    tarfile.TarError,
    RuntimeError,
)
_MARKS = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PAR1", "parquet"),
)
#: So a file's own name says what it is of; else that of the one file in a zip may.
_SYMBOL = re.compile(r"[A-Z0-9]{2,}[-_/]?(?:USDT?|USDC|FDUSD|BUSD|TUSD)", re.IGNORECASE)
_BATCH = 20_000
_LITTER = ("", "thumbs.db", "desktop.ini")
#: Bytes of a tar's first block, at whose place a mark says what it is.
_TAR_BLOCK, _TAR_AT, _TAR_MARK = 512, 257, b"ustar"
#: Bytes unpacked at a time, and levels of packing at most.
_PART, _DEEPEST = 1 << 20, 5
#: These take longer to unpack than to read from disk, so what was unpacked once is kept.
_SLOW = ("gzip", "bz2", "xz", "zip")
#: Bytes that are kept so, and the share of the free disk that they may take.
_KEPT_MOST, _KEPT_SHARE = 4 << 30, 4
#: What was unpacked of whole files, by path.
_KEPT: dict[Path, Path] = {}


def packing(path: Path) -> str:
    """Return what a file is packed in by its first bytes, "" for nothing; raises OSError."""
    with path.open("rb") as file:
        return _packing_of(file.read(8))


def _packing_of(start: bytes) -> str:
    return next((name for mark, name in _MARKS if start.startswith(mark)), "")


def opened(path: Path) -> IO[bytes]:
    """Open a file's bytes unpacked (a Parquet file's as they are); raises one of BROKEN_FILE."""
    path = _KEPT.get(path, path)
    how = packing(path)
    if how == "zip":
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if not is_litter(name)]
        if len(names) != 1:
            raise zipfile.BadZipFile(f"{path.name} holds {len(names) or 'no'} files, not one")
        return archive.open(names[0])
    openers: dict[str, Any] = {
        "gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open, "zstd": zstd.open
    }  # fmt: skip
    if how in openers:
        file: IO[bytes] = openers[how](path, "rb")
        return file
    if how == "lz4":
        import lz4.frame

        file = lz4.frame.open(path, "rb")
        return file
    return path.open("rb")


def blocks(path: Path, size: int) -> Iterator[bytes]:
    """Yield a file's bytes unpacked, `size` at most at once; raises one of BROKEN_FILE.

    Of what is slow to unpack a copy is kept, which `opened` and `text_lines` then read.
    """
    keep = path not in _KEPT and packing(path) in _SLOW
    copy = _folder_of_copies() / str(len(_KEPT)) if keep else None
    with opened(path) as file:
        if copy is None:
            while block := file.read1(size):  # type: ignore[attr-defined]
                yield block
            return
        room = min(_KEPT_MOST, shutil.disk_usage(copy.parent).free // _KEPT_SHARE)
        room -= sum(one.stat().st_size for one in _KEPT.values())
        with copy.open("wb") as kept:
            while block := file.read1(size):  # type: ignore[attr-defined]
                yield block
                room -= len(block)
                if room >= 0:
                    kept.write(block)
    if room >= 0:
        _KEPT[path] = copy
    else:
        copy.unlink()


def text_lines(path: Path) -> Iterator[str]:
    """Yield a file's lines with what ends them; raises one of BROKEN_FILE where bytes end wrongly.

    UTF-8, or UTF-16 where a byte order mark says so; bytes that are neither become U+FFFD.
    """
    if packing(path) == "parquet":
        yield from _of_parquet(path)
        return
    with opened(path) as file:
        start = file.peek(2)[:2]  # type: ignore[attr-defined]
        coding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        yield from io.TextIOWrapper(file, coding, "replace", newline="\n")


def problem_of(path: Path) -> str:
    """Return why not even a file's first line can be unpacked, empty where it can."""
    try:
        next(text_lines(path), "")
    except BROKEN_FILE as problem:
        return f"cannot be unpacked: {str(problem)[:200] or type(problem).__name__}"
    return ""


def _of_parquet(path: Path) -> Iterator[str]:
    import orjson
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        names = [f.name for f in file.schema_arrow if not pa.types.is_nested(f.type)]
        records = "type" in names and any(name.startswith("ts_") for name in names)
        if not records:
            row = io.StringIO()
            csv.writer(row, lineterminator="\n").writerow(names)
            yield row.getvalue()
        for batch in file.iter_batches(_BATCH, columns=None if records else names):
            if records:
                for one in batch.to_pylist():
                    yield orjson.dumps(one).decode() + "\n"
                continue
            for style in ("none", "needed"):
                text = io.BytesIO()
                options = arrow_csv.WriteOptions(include_header=False, quoting_style=style)
                try:
                    arrow_csv.write_csv(batch, text, options)
                except pa.ArrowInvalid:
                    continue
                yield from io.StringIO(text.getvalue().decode(errors="replace"), newline="\n")
                break
    except pa.ArrowException as problem:
        raise OSError(f"not a whole Parquet file: {str(problem)[:200]}") from None


def unpacked(path: Path, depth: int = 0) -> Iterator[Path]:
    """Yield the files of an archive, or of what is packed twice, in a folder that lasts as long as
    this process.

    Any other file is yielded as it is. Raises one of BROKEN_FILE behind what could be unpacked,
    also where the archive is larger than the disk has room.
    """
    files: Iterator[Path] | None = None
    how = packing(path)
    if depth == _DEEPEST:
        raise OSError(f"{path.name} is packed more than {_DEEPEST} times")
    if how == "zip":
        files = _of_zip(path)
    elif how != "parquet":
        start = _start(path)
        if start[_TAR_AT:].startswith(_TAR_MARK):
            files = _of_tar(path)
        elif how and _packing_of(start):
            files = _inner(path)
    if files is None:
        yield path
        return
    for file in files:
        yield from unpacked(file, depth + 1)


def _start(path: Path) -> bytes:
    """Return a file's first bytes unpacked, none where it cannot be."""
    try:
        with opened(path) as file:
            return file.read(_TAR_BLOCK)
    except BROKEN_FILE:
        return b""


def _of_zip(path: Path) -> Iterator[Path] | None:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not is_litter(info.filename)]
        if any(info.filename == "[Content_Types].xml" for info in infos):
            raise OSError("a spreadsheet or document: save it as CSV")
        if not infos:
            return None
        if len(infos) == 1 and not _packing_of(_start(path)) and _SYMBOL.search(path.stem):
            return None
    return _extracted(path, infos)


def _extracted(path: Path, infos: list[zipfile.ZipInfo]) -> Iterator[Path]:
    folder = _folder(path, sum(info.file_size for info in infos))
    with zipfile.ZipFile(path) as archive:
        for info in sorted(infos, key=lambda info: info.filename):
            yield Path(archive.extract(info, folder))


def _of_tar(path: Path) -> Iterator[Path]:
    folder = _folder(path, path.stat().st_size)
    refused: tarfile.FilterError | None = None
    # As a stream: a tar that is cut off still gives the members before its end.
    with opened(path) as file, tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            if member.isfile() and not is_litter(member.name):
                try:
                    tar.extract(member, folder, filter="data")
                except tarfile.FilterError as problem:
                    refused = problem
                    continue
                yield folder / member.name
    if refused is not None:
        raise refused


def _inner(path: Path) -> Iterator[Path]:
    """Unpack what is packed again, under the name without the outer packing's end."""
    inner = _folder(path, path.stat().st_size) / (path.stem if path.suffix else path.name)
    with opened(path) as file, inner.open("wb") as target:
        shutil.copyfileobj(file, target, _PART)
    yield inner


def is_litter(name: str) -> bool:
    """Return whether an archive's entry is no file, or what a Mac or Windows puts beside one."""
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1].lower() in _LITTER or parts[-1].startswith(".")


def _folder(path: Path, size: int) -> Path:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free // 2:
        raise OSError(f"{path.name} unpacks to {size >> 20:,} MB, and {free >> 20:,} MB are free")
    folder = Path(tempfile.mkdtemp(prefix="undertow-unpacked-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # An archive's name may say what those of its files do not, the venue for one.
    inner = folder / path.name.partition(".")[0]
    inner.mkdir()
    return inner


@cache
def _folder_of_copies() -> Path:
    folder = tempfile.mkdtemp(prefix="undertow-unpacked-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
