"""A disk that fills up stops a run with one line; with space it ends as if nothing had been."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import report_of, run, stored, write_recording

from streams.run import checkpoint

#: Beside the room that is kept free, some megabytes that hold some minutes of the night.
SMALL, LARGE = "36m", "400m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "undertow-test", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError as problem:
        pytest.skip(f"cannot mount a small disk: {problem}")
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until not a byte is left."""
    with open(path, "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def test_full_it_stops_with_one_line_and_goes_on_when_there_is_space(
    small_disk: Path, tmp_path: Path
) -> None:
    environ = write_recording(tmp_path / "recording")
    source = ("--source", str(tmp_path / "recording"))
    code, output = run(tmp_path / "whole", environ, *source)
    assert code == 0, output

    code, output = run(small_disk, environ, *source)
    assert code == 1, output
    last_line = output.strip().splitlines()[-1]
    assert last_line.startswith(f"Error: no space left in {small_disk}: free some, then the same")
    assert "Traceback" not in output
    before = (small_disk / checkpoint.NAME).read_bytes()

    fill(small_disk / "ballast")
    code, output = run(small_disk, environ, *source)
    assert code == 1, output
    assert output.strip().splitlines()[-1] == last_line
    assert "Traceback" not in output
    assert (small_disk / checkpoint.NAME).read_bytes() == before

    (small_disk / "ballast").unlink()
    grow = ["mount", "-o", f"remount,size={LARGE}", str(small_disk)]
    subprocess.run(grow, check=True)
    code, output = run(small_disk, environ, *source)
    assert code == 0, output
    assert "resuming run:" in output
    assert report_of(small_disk) == report_of(tmp_path / "whole")
    assert stored(small_disk) == stored(tmp_path / "whole")
    shutil.rmtree(tmp_path / "whole")
