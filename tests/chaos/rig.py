"""Everything that is attacked: a real Kafka, each stage as real processes, a webhook receiver."""

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from confluent_kafka import KafkaException
from say import say

from chaos.database_server import Database
from chaos.disk_space import Small
from chaos.feeder import Feeder
from chaos.lag import MOVING, PARTITIONS, Watcher
from chaos.process import Stage
from chaos.receiver import Manner, Receiver, polite
from chaos.recording import Recording, undertow
from streams.process import clock
from streams.sources.open import open_source
from streams.sources.pace import paced
from streams.stack import local_kafka

GROUP = "chaos"
AUDIT_WITHIN_S = 300.0
UP_WITHIN_S = 150.0
#: Nothing but the receiver's manners can hold a delivery back for longer.
DELIVERED_WITHIN_S = 60.0
#: Of each kind; two share partitions, so a death makes them change hands.
USUAL = {"rollup": 2, "detect": 2, "sink": 1, "notify": 1}


class Rig:
    """One attack's cluster and processes; a context manager that leaves nothing running."""

    def __init__(
        self,
        folder: Path,
        recording: Recording,
        *,
        stages: dict[str, int] = USUAL,
        manners: dict[str, Manner] | None = None,
        served: bool = False,
        small_disk: bool = False,
        extra: dict[str, str] | None = None,
        program: str = "streams.cli",
        feeder: Callable[[str], Feeder] | None = None,
    ) -> None:
        self.folder = folder
        self.recording = recording
        self.counts = stages
        self.clickhouse_url = "chdb"
        self.small: Small | None = None
        self.stages: list[Stage] = []
        self.resumed: list[float] = []
        self._served = served
        self._small_disk = small_disk
        self._manners = manners or {"/hook": polite}
        self._extra = extra or {}
        self._program = program
        self._make_feeder = feeder or self._play_recording
        self._waits: list[threading.Thread] = []
        self._ended = threading.Event()

    def __enter__(self) -> "Rig":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.receiver = Receiver(self._manners)
        try:
            self.broker = local_kafka.start(self.folder / "kafka")
            self.url = self.broker.bootstrap
            if self._served:
                self.database = Database(self.folder / "server")
                self.clickhouse_url = f"{self.database.url}/undertow"
            if self._small_disk:
                self._make_small()
            undertow("topics", **self.environ)
            # Where the sink's own directory will be: chDB belongs to one process.
            undertow("migrate", **self.sink_environ)
            self.watcher = Watcher(self.url, GROUP)
            self.feeder = self._make_feeder(self.url)
            for kind, count in self.counts.items():
                for number in range(count):
                    self.add(kind, number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for stage in self.stages:
            stage.stop(kill=True)
        for thread in self._waits:
            thread.join(15)
        if hasattr(self, "watcher"):
            self.watcher.close()
        if hasattr(self, "broker"):
            self.broker.kill()
        if hasattr(self, "database"):
            self.database.stop()
        if self.small:
            self.small.stop()
        self.receiver.stop()

    def _play_recording(self, url: str) -> Feeder:
        items = list(paced(open_source(self.recording.source), clock.not_after()))
        return Feeder(url, items, PARTITIONS)

    def _make_small(self) -> None:
        self.small = Small(self.folder / "small")
        for name in ("sink-0", "notify-0"):
            (self.small.place / name).mkdir()
            (self.folder / name).symlink_to(self.small.place / name)

    @property
    def environ(self) -> dict[str, str]:
        """What every stage is told."""
        return {
            **os.environ,
            "KAFKA_URL": self.url,
            "CLICKHOUSE_URL": self.clickhouse_url,
            "WEBHOOK_URLS": self.receiver.urls,
            "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
            "UNDERTOW_PARTITIONS": str(PARTITIONS),
            "UNDERTOW_GROUP": GROUP,
            "UNDERTOW_PARAMS": str(self.recording.params),
            **self._extra,
        }

    @property
    def sink_environ(self) -> dict[str, str]:
        """The same for whoever reads or makes the tables."""
        return self.environ | {"UNDERTOW_DATA_DIR": str(self.folder / "sink-0")}

    def add(self, kind: str, number: int) -> Stage:
        """Start one more process."""
        stage = Stage(kind, number, self.folder, self.environ, self._program)
        self.stages.append(stage)
        return stage

    def of(self, kind: str) -> list[Stage]:
        """The processes of one kind."""
        return [stage for stage in self.stages if stage.kind == kind]

    def begin(self, seconds: float) -> None:
        """Play slowly until every stage has committed something, then in so many seconds."""
        self.feeder.start(seconds + 20 * UP_WITHIN_S)
        deadline = time.monotonic() + UP_WITHIN_S
        for kind in ("rollup", "detect", "sink"):
            if self.of(kind) and not self.await_moved(kind, {}, deadline):
                raise RuntimeError(f"{kind} has committed nothing within {UP_WITHIN_S:g} s")
        self.feeder.finish_in(seconds)

    def await_moved(self, kind: str, since: dict[tuple[str, int], int], deadline: float) -> bool:
        """Wait until a stage has come further than `since` in each partition."""
        watcher = Watcher(self.url, GROUP)
        try:
            while time.monotonic() < deadline and not self._ended.is_set():
                try:
                    if watcher.moved_since(kind, since or _NOTHING):
                        return True
                except KafkaException:
                    pass
                self._ended.wait(0.25)
            return False
        finally:
            watcher.close()

    def time_resumption(self, kind: str, within_s: float = 150) -> threading.Thread:
        """Note, in the background, how long it takes a stage to go on in every partition."""
        began = time.monotonic()

        def wait() -> None:
            try:
                before = self.positions(kind)
            except KafkaException:
                return
            if self.await_moved(kind, before, began + within_s):
                self.resumed.append(time.monotonic() - began)
            elif not self._ended.is_set():
                say(f"{kind} has not gone on within {within_s:g} s")
                self.resumed.append(within_s)

        thread = threading.Thread(target=wait, name=f"resuming {kind}", daemon=True)
        thread.start()
        self._waits.append(thread)
        return thread

    def positions(self, kind: str) -> dict[tuple[str, int], int]:
        """Where a stage has committed to now."""
        watcher = Watcher(self.url, GROUP)
        try:
            return watcher.committed(kind, MOVING[kind])
        finally:
            watcher.close()

    def kill_broker(self) -> None:
        """End Kafka's JVM and start it again on the same directory and port."""
        self.broker.kill()
        self.broker = local_kafka.start(self.folder / "kafka", int(self.url.rpartition(":")[2]))

    def settle(self, deadline: float) -> None:
        """Play the rest, wait until all stages have read everything, then stop them in order."""
        self.feeder.finish(deadline)
        self.read(("rollup", "detect", "sink", "notify"), deadline)
        if self.of("notify"):
            self.await_delivered(min(deadline, time.monotonic() + DELIVERED_WITHIN_S))
        for stage in self.stages:
            stage.stop()

    def read(self, kinds: Iterable[str], deadline: float) -> None:
        """Wait until the stages of some kinds, where there are any, have read all there is."""
        for kind in kinds:
            if self.of(kind):
                self.watcher.wait_read(kind, deadline, self._still_alive)

    def await_delivered(self, deadline: float) -> None:
        """Wait until every endpoint has taken each alert that was told, or the deadline has come."""
        wanted = self.alerts_told()
        while time.monotonic() < deadline:
            if all(wanted <= set(taken) for taken in self.receiver.taken.values()):
                return
            time.sleep(0.2)

    def alerts_told(self) -> set[str]:
        """The ids of the alerts on Kafka, whether they should be there or not."""
        return {
            json.loads(value or b"")["alert_id"] for _, _, value in self.watcher.read_all("alerts")
        }

    def _still_alive(self) -> None:
        for stage in self.stages:
            if len(stage.unasked) > 20:
                raise RuntimeError(f"{stage.name} keeps ending, last with {stage.unasked[-1]}")


class _Nothing(dict[tuple[str, int], int]):
    def __missing__(self, key: tuple[str, int]) -> int:
        return 0


_NOTHING = _Nothing()


def pick(rng: random.Random, rig: Rig, kinds: tuple[str, ...]) -> Stage:
    """Choose a process at random."""
    return rng.choice(rig.of(rng.choice(kinds)))


def audited(environ: dict[str, str], log: Path) -> str:
    """What `undertow audit` says: clean, or its complaint; all of it is in `log`."""
    command = [sys.executable, "-m", "streams.cli", "audit", "--format", "json"]
    try:
        done = subprocess.run(
            command,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=AUDIT_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {AUDIT_WITHIN_S:g} s"
    log.write_text(done.stdout + done.stderr)
    if "No such command" in done.stderr:
        return "no such command"
    if done.returncode == 0:
        return "clean"
    return (
        f"exit {done.returncode}: {_complaints(done.stdout) or (done.stdout + done.stderr)[:600]}"
    )


def _complaints(answer: str) -> str:
    """Return what an audit says of partitions that are not as Kafka has them."""
    with contextlib.suppress(ValueError):
        wrong = [
            {name: value for name, value in part.items() if value}
            for part in json.loads(answer)["partitions"]
            if part["expected"] != part["rows"] or part["unread"] or part["strangers"]
        ]
        return json.dumps(wrong)[:1_200]
    return ""
