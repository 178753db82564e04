"""What is installed from the wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_has_our_three_packages_and_kafkas_files(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"schemas", "streams", "sinks"}
    assert not [name for name in names if name.startswith("schemas/consumers")]
    assert "streams/stack/kafka_files/pom.xml" in names
    assert "sinks/clickhouse/migrations/0001_tables.sql" in names
