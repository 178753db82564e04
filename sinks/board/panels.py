"""Answers to the board's questions: as rows, as text for a download, or as the SQL itself."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from sinks.board.deliveries import Outbox
from sinks.board.queries import PANELS, POINTS, SHARED, as_sql, clock

#: Runs one statement with its values and returns the answer in a format; raises QueryError.
Ask = Callable[[str, Mapping[str, str], str], bytes]

_FORM = "%Y-%m-%d %H:%M:%S.%f"
#: Widths of a chart's points, seconds.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600)
_SPANS_S = range(60, 14 * 86_400 + 1)
_MAX_TEXT = 200


class BadQuestion(ValueError):
    """A value in the address cannot be used; the message names it."""


class Moment(NamedTuple):
    """The data's own time, None where nothing is stored, and rows and bytes of each table."""

    at: str | None
    stored: dict[str, tuple[int, int]]


def moment(ask: Ask, run: str) -> Moment:
    """Return where the data end; raises QueryError."""
    [row] = rows_of(ask(clock(run), {"run": run} if run else {}, "JSONCompact"))
    return Moment(row["at"] or None, {name: (rows, size) for name, rows, size in row["stored"]})


def rows_of(answer: bytes) -> list[dict[str, Any]]:
    """Return the rows of an answer in JSONCompact by column."""
    parsed = orjson.loads(answer)
    names = [column["name"] for column in parsed["meta"]]
    return [dict(zip(names, row, strict=True)) for row in parsed["data"]]


def values_of(name: str, wanted: Mapping[str, str], now: str | None) -> dict[str, str]:
    """Return the values of a panel's statement from an address; `now` is the data's own time.

    Raises BadQuestion.
    """
    at = moment_of(wanted.get("at", "")) or now
    if at is None:
        raise BadQuestion("nothing is stored yet")
    values = {"at": at, "usd": _number(wanted.get("usd", "0"))}
    for text in ("asset", "episode"):
        values[text] = wanted.get(text, "")[:_MAX_TEXT]
    span_s = int(float(_number(wanted.get("span", "3600"))))
    if span_s not in _SPANS_S:
        raise BadQuestion(f"span is {_SPANS_S[0]} to {_SPANS_S[-1]} seconds")
    step = next((s for s in _STEPS if span_s / s <= POINTS), _STEPS[-1])
    values["step"] = str(step)
    values["since"] = (_parsed(at) - timedelta(seconds=span_s)).strftime(_FORM)
    return {value: values[value] for value in PANELS[name].values()}


def moment_of(text: str) -> str | None:
    """Return a moment of an address (ISO-8601, UTC where none is said) as SQL takes it."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text)
        aware = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadQuestion(f"at={text[:40]!r} is no moment") from None
    if not 1971 <= aware.year <= 2200:
        raise BadQuestion(f"at={text[:40]!r} is out of range")
    return aware.strftime(_FORM)


def answer(ask: Ask, name: str, values: Mapping[str, str], fmt: str) -> bytes:
    """Return a panel's answer as `json`, `csv`, or the statement as `sql`; raises QueryError."""
    statement = PANELS[name].sql
    if fmt == "sql":
        return (as_sql(statement, values) + "\n").encode()
    if fmt == "csv":
        return ask(statement, values, "CSVWithNames")
    rows = rows_of(ask(statement, values, "JSONCompact"))
    return orjson.dumps({"at": values.get("at"), "rows": rows, "step": values.get("step")})


def shared(
    ask: Ask, at: str | None, outbox: Outbox, names: Collection[str] = SHARED.keys()
) -> dict[str, list[dict[str, Any]]]:
    """Return what every listener sees as of `at`, by panel; raises QueryError.

    What became of the alerts is as of now.
    """
    if at is None:
        return {name: [] for name in names}
    values = {"at": at, "usd": "0"}
    rows = {
        name: rows_of(ask(panel.sql, {v: values[v] for v in panel.values()}, "JSONCompact"))
        for name, panel in SHARED.items()
        if name in names
    }
    # Beside a run the outbox knows sooner than the store.
    alerts = rows.get("alerts", [])
    states = outbox.states([row for row in alerts if not row["delivery"]])
    for row in alerts:
        row["delivery"] = row["delivery"] or states[row["alert_id"]]
    return rows


def age_s(at: str | None, now: datetime) -> float | None:
    """Return how long ago a moment was."""
    return None if at is None else (now - _parsed(at)).total_seconds()


def epoch_s(at: str) -> float:
    """Return a moment in seconds."""
    return _parsed(at).timestamp()


def _parsed(at: str) -> datetime:
    return datetime.strptime(f"{at}.0"[:26] if "." not in at else at, _FORM).replace(tzinfo=UTC)


def _number(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e15:
        raise BadQuestion(f"{text[:40]!r} is no number from 0")
    return repr(number)
