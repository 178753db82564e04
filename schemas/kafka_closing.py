"""A consumer's end, at which no callback may be left to call.

librdkafka (2.12 to 2.16, rdkafka_cgrp.c) drops what a group that has ended is asked, without an
answer; a callback of a rebalance that `close` calls then asks it to assign, and waits for ever with
Python's lock in its hands. So what waits is called before, while the group still answers.
"""

from contextlib import suppress

from confluent_kafka import Consumer, KafkaException

#: Rounds of WAIT_S in which a group's partitions go; those that were assigned by hand stay.
ROUNDS, WAIT_S = 25, 0.02


def close(consumer: Consumer) -> None:
    """Leave the group, call what waits to be called, and close.

    Messages that come meanwhile are dropped: nobody committed them. Raises KafkaException where
    closing itself fails, and what callbacks raise.
    """
    try:
        # One that Kafka fenced off has nothing to leave.
        with suppress(KafkaException):
            _leave(consumer)
    finally:
        consumer.close()


def _leave(consumer: Consumer) -> None:
    consumer.unsubscribe()
    consumer.poll(0)
    for _ in range(ROUNDS):
        # An answer: all that was asked for before is done, and its callbacks wait.
        if not consumer.assignment():
            break
        consumer.poll(WAIT_S)
    consumer.poll(0)
