"""What an attack came to: one object in build/chaos.json, one row of the table."""

import statistics
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


class Outcome(msgspec.Struct, kw_only=True):
    """`failed` and `skipped` are reasons; None is a measure that the attack does not take."""

    attack: str
    seed: int
    rounds: int = 0
    records: int = 0
    lost: int | None = None
    doubled: int | None = None
    findings_differ: int | None = None
    deliveries_differ: int | None = None
    resumed_s_p50: float | None = None
    resumed_s_max: float | None = None
    rss_mb_max: float | None = None
    sent_again: int | None = None
    ended_s_max: float | None = None
    ended_unasked: int = 0
    seconds: float = 0.0
    audit: str = "not run"
    failed: str = ""
    skipped: str = ""
    notes: list[str] = []

    def resumed(self, times: list[float]) -> None:
        """Take the times from each blow to the stage's going on."""
        if times:
            self.resumed_s_p50 = round(statistics.median(times), 2)
            self.resumed_s_max = round(max(times), 2)

    def blame(self, reason: str) -> None:
        """Add a reason for failure."""
        self.failed = "; ".join(filter(None, (self.failed, reason)))


#: Columns of the printed table: field and heading.
_SHOWN = {
    "rounds": "rounds",
    "records": "records",
    "lost": "lost",
    "doubled": "doubled",
    "findings_differ": "findings ≠",
    "deliveries_differ": "deliveries ≠",
    "resumed_s_p50": "resumed p50 s",
    "resumed_s_max": "max s",
    "rss_mb_max": "RSS MB",
    "ended_s_max": "SIGTERM s",
    "seconds": "took s",
}


def show(outcomes: list[Outcome], console: Console) -> None:
    """Print the one table, and below it what failed and what is worth knowing."""
    table = Table(box=None, header_style="bold")
    table.add_column("attack")
    for heading in _SHOWN.values():
        table.add_column(heading, justify="right")
    table.add_column("outcome")
    for outcome in outcomes:
        verdict = "FAILED" if outcome.failed else "skipped" if outcome.skipped else "held"
        table.add_row(outcome.attack, *(_cell(getattr(outcome, f)) for f in _SHOWN), verdict)
    console.print(table)
    for outcome in outcomes:
        for line in filter(None, (outcome.failed, outcome.skipped, *outcome.notes)):
            console.print(f"{outcome.attack}: {line}", markup=False, highlight=False)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def save(outcomes: list[Outcome], path: Path) -> None:
    """Write one object an attack."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(outcomes), indent=1) + b"\n")
