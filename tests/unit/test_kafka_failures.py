"""Which of Kafka's errors a stage waits out, and which it joins anew for."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.kafka_failures import (
    UNKNOWN_TOPIC_ID,
    is_left_behind,
    is_waited_out,
    mended_by_rejoining,
)


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN])
def test_brokers_that_are_away_are_waited_out(code):
    assert is_waited_out(KafkaError(code))
    assert mended_by_rejoining(KafkaException(KafkaError(code)))


@pytest.mark.parametrize("code", [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID])
def test_a_group_that_went_on_is_joined_anew_and_nothing_committed(code):
    assert is_left_behind(KafkaError(code))
    assert not is_waited_out(KafkaError(code))
    assert mended_by_rejoining(KafkaException(KafkaError(code)))


@pytest.mark.parametrize(
    "code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION]
)
def test_what_an_operator_must_mend_ends_the_stage(code):
    error = KafkaError(code)
    assert not is_waited_out(error)
    assert not is_left_behind(error)
    assert not mended_by_rejoining(KafkaException(error))


def test_a_transaction_that_must_be_aborted_is_not_waited_out():
    broken = KafkaError(KafkaError._TIMED_OUT, "gone", False, False, True)
    assert broken.txn_requires_abort()
    assert not is_waited_out(broken)
    assert mended_by_rejoining(KafkaException(broken))


def test_a_fatal_error_is_never_waited_out():
    fatal = KafkaError(KafkaError._TIMED_OUT, "gone", True)
    assert fatal.fatal()
    assert not is_waited_out(fatal)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._FATAL,
        KafkaError._FENCED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        UNKNOWN_TOPIC_ID,
    ],
)
def test_what_only_a_new_client_gets_over_is_joined_anew(code):
    error = KafkaError(code)
    assert not is_waited_out(error)
    assert not is_left_behind(error)
    assert mended_by_rejoining(KafkaException(error))
