"""What is installed from the wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def built(folder: Path) -> Path:
    """The wheel, built into a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    return wheel


def test_two_builds_are_the_same_bytes_and_carry_the_board(tmp_path: Path) -> None:
    first, second = built(tmp_path / "a"), built(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    names = set(zipfile.ZipFile(first).namelist())
    board = ROOT / "sinks" / "board"
    for path in board.rglob("*"):
        if path.suffix in (".sql", ".js", ".css", ".html", ".svg", ".txt", ".json"):
            assert path.relative_to(ROOT).as_posix() in names


def test_the_wheel_has_our_three_packages_and_kafkas_files(tmp_path: Path) -> None:
    names = zipfile.ZipFile(built(tmp_path)).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"schemas", "streams", "sinks"}
    assert not [name for name in names if name.startswith("schemas/consumers")]
    assert "streams/stack/kafka_files/pom.xml" in names
    assert "sinks/clickhouse/migrations/0001_tables.sql" in names
