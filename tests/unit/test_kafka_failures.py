"""Which of Kafka's errors a stage waits out, and which it joins anew for."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.kafka_failures import is_left_behind, is_waited_out, mended_by_rejoining


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN])
def test_brokers_that_are_away_are_waited_out(code):
    assert is_waited_out(KafkaError(code))
    assert mended_by_rejoining(KafkaException(KafkaError(code)))


@pytest.mark.parametrize("code", [KafkaError.ILLEGAL_GENERATION, KafkaError.FENCED_INSTANCE_ID])
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


def test_a_fatal_error_is_never_waited_out():
    fatal = KafkaError(KafkaError._TIMED_OUT, "gone", True)
    assert fatal.fatal()
    assert not is_waited_out(fatal)


def test_a_producer_replaced_by_another_is_joined_anew():
    assert mended_by_rejoining(KafkaException(KafkaError(KafkaError._FENCED)))
