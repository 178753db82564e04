"""`make bench`: everything measured in one go; prints ratios, writes build/bench.json and a plot.

QUICK=1 in the environment takes smaller inputs: the same figures in under three minutes.
"""

import datetime
import functools
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from say import say

from bench import (
    busy,
    catch_up,
    detect_workers,
    feeds,
    figures,
    growth,
    latency,
    load,
    market,
    parse,
    recovery,
    rig,
    scaling,
    storage,
    throughput,
)
from streams.stack import local_kafka

PARTS = (
    "sink", "flood", "workers", "recovery", "catch_up", "detect_workers", "market", "busy",
    "latency", "run", "memory", "growth", "parse", "feeds",
)  # fmt: skip
#: Minutes even when small: in the quick form only where they are named.
SLOW = ("detect_workers", "market", "busy")


@click.command()
@click.option(
    "--quick/--long",
    default=os.environ.get("QUICK", "") not in ("", "0"),
    help="Smaller inputs, under three minutes; else about fifty. [default: QUICK, else long]",
)
@click.option(
    "--only",
    default="",
    help=f"Parts, comma separated: {', '.join(PARTS)}. [default: all; quick: without"
    f" {', '.join(SLOW)}]",
)
def main(quick: bool, only: str) -> None:
    """Measure Undertow beside its limits and its peers, on this machine, in one go.

    Prints ratios with their bars, and writes build/bench.json and build/bench.svg. Absolute
    figures are worth something only while nothing else runs.
    """
    slow = SLOW if quick else ()
    wanted = only.split(",") if only else [part for part in PARTS if part not in slow]
    if unknown := sorted(set(wanted) - set(PARTS)):
        raise click.BadParameter(f"no such part: {', '.join(unknown)}", param_hint="--only")
    results: dict[str, Any] = {"quick": quick, "machine": machine(), "versions": versions()}
    rig.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="undertow-bench-") as name:
        _measure(results, wanted, Path(name), quick)
    (rig.BUILD / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    figures.plot(results.get("rates", {}), rig.BUILD / "bench.svg")
    print(*report(results), sep="\n")


def _measure(figures: dict[str, Any], wanted: list[str], scratch: Path, quick: bool) -> None:
    """Measure part by part; a part that fails is told and left out."""
    rounds, few = (2, 1) if quick else (5, 3)
    on_kafka = {  # the sink first: it would also take the bars that the rollups write
        "sink": lambda url: storage.sink(url, scratch, quick, rounds),
        "flood": lambda url: throughput.measure(url, scratch, quick, rounds),
        "workers": lambda url: scaling.measure(url, scratch, quick, few),
        "recovery": lambda url: recovery.measure(url, scratch, quick, few),
    }
    alone = {
        "catch_up": lambda: catch_up.measure(scratch / "catch_up", quick, few),
        "detect_workers": lambda: detect_workers.measure(scratch / "workers", quick, few),
        "market": lambda: market.measure(scratch / "market", quick),
        "busy": lambda: busy.measure(scratch / "busy"),
        "latency": lambda: latency.measure(scratch / "latency", quick),
        "run": lambda: storage.embedded(scratch, quick, rounds),
        "memory": lambda: storage.memory(scratch, quick),
        "growth": lambda: growth.measure(quick, rounds),
        "parse": lambda: parse.measure(quick, rounds),
        "feeds": lambda: feeds.measure(scratch / "feeds", quick),
    }
    if on_kafka.keys() & set(wanted):
        with rig.broker(scratch / "flood") as url:
            if set(wanted) & {"sink", "flood", "workers"}:
                # A tenth more than anyone takes: the end of a topic is not a flood.
                count = int(1.1 * throughput.most(quick))
                size = load.fill(url, count, rig.PARTITIONS)
                say(f"{count:,} trades of {size:.0f} bytes in Kafka; programs on core {rig.OURS}")
            for name in [n for n in on_kafka if n in wanted]:
                _part(figures, name, functools.partial(on_kafka[name], url))
    for name in [n for n in alone if n in wanted]:
        _part(figures, name, alone[name])


def _part(figures: dict[str, Any], name: str, measure: Callable[[], dict[str, Any]]) -> None:
    try:
        part = measure()
    except Exception as problem:
        say(f"{name} not measured: {problem}")
        figures.setdefault("not_measured", {})[name] = str(problem)
        return
    rates = figures.get("rates", {}) | part.pop("rates", {})
    figures |= part | {"rates": rates}


def report(results: dict[str, Any]) -> list[str]:
    """Return what people read."""
    made = [
        f"{results['machine']['date']}, {results['machine']['cores']} cores, {results['machine']['cpu']}"
    ]
    made += ["", *figures.lines(results), "", "records a second: min, median, max"]
    for name, rate in results.get("rates", {}).items():
        made.append(
            f"{name:<22} {rate['min']:>10,.0f} {rate['median']:>10,.0f} {rate['max']:>10,.0f}"
        )
    made += ["", "the same by processor time instead of the wall clock"]
    for name, quantiles in results.get("by_processor_time", {}).items():
        numbers = " ".join(f"{quantiles[part]:>8.2f}" for part in ("min", "median", "max"))
        made.append(f"{figures.BARS[name].what:<60} {numbers}")
    made += ["", "latency, ms: from a liquidation on Kafka to the webhook, and to its row"]
    for level, quantiles in results.get("latency_ms", {}).items():
        made += [f"  {level:>5}/s {what:<8} {shown(of)}" for what, of in quantiles.items()]
    return [*made, "", f"written: {rig.BUILD / 'bench.json'} and bench.svg"]


def shown(of: dict[str, float | str]) -> str:
    """Return percentiles as a line; other facts as they are."""
    return ", ".join(
        f"{name} {value}" if isinstance(value, str) else f"{name} {value:,.0f}"
        for name, value in of.items()
    )


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge absolute figures."""
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    model = next((x.partition(":")[2].strip() for x in names if x.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory),
        "cpu": model or platform.machine(),
        "load_1m_at_start": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    versions = {"python": platform.python_version(), "kafka": local_kafka.kafka_version()}
    for name in (
        "confluent-kafka",
        "msgspec",
        "orjson",
        "numpy",
        "faust-streaming",
        "bytewax",
        "chdb",
    ):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions | {
        "quixstreams": "in build/quixstreams" if rig.QUIX.exists() else "not installed"
    }


if __name__ == "__main__":
    main()
