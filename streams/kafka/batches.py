"""Messages of one partition as one text and a few arrays, without an object for each."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec
import numpy as np
from confluent_kafka import KafkaException, Message
from numpy.typing import NDArray

from schemas.scan.columns import Ints
from schemas.scan.trades import PADDING


class Batch(msgspec.Struct, frozen=True):
    """Messages of one partition in order, at least one.

    Their payloads lie in `text` one behind the other, each up to its end, and PADDING bytes
    behind the last. `absent` are those without any payload; stamps are Kafka's, milliseconds,
    -1 where unknown. `text` is the reader's: it holds until the next batches are taken.
    """

    text: memoryview
    ends: Ints
    offsets: Ints
    stamps_ms: Ints
    absent: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ends)

    def payload(self, number: int) -> bytes | None:
        """Return one message's payload; None where it has none."""
        if self.absent[number]:
            return None
        begin = int(self.ends[number - 1]) if number else 0
        return bytes(self.text[begin : int(self.ends[number])])

    def part(self, first: int, last: int) -> "Batch":
        """Return the messages from `first` to before `last`, at least one."""
        begin = int(self.ends[first - 1]) if first else 0
        text = self.text[begin : int(self.ends[last - 1]) + PADDING]
        ends, offsets = self.ends[first:last] - begin, self.offsets[first:last]
        return Batch(text, ends, offsets, self.stamps_ms[first:last], self.absent[first:last])


def of_messages(messages: Sequence[Message]) -> Batch:
    """Lay messages of one partition out."""
    values = [message.value() for message in messages]
    text = b"".join([*(value or b"" for value in values), bytes(PADDING)])
    count = len(values)
    return Batch(
        memoryview(text),
        np.cumsum(np.fromiter((len(value or b"") for value in values), np.int64, count)),
        np.fromiter((message.offset() or 0 for message in messages), np.int64, count),
        np.fromiter((message.timestamp()[1] for message in messages), np.int64, count),
        np.fromiter((value is None for value in values), np.bool_, count),
    )


def by_partition(messages: Iterable[Message]) -> dict[int, Batch]:
    """Lay messages of some partitions out, a batch each. Raises KafkaException for an error."""
    of: dict[int, list[Message]] = {}
    messages = list(messages)
    for problem in filter(None, map(Message.error, messages)):
        raise KafkaException(problem)
    for number, those in groupby(messages, Message.partition):
        of.setdefault(number or 0, []).extend(those)
    return {number: of_messages(those) for number, those in of.items()}
