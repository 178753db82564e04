"""Everything on one machine: Kafka, the SQL endpoint, and a process for each stage.

    stack ──┬── kafka (JVM)          [feed] ── rollup ── detect ── sink ── notify
            └── chDB + SQL endpoint        each a child process of its own

chDB belongs to one process, so the sink runs inside this one; with a ClickHouse server it
is a child like the others. Children die with this process.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from sinks.board.pages import PAGE
from sinks.board.serve import beside
from sinks.clickhouse.client import Writer
from sinks.clickhouse.intents import Intents
from sinks.kafka import consumer
from sinks.sql.store import Listen, opened_store
from streams.kafka import clients, lag, topics_admin, worker_names
from streams.kafka.rejoin import rejoining
from streams.process import health
from streams.process.program import command
from streams.process.settings import PREFIX, Settings, clickhouse_tls
from streams.stack import local_kafka

log = logging.getLogger("undertow.stack")
STOP_WITHIN_S = 20
#: A stage that dies is started again: it goes on where its last commit ended. One that
#: dies this often within a minute has a fault that starting again does not mend.
RESTARTS_A_MINUTE = 5


class ChildEnded(Exception):
    """A stage keeps dying; the message names it and its exit code."""


def run(
    settings: Settings, stopping: Callable[[], bool], ready: Callable[[str], None], hears: bool
) -> None:
    """Run until `stopping()`; `ready` hears each line for a person; `hears`: venues, live.

    Raises local_kafka.CannotStart, topics_admin.TopicMismatch, sql_endpoint.EndpointError,
    clickhouse.DataDirBusy, and ChildEnded when a stage keeps dying.
    """
    with ExitStack() as stack:
        if not settings.kafka_url:
            started = _own_kafka(settings, stack, ready)
            settings = msgspec.structs.replace(settings, kafka_url=started)
        made = topics_admin.create_topics(
            settings.kafka_url, settings.partitions, clients.connection(settings)
        )
        ready(f"topics     {len(made)} created, {settings.partitions} partitions each")
        sink = _embedded_sink(settings, stack, ready)
        stages = ["rollup", "detect", "notify"] + ([] if sink else ["sink"])
        stages += ["feed"] if hears else []
        start = {
            name: _starter(name, number, settings, stack) for number, name in enumerate(stages)
        }
        children = {name: start[name]() for name in stages}
        ready(f"processes  {', '.join(f'{n} (pid {c.pid})' for n, c in children.items())}")
        if hears:
            ready(f"hears      {settings.venues}: {settings.assets}")
        else:
            ready(f"feed it    {command()} replay [SOURCE] --kafka-url {settings.kafka_url}")
        deaths: dict[str, list[float]] = {name: [] for name in stages}
        while not stopping():
            if not sink:  # else its own loop tells
                health.come_round()
            for name in stages:
                if (code := children[name].poll()) is not None:
                    _note_death(name, code, deaths[name])
                    children[name] = start[name]()
                    ready(f"{name} ended with {code}, started again")
            if sink and not sink.is_alive():
                raise ChildEnded("the sink stopped; its error is above")
            time.sleep(0.2)
        _stop_all(list(children.values()))


def _note_death(name: str, code: int, deaths: list[float]) -> None:
    now = time.monotonic()
    deaths[:] = [*(moment for moment in deaths if moment > now - 60), now]
    if len(deaths) > RESTARTS_A_MINUTE:
        raise ChildEnded(f"{name} keeps ending, last with exit code {code}")


def _own_kafka(settings: Settings, stack: ExitStack, ready: Callable[[str], None]) -> str:
    if settings.kafka_security != "plaintext":
        raise local_kafka.CannotStart(
            f"kafka_security {settings.kafka_security} needs kafka_url: the Kafka that stack starts"
            " is plaintext on 127.0.0.1"
        )
    jars = settings.kafka_jars or str(Path(settings.data_dir).absolute() / "kafka-jars")
    os.environ[PREFIX + "KAFKA_JARS"] = jars
    broker = local_kafka.start(Path(settings.data_dir) / "kafka", settings.kafka_port)
    stack.callback(broker.stop)
    ready(f"kafka      {broker.bootstrap} (pid {broker.pid})")
    return broker.bootstrap


def _embedded_sink(
    settings: Settings, stack: ExitStack, ready: Callable[[str], None]
) -> threading.Thread | None:
    """Start the sink and the SQL endpoint here when the store is chDB."""
    listen = Listen(settings.sql_host, settings.sql_port, settings.http_token)
    tls, data_dir = clickhouse_tls(settings), Path(settings.data_dir)
    pages = beside(data_dir, settings.http_token, bool(settings.webhook_urls))
    store = stack.enter_context(opened_store(settings.clickhouse_url, data_dir, tls, listen, pages))
    if store.url is None:
        ready(f"clickhouse {store.database} on the server")
        return None
    ready(f"board      {store.url}{PAGE}")
    ready(f"sql        {store.url}")
    stop = threading.Event()
    thread = threading.Thread(target=_sink, args=(settings, store.client, stop), name="sink")
    thread.start()
    stack.callback(thread.join)
    stack.callback(stop.set)
    return thread


def _sink(settings: Settings, client: object, stop: threading.Event) -> None:
    try:
        run_sink(settings, client, stop.is_set)
    except Exception:
        log.critical("the sink stops", exc_info=True)


def run_sink(settings: Settings, client: object, stopping: Callable[[], bool]) -> None:
    """Run the sink loop on an open client, joining the group anew when a broker went.

    Raises sinks.clickhouse.retry.SinkError, and KafkaException for what does not pass.
    """
    health.collect_less()
    conf = clients.consumer_conf(settings, "sink", worker_names.claim(settings.data_dir, "sink"))

    def session() -> None:
        consumer.run(
            conf,
            Writer(client),
            Intents(client),
            batch_rows=settings.batch_rows,
            flush_s=settings.flush_s,
            stopping=stopping,
            each_round=lag.each_round,
        )

    rejoining("sink", session, stopping)


def _starter(
    name: str, number: int, settings: Settings, stack: ExitStack
) -> Callable[[], subprocess.Popen[bytes]]:
    """Return what starts a stage: our settings by environment, which `ps` does not show."""
    ops_port = {"ops_port": settings.ops_port + 1 + number} if settings.ops_port else {}
    environ = os.environ | {
        PREFIX + setting.upper(): str(value)
        for setting, value in (msgspec.structs.asdict(settings) | ops_port).items()
    }
    return lambda: _child(name, environ, stack)


def _child(name: str, environ: dict[str, str], stack: ExitStack) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", name],
        env=environ,
        stdin=subprocess.DEVNULL,
        # Its own session: Ctrl-C reaches only us, and we stop them in order.
        start_new_session=True,
        preexec_fn=local_kafka.die_with_parent(),
    )
    stack.callback(_stop_all, [child])
    return child


def _stop_all(children: list[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, wait within a bound, then end them."""
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_WITHIN_S
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
