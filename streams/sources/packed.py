"""A file's text, whatever it is packed in: its first bytes tell, as people rename files.

gzip, zip of one file, zstd, lz4, bz2, xz ──> lines        zip or tar of many ──> files
Parquet ──> lines: JSON where the rows are our own records, else CSV with a header
"""

import atexit
import bz2
import csv
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
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
_BATCH = 20_000


def packing(path: Path) -> str:
    """Return what a file is packed in by its first bytes, "" for nothing; raises OSError."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((name for mark, name in _MARKS if start.startswith(mark)), "")


def opened(path: Path) -> IO[bytes]:
    """Open a file's bytes unpacked (a Parquet file's as they are); raises one of BROKEN_FILE."""
    how = packing(path)
    if how == "zip":
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if not is_litter(name)]
        if len(names) != 1:
            raise zipfile.BadZipFile(f"{path.name} holds {len(names)} files, not one")
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


def unpacked(path: Path) -> list[Path]:
    """Return the files of an archive of several, in a folder that lasts as long as this process.

    Any other file is returned as it is. Raises one of BROKEN_FILE, also where the archive is
    larger than the disk has room.
    """
    names: list[str] = []
    if packing(path) == "zip":
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not is_litter(info.filename)]
            if len(infos) < 2:
                return [path]
            folder = _folder(path, sum(info.file_size for info in infos))
            names = [archive.extract(info, folder) for info in infos]
    elif _names_tar(path) and tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            members = [one for one in tar.getmembers() if one.isfile() and not is_litter(one.name)]
            folder = _folder(path, sum(one.size for one in members))
            tar.extractall(folder, members, filter="data")
            names = [str(folder / one.name) for one in members]
    else:
        return [path]
    return [file for name in sorted(names) for file in unpacked(Path(name))]


def is_litter(name: str) -> bool:
    """Return whether an archive's entry is no file, or what a Mac puts beside one."""
    parts = name.replace("\\", "/").split("/")
    return not parts[-1] or "__MACOSX" in parts or parts[-1].startswith(".")


def _names_tar(path: Path) -> bool:
    return any(part in (".tar", ".tgz", ".tbz2", ".txz") for part in path.suffixes)


def _folder(path: Path, size: int) -> Path:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free // 2:
        raise OSError(f"{path.name} unpacks to {size >> 20:,} MB, and {free >> 20:,} MB are free")
    folder = tempfile.mkdtemp(prefix="undertow-unpacked-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
