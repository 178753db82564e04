"""Fuzz the scanner of trades against the exact decoder: `python -m fuzz_scan --count 10000000`."""

import os
import random
import signal
import sys
import time

import click

#: Messages scanned at once, now few and now many, and room for the largest such text.
BATCHES = (1, 3, 200, 1_000)
ROOM = 8 << 20


@click.command()
@click.option("--count", default=1_000_000, show_default=True, help="How many, at least.")
@click.option("--seed", default=1, show_default=True, help="What is drawn from.")
@click.option("--past-the-end", is_flag=True, help="Read past the text once, to see it caught.")
def main(count: int, seed: int, past_the_end: bool) -> None:
    """Hold what the scanner of trades takes against the exact decoder, message by message.

    Messages are whole, strange or damaged trades, alone and in arrays; their text ends at a page
    that cannot be read. Exits with 1 where anything differs, and where the scanner read on.
    """
    # A child, as nothing in a process outlives a read past the end of its memory.
    child = os.fork()
    if child == 0:
        os._exit(_work(count, seed, past_the_end))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        click.echo(f"seed {seed}: read past the end of the text ({name})", err=True)
        sys.exit(1)
    sys.exit(os.waitstatus_to_exitcode(status))


def _work(count: int, seed: int, past_the_end: bool) -> int:
    from fuzz_scan.guarded import GuardedText
    from fuzz_scan.judge import Tally, judge
    from fuzz_scan.payloads import stream
    from schemas.scan.columns import Words

    room, tally, words, draw = GuardedText(ROOM), Tally(), Words(), random.Random(seed)
    if past_the_end:
        room.read_past_the_end()
    one, shown = stream(seed), time.monotonic()
    while tally.messages < count and len(tally.differences) < 20:
        judge(words, room, [one() for _ in range(draw.choice(BATCHES))], tally)
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            click.echo(f"{tally.messages:,} of {count:,}", err=True)
    for difference in tally.differences:
        click.echo(difference, err=True)
    click.echo(
        f"seed {seed}: {tally.messages:,} messages, {tally.rows:,} rows taken "
        f"({tally.in_arrays:,} in arrays), {tally.left:,} messages left to the decoder, "
        f"{len(tally.differences)} differences, no read past the end"
    )
    sys.stdout.flush()
    return 1 if tally.differences else 0


if __name__ == "__main__":
    main()
