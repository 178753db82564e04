"""The answers of which a report is made, read from the tables."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sinks.report import questions
from sinks.report.questions import Episode, Window

#: Points of a series in a picture, at most about so many.
POINTS = 600
#: Runs one query and returns its answer as JSONCompact text.
Ask = Callable[[str], str]


class NothingThere(Exception):
    """There is nothing to report of; the message is one clear line."""


class Answer(NamedTuple):
    """What a query gave: `columns` names each place in every row."""

    sql: str
    columns: list[str]
    rows: list[list[Any]]

    def records(self) -> list[dict[str, Any]]:
        """Return the rows with names."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Night(NamedTuple):
    """A window, the episode that is looked at (None: there is none), and answers by name."""

    window: Window
    episode: Episode | None
    asset: str
    step_s: int
    answers: dict[str, Answer]


def read(ask: Ask, since: str = "", until: str = "", episode_id: str = "") -> Night:
    """Read what a report says of a window, an episode, or the last 24 h of the data.

    Raises NothingThere, ValueError for a time that is none, and as `ask` does.
    """
    window = _window(ask, since, until, episode_id)
    episode = _episode(ask, window, episode_id)
    answers = {
        name: _asked(ask, question(window))
        for name, question in (
            ("totals", questions.totals), ("episodes", questions.episodes),
            ("led", questions.led), ("market", questions.market),
            ("hidden", questions.hidden), ("verdicts", questions.verdicts),
            ("inflows", questions.inflows), ("coverage", questions.coverage),
            ("gaps", questions.gaps), ("known_then", questions.known_then),
            ("told", questions.told), ("letters", questions.letters),
        )
    }  # fmt: skip
    if not answers["totals"].records()[0]["orders"]:
        raise NothingThere(f"no liquidation is stored from {window.since} to {window.until} UTC")
    answers["assets"] = _asked(ask, questions.by("asset", window))
    answers["venues"] = _asked(ask, questions.by("venue", window))
    asset = episode.asset if episode else str(answers["assets"].rows[0][0])
    if episode:
        for name, about in (
            ("waves", questions.waves), ("waterfall", questions.waterfall),
            ("first_orders", questions.first_orders),
            ("by_venue", questions.by_venue_over_time),
        ):  # fmt: skip
            answers[name] = _asked(ask, about(episode))
    return _with_series(ask, Night(window, episode, asset, 1, answers))


def read_episode(ask: Ask, episode_id: str) -> Night:
    """Read what one picture of an episode shows, as far as it has come; raises as `read` does."""
    window = _window(ask, "", "", episode_id)
    episode = _episode(ask, window, episode_id)
    if episode is None:
        raise NothingThere(f"no episode {episode_id!r} is stored")
    answers = {
        "episodes": _asked(ask, questions.episodes(window)),
        "verdicts": _asked(ask, questions.verdicts(window)),
    }
    return _with_series(ask, Night(window, episode, episode.asset, 1, answers))


def second_of(text: str) -> float:
    """Return unix seconds of a time as the tables write it."""
    return _moment(text)


def _with_series(ask: Ask, night: Night) -> Night:
    """Return `night` with price and forced USD over time, thinned to POINTS."""
    window, asset = night.window, night.asset
    step_s = max(1, round((_moment(window.until) - _moment(window.since)) / POINTS))
    series = {
        "prices": _asked(ask, questions.prices(window, asset, step_s)),
        "forced": _asked(ask, questions.forced(window, asset, step_s)),
    }
    return night._replace(step_s=step_s, answers=night.answers | series)


def _asked(ask: Ask, sql: str) -> Answer:
    answer = json.loads(ask(sql))
    return Answer(sql, [column["name"] for column in answer["meta"]], answer["data"])


def _window(ask: Ask, since: str, until: str, episode_id: str) -> Window:
    if episode_id:
        rows = _asked(ask, questions.around(episode_id)).rows
        if not rows:
            raise NothingThere(f"no episode {episode_id!r} is stored")
        return Window(*rows[0])
    [[first, last]] = _asked(ask, questions.last_day()).rows
    if last is None:
        raise NothingThere("no liquidation is stored")
    window = Window(_as_stored(since) or first, _as_stored(until) or last)
    if window.since >= window.until:
        raise ValueError(f"{window.since} is not before {window.until}")
    return window


def _episode(ask: Ask, window: Window, episode_id: str) -> Episode | None:
    rows = _asked(ask, questions.largest_episode(window, episode_id)).rows
    return Episode(*rows[0]) if rows else None


def _as_stored(text: str) -> str:
    """Return a time as people write it as the tables do; raises ValueError."""
    if not text:
        return ""
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
