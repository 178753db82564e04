"""What a venue's producer says of itself: alive, silent, recovered, and its gaps. Pure.

    link       ───── lost ........ back ──(history asked for)── closed ─────
    in-band    alive ────┐ nothing for 5 s ┐                    ┌ alive
                         └ silent (if all links of the topic)   └ recovered
    feed_status                                      gap, with its bounds

`alive` of a second means that everything before it was written. While a link is away for a moment
nothing is said, so that its records are waited for; then the others go on without.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from schemas.status import FeedStatus
from schemas.words import SECOND, WORD_EVERY, FeedState

#: Nothing is said for so long while a link is away, and while its history is asked for.
AWAY = 5 * SECOND
ASKING = 20 * SECOND


class Spoken(NamedTuple):
    """One word: on which raw topics it goes in-band, none for feed_status alone."""

    topics: tuple[str, ...]
    status: FeedStatus


class Outage(msgspec.Struct):
    """A link lost for a topic: since when, and until when; `is_first`: nothing came before."""

    link: str
    since: int
    reason: str
    is_first: bool
    until: int | None = None


class TopicState(msgspec.Struct):
    """One raw topic: links that serve it, their outages, and what was said last."""

    links: set[str]
    outages: dict[str, Outage] = {}
    ts_alive: int = 0
    is_silent: bool = False
    mute_since: int | None = None


class Outages:
    """The words of one producer; times are microseconds of event time."""

    def __init__(self, producer: str, topics: dict[str, set[str]], others: Iterable[str]) -> None:
        """`topics`: links by the topic they serve; `others`: topics without records of it."""
        self.producer = producer
        self._topics = {name: TopicState(links) for name, links in topics.items()}
        self._others = tuple(others)
        self._pending: list[Spoken] = []

    def lost(self, link: str, since: int, reason: str, is_first: bool = False) -> None:
        """Take in that a link gives nothing since a moment; `is_first`: it never has."""
        for number, state in enumerate(self._served_by(link)):
            outage = state.outages.get(link)
            if outage is None:
                # A microsecond apart: words of one producer, moment and state are one row.
                state.outages[link] = Outage(link, since - number, reason, is_first)
            else:  # lost again before its history was in
                outage.until, outage.reason = None, reason

    def back(self, link: str, until: int) -> None:
        """Take in that a link delivers again; `close` follows for each topic."""
        for state in self._served_by(link):
            if link in state.outages:
                state.outages[link].until = until

    def outage(self, link: str, topic: str) -> Outage | None:
        """Return the outage of a link that is not closed yet."""
        state = self._topics.get(topic)
        return state.outages.get(link) if state else None

    def close(self, link: str, topic: str, missing: str, now: int) -> None:
        """End an outage; `missing` says why records of it never came, "" where all did."""
        state = self._topics[topic]
        outage = state.outages.pop(link)
        until = outage.until or now
        whole = state.is_silent or len(state.links) == 1
        if missing:
            why = f"{topic} of {link} until {moment(until)}: {outage.reason}; {missing}"
            self._say((), "gap", outage.since, why)
        if whole and (missing or state.is_silent):
            if not state.is_silent:
                self._say((topic,), "silent", max(outage.since, state.ts_alive), outage.reason)
            self._say((topic,), "recovered", until, "")
            state.ts_alive = max(state.ts_alive, until)
        state.is_silent = False

    def connected(self, link: str, now: int, what: str) -> None:
        """Say that a link stands."""
        self._say((), "connected", now, f"{link}: {what}")

    def gap(self, link: str, topic: str, span: tuple[int, int], why: str) -> None:
        """Say that records of a span are missing though the link stood."""
        self._say((), "gap", span[0], f"{topic} of {link} until {moment(span[1])}: {why}")

    def mute(self, topic: str, since: int, reason: str) -> None:
        """Say that a topic tells nothing though its links stand, while others tell much."""
        state = self._topics.get(topic)
        if state is not None and state.mute_since is None and not state.is_silent:
            state.mute_since = since
            self._say((topic,), "silent", max(since, state.ts_alive), reason)

    def unmute(self, topic: str, now: int) -> None:
        """Say that a topic tells again."""
        state = self._topics.get(topic)
        if state is not None and state.mute_since is not None:
            state.mute_since = None
            self._say((topic,), "recovered", now, "")

    def words_at(self, now: int, behind: int) -> Iterator[Spoken]:
        """Yield what there is to say; `behind` is how long after an event it may still come."""
        yield from self._spoken()
        at = (now - behind) // WORD_EVERY * WORD_EVERY
        speaking = list(self._others)
        for topic, state in self._topics.items():
            if self._is_waited_for(state, now):
                continue
            self._fall_silent(topic, state, now)
            if not state.is_silent and state.mute_since is None and at > state.ts_alive:
                state.ts_alive = at
                speaking.append(topic)
        yield from self._spoken()
        if speaking:
            status = FeedStatus(producer=self.producer, state="alive", ts_event=at)
            yield Spoken(tuple(speaking), status)

    def end(self, now: int) -> Iterator[Spoken]:
        """Yield the last words: we stop, and calm is not what follows."""
        for topic, state in self._topics.items():
            if not state.is_silent and state.mute_since is None:
                self._say((topic,), "silent", max(now, state.ts_alive), "stopped on purpose")
        for topic in self._others:
            self._say((topic,), "silent", now, "stopped on purpose")
        yield from self._spoken()

    def _served_by(self, link: str) -> Iterator[TopicState]:
        return (state for state in self._topics.values() if link in state.links)

    def _is_waited_for(self, state: TopicState, now: int) -> bool:
        if state.is_silent:
            return False
        return any(
            now - outage.since < AWAY if outage.until is None else now - outage.until < ASKING
            for outage in state.outages.values()
        )

    def _fall_silent(self, topic: str, state: TopicState, now: int) -> None:
        away = [o for o in state.outages.values() if o.until is None]
        if state.is_silent or len(away) < len(state.links):
            return
        state.is_silent = True
        since = max(min(o.since for o in away), state.ts_alive)
        self._say((topic,), "silent", since, away[0].reason)

    def _say(self, topics: tuple[str, ...], state: FeedState, at: int, reason: str) -> None:
        status = FeedStatus(producer=self.producer, state=state, ts_event=at, reason=reason[:2000])
        self._pending.append(Spoken(topics, status))

    def _spoken(self) -> list[Spoken]:
        spoken, self._pending = self._pending, []
        return spoken


def moment(micros: int) -> str:
    """Return a time in ISO 8601, UTC, to the microsecond."""
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat(timespec="microseconds")
