"""The Faust app: create_app(settings) and nothing at import."""

import logging
import os
import ssl
import threading
from pathlib import Path
from typing import Any

import faust

from streams.core.params import Params
from streams.core.shard import INPUTS
from streams.detect import agent, faust_recovery, faust_transport, market_agent
from streams.detect.faust_transport import CommittedApp, java_partitioner
from streams.kafka import worker_names
from streams.process import health
from streams.process.settings import Settings

log = logging.getLogger("undertow.detect")
#: Below the 20 s after which `stack`, and most orchestrators, end us themselves.
STOP_WITHIN_S = 15.0


def create_app(settings: Settings, params: Params) -> Any:
    """Return the Faust app with the detect and market agents on it."""
    app = CommittedApp(
        f"{settings.group}-detect",
        broker=[f"kafka://{server}" for server in settings.kafka_url.split(",")],
        broker_credentials=_credentials(settings),
        store="memory://",
        datadir=str(Path(settings.data_dir) / "faust"),
        topic_partitions=settings.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        # Faust forgets a standby's rows at the end of every recovery: it would save nothing.
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        # What the leader has not seen it assigns to nobody.
        consumer_metadata_max_age_ms=10_000,
        # Killed and started again, it is the same member: its partitions never leave it.
        consumer_group_instance_id=worker_names.claim(settings.data_dir, "detect"),
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_commit_interval=1.0,
        producer_acks=-1,
        producer_partitioner=java_partitioner,
        producer_linger=0.0,
        producer_max_batch_size=faust_transport.BATCH_BYTES,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=faust_transport.RUNS_BUFFERED,
        TableManager=faust_recovery.Tables,
        web_enabled=False,
    )
    app.recovery_conf = faust_recovery.consumer_conf(settings)
    app.state_of = {}
    app.in_runs = frozenset((*INPUTS, "market_evidence"))
    agent.register(app, params, settings)
    market_agent.register(app, params, settings)
    return app


class Worker(faust.Worker):
    """A Faust worker that logs as we do, and whose stop has a bound."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            app, console_port=0, redirect_stdouts=False, override_logging=False, quiet=True
        )
        self.spinner = None

    def _schedule_shutdown(self, signal: Any) -> None:
        super()._schedule_shutdown(signal)
        farewell = threading.Timer(STOP_WITHIN_S, _leave)
        farewell.daemon = True
        farewell.start()


def work(app: Any) -> None:
    """Run the app until SIGTERM or SIGINT, then end the process."""
    health.collect_less()
    Worker(app).execute_from_commandline()


def _leave() -> None:
    # Faust takes leave of a broker that is gone without end; what we had not committed is
    # read again, as after a crash.
    log.warning("Kafka did not hear our farewell within %g s: ending without", STOP_WITHIN_S)
    logging.shutdown()
    os._exit(0)


def _credentials(settings: Settings) -> Any:
    """Return what streams.kafka.clients.connection says, in Faust's words; None for plaintext."""
    context = None
    if settings.kafka_security.endswith("ssl"):
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
        if settings.kafka_cert_file:
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
    if settings.kafka_security.startswith("sasl"):
        return faust.SASLCredentials(
            username=settings.kafka_username,
            password=settings.kafka_password,
            mechanism=settings.kafka_sasl,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
