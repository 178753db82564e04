"""Topics deleted and made anew, and the database replaced by an empty one, in mid-night."""

import random
import time

from say import say

from chaos.judge import judge
from chaos.lag import PARTITIONS
from chaos.outcome import Outcome
from chaos.process import Stage
from chaos.rig import Rig
from sinks.clickhouse.client import DATABASE, open_client
from sinks.clickhouse.migrate import migrate
from streams.kafka import topics_admin

ROUND_S = 15.0
#: How soon a stage must have said that it cannot go on, seconds.
SAID_WITHIN_S = 40.0
REPLACED = ("trades", "bars", "liquidations", "whale_transfers")


def make_topics_anew(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Delete a topic that is read and make it anew; records go on at once, under old offsets.

    At the end once under detect, whose state is of the first: it must stop and say so.
    """
    rig.begin((rounds + 1) * ROUND_S)
    for number in range(1, rounds + 1):
        _pause(rig, number / (rounds + 1), deadline)
        topic = rng.choice(REPLACED)
        killed = rng.choice([None, "sink", "rollup"])
        if killed:
            rng.choice(rig.of(killed)).kill()
        _make_anew(rig, topic)
        rig.feeder.limit = (number + 1) / (rounds + 1)
        time.sleep(rng.uniform(1, ROUND_S))
        outcome.rounds = number
        say(f"round {number}/{rounds}: {topic} made anew, killed {killed or 'nobody'}")
    _pause(rig, 1.0, deadline)
    _must_refuse(rig, rig.add("detect", 0), outcome)
    rig.settle(deadline)
    judge(rig, outcome, bars_by_offset=False)


def _pause(rig: Rig, share: float, deadline: float) -> None:
    """Play up to a share of the recording, and wait until all of it has been read."""
    rig.feeder.limit = share
    while rig.feeder.share < share and time.monotonic() < deadline:
        time.sleep(0.2)
    rig.feeder.producer.flush(30)
    rig.read(("rollup", "sink"), deadline)


def _make_anew(rig: Rig, topic: str) -> None:
    admin = topics_admin.admin_client(rig.url)
    admin.delete_topics([topic])[topic].result(30)
    while topic in admin.list_topics(timeout=10).topics:
        time.sleep(0.05)
    topics_admin.create_topics(rig.url, PARTITIONS)


def _must_refuse(rig: Rig, detect: Stage, outcome: Outcome) -> None:
    until = time.monotonic() + SAID_WITHIN_S
    while not (detect.data_dir / "detect-topics.json").exists() and time.monotonic() < until:
        time.sleep(0.2)
    _make_anew(rig, "liquidations")
    until = time.monotonic() + SAID_WITHIN_S
    while len(detect.unasked) < 2 and time.monotonic() < until:
        time.sleep(0.2)
    refusals = detect.log.read_text(errors="replace").count(
        "topic liquidations was deleted and made"
    )
    say(f"detect ended with {detect.unasked}, and said so {refusals} times")
    if len(detect.unasked) < 2 or refusals < 2 or detect.tracebacks():
        outcome.blame(f"detect did not refuse: codes {detect.unasked}, said {refusals} times")
    detect.stop(kill=True)
    rig.stages.remove(detect)


def empty_clickhouse(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Put an empty database in the place of the one that is written to; the old one is gone."""
    client = open_client(f"{rig.database.url}/{DATABASE}")
    rig.begin((rounds + 1) * ROUND_S)
    for number in range(1, rounds + 1):
        rig.feeder.limit = (number + 1) / (rounds + 1)
        time.sleep(rng.uniform(1, ROUND_S))
        client.command(f"DROP DATABASE {DATABASE}", use_database=False)
        # An operator needs a moment, in which there are no tables: the sink may end and say so.
        away = rng.choice([0.0, rng.uniform(2, 8)])
        time.sleep(away)
        migrate(client, DATABASE)
        if rng.random() < 0.6:
            rng.choice([Stage.kill, Stage.end])(rng.choice(rig.of("sink")))
        outcome.rounds = number
        say(f"round {number}/{rounds}: an empty database, after {away:.1f} s without any")
    rig.settle(deadline)
    judge(rig, outcome)
