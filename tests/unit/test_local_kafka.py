"""What a person is told when Kafka can't run here."""

import importlib
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from streams.stack import local_kafka


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty PATH folder and nothing of Java's anywhere."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    def no_wheel(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", no_wheel)
    return folder


def fake_java(folder: Path, version: str) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    return java


@pytest.mark.usefixtures("bare_machine")
def test_without_java_the_error_says_what_to_install() -> None:
    with pytest.raises(local_kafka.CannotStart) as refusal:
        local_kafka.find_java()
    for needed in ("Java 17", "undertow[stack]", "UNDERTOW_KAFKA_URL", "PATH: none"):
        assert needed in str(refusal.value)


@pytest.mark.parametrize(("version", "named"), [("11.0.2", "Java 11"), ("1.8.0_402", "Java 1")])
def test_a_java_that_is_too_old_is_named(bare_machine: Path, version: str, named: str) -> None:
    fake_java(bare_machine, version)
    with pytest.raises(local_kafka.CannotStart, match=f"PATH: {named}"):
        local_kafka.find_java()


def test_java_home_is_taken_before_path(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_java(bare_machine, "17.0.1")
    home = tmp_path / "home" / "bin"
    home.mkdir(parents=True)
    chosen = fake_java(home, "21")
    monkeypatch.setenv("JAVA_HOME", str(home.parent))
    assert local_kafka.find_java() == chosen


def test_an_old_java_home_does_not_hide_a_new_java_on_path(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = fake_java(bare_machine, "25.0.2")
    home = tmp_path / "home" / "bin"
    home.mkdir(parents=True)
    fake_java(home, "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(home.parent))
    assert local_kafka.find_java() == chosen


@pytest.mark.usefixtures("bare_machine")
def test_without_maven_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(local_kafka.CannotStart) as refusal:
        local_kafka.fetch_jars(tmp_path / "jars")
    for needed in ("mvn", "apt install maven", "UNDERTOW_KAFKA_URL", str(tmp_path / "jars")):
        assert needed in str(refusal.value)


@pytest.mark.usefixtures("bare_machine")
def test_jars_that_are_there_need_no_maven(tmp_path: Path) -> None:
    (tmp_path / f"kafka_2.13-{local_kafka.kafka_version()}.jar").touch()
    assert local_kafka.fetch_jars(tmp_path) == tmp_path


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    with pytest.raises(local_kafka.CannotStart, match="is not empty"):
        local_kafka.fetch_jars(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_failed_fetch_shows_mavens_words_and_leaves_nothing_behind(
    bare_machine: Path, tmp_path: Path
) -> None:
    maven = bare_machine / "mvn"
    maven.write_text("#!/bin/sh\necho 'Could not resolve host'\nexit 1\n")
    maven.chmod(0o755)
    with pytest.raises(local_kafka.CannotStart, match="Could not resolve host"):
        local_kafka.fetch_jars(tmp_path / "cache" / "jars")
    assert list((tmp_path / "cache").iterdir()) == []


def test_jars_are_shared_by_data_directories_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UNDERTOW_KAFKA_JARS", raising=False)
    assert local_kafka.jars_dir().name == f"kafka-jars-{local_kafka.kafka_version()}"
    monkeypatch.setenv("UNDERTOW_KAFKA_JARS", str(tmp_path))
    assert local_kafka.jars_dir() == tmp_path


@pytest.mark.enable_socket
def test_a_taken_port_is_named_before_anything_is_written(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_java(bare_machine, "17")
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / f"kafka_2.13-{local_kafka.kafka_version()}.jar").touch()
    monkeypatch.setenv("UNDERTOW_KAFKA_JARS", str(tmp_path / "jars"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(local_kafka.CannotStart, match=f"port {port}"):
            local_kafka.start(tmp_path / "data", port)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.enable_socket
def test_a_java_that_cannot_format_is_quoted(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = bare_machine / "java"
    java.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = -version ]; then echo \'version "17"\' >&2; exit 0; fi\n'
        "echo 'Could not find or load main class' >&2; exit 1\n"
    )
    java.chmod(0o755)
    (tmp_path / f"kafka_2.13-{local_kafka.kafka_version()}.jar").touch()
    monkeypatch.setenv("UNDERTOW_KAFKA_JARS", str(tmp_path))
    with pytest.raises(local_kafka.CannotStart, match="main class"):
        local_kafka.start(tmp_path / "data")


def test_the_compose_file_runs_the_same_kafka_as_the_jars() -> None:
    compose = Path(__file__).parents[2] / "docker" / "compose.yaml"
    assert f"apache/kafka:{local_kafka.kafka_version()}\n" in compose.read_text()


def test_a_child_asked_to_die_with_us_still_runs_while_we_do() -> None:
    done = subprocess.run(["true"], preexec_fn=local_kafka.die_with_parent(), check=False)
    assert done.returncode == 0
