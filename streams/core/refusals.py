"""When nearly everything is refused, the input is at fault, and a person must look."""

from collections.abc import Iterable

import msgspec

from schemas.status import DeadLetter
from streams.core.detectors.watermark import PRODUCERS

#: Refusals of which people hear by a dead letter: the field at fault, and why. What is told twice
#: is none: two feeds of one venue tell everything twice, and nothing is lost.
LETTERS = {
    "crowded": ("producer", f"{PRODUCERS} other producers are alive on this input"),
    "full": ("asset", "too many names are new at once, or too many belong to this asset"),
    "behind": ("ts_event", "more than a day behind the other producers of this input"),
    "refuted": (
        "ts_event",
        "its producer's word before this one leapt ahead of its records: not believed",
    ),
}
#: Messages over which the share is taken, in two halves; and fewer than this say nothing.
WINDOW = 10_000
ENOUGH = 1_000


def unreadable(letters: Iterable[DeadLetter]) -> int:
    """Return how many dead letters are of what could not be read."""
    known = tuple(reason for _, reason in LETTERS.values())
    return sum(not letter.reason.startswith(known) for letter in letters)


class TooManyRefused(Exception):
    """More of a partition's last messages could not be read than the limit allows."""


class Counts(msgspec.Struct):
    """One partition's last WINDOW messages or so, in halves, and how many in a row were refused."""

    seen: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    refused: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    in_a_row: int = 0


class Share(msgspec.Struct):
    """How many of each partition's last messages could not be read."""

    limit: float
    partitions: dict[tuple[str, int], Counts] = {}

    def note(self, topic: str, partition: int, seen: int, refused: int) -> None:
        """Count a run of messages; raises TooManyRefused when that is above the limit.

        ENOUGH in a row are, however good what came before them was. A limit of 1 is never passed.
        """
        counts = self.partitions.setdefault((topic, partition), Counts())
        if counts.seen[1] >= WINDOW // 2:
            counts.seen, counts.refused = [counts.seen[1], 0], [counts.refused[1], 0]
        counts.seen[1] += seen
        counts.refused[1] += refused
        counts.in_a_row = counts.in_a_row + seen if refused == seen else 0
        total, bad = sum(counts.seen), sum(counts.refused)
        if counts.in_a_row >= ENOUGH:
            total = bad = counts.in_a_row
        if total >= ENOUGH and bad > self.limit * total:
            raise TooManyRefused(
                f"{bad:,} of the last {total:,} messages of {topic}[{partition}] could not be read"
                f" (dead_letter_limit {self.limit:g}): is this the right topic and format?"
                " What was refused is in dead_letters, with reasons"
            )
