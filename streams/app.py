"""The Faust app: create_app(settings) and nothing at import."""

from pathlib import Path
from typing import Any

from streams.agents import detect, market
from streams.agents.transport import CommittedApp, java_partitioner
from streams.params import Params
from streams.settings import Settings


def create_app(settings: Settings, params: Params) -> Any:
    """Return the Faust app with the detect and market agents on it."""
    app = CommittedApp(
        f"{settings.group}-detect",
        broker=[f"kafka://{server}" for server in settings.kafka_url.split(",")],
        store="memory://",
        datadir=str(Path(settings.data_dir) / "faust"),
        topic_partitions=settings.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_commit_interval=1.0,
        producer_acks=-1,
        producer_partitioner=java_partitioner,
        producer_linger=0.0,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        web_enabled=False,
    )
    detect.register(app, params, settings.partitions, min(settings.flush_s, 0.25))
    market.register(app, params, min(settings.flush_s, 0.25))
    return app
