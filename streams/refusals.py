"""When nearly everything is refused, the input is at fault, and a person must look."""

import msgspec

from streams.detectors.watermark import PRODUCERS

#: Refusals of which people hear by a dead letter: the field at fault, and why.
LETTERS = {
    "duplicate": ("event_id", "duplicate event_id"),
    "crowded": ("producer", f"{PRODUCERS} other producers are alive on this input"),
}
#: Messages over which the share is taken, in two halves; and fewer than this say nothing.
WINDOW = 10_000
ENOUGH = 1_000


class TooManyRefused(Exception):
    """More of the last messages became dead letters than the limit allows."""


class Share(msgspec.Struct):
    """How many of the last WINDOW messages or so were refused."""

    limit: float
    seen: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    refused: list[int] = msgspec.field(default_factory=lambda: [0, 0])

    def note(self, seen: int, refused: int) -> None:
        """Count a batch; raises TooManyRefused when the share is above the limit."""
        if self.seen[1] >= WINDOW // 2:
            self.seen, self.refused = [self.seen[1], 0], [self.refused[1], 0]
        self.seen[1] += seen
        self.refused[1] += refused
        total, bad = sum(self.seen), sum(self.refused)
        if total >= ENOUGH and bad > self.limit * total:
            raise TooManyRefused(
                f"{bad:,} of the last {total:,} messages could not be read"
                f" (dead_letter_limit {self.limit:g}): is this the right topic and format?"
                " What was refused is in dead_letters, with reasons"
            )
