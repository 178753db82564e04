"""One picture of one episode, for who is told of it: matplotlib is loaded when it is drawn."""

from importlib.util import find_spec

from sinks.report.night import Ask, NothingThere, read_episode
from sinks.sql.protocol import QueryError


class NoPicture(Exception):
    """There is no such picture; the message says why."""


def why_not_drawn() -> str | None:
    """Return what is missing for drawing at all, None where nothing is."""
    if find_spec("matplotlib") is None:
        return "matplotlib is not installed: `make evaluate` brings it, or pip install matplotlib"
    return None


def picture(ask: Ask, episode_id: str) -> bytes:
    """Return price and forced USD around an episode, as PNG.

    Raises NoPicture where it is not stored, the store does not answer, or nothing can be drawn.
    """
    if why := why_not_drawn():
        raise NoPicture(why)
    from sinks.report.charts import timeline

    try:
        return timeline(read_episode(ask, episode_id))
    except (NothingThere, ValueError, QueryError, OSError) as problem:
        raise NoPicture(str(problem)) from problem
