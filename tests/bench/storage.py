"""Rows on their way to disk: the sink, and the run in one process, beside their limits."""

import time
from pathlib import Path
from typing import Any

import orjson
from say import say

from bench import load, rig
from bench.figures import quotients, spread
from schemas import codec


def sink(url: str, scratch: Path, quick: bool, rounds: int) -> dict[str, Any]:
    """Sink and bare insert in turn, on all cores; only trades may be in Kafka yet."""
    count = 400_000 if quick else 1_000_000  # several batches
    ours, bare = [], []
    for number in range(rounds):
        bare.append(_rate(rig.program("insert", url, count, scratch, cores=set(rig.CORES))))
        ours.append(_rate(rig.program("sink", url, count, scratch, cores=set(rig.CORES))))
        say(f"sink {number + 1} of {rounds}: {ours[-1]:,.0f} rows/s, bare insert {bare[-1]:,.0f}")
    return {
        "sink_vs_bare": quotients(ours, bare),
        "rates": {"sink": spread(ours), "insert": spread(bare)},
    }


def embedded(scratch: Path, quick: bool, rounds: int) -> dict[str, Any]:
    """`undertow run` on all cores, and the bare loop over the same file on one.

    Starting costs a second, whatever comes: a short recording measures that.
    """
    count = 1_000_000 if quick else 4_000_000
    recording = scratch / "trades.ndjson"
    with recording.open("wb") as out:
        for trade in load.trades(count):
            out.write(codec.encode(trade) + b"\n")
    ours, bare = [], []
    for number in range(rounds):
        bare.append(_rate(rig.program("file", "-", count, scratch, str(recording))))
        data = scratch / f"run-{time.monotonic_ns()}"
        rig.undertow("run", "--source", str(recording), "--data-dir", str(data))
        ours.append(count / orjson.loads((data / "run.json").read_bytes())["elapsed_s"])
        say(f"run {number + 1} of {rounds}: {ours[-1]:,.0f} trades/s, bare loop {bare[-1]:,.0f}")
    recording.unlink()
    return {
        "embedded_vs_bare": quotients(ours, bare),
        "rates": {"undertow run": spread(ours), "bare from file": spread(bare)},
    }


def memory(scratch: Path, quick: bool) -> dict[str, Any]:
    """Resident memory of one run at its end, over that after its first million trades.

    The medians of the last two million trades, and of the two that follow the first.
    """
    first, count = (1_000_000, 6_000_000) if quick else (1_000_000, 100_000_000)
    result = rig.program(
        "memory", "-", count, scratch, str(first), cores=set(rig.CORES), timeout_s=1_500
    )
    growth = result["end_mb"] / result["first_mb"]
    shown = f"after {first:,} trades {result['first_mb']:.0f} MB, after {count:,} {result['end_mb']:.0f}"
    say(f"memory {shown}, at most {result['most_mb']:.0f}")
    return {
        "rss_growth": spread([growth]),
        "rss": {
            "trades": count,
            "first_mb": result["first_mb"],
            "end_mb": result["end_mb"],
            "most_mb": result["most_mb"],
        },
    }


def _rate(result: dict[str, Any]) -> float:
    rate: float = result["records"] / result["seconds"]
    return rate
