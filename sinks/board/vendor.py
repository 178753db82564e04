"""The files of others that the page carries: what they are, and that they are unchanged.

    python -m sinks.board.vendor --check   # compares each file with vendor.lock.json
    python -m sinks.board.vendor           # writes them anew from the packages (needs npm)

The lock names each package's version, the hash of its archive and of each file taken from it.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static" / "vendor"
LOCK = Path(__file__).parent / "vendor.lock.json"


def problems(folder: Path = STATIC, lock: Path = LOCK) -> list[str]:
    """Return what of the files is not as the lock says: changed, missing, or not in it."""
    wanted = {
        f"{package}/{name}": digest
        for package, entry in json.loads(lock.read_bytes()).items()
        for name, digest in entry["files"].items()
    }
    there = {
        path.relative_to(folder).as_posix(): _sha512(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
    names = sorted(wanted.keys() | there.keys())
    return [
        f"{name}: {_difference(name, wanted, there)}"
        for name in names
        if wanted.get(name) != there.get(name)
    ]


def fetch(folder: Path = STATIC, lock: Path = LOCK) -> None:
    """Write the files anew from the packages; raises ValueError for one of another hash."""
    for package, entry in json.loads(lock.read_bytes()).items():
        with tempfile.TemporaryDirectory() as scratch:
            pack = ["npm", "pack", "--silent", f"{package}@{entry['version']}"]
            subprocess.run(pack, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
            [archive] = Path(scratch).iterdir()
            if _sha512(archive.read_bytes()) != entry["archive"]:
                raise ValueError(f"the archive of {package} is not the one that is locked")
            with tarfile.open(archive) as content:
                _write(content, entry, folder / package)


def _write(content: tarfile.TarFile, entry: dict[str, Any], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name, place in entry["from"].items():
        file = content.extractfile(f"package/{place}")
        if file is None:
            raise ValueError(f"{place} is no file of the archive")
        (target / name).write_bytes(file.read())


def _difference(name: str, wanted: dict[str, str], there: dict[str, str]) -> str:
    if name not in there:
        return "missing"
    return "changed" if name in wanted else "not in the lock"


def _sha512(content: bytes) -> str:
    return "sha512-" + b64encode(hashlib.sha512(content).digest()).decode()


def main() -> None:
    """Check, or fetch and check; exit code 1 when a file is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    if not parser.parse_args().check:
        fetch()
    if differing := problems():
        sys.exit("\n".join(differing))


if __name__ == "__main__":
    main()
