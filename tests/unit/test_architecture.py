"""What the folder listing promises, checked."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "pyproject.toml", "streams", "schemas", "sinks", "docker", "tests",
    "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
}  # fmt: skip


def test_the_top_level_holds_only_what_was_agreed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    names = {Path(name).parts[0] for name in listed}
    assert {name for name in names if not name.startswith(".")} <= ALLOWED


def test_importing_the_core_loads_no_shell_no_clock_and_no_network() -> None:
    code = (
        "import sys; before = set(sys.modules);"
        "import streams.core.detectors.log_rate, streams.core.detectors.episode, streams.core.detectors.watermark;"
        "import streams.core.detectors.contagion;"
        "new = set(sys.modules) - before;"
        "bad = {'faust', 'asyncio', 'confluent_kafka', 'socket', 'logging', 'random'} & new;"
        "sys.exit(str(sorted(bad)) if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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
    assert "streams/stack/kafka_files/pom.xml" in names
    assert "sinks/clickhouse/migrations/0001_tables.sql" in names


def test_every_dependency_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    extras = [d for group in project["optional-dependencies"].values() for d in group]
    for dependency in [*project["dependencies"], *extras]:
        [line] = [line for line in text.splitlines() if f'"{dependency}"' in line]
        assert "#" in line, f"{dependency} has no reason"
    assert "Private :: Do Not Upload" in project["classifiers"]


def test_files_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("schemas", "streams", "sinks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 420
    }
    assert not long
