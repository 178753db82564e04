"""This machine: its disk, its Java, whom it lets in, and how old what it was shipped with is."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from schemas.access import why_not_bound
from streams.core.params import ParamsError
from streams.doctor.verdict import Verdict, broken, look, span, well
from streams.feeds.instruments import snapshot_dates
from streams.process.params_file import load_params
from streams.process.settings import Settings
from streams.stack import local_kafka

#: Free bytes below which a night may not fit, and below which nothing may.
NEAR_FULL, FULL = 5_000_000_000, 500_000_000
#: Days after which contract sizes are worth asking for anew.
OLD_DAYS = 180


def checks(settings: Settings, now_us: int) -> Iterator[Verdict]:
    """Yield what this machine is like for what `settings` ask of it."""
    yield disk(settings)
    if not settings.kafka_url:
        yield java()
    yield from doors(settings)
    yield thresholds(settings)
    yield contract_sizes(now_us)


def disk(settings: Settings) -> Verdict:
    """Say whether the data directory can be written, and for how long."""
    path = Path(settings.data_dir).absolute()
    there = path
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return broken(
            "disk", f"{there} cannot be written", "name another: UNDERTOW_DATA_DIR, or --data-dir"
        )
    free = shutil.disk_usage(there).free
    what = f"{free / 1e9:,.1f} GB free for {path}"
    if free < FULL:
        return broken("disk", what, "make room, or name another: UNDERTOW_DATA_DIR")
    if free < NEAR_FULL:
        return look("disk", what, "make room: a night of all venues takes some GB")
    return well("disk", what)


def java() -> Verdict:
    """Say whether `undertow stack` could start a Kafka."""
    try:
        return well("java", f"{local_kafka.find_java()}, for `undertow stack`")
    except local_kafka.CannotStart as problem:
        what, _, hint = str(problem).partition(": install ")
        return look("java", what, f"for `undertow stack`: install {hint}")


def doors(settings: Settings) -> Iterator[Verdict]:
    """Say which HTTP endpoint would be refused at its start."""
    for name in ("sql", "ops"):
        host = getattr(settings, f"{name}_host")
        if problem := why_not_bound(host, settings.http_token):
            yield broken(
                f"http {name}", problem, f"set UNDERTOW_HTTP_TOKEN, or {name}_host to 127.0.0.1"
            )


def thresholds(settings: Settings) -> Verdict:
    """Say whether thresholds were fitted to a market."""
    if not settings.params:
        return look(
            "thresholds",
            "shipped defaults, fitted to a simulator",
            "fit them to your history: `undertow calibrate`, then set UNDERTOW_PARAMS",
        )
    try:
        load_params(settings.params)
    except ParamsError as problem:
        return broken("thresholds", str(problem), "mend the file, or unset UNDERTOW_PARAMS")
    return well("thresholds", f"of {settings.params}")


def contract_sizes(now_us: int) -> Verdict:
    """Say how old the shipped contract sizes are."""
    dates = snapshot_dates()
    venue, oldest = min(dates.items(), key=lambda item: item[1])
    age_us = now_us - int(datetime.fromisoformat(oldest).replace(tzinfo=UTC).timestamp() * 1e6)
    what = f"the oldest snapshot is {venue}'s, of {oldest}: {span(age_us)} old"
    if age_us > OLD_DAYS * 86_400_000_000:
        next_step = "give the venue's own answer: `undertow parse VENUE --instruments FILE`"
        return look("contract sizes", what, next_step)
    return well("contract sizes", what)
