"""Who spoke in a run: at its last checkpoint while it goes on, at its end once it is done."""

from pathlib import Path

import msgspec

from streams.core import attendance, pipeline
from streams.core.attendance import Attendance
from streams.core.params import Params
from streams.process.settings import Settings
from streams.run import checkpoint


class NoRun(Exception):
    """No run has left anything in the data directory; the message is one clear line."""


class _Report(msgspec.Struct):
    feeds: list[Attendance]
    source: dict[str, str] = {}


def feeds_of(state: pipeline.State, params: Params) -> list[Attendance]:
    """Return every producer of a run; bars are its own, from trades."""
    inputs, away = state.shard.inputs, state.shard.away
    trades = []
    if state.fold.clock.heard:
        trades = attendance.of_clock("trades", 0, state.fold.clock, params.stale_after_s)
    return trades + attendance.of_inputs(0, inputs, away, params.stale_after_s)


def stored_feeds(settings: Settings, params: Params) -> tuple[str, list[Attendance]]:
    """Return what they are of, and every producer of the run in the data directory.

    Raises NoRun.
    """
    folder = Path(settings.data_dir)
    kept, done = folder / checkpoint.NAME, folder / "run.json"
    try:
        run = checkpoint.decode(kept.read_bytes())
        return f"{run.source_name}, as far as it has come", feeds_of(run.state, params)
    except FileNotFoundError:
        pass
    except checkpoint.Unusable as problem:
        raise NoRun(f"{kept}: {problem}") from None
    try:
        report = msgspec.json.decode(done.read_bytes(), type=_Report)
    except FileNotFoundError:
        raise NoRun(
            f"no run in {folder}, and no Kafka: set KAFKA_URL, --kafka-url or --data-dir"
        ) from None
    except msgspec.MsgspecError as problem:
        raise NoRun(f"{done} is of another version: {problem}") from None
    return f"{report.source.get('name', 'a run')}, at its end", report.feeds
