"""A consumer's end, at which no callback may be left to call.

librdkafka (rdkafka_cgrp.c of 2.12.1; met with 2.16.1) drops what a group that has ended is asked,
without an answer; a callback of a rebalance that `close` calls then asks it to assign, and waits
for ever with Python's lock in its hands. So what waits is called before, while the group answers.
"""

from contextlib import suppress

from confluent_kafka import Consumer, KafkaException

#: Rounds of WAIT_S in which a group's partitions go; those that were assigned by hand stay.
ROUNDS, WAIT_S = 25, 0.02


def close(consumer: Consumer) -> None:
    """Leave the group, call what waits to be called, and close.

    Messages that come meanwhile are dropped: nobody committed them. A KafkaException before the
    close itself, of a callback too, is passed over; what else callbacks raise, and it, is raised.
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
