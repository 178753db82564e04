"""How long detect's state takes to come back: 2,000 assets with minutes of flow each."""

from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient, NewTopic

from bench import load, rig
from bench.figures import quotients, spread
from bench.say import say
from streams.app import create_app
from streams.detectors.flow import MinuteFlow
from streams.params import Params
from streams.settings import Settings

ASSETS = 2_000
#: What 45 days are; a part of them is written, as all would be 130 million rows.
MINUTES = 45 * 1_440


def measure(url: str, scratch: Path, quick: bool, rounds: int) -> dict[str, Any]:
    """Return seconds of recovery over seconds of bare reading, and rows a second of each."""
    minutes = 20 if quick else 250
    rows = ASSETS * minutes
    _fill(url, scratch, minutes)
    ours, bare = [], []
    for number in range(rounds):
        bare.append(_seconds(rig.program("changelog", url, rows, scratch)) / rows)
        ours.append(_seconds(rig.program("recovery", url, rows, scratch)) / rows)
        say(
            f"recovery {number + 1} of {rounds}: {1 / ours[-1]:,.0f} rows/s, bare {1 / bare[-1]:,.0f}"
        )
    whole = ASSETS * MINUTES
    return {
        "recovery_vs_bare": quotients(ours, bare),
        "recovery": {
            "assets": ASSETS,
            "rows": rows,
            "extrapolated_s_for_45_days": spread([whole * one for one in ours]),
        },
        "rates": {
            "state recovery": spread([1 / one for one in ours]),
            "bare changelog": spread([1 / one for one in bare]),
        },
    }


def _seconds(told: dict[str, Any]) -> float:
    seconds: float = told["seconds"]
    return seconds


def _fill(url: str, scratch: Path, minutes: int) -> None:
    """Write rows as the worker does, through its own serialisers."""
    settings = Settings(kafka_url=url, group="recovery", data_dir=str(scratch / "filler"))
    app = create_app(settings, Params())
    table = app.tables["minutes"]
    topics = [f"recovery-detect-{name}-changelog" for name in ("minutes", "assets", "market")]
    admin = AdminClient({"bootstrap.servers": url})
    made = admin.create_topics(
        [
            NewTopic(
                t, 1 if "market" in t else rig.PARTITIONS, 1, config={"cleanup.policy": "compact"}
            )
            for t in topics
        ]
    )
    for future in made.values():
        future.result()
    to = load.producer(url)
    cell = MinuteFlow({"binance": [10_000.5, 20_000.25]}, load.START, 101.5, 99.5)
    value, _ = table.changelog_topic.prepare_value(
        msgspec.to_builtins(cell), table.value_serializer
    )
    for asset in range(ASSETS):
        for minute in range(minutes):
            bucket = (f"A{asset}", table.window.current((load.START // 60 + minute) * 60.0))
            key, _ = table.changelog_topic.prepare_key(bucket, table.key_serializer)
            to.produce(
                topics[0],
                key=key,
                value=value,
                partition=asset % rig.PARTITIONS,
                headers={"term": b"1"},
            )
        to.poll(0)
    to.flush()
