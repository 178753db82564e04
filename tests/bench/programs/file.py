"""The limit of `undertow run`: decode a file's lines and add up."""

import sys

import orjson

from bench.meter import Meter, arguments


def main() -> None:
    """Read the whole file."""
    _, wanted, _ = arguments()
    meter = Meter(wanted)
    sums: dict[tuple[str, int], float] = {}
    with open(sys.argv[4], "rb") as lines:
        for line in lines:
            trade = orjson.loads(line)
            key = (trade["instrument"], trade["ts_event"] // 1_000_000)
            sums[key] = sums.get(key, 0.0) + trade["notional_usd"]
            meter.add()
    meter.tell()


main()
