"""Messages by the batch: out of librdkafka's memory where we know it, else as objects.

    partitions ──forwarded──> a queue of ours ──consume_batch_queue──> copied, destroyed ──> Batch
    rebalances, errors ─────> the consumer's queue ──> poll, with confluent_kafka's callbacks

An object a message is half of what a message costs. confluent_kafka's wheel brings librdkafka as a
library with its public functions; only where the consumer keeps its pointer is not public, so
that is read for the versions listed here alone, and asked whether it is the consumer. Callbacks
must not run in our own call, as confluent_kafka wants its state of the calling thread for them and
ends the process without: that of errors, which come of partitions of deleted topics too, is taken
out, so that they are logged. What is fatal comes out of `poll` as a message.
"""

import ctypes
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import confluent_kafka
import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas import kafka_closing
from schemas.scan import addresses
from schemas.scan.addresses import ERROR, FIELDS, OFFSET, PARTITION, PAYLOAD, SIZE, STAMP_MS
from schemas.scan.columns import Ints
from schemas.scan.trades import PADDING
from streams.kafka.batches import Batch, by_partition
from streams.process.settings import Settings

log = logging.getLogger("undertow.kafka")
#: Of each version of confluent_kafka that was read through: librdkafka's, and the size of its
#: consumer object, whose first field is the pointer.
KNOWN = {"2.16.1": (0x021000FF, 176)}
#: A text that became longer than this is not kept for the next batches, bytes.
KEPT = 32_000_000


class Objects:
    """Takes messages as confluent_kafka gives them, an object each."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        #: What is assigned from now on is nobody's: a closing consumer answers no question.
        self.closed = False

    def assigned(self, parts: Iterable[TopicPartition]) -> None:
        """Be told what partitions are about to be assigned, or are."""

    def take(self, count: int, timeout_s: float) -> dict[int, Batch]:
        """Return up to `count` messages, by partition, after `timeout_s` at the latest.

        Raises KafkaException for an error among them.
        """
        return by_partition(self._consumer.consume(count, timeout_s))

    def close(self) -> None:
        """Close the consumer."""
        self.closed = True
        kafka_closing.close(self._consumer)


class Memory:
    """Takes messages out of librdkafka's memory, copies them, and gives them back at once."""

    def __init__(self, library: ctypes.CDLL, consumer: Consumer, handle: int) -> None:
        self._library, self._consumer, self._handle = library, consumer, handle
        self._queue: int = library.rd_kafka_queue_new(handle)
        #: As Objects'; and then there is no queue any more.
        self.closed = False
        self._stamp_of = _address(library.rd_kafka_message_timestamp)
        self._destroy = _address(library.rd_kafka_message_destroy)
        self._text = np.empty(PADDING, np.uint8)
        self._routed: set[tuple[str, int]] = set()
        library.rd_kafka_conf_set_error_cb(library.rd_kafka_conf(handle), None)
        # Compiled now, not when a flood waits.
        none = np.empty(0, np.int64)
        addresses.look(none, self._stamp_of, np.empty((FIELDS, 0), np.int64))
        addresses.copy(none, none, self._text)
        addresses.destroy(none, self._destroy)

    def assigned(self, parts: Iterable[TopicPartition]) -> None:
        """Have what these partitions fetch come to our queue.

        To be said before they are assigned; again at any time: a partition that stops forgets it.
        """
        if not self.closed:
            for tp in parts:
                self._forward(tp.topic, tp.partition, self._queue)
                self._routed.add((tp.topic, tp.partition))

    def take(self, count: int, timeout_s: float) -> dict[int, Batch]:
        """Return up to `count` messages, by partition, after `timeout_s` at the latest.

        Raises KafkaException for an error among them, and what callbacks raise.
        """
        if self.closed:
            raise RuntimeError("the consumer is closed")
        # Callbacks of rebalances, errors and logs, which may change what is ours.
        event = self._consumer.poll(0)
        if event is not None:
            return by_partition([event])
        pointers, number = np.empty(count, np.int64), 0
        try:
            number = self._library.rd_kafka_consume_batch_queue(
                self._queue, int(timeout_s * 1_000), pointers.ctypes.data, count
            )
            if number < 0:
                raise KafkaException(KafkaError(self._library.rd_kafka_last_error()))
            return self._copied(pointers[:number]) if number else {}
        finally:
            addresses.destroy(pointers[: max(0, number)], self._destroy)

    def close(self) -> None:
        """Close the consumer, whose end waits for whatever is still in our queue: it goes first."""
        if not self.closed:
            self.closed = True
            for topic, partition in self._routed:
                self._forward(topic, partition, None)
            self._library.rd_kafka_queue_destroy(self._queue)
            kafka_closing.close(self._consumer)

    def _forward(self, topic: str, partition: int, to: int | None) -> None:
        of = self._library.rd_kafka_queue_get_partition(self._handle, topic.encode(), partition)
        if of is None:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        self._library.rd_kafka_queue_forward(of, to)
        self._library.rd_kafka_queue_destroy(of)

    def _copied(self, messages: Ints) -> dict[int, Batch]:
        fields = np.empty((FIELDS, len(messages)), np.int64)
        addresses.look(messages, self._stamp_of, fields)
        for number in np.flatnonzero(fields[ERROR]).tolist():
            raise KafkaException(self._error(int(messages[number]), int(fields[ERROR, number])))
        numbers = np.unique(fields[PARTITION]).tolist()
        if len(numbers) > 1:
            fields = fields[:, np.argsort(fields[PARTITION], kind="stable")]
        # Absent payloads have no size either.
        ends = np.cumsum(fields[SIZE])
        size = int(ends[-1]) + PADDING
        if not size <= len(self._text) <= KEPT:
            self._text = np.empty(size + size // 4, np.uint8)
        addresses.copy(np.ascontiguousarray(fields[PAYLOAD]), ends, self._text)
        self._text[size - PADDING : size] = 0
        whole = Batch(
            self._text[:size].data, ends, fields[OFFSET], fields[STAMP_MS],
            fields[PAYLOAD] == 0,
        )  # fmt: skip
        cuts = np.searchsorted(fields[PARTITION], [*numbers, np.iinfo(np.int64).max]).tolist()
        return {
            number: whole.part(first, last)
            for number, first, last in zip(numbers, cuts, cuts[1:], strict=False)
        }

    def _error(self, message: int, code: int) -> KafkaError:
        said = self._library.rd_kafka_message_errstr(message)
        code -= (code >> 31) << 32  # an int32
        return KafkaError(code, said.decode(errors="replace") if said else None)


Reader = Objects | Memory


def reader(consumer: Consumer, settings: Settings) -> Reader:
    """Return what takes the messages of a consumer that was made of these settings."""
    if settings.kafka_reading == "objects":
        return Objects(consumer)
    try:
        library, handle = _handle(consumer, settings.kafka_url)
    except _Unknown as why:
        log.warning("messages are read as objects, half as fast: %s", why)
        return Objects(consumer)
    return Memory(library, consumer, handle)


class _Unknown(Exception):
    """Something is not as in the versions that are KNOWN; the message says what."""


def _handle(consumer: Consumer, servers: str) -> tuple[ctypes.CDLL, int]:
    """Return librdkafka and its pointer to the consumer. Raises _Unknown."""
    version = str(confluent_kafka.__version__)
    if version not in KNOWN:
        raise _Unknown(f"confluent_kafka {version} is none of {', '.join(KNOWN)}")
    librdkafka, size = KNOWN[version]
    if type(consumer) is not Consumer or Consumer.__basicsize__ != size:
        raise _Unknown(f"its consumer is of {Consumer.__basicsize__} bytes, not {size}")
    if sys.platform != "linux" or sys.byteorder != "little" or sys.maxsize < 2**62:
        raise _Unknown(f"platform {sys.platform}")
    library = _library()
    if library.rd_kafka_version() != librdkafka:
        raise _Unknown(f"librdkafka {library.rd_kafka_version():#x}, not {librdkafka:#x}")
    # Behind what every Python object begins with.
    handle = ctypes.c_void_p.from_address(id(consumer) + object.__basicsize__).value
    if not handle or _setting(library, handle, "bootstrap.servers") != servers:
        raise _Unknown("the consumer's pointer is not where it was")
    return library, handle


def _library() -> ctypes.CDLL:
    """Return the librdkafka that confluent_kafka has loaded, none beside it. Raises _Unknown."""
    beside = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    paths = sorted(beside.glob("librdkafka*.so*"))
    if len(paths) != 1:
        raise _Unknown(f"{len(paths)} librdkafkas in {beside}")
    try:
        library = ctypes.CDLL(str(paths[0]), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as problem:
        raise _Unknown(str(problem)) from None
    return library


def _setting(library: ctypes.CDLL, handle: int, name: str) -> str:
    room = ctypes.create_string_buffer(4096)
    size = ctypes.c_size_t(len(room))
    conf = library.rd_kafka_conf(handle)
    if library.rd_kafka_conf_get(conf, name.encode(), room, ctypes.byref(size)) != 0:
        return ""
    return room.value.decode(errors="replace")


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


_POINTER, _INT, _SIZE, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_version": (_INT, []),
    "rd_kafka_conf": (_POINTER, [_POINTER]),
    "rd_kafka_conf_get": (_INT, [_POINTER, _TEXT, _TEXT, _POINTER]),
    "rd_kafka_queue_new": (_POINTER, [_POINTER]),
    "rd_kafka_queue_destroy": (None, [_POINTER]),
    "rd_kafka_queue_get_partition": (_POINTER, [_POINTER, _TEXT, ctypes.c_int32]),
    "rd_kafka_conf_set_error_cb": (None, [_POINTER, _POINTER]),
    "rd_kafka_queue_forward": (None, [_POINTER, _POINTER]),
    "rd_kafka_consume_batch_queue": (ctypes.c_ssize_t, [_POINTER, _INT, _POINTER, _SIZE]),
    "rd_kafka_last_error": (_INT, []),
    "rd_kafka_message_errstr": (_TEXT, [_POINTER]),
    "rd_kafka_message_timestamp": (ctypes.c_int64, [_POINTER, _POINTER]),
    "rd_kafka_message_destroy": (None, [_POINTER]),
}
