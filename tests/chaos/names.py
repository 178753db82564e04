"""Names cost nothing to make up: assets and producers by the ten thousand among good records."""

import random
from collections import Counter
from typing import Any

import msgspec
from say import say

from chaos.judge import judge
from chaos.lag import PARTITIONS
from chaos.outcome import Outcome
from chaos.recording import RAW
from chaos.rig import Rig
from schemas import codec
from schemas.market import Liquidation
from schemas.status import FeedStatus
from schemas.topics import TOPICS, key_of

#: A round is so many names of assets, and of producers.
ASSETS, PRODUCERS = 10_000, 1_000
#: What they may take in memory: of a worker with all partitions, each of which knows 16,384.
SWELLS_MB = 400


class Names:
    """Adds orders of assets that nobody lists, and single words of producers that nobody runs."""

    def __init__(self, rig: Rig, rng: random.Random, rounds: int) -> None:
        self.extra: dict[str, Counter[str]] = {topic: Counter() for topic in RAW}
        self.assets = self.producers = 0
        self._rng = rng
        self._rounds = rounds
        self._to = rig.feeder.producer

    def after(self, topic: str, record: Any, share: float) -> None:
        """Follow one item of the recording with its share of made-up names."""
        if not isinstance(record, Liquidation):
            return
        while self.assets < ASSETS * self._rounds * share:
            self.assets += 1
            name = f"X{self.assets}"
            # Of a dollar: thousands of large ones at once would be a broad market's, and rightly told.
            made = msgspec.structs.replace(
                record,
                asset=name,
                instrument=f"{name}-USDT-PERP",
                event_id=f"made up {self.assets}",
                price=None,
                price_kind=None,
                quantity=1.0,
                notional_usd=1.0,
            )
            self.extra[topic][made.event_id] += 1
            self._send(topic, made, None)
        while self.producers < PRODUCERS * self._rounds * share:
            self.producers += 1
            feed_status = FeedStatus(
                producer=f"pod-{self.producers}", state="alive", ts_event=record.ts_event
            )
            self._send(self._rng.choice(RAW), feed_status, self._rng.randrange(PARTITIONS))

    def _send(self, topic: str, record: msgspec.Struct, partition: int | None) -> None:
        where = {} if partition is None else {"partition": partition}
        key = key_of(TOPICS[topic], record) or None
        while True:
            try:
                self._to.produce(topic, codec.encode(record), key=key, **where)
                return
            except BufferError:
                self._to.poll(0.05)


def made_up_names(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Play the night with them at full speed: nothing lost, the same findings, memory bounded."""
    names = Names(rig, rng, rounds)
    rig.feeder.after = names.after
    rig.feeder.start(5)
    rig.feeder.finish(deadline)
    rig.settle(deadline)
    outcome.rounds = rounds
    outcome.records += names.assets + names.producers
    judge(rig, outcome, names.extra)
    for stage in rig.of("detect"):
        sizes = [size for _, size in stage.rss_mb]
        summary = f"{stage.name}: {min(sizes):.0f} to {max(sizes):.0f} MB"
        outcome.notes.append(f"{names.assets} assets, {names.producers} producers; {summary}")
        say(outcome.notes[-1])
        if max(sizes) - min(sizes) > SWELLS_MB:
            outcome.blame(f"{summary} for names that nobody knows")
