"""Dead letters of the sink: what ClickHouse takes from nobody, told on `dead_letters`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas import codec, metrics
from schemas.status import DeadLetter
from schemas.topics import TOPICS, key_of

log = logging.getLogger("undertow.sink")
#: Letters of a batch that the log shows; all of them are in `dead_letters`.
SHOWN = 10


class Letters:
    """Sends dead letters; a producer is made when there is the first one."""

    def __init__(self, conf: Mapping[str, Any]) -> None:
        """`conf` says how to reach the cluster."""
        self._conf = conf
        self._producer: Producer | None = None

    def send(self, letters: Sequence[DeadLetter], wait: Callable[[float], object]) -> None:
        """Return when the broker has all of them; `wait` sleeps, and may raise to leave.

        Raises KafkaException when it does not take one.
        """
        failed: list[KafkaError] = []
        for one in letters[:SHOWN]:
            log.error("%s[%d]@%d: %s", one.topic, one.partition, one.offset, one.reason[:300])
        if len(letters) > SHOWN:
            log.error("and %d more of the same batch", len(letters) - SHOWN)
        for one in letters:
            self._put(one, failed, wait)
        while self._producer is not None and len(self._producer) and not failed:
            self._producer.flush(0.2)
            wait(0)
        if failed:
            raise KafkaException(failed[0])
        for one in letters:
            metrics.DEAD_LETTERS.labels(one.topic).inc()

    def _put(
        self, one: DeadLetter, failed: list[KafkaError], wait: Callable[[float], object]
    ) -> None:
        if one.topic == "dead_letters":
            return  # a letter about a letter would be refused as well; Kafka keeps this one
        if self._producer is None:
            for_letters = {
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.timeout.ms": 0,  # none: the batch waits for its letters, or for our end
            }
            self._producer = Producer(dict(self._conf) | for_letters)

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error)

        key = key_of(TOPICS["dead_letters"], one)
        while True:
            try:
                self._producer.produce(
                    "dead_letters", codec.encode(one), key, on_delivery=delivered
                )
                return
            except BufferError:
                self._producer.poll(0.1)
                wait(0)
