"""Rows that ClickHouse refuses, batches too wide for it, kills in between: a row or a letter each."""

import json
import random
import re
import time
from collections import Counter
from typing import Any

import msgspec
from say import say

from chaos.judge import judge
from chaos.outcome import Outcome
from chaos.process import Stage
from chaos.recording import rows
from chaos.rig import Rig
from schemas import codec
from schemas.topics import TOPICS, key_of
from schemas.words import MIN_MICROS, SECOND
from sinks.clickhouse.client import open_client
from streams.sources.open import open_source

ROUND_S = 12.0
DAY = 86_400 * SECOND
#: What of a table's rows is refused, about one in so many.
REFUSED = {
    "trades": "cityHash64(event_id) % 97 = {}",
    "liquidations": "cityHash64(event_id) % 7 = {}",
    "whale_transfers": "cityHash64(event_id) % 3 = {}",
    "bars": "cityHash64(kafka_partition, kafka_offset) % 23 = {}",
}


def poison_batches(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Refuse other rows of other tables each round; send trades of over a thousand days at once."""
    client = open_client(rig.clickhouse_url)
    extra: Counter[str] = Counter()
    rig.begin((rounds + 1) * ROUND_S)
    for number in range(1, rounds + 1):
        rig.feeder.limit = (number + 1) / (rounds + 1)
        for table in rng.sample(list(REFUSED), 2):
            condition = REFUSED[table].format(rng.randrange(3))
            client.command(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS poison")
            client.command(f"ALTER TABLE {table} ADD CONSTRAINT poison CHECK NOT ({condition})")
        if number % 3 == 0:
            extra.update(_old_trades(rig, number, rng.randrange(1_001, 1_400)))
        time.sleep(rng.uniform(0.5, ROUND_S / 2))
        if rng.random() < 0.6:
            rng.choice([Stage.kill, Stage.end])(rng.choice(rig.of("sink")))
        if number < rounds and rng.random() < 0.3:
            for table in REFUSED:
                client.command(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS poison")
        time.sleep(rng.uniform(0.5, ROUND_S / 2))
        outcome.rounds = number
        say(f"round {number}/{rounds}: {rig.feeder.share:.0%} played")
    resuming = rig.time_resumption("sink")
    rig.settle(deadline)
    resuming.join(1)
    letters = _letters(rig)
    _compare_with_kafka(rig, outcome)
    refused = {table: len(ids) for table, ids in letters.items()}
    outcome.notes.append(f"refused rows by table: {refused}; {extra.total()} old trades beside")
    if not any(refused.values()):
        outcome.blame("nothing was refused: no attack")
    # Thousands of trades of years ago are late, and that is told.
    judge(rig, outcome, {"trades": extra}, refused=letters, earned="Feed late-trades: ")


def _old_trades(rig: Rig, number: int, days: int) -> list[str]:
    """Send sound trades, each of another day, to one partition, as one burst."""
    [trade] = _first_trade(rig)
    sent = []
    for day in range(days):
        old = msgspec.structs.replace(
            trade,
            event_id=f"old-{number}-{day}",
            ts_event=MIN_MICROS + day * DAY,
            ts_recv=MIN_MICROS + day * DAY,
        )
        key = key_of(TOPICS["trades"], old)
        rig.feeder.producer.produce("trades", codec.encode(old), key=key)
        sent.append(old.event_id)
    return sent


def _first_trade(rig: Rig) -> list[Any]:
    items = open_source(rig.recording.source).items
    return [
        next(record for topic, record in items if topic == "trades" and hasattr(record, "price"))
    ]


def _compare_with_kafka(rig: Rig, outcome: Outcome) -> None:
    """Blame the sink for letters that are on Kafka and not in the table, and say where it stood."""
    sql = "SELECT topic, partition, offset FROM dead_letters FINAL"
    lines = map(json.loads, rows(sql, **rig.sink_environ))
    stored = {(one["topic"], int(one["partition"]), int(one["offset"])) for one in lines}
    missing = []
    for place, offset, value in rig.watcher.read_all("dead_letters"):
        letter = codec.decode("dead_letters", value, place[1], offset)
        of = letter.topic, letter.partition, letter.offset
        if of not in stored:
            missing.append(f"{place[1]}@{offset} on {of[0]}[{of[1]}]@{of[2]}: {letter.reason[:60]}")
    if missing:
        committed = rig.watcher.committed("sink", ("dead_letters",))
        ends = rig.watcher.ends(("dead_letters",))
        outcome.blame(
            f"{len(missing)} dead letters are on Kafka alone, first {missing[0]}, last"
            f" {missing[-1]}; committed {sorted(committed.items())}, ends {sorted(ends.items())}"
        )


def _letters(rig: Rig) -> dict[str, Counter[Any]]:
    """Return what stands in letters of the sink: event_ids by table, of bars partition and offset."""
    sql = (
        "SELECT topic, partition, offset, reason, raw FROM dead_letters FINAL"
        " WHERE reason LIKE 'not stored in %'"
    )
    stored: dict[str, Counter[Any]] = {table: Counter() for table in REFUSED}
    for line in rows(sql, **rig.sink_environ):
        letter = json.loads(line)
        place = int(letter["partition"]), int(letter["offset"])
        if letter["topic"] == "bars":
            many = re.search(r"\((\d+) records of one message\)", letter["reason"])
            stored["bars"][place] += int(many.group(1)) if many else 1
        else:
            stored[letter["topic"]][json.loads(letter["raw"])["event_id"]] += 1
    return stored
