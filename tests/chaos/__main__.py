"""`make chaos`: tries to break the guarantees, and prints one table of how it went."""

import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from say import say

from chaos import kills
from chaos.clocks import set_clocks
from chaos.database import spoil_clickhouse
from chaos.disk import fill_disk
from chaos.disk_space import may_mount
from chaos.embedded import kill_embedded
from chaos.flood_kills import kill_flooded, kill_many_bars
from chaos.hostile import everything, flood, hostile_records
from chaos.judge import measure
from chaos.names import made_up_names
from chaos.outcome import Outcome, save, show
from chaos.poison import poison_batches
from chaos.recording import Recording, record
from chaos.replaced import empty_clickhouse, make_topics_anew
from chaos.rig import USUAL, Rig
from chaos.slow_clients import slow_clients
from chaos.webhooks import MANNERS, spoil_webhooks
from streams.stack import local_kafka

BUILD = Path("build")


class Attack(NamedTuple):
    """`play` is given the rig, a seeded random, the rounds, the outcome and a deadline."""

    what: str
    play: Callable[..., None]
    rounds: int
    deadline_s: float
    options: dict[str, Any] = {}
    #: Without Kafka: `play` is given a folder and the recording instead of a rig.
    alone: bool = False
    skip: Callable[[], str] = str


ATTACKS: dict[str, Attack] = {
    "kill-stages": Attack("kill -9 of a random stage", kills.kill_stages, 40, 1800),
    "kill-two": Attack("kill -9 of two stages at once", kills.kill_two, 20, 1200),
    "kill-flooded": Attack(
        "kill -9 of rollup at 100,000 trades a second", kill_flooded, 12, 900, alone=True
    ),
    "kill-many-bars": Attack(
        "kill -9 of detect, sink and rollup amid 100,000 bars a second",
        kill_many_bars,
        8,
        900,
        alone=True,
    ),
    "kill-embedded": Attack("kill -9 of the one process", kill_embedded, 10, 600, alone=True),
    "slow-clients": Attack(
        "HTTP clients slow, half-open, greedy, gone", slow_clients, 12, 600, alone=True
    ),
    "kill-broker": Attack("kill -9 of Kafka", kills.kill_broker, 10, 900),
    "replace-detect": Attack("a detect worker goes, another comes", kills.replace_detect, 3, 600),
    "freeze-stages": Attack("zombies: frozen past the session", kills.freeze_stages, 8, 900),
    "clickhouse": Attack(
        "ClickHouse down, refusing, resetting, mute",
        spoil_clickhouse,
        5,
        900,
        {"served": True, "stages": USUAL | {"sink": 2}},
    ),
    "poison": Attack(
        "rows and batches that ClickHouse refuses", poison_batches, 12, 900, {"served": True}
    ),
    "topics-anew": Attack(
        "topics deleted and made anew",
        make_topics_anew,
        6,
        900,
        {"stages": {"rollup": 2, "sink": 1}},
    ),
    "database-empty": Attack(
        "an empty database in the place of the full one", empty_clickhouse, 4, 900, {"served": True}
    ),
    "webhooks": Attack("receivers of every bad kind", spoil_webhooks, 2, 600, {"manners": MANNERS}),
    "clocks": Attack(
        "clocks set back and forward, and kills",
        set_clocks,
        20,
        900,
        {"program": "chaos.wrong_clock"},
    ),
    "hostile": Attack("hostile records, a thousand a round", hostile_records, 100, 900),
    "names": Attack(
        "10,000 producers and 100,000 assets that nobody knows", made_up_names, 10, 900
    ),
    "flood": Attack(
        "nothing but hostile records",
        flood,
        1,
        300,
        {"stages": {"rollup": 1, "detect": 1}},
    ),
    "everything": Attack("stages, Kafka and records, all at once", everything, 8, 900),
    "disk-full": Attack(
        "no space under the data", fill_disk, 2, 600, {"small_disk": True}, skip=may_mount
    ),
}


def run(
    name: str, seed: int, rounds: int | None, recording: Recording, keep: Path = BUILD / "chaos"
) -> Outcome:
    """Run one attack on a rig of its own; whatever happens comes back as an outcome."""
    attack = ATTACKS[name]
    outcome = Outcome(attack=name, seed=seed, skipped=attack.skip())
    if outcome.skipped:
        return outcome
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{name}-"))
    # A broker that is killed on purpose is no news.
    logging.getLogger("undertow.librdkafka").setLevel(logging.CRITICAL + 1)
    rest = (random.Random(f"{seed} {name}"), rounds or attack.rounds, outcome)
    deadline = began + attack.deadline_s
    try:
        if attack.alone:
            attack.play(folder, recording, *rest, deadline)
        else:
            with Rig(folder, recording, **attack.options) as rig:
                try:
                    attack.play(rig, *rest, deadline)
                finally:
                    measure(rig, outcome)
    except Exception as problem:
        outcome.blame(f"{type(problem).__name__}: {problem}"[:1000])
    if outcome.rounds < rest[1]:
        outcome.notes.append(f"{outcome.rounds} of {rest[1]} rounds")
    outcome.seconds = round(time.monotonic() - began, 1)
    if outcome.failed:
        keep_logs(folder, keep / name)
        outcome.notes.append(f"logs are in {keep / name}")
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def keep_logs(folder: Path, target: Path) -> None:
    """Copy what tells of a failure."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for log in [*folder.glob("*.log"), folder / "kafka" / "kafka.log"]:
        if log.is_file():
            shutil.copy(log, target / log.name)


_ROWS = "\n".join(f"  {name:<16} {a.rounds:>3}  {a.what}" for name, a in ATTACKS.items())


@click.command(epilog=f"\b\nattacks, and rounds of each:\n{_ROWS}")
@click.option("--seed", default=1, show_default=True, help="of every random choice")
@click.option("--rounds", type=int, help="of each attack [its own number]")
@click.option(
    "--only", default="", help="attacks whose name contains one of these, comma separated"
)
@click.option("--short", is_flag=True, help="a small recording instead of an hour of the night")
def main(seed: int, rounds: int | None, only: str, short: bool) -> None:
    """Attack the pipeline on a real Kafka and say what was lost, doubled or different.

    Results are in build/chaos.json, logs of what failed under build/chaos/; exit code 1
    when an attack succeeded.
    """
    wanted = [part for part in only.split(",") if part]
    names = [n for n in ATTACKS if not wanted or any(part in n for part in wanted)]
    if not names:
        raise click.UsageError(f"no attack is called {only}; there are {', '.join(ATTACKS)}")
    local_kafka.fetch_jars()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="chaos-recording-") as folder:
        say("an undisturbed run, for comparison")
        recording = record(Path(folder), short)
        say(f"{recording.records} records, { {k: len(v) for k, v in recording.findings.items()} }")
        for name in names:
            say(f"{name}: {ATTACKS[name].what}")
            outcomes.append(run(name, seed, rounds, recording))
            say(f"{name}: {outcomes[-1].failed or 'held'}")
            save(outcomes, BUILD / "chaos.json")
    show(outcomes, Console(width=None if sys.stdout.isatty() else 150))
    sys.exit(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    main()
