"""What is played: an hour of the generated night around its cascades, and what it leads to.

Undisturbed truth is `undertow run` on the same files, in one process, before any attack.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from nights import PARAMS, night, write_ndjson

from schemas import codec
from schemas.words import SECOND
from streams.core.params import OnsetParams, Params, WhaleParams
from streams.sources.generated import generated_source

FINDINGS = ("cascades", "market_cascades", "whale_selling", "alerts")
RAW = ("trades", "liquidations", "whale_transfers")
NIGHT_SEED = 20251121
#: Seconds of the night: two deposits, then ten cascades within a minute, then their end.
FROM_S, UNTIL_S = 7.2 * 3600, 7.95 * 3600
#: Low thresholds and a short history, so that calm stretches have episodes as well.
LIVELY = Params(
    onset=OnsetParams(
        min_history_s=300,
        cascade={"*": {"full": 2.6, "mixed": 2.6, "throttled": 2.4}},
        rearm_s=60,
    ),
    whale=WhaleParams(placebos_min=5, window_min=5, scale_min=10),
)


class Recording(NamedTuple):
    """Files to play, their parameters, and what an undisturbed run makes of them."""

    source: Path
    params: Path
    undisturbed: Path
    sent: dict[str, int]
    ids: dict[str, set[str]]
    findings: dict[str, list[str]]
    trades_in_bars: int

    @property
    def records(self) -> int:
        """How many records are in the files."""
        return sum(self.sent.values())

    @property
    def alert_ids(self) -> set[str]:
        """What webhooks are to be sent."""
        return {json.loads(row)["alert_id"] for row in self.findings["alerts"]}


def undertow(*args: str, timeout: float = 600, **environ: str) -> str:
    """Run one command to its end and return its stdout; raises RuntimeError with its stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", *args],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"undertow {args[0]} ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    return done.stdout


def rows(sql: str, **environ: str) -> list[str]:
    """Ask a database one question; each row as a line of JSON."""
    return undertow("sql", sql, "--format", "JSONEachRow", **environ).splitlines()


def finding_rows(table: str, **environ: str) -> list[str]:
    """Every column of a findings table but where it stood in Kafka."""
    kept = "* EXCEPT (kafka_topic, kafka_partition, kafka_offset)"
    return rows(f"SELECT {kept} FROM {table} FINAL ORDER BY 1", **environ)


def record(folder: Path, short: bool) -> Recording:
    """Write the files, play them undisturbed, and remember all of it."""
    source, params = folder / "recording", folder / "params.json"
    folder.mkdir(parents=True, exist_ok=True)
    params.write_bytes(msgspec.json.encode(PARAMS if short else LIVELY))
    sent = write_ndjson(night(), source) if short else _cut(source)
    return undisturbed(folder, source, params, sent)


def undisturbed(folder: Path, source: Path, params: Path, sent: dict[str, int]) -> Recording:
    """Play files undisturbed, and remember what they lead to."""
    environ = {
        "UNDERTOW_PARAMS": str(params),
        "UNDERTOW_DATA_DIR": str(folder / "undisturbed"),
        "UNDERTOW_SQL_PORT": "0",
    }
    undertow("run", "--source", str(source), **environ)
    bars = json.loads(rows("SELECT toInt64(sum(trades)) AS n FROM bars", **environ)[0])["n"]
    return Recording(
        source=source,
        params=params,
        undisturbed=folder / "undisturbed",
        sent=sent,
        ids={topic: _ids(source / f"{topic}.ndjson") for topic in RAW},
        findings={table: finding_rows(table, **environ) for table in FINDINGS},
        trades_in_bars=int(bars),
    )


def _cut(source: Path) -> dict[str, int]:
    """Write the busy part of the generated night as one file a topic, in order of receipt."""
    source.mkdir(parents=True)
    made = generated_source(NIGHT_SEED, UNTIL_S / 3600)
    assert made.span, "a generated night knows its span"
    begin = made.span[0] + int(FROM_S * SECOND)
    counts: dict[str, int] = {}
    files: dict[str, Any] = {topic: (source / f"{topic}.ndjson").open("wb") for topic in RAW}
    for topic, item in made.items:
        if getattr(item, "ts_recv", 0) >= begin and topic in files:
            files[topic].write(codec.encode(item) + b"\n")
            counts[topic] = counts.get(topic, 0) + 1
    for file in files.values():
        file.close()
    return counts


def _ids(file: Path) -> set[str]:
    if not file.exists():
        return set()
    return {json.loads(line)["event_id"] for line in file.open("rb")}
