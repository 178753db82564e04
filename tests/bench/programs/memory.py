"""`undertow run` over many trades, its resident memory looked at on the way."""

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench import load
from bench.meter import arguments
from streams.core.params import Params
from streams.process.settings import Settings
from streams.run.loop import Ears
from streams.run.shell import Embedded
from streams.sources import Item, Source

PART = 100_000


def rss_mb() -> float:
    """Return resident memory now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Play trades from memory through the embedded shell, many times the first `argv[4]`."""
    _, wanted, _ = arguments()
    seen: list[float] = []
    taken = [0]

    def items() -> Iterator[Item]:
        for trades in load.runs(wanted):
            yield "trades", trades
            taken[0] += len(trades)
            if taken[0] % PART == 0:
                seen.append(rss_mb())

    source = Source("bench", "bench", items(), None, 3600.0)
    ears = Ears(tell=lambda *_: None, say=lambda _: None, stop=lambda: False)
    with Embedded(Settings(data_dir=".", sql_port=0), Params()) as run:
        run.play(source, None, True, ears)
    first = int(sys.argv[4]) // PART
    # Merges come and go every second: a median of each end, not where one happened to be.
    result = {"first_mb": median(seen[first : 3 * first]), "end_mb": median(seen[-2 * first :])}
    print(json.dumps(result | {"most_mb": max(seen), "records": wanted, "seen": seen}))


main()
