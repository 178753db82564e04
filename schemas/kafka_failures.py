"""Kafka's errors by what mends them: one list for every stage.

waited out   brokers away or busy; the same client goes on once they answer
left behind  the group has gone on without us; the next poll says what is ours now
replaced     another has our name or our transaction; a new client may do
gone         a topic was deleted; a new client waits for it
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from confluent_kafka import KafkaError, KafkaException

P = ParamSpec("P")
R = TypeVar("R")

#: Kafka's code of a topic id that no broker knows; the client library has no name for it.
UNKNOWN_TOPIC_ID = 100
WAITED_OUT = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
LEFT_BEHIND = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)
REPLACED = frozenset(
    {
        KafkaError._FENCED,
        # Of what is fatal to one client, fencing above all, another knows nothing.
        KafkaError._FATAL,
        KafkaError._STATE,
        KafkaError._DESTROY_BROKER,
        # Not left behind: the fenced client would hear nothing any more, and not say so.
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)
#: A topic or partition was deleted: a new client waits for it to be made anew, and says so.
GONE = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        UNKNOWN_TOPIC_ID,
    }
)


def catchable(callback: Callable[P, R]) -> Callable[P, R]:
    """Return a consumer's callback from which a KafkaException comes as one.

    What the client raises within a callback passes through its C code, and comes out of `poll` as
    something that no `except` names, unless Python caught it once (confluent-kafka 2.16).
    """

    @wraps(callback)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return callback(*args, **kwargs)
        except KafkaException:
            raise

    return called


def is_waited_out(error: KafkaError) -> bool:
    """Return whether the client that met this error may simply go on."""
    lasts = error.fatal() or error.txn_requires_abort()
    return not lasts and (error.retriable() or error.code() in WAITED_OUT)


def is_left_behind(error: KafkaError) -> bool:
    """Return whether the group has gone on without us, so that nothing is ours to commit."""
    return error.code() in LEFT_BEHIND


def mended_by_rejoining(problem: KafkaException) -> bool:
    """Return whether a new producer and consumer may succeed where these failed."""
    error = problem.args[0]
    return isinstance(error, KafkaError) and bool(
        error.retriable()
        or error.txn_requires_abort()
        or error.code() in WAITED_OUT | LEFT_BEHIND | REPLACED | GONE
    )
