"""A worker that is started again gets its name back."""

import subprocess
import sys
from pathlib import Path

CLAIM = (
    "import sys; from streams.kafka.worker_names import claim; print(claim(sys.argv[1], 'rollup'), flush=True);"
    "sys.stdin.read()"
)


def worker(data_dir: Path) -> tuple[subprocess.Popen[str], str]:
    started = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert started.stdout is not None
    return started, started.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_killed_workers_name_is_free_and_a_living_ones_is_not(tmp_path: Path) -> None:
    first, one = worker(tmp_path)
    second, two = worker(tmp_path)
    end(first)
    third, again = worker(tmp_path)
    end(second)
    end(third)
    assert one == again != two


def test_workers_of_two_data_directories_have_different_names(tmp_path: Path) -> None:
    here, one = worker(tmp_path / "a")
    there, two = worker(tmp_path / "b")
    end(here)
    end(there)
    assert one != two
