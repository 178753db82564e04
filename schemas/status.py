"""What is known about a feed itself, and what could not be read."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas import texts
from schemas.words import MAX_MICROS, MIN_MICROS, FeedState, Identity, Micros, Name, Text

#: Characters of `reason` and of `raw` that a dead letter keeps.
KEPT = 2_000


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True, tag="feed_status"):
    """A producer's word about its own stream, written in-band beside the records.

    `alive`: everything of this producer before `ts_event` has been written to this
    partition (this is the watermark; nobody reads a clock). `silent`: it has stopped,
    do not wait for it, and do not take its silence for calm. `recovered`: it is back.
    On `feed_status` alone: `connected`, a link stands; `gap`, from `ts_event` on records are
    missing, `reason` says of which topic, until when, and why.
    A producer that is itself partitioned says which `part` of `parts` speaks.
    """

    producer: Name
    state: FeedState
    ts_event: Micros
    part: Annotated[int, Meta(ge=0, le=4_095)] = 0
    parts: Annotated[int, Meta(ge=1, le=4_096)] = 1
    reason: Text = ""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, tag="dead_letter"):
    """A record that could not be used: where it stood, which field, and why.

    `topic`, `partition`, `offset` are Kafka's, or a file's name, 0 and line number.
    `raw` keeps the first 2,000 characters, with escapes for what cannot be seen.
    """

    topic: Identity
    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    offset: Annotated[int, Meta(ge=-1, le=2**53 - 1)]
    field: Text
    reason: Text
    raw: Text
    ts_recv: Micros


def letter(
    place: tuple[str, int, int], field: str, reason: str, raw: bytes, ts_recv: int
) -> DeadLetter:
    """Return the dead letter of what stood at `place` (topic, partition, offset).

    Texts are cut and escaped, numbers bounded: it can be read whatever it tells of.
    """
    topic, partition, offset = place
    return DeadLetter(
        topic=texts.identity(topic),
        partition=min(max(partition, 0), 2**31 - 1),
        offset=min(max(offset, -1), 2**53 - 1),
        field=texts.plain(field, 200),
        reason=texts.plain(reason, KEPT),
        raw=texts.plain(raw[: 4 * KEPT].decode(errors="replace"), KEPT),
        ts_recv=min(max(ts_recv, MIN_MICROS), MAX_MICROS),
    )
