"""How long detect's state takes to come back: 2,000 assets with 45 days of flow by the minute.

The changelog is what a worker leaves after its log is compacted, in the middle of day 46: of
each asset 45 days packed, twelve hours of today packed, the last 95 minutes one by one. The
values are those of twelve assets drawn at random, under 2,000 names.
"""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic
from say import say

from bench import load, rig
from bench.figures import quotients, spread
from schemas.words import grid_usd
from streams.core.detectors import flow
from streams.core.params import Params
from streams.detect import faust_tables
from streams.detect.app import create_app
from streams.kafka import clients
from streams.process.settings import Settings

ASSETS = 2_000
DAYS = 45
#: Today's minutes so far: twelve hours packed, and what lies between 60 and 130 minutes back.
TODAY = 12 * flow.HOUR + 95
DRAWN, SEED = 12, 20_251_121
VENUES = ("binance", "bybit")
Rows = dict[flow.Row, bytes]


def measure(url: str, scratch: Path, quick: bool, rounds: int) -> dict[str, Any]:
    """Return seconds of recovery over seconds of bare reading, and what was read."""
    assets = ASSETS // 10 if quick else ASSETS
    filled = _fill(url, scratch, assets)
    rows = filled["rows"]
    rates: dict[str, list[dict[str, Any]]] = {"ours": [], "bare": [], "keeping": []}
    programs = (
        ("bare", "changelog", ()),
        ("ours", "recovery", ()),
        ("keeping", "changelog", ("keep",)),
    )
    for number in range(rounds):
        for name, program, words in programs:
            _have_memory(filled["bytes"] * 5 // 4)
            rates[name].append(rig.program(program, url, rows, scratch, *words))
        shown = ", ".join(f"{name} {runs[-1]['seconds']:.1f} s" for name, runs in rates.items())
        size = f"{rows:,} rows, {filled['bytes'] / 2**20:,.0f} MB"
        say(f"recovery {number + 1} of {rounds}: {shown}; {size}")
    ours = rates["ours"]
    return {
        "recovery_vs_bare": _quotients(rates, "bare", "seconds"),
        "recovery": filled
        | {name: spread([run["seconds"] for run in runs]) for name, runs in rates.items()}
        | {
            "vs_bare_by_processor_time": _quotients(rates, "bare", "cpu_s"),
            "vs_keeping": _quotients(rates, "keeping", "seconds"),
            "vs_keeping_by_processor_time": _quotients(rates, "keeping", "cpu_s"),
            "seconds_for_2000_assets": spread([run["seconds"] * ASSETS / assets for run in ours]),
            "resident_bytes_an_asset": spread([run["grown_bytes"] / assets for run in ours]),
            "days_of_one_asset_ms": spread([run["days_s"] * 1e3 for run in ours]),
        },
    }


def _have_memory(size: int) -> None:
    """Have so much free memory backed by the machine, for whoever comes next.

    A virtual machine gives free memory back to its host (a balloon's free page reporting), and
    to have it again takes as long as the whole reading: the first to keep much paid for all.
    """
    code = (
        "import mmap, sys; flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE;"
        "mmap.mmap(-1, int(sys.argv[1]), flags=flags)"
    )
    subprocess.run([sys.executable, "-c", code, str(size)], check=True)


def _quotients(runs: dict[str, list[dict[str, Any]]], below: str, what: str) -> dict[str, Any]:
    ours, others = ([run[what] for run in runs[name]] for name in ("ours", below))
    spread: dict[str, Any] = quotients(ours, others)
    return spread


def _drawn(seed: int) -> Rows:
    """Return the rows of one asset: two venues, a log-normal worth and a price that walks."""
    draw, state = random.Random(seed), flow.FlowState(changed=set())
    price, first = 97_000.0, load.START // 60 // flow.DAY * flow.DAY
    for minute in range(first, first + DAYS * flow.DAY + TODAY):
        price += draw.gauss(0, 10)
        for venue in VENUES:
            worths = (grid_usd(draw.lognormvariate(12, 1.5)) for _ in range(2))
            flow.add(state, minute, venue, *worths)
        flow.add_range(state, minute, round(price + 9, 1), round(price - 9, 1))
        state.minutes[minute].upto = minute * 60 + 59
        if minute % flow.HOUR == 34:
            flow.settle(state, minute - 65)
    rows = {row: flow.row(state, *row) for row in sorted(state.changed or ())}
    return {row: content for row, content in rows.items() if content is not None}


def _fill(url: str, scratch: Path, assets: int) -> dict[str, Any]:
    """Write rows as the worker does, through its own serialisers; return what was written."""
    settings = Settings(kafka_url=url, group="recovery", data_dir=str(scratch / "filler"))
    app = create_app(settings, Params())
    table = app.tables["flows"]
    topics = [f"recovery-detect-{name}-changelog" for name in ("flows", "assets", "market")]
    _create(url, topics)
    # As Faust's producer sends: not compressed once more.
    to = clients.producer(settings, **{"compression.type": "none", "linger.ms": 5})
    sizes = {flow.DAY: 0, flow.HOUR: 0, 1: 0}
    counts, drawn = dict(sizes), [_drawn(SEED + number) for number in range(DRAWN)]
    for asset in range(assets):
        for row, value in drawn[asset % DRAWN].items():
            bucket = faust_tables.bucket_of(f"A{asset}", *row)
            key, _ = table.changelog_topic.prepare_key(bucket, table.key_serializer)
            where = asset % rig.PARTITIONS
            to.produce(topics[0], key=key, value=value, partition=where, headers={"term": b"1"})
            sizes[row[1]] += len(key) + len(value)
            counts[row[1]] += 1
        while len(to) > 10_000:  # the queue of librdkafka ends at a gigabyte
            to.poll(0.05)
    to.flush()
    return {
        "assets": assets,
        "days": DAYS,
        "rows": sum(counts.values()),
        "bytes": sum(sizes.values()),
        "rows_by_minutes": {str(width): count for width, count in counts.items()},
        "bytes_by_minutes": {str(width): size for width, size in sizes.items()},
    }


def _create(url: str, topics: list[str]) -> None:
    """Create the changelogs as Faust would, but for good: nothing is compacted while we read."""
    admin = AdminClient({"bootstrap.servers": url})  # ends what it was asked when it goes
    made = admin.create_topics(
        [
            NewTopic(
                topic,
                1 if "market" in topic else rig.PARTITIONS,
                1,
                config={"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000"},
            )
            for topic in topics
        ]
    )
    for future in made.values():
        future.result()
