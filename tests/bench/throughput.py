"""The flood: our rollup and others over the same topic, on the same core, in turn."""

from pathlib import Path
from typing import Any

from say import say

from bench import flink, rig
from bench.figures import quotients, spread

#: Records for each program: enough for seconds of work at its speed.
COUNTS = {
    "raw": (400_000, 3_000_000),
    "bare": (400_000, 3_000_000),
    "rollup": (400_000, 3_000_000),
    "rollup plain": (400_000, 3_000_000),
    "quixstreams_windows": (40_000, 300_000),
    "bytewax_windows": (80_000, 400_000),
    "faust_table": (6_000, 30_000),
    "csp_windows": (200_000, 1_000_000),
    "pathway_windows": (100_000, 500_000),
    # Its JVM needs millions to compile itself: in the long form only.
    "flink_sql": (0, 8_000_000),
}
#: Whose interpreter a peer wants, and what puts it there.
APART = {
    "quixstreams_windows": (rig.QUIX, "make bench"),
    "csp_windows": (rig.PEERS, "make peers"),
    "pathway_windows": (rig.PEERS, "make peers"),
    "flink_sql": (rig.FLINK, "make peers"),
}
RATIOS = {
    "rollup_vs_bare": ("rollup", "bare"),
    "rollup_vs_raw": ("rollup", "raw"),
    "rollup_vs_quixstreams": ("rollup", "quixstreams_windows"),
    "rollup_vs_bytewax": ("rollup", "bytewax_windows"),
    "rollup_vs_faust": ("rollup", "faust_table"),
    "rollup_vs_csp": ("rollup", "csp_windows"),
    "rollup_vs_pathway": ("rollup", "pathway_windows"),
    "rollup_vs_flink": ("rollup", "flink_sql"),
    "transactions_cost": ("rollup", "rollup plain"),
}


def measure(url: str, scratch: Path, quick: bool, rounds: int) -> dict[str, Any]:
    """Return ratios, rates and processor time; a program that cannot run here is left out."""
    names = [name for name, counts in COUNTS.items() if counts[0 if quick else 1]]
    for name, (python, command) in APART.items():
        if name in names and not python.exists():
            say(f"{name}: not installed, left out (`{command}` does)")
            names.remove(name)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    # The broker compiles itself while it works: the first pass is not counted.
    _once("bare", url, scratch, quick)
    for number in range(rounds):
        for name in list(names):
            try:
                taken[name].append(_once(name, url, scratch, quick))
            except rig.Failed as problem:
                say(f"left out: {problem}")
                names.remove(name)
        say(f"round {number + 1} of {rounds}: " + ", ".join(_shown(n, taken[n][-1]) for n in names))
    rates = {n: [one["records"] / one["seconds"] for one in taken[n]] for n in names}
    return {
        **{k: quotients(rates[a], rates[b]) for k, (a, b) in RATIOS.items() if {a, b} <= {*names}},
        "rates": {name: spread(rates[name]) for name in names},
        # Others on the machine lengthen the wall clock of each program as they please.
        "by_processor_time": {
            k: quotients(_cpu(taken[b]), _cpu(taken[a]))
            for k, (a, b) in RATIOS.items()
            if {a, b} <= {*names}
        },
        "cpu_us": {n: spread(_cpu(taken[n])) for n in names},
        "rollup_spread": {"median": max(rates["rollup"]) / min(rates["rollup"])},
    }


def most(quick: bool) -> int:
    """Return how many records the program that takes most of them does."""
    installed = (n for n in COUNTS if n not in APART or APART[n][0].exists())
    return max(COUNTS[name][0 if quick else 1] for name in installed)


def _once(name: str, url: str, scratch: Path, quick: bool) -> dict[str, float]:
    count = COUNTS[name][0 if quick else 1]
    if name == "flink_sql":
        return flink.run(url, scratch, count)
    script, *extra = name.split()
    python = {"python": str(APART[script][0])} if script in APART else {}
    return rig.program(script, url, count, scratch, *extra, **python)


def _cpu(runs: list[dict[str, float]]) -> list[float]:
    """Return microseconds of processor time a record."""
    return [one["cpu_s"] / one["records"] * 1e6 for one in runs]


def _shown(name: str, one: dict[str, float]) -> str:
    return f"{name} {one['records'] / one['seconds']:,.0f}/s"
