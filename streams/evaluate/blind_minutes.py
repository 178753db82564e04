"""Months of feeds that fall silent, die, come back and join: is every blind minute told?

    truth   ── speaks ──┐ outage ┌── speaks ──┐ restart ┌── ...      drawn, by seed
    alerts              └ silent └ back       (short: nobody need hear)

Through the pure pipeline, with words every STEP_S (every CALM_STEP_S where nothing is about to
change) and few orders: nothing here waits for a market. Told in time: within BOUND_S of a blind
spell's beginning and of its end, by the event time of those that still speak.
"""

import random
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from schemas.findings import Alert
from schemas.market import Liquidation
from schemas.status import FeedStatus
from schemas.words import SECOND, FeedState
from streams.core import pipeline
from streams.core.params import Params

START = 1_735_689_600
DAY = 86_400
#: Below the 10 s of a leap: a word that far ahead of its producer's last waits for the next.
STEP_S = 8
#: As long as steps become, doubled, where no feed's spell or joining is near.
CALM_STEP_S, NEAR_S = 32, 600
#: In which the beginning and the end of a blind spell must be told, seconds.
BOUND_S = 90
#: A spell shorter than this nobody need be told of: it may be a restart.
SHORT_S = 70
#: Mean seconds between two outages of a feed, and shares of what happens in one.
BETWEEN_S = 2 * DAY
DECLARED, RESTART = 0.4, 0.3
TOPICS = {
    "liquidations": ("binance", "bybit", "okx", "my-bitget"),
    "trades": ("binance-tape", "bybit-tape"),
    "whale_transfers": ("whale-alert",),
}


class Spell(NamedTuple):
    """Seconds [begin, end) in which a feed tells nothing; `declared`: it says so itself."""

    begin: int
    end: int
    declared: bool


class Feed(NamedTuple):
    """One producer on one topic from second `joins` on; its clock runs `skew` seconds ahead."""

    topic: str
    producer: str
    joins: int
    skew: float
    spells: tuple[Spell, ...]


class Told(NamedTuple):
    """An alert on a feed, and the second in which it came."""

    at: int
    producer: str
    state: str


class Report(msgspec.Struct):
    """What came of it; delays in seconds, the worst of all spells that need be told."""

    days: int
    seeds: int
    spells: int = 0
    begun_in_time: int = 0
    ended_in_time: int = 0
    worst_begin_s: int = 0
    worst_end_s: int = 0
    false_silences: int = 0
    quiet_feeds: int = 0
    untold: list[str] = []


def feeds(seed: int, days: int) -> list[Feed]:
    """Draw feeds with their outages; one stays quiet all along, one joins late."""
    draw = random.Random(seed)
    made = []
    for topic, producers in TOPICS.items():
        for number, producer in enumerate(producers):
            joins = draw.randrange(DAY, 3 * DAY) if number == 3 else 0
            spells = tuple(_spells(draw, joins + DAY // 4, days * DAY))
            made.append(Feed(topic, producer, joins, draw.uniform(-1.5, 1.5), spells))
    # It never fails and hardly ever has anything to tell: that is no blindness.
    made.append(Feed("liquidations", "quiet", 0, 0.0, ()))
    return made


def _spells(draw: random.Random, first: int, until: int) -> Iterator[Spell]:
    at = first + int(draw.expovariate(1 / BETWEEN_S))
    while at < until - DAY:
        if draw.random() < RESTART:
            lasts, declared = draw.randrange(5, 45), False
        else:
            lasts, declared = int(draw.lognormvariate(6.5, 1.2)) + SHORT_S, draw.random() < DECLARED
        yield Spell(at, at + lasts, declared)
        at += lasts + 900 + int(draw.expovariate(1 / BETWEEN_S))


def play(seed: int, days: int, made: Sequence[Feed]) -> list[Told]:
    """Return what people were told, of feeds that speak as `made` says.

    The process is restarted now and then: its state goes through its bytes.
    """
    draw, params, state = random.Random(-seed), Params(), pipeline.State()
    notices: list[Told] = []
    silent: dict[tuple[str, str], bool] = {}
    for second, step in _steps(days, made):
        for feed in made:
            for record in _said(feed, second, silent, draw):
                notices += _alerts(params, state, feed.topic, record, second)
        if draw.random() < step / (DAY / 2):
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=pipeline.State)
    return notices


def _steps(days: int, made: Sequence[Feed]) -> Iterator[tuple[int, int]]:
    """Yield the seconds at which feeds speak, and how far each lies behind the one before."""
    edges = sorted({edge for feed in made for edge in (feed.joins, *_edges(feed))})
    second, step = 0, STEP_S
    while second < days * DAY:
        yield second, step
        at = bisect_left(edges, second - NEAR_S)
        near = at < len(edges) and edges[at] < second + NEAR_S
        step = STEP_S if near else min(2 * step, CALM_STEP_S)
        second += step


def _edges(feed: Feed) -> Iterator[int]:
    for spell in feed.spells:
        yield from (spell.begin, spell.end)


def _alerts(
    params: Params, state: pipeline.State, topic: str, record: msgspec.Struct, second: int
) -> Iterator[Told]:
    for _, output in pipeline.step(params, state, topic, record).outputs:
        if isinstance(output, Alert) and output.kind in ("feed.silent", "feed.recovered"):
            name = output.title.removeprefix("Feed ").partition(":")[0]
            yield Told(second, name, output.kind.removeprefix("feed."))


def _said(
    feed: Feed, second: int, silent: dict[tuple[str, str], bool], draw: random.Random
) -> Iterator[msgspec.Struct]:
    """Yield what a feed writes in the step that begins with a second."""
    if second < feed.joins:
        return
    spell = next((s for s in feed.spells if s.begin <= second < s.end), None)
    key, was_silent = (feed.topic, feed.producer), silent.get((feed.topic, feed.producer), False)
    at = int((START + second + feed.skew) * SECOND)
    if spell is not None:
        if spell.declared and not was_silent:
            yield _word(feed, "silent", at)
        silent[key] = True
        return
    if was_silent:
        silent[key] = False
        yield _word(feed, "recovered", at)
        return
    rare = 0.0005 if feed.producer == "quiet" else 0.02
    if feed.topic == "liquidations" and draw.random() < rare:
        yield _order(feed, at - SECOND, draw)
    yield _word(feed, "alive", at)


def _word(feed: Feed, state: FeedState, at: int) -> FeedStatus:
    return FeedStatus(producer=feed.producer, state=state, ts_event=at)


def _order(feed: Feed, at: int, draw: random.Random) -> Liquidation:
    usd = draw.lognormvariate(8, 1)
    return Liquidation(
        event_id=f"{feed.producer}:{at}", venue=feed.producer, instrument="BTC-USDT-PERP",
        venue_symbol="BTCUSDT", asset="BTC", position_side="long", order_side="sell", price=1e5,
        price_kind="fill", quantity=usd / 1e5, notional_usd=usd, coverage="full", stream="orders",
        ts_event=at, ts_recv=at,
    )  # fmt: skip


def judge(report: Report, made: Sequence[Feed], notices: Sequence[Told]) -> None:
    """Add to `report` how soon each spell's beginning and end were told, and false silences."""
    report.quiet_feeds += sum(feed.producer == "quiet" for feed in made)
    for feed in made:
        # Where all feeds of trades are away, rollup is what tells nothing any more.
        names = {feed.producer, "rollup"} if feed.topic == "trades" else {feed.producer}
        of_feed = [one for one in notices if one.producer in names]
        for spell in feed.spells:
            if spell.end - spell.begin < SHORT_S:
                continue
            report.spells += 1
            begun = _delay(of_feed, "silent", spell.begin, spell.end + BOUND_S)
            ended = _delay(of_feed, "recovered", spell.end, spell.end + DAY)
            report.begun_in_time += begun is not None and begun <= BOUND_S
            report.ended_in_time += ended is not None and ended <= BOUND_S
            report.worst_begin_s = max(report.worst_begin_s, begun or 0)
            report.worst_end_s = max(report.worst_end_s, ended or 0)
            if begun is None or ended is None or max(begun, ended) > BOUND_S:
                report.untold.append(
                    f"{feed.topic}/{feed.producer} {spell}: told after {begun}, back after {ended}"
                )
        report.false_silences += sum(
            one.state == "silent"
            and one.producer == feed.producer
            and not any(s.begin - CALM_STEP_S <= one.at <= s.end + BOUND_S for s in feed.spells)
            for one in of_feed
        )


def _delay(notices: Sequence[Told], state: str, since: int, until: int) -> int | None:
    times = [one.at for one in notices if one.state == state and since - STEP_S <= one.at <= until]
    return max(0, min(times) - since) if times else None


def report_of(days: int, seeds: Sequence[int]) -> Report:
    """Return the report of so many days under each seed."""
    report = Report(days, len(seeds))
    for seed in seeds:
        made = feeds(seed, days)
        judge(report, made, play(seed, days, made))
    return report


def main(args: Sequence[str]) -> Any:
    """Print the report of `days` (30) under six seeds from `first` (401) on: half a year."""
    days, first = (*map(int, args), *(30, 401)[len(args) :])
    report = report_of(days, range(first, first + 6))
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    return report


if __name__ == "__main__":
    main(sys.argv[1:])
