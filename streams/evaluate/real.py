"""The product on real recordings: a throttled night with a squeeze, quiet days, taker bars alone.

    recording + BTC 1 m bars ──> paced ──> engine ──> scores, onsets, market onset, side
    thresholds: least that gives one alarm on the other days ────────┘

One event is a veto, not a calibration. `python -m streams.evaluate.real DATA` prints it.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.bars import Bar
from schemas.findings import AssetPulse, CascadeFinding, MarketFinding
from schemas.market import Liquidation
from schemas.words import SECOND
from streams.core import engine, pipeline
from streams.core.detectors import log_rate, rate_state, stress, venue_rates
from streams.core.params import MarketParams, OnsetParams, Params
from streams.sources import Item, Source
from streams.sources.lines import BARS_CLOCKED
from streams.sources.open import open_source
from streams.sources.pace import paced

RECORDING = "binance_liqs_2023-01_krishna"
BARS = "klines_isda_btc_windows/BTCUSDT-um-1m_2023-01-14T0000-0100Z.csv"
MONTHS = "klines_isda_um_1m_taker"
QUIET_MONTHS = ("2023-09", "2024-09")
CRASH = "klines_isda_btc_windows/BTCUSDT-um-1m_2025-10-10T2000-2215Z.csv"
QUIET_DAY = "binance_ws_2025-12_riftfern"
HOUR = 3_600
#: Scored: from a day after the first row, as the baseline starts empty, to the recorder's end.
BEGIN = int(datetime(2023, 1, 6, 4, tzinfo=UTC).timestamp())
FIRST = int(datetime(2023, 1, 7, 4, tzinfo=UTC).timestamp())
LAST = int(datetime(2023, 1, 16, 18, tzinfo=UTC).timestamp())
DAY = int(datetime(2023, 1, 14, tzinfo=UTC).timestamp())
SQUEEZE = DAY, DAY + HOUR
MARKET_BY = DAY + 1_800
#: Rows above this are the three of one account each (detection.md section 7), USD.
GIANT = 4e6
#: Below it nothing can alarm here: seconds are scored only while it is passed.
FLOOR = 0.3
LIMITS = (
    "one recorder of one venue; rows are batches of some $30k, stamped at receipt, so seconds to"
    " minutes late; the venue showed one order a second and symbol; 9.6 days scored, one event;"
    " prices of BTC only, of that hour only"
)

Scores = list[tuple[int, float]]


class Recording(NamedTuple):
    """Forced orders by receipt, the bars beside them, and the pause that is the recorder's."""

    orders: list[Liquidation]
    bars: list[Item]
    source: Source


class Room(msgspec.Struct, frozen=True):
    """A threshold (nats) and what it could be before the answer changes.

    `lowest` gives one alarm on the other days, below it there are more; `highest` still
    calls the event in time, at `false_then` alarms on the other days. None where the event is
    not called at any threshold.
    """

    threshold: float
    lowest: float
    highest: float | None
    false_then: int | None


class Ranked(msgspec.Struct, frozen=True):
    """How one asset's best hour stands: rank of the event's hour, its margin in nats, the room."""

    rank: int
    margin: float
    margin_without_giants: float
    rank_without_giants: int
    best_other_hour: str
    room: Room


class Squeeze(msgspec.Struct, frozen=True):
    """What the product says of the recording; times are ISO, event time at detection."""

    assets: dict[str, Ranked]
    market: Room
    onsets: dict[str, str]
    market_onset: str | None
    sides: dict[str, tuple[str, str]]
    saturated: dict[str, list[str]]
    limits: str = LIMITS


class Stress(msgspec.Struct, frozen=True):
    """Taker-bar stress: its threshold (nats), where it was fitted, and what it said elsewhere."""

    threshold: float
    fitted_on_weeks: float
    quiet_weeks: float
    quiet_alarms: dict[str, int]
    quiet_a_week: float
    crash_alarms: list[str]
    limits: str = (
        "1 m bars of one venue's perpetual; the threshold is fitted on other symbols' months with"
        " their true events counted as false; the crash window begins 50 min before it; stress is"
        " not liquidations"
    )


class Quiet(msgspec.Struct, frozen=True):
    """A quiet recording under the shipped thresholds: hours watched and what was called."""

    hours: float
    liquidations: int
    watches: int
    cascades: int
    market_wide: int
    limits: str = "one throttled venue; the first hour of it only feeds the baseline"


def load(data: Path) -> Recording:
    """Read the recording under `data`; raises SourceError where it is not."""
    source = open_source(data / RECORDING)
    orders = [r for _, r in source.items if isinstance(r, Liquidation)]
    inside = [r for r in orders if BEGIN <= r.ts_event // SECOND < LAST]
    return Recording(inside, list(open_source(data / BARS).items), source)


def squeeze(recording: Recording) -> Squeeze:
    """Rank the event's hour, fit thresholds to the other days, and play the product with them."""
    ranked = {asset: rank(recording, asset) for asset in ("BTC", "ETH")}
    onset = _fitted(recording, ranked)
    market, _ = _market_room(recording, onset)
    params = Params(onset=onset, market=_market_params(market.threshold))
    findings = list(play(params, recording))
    called = [f for f in findings if isinstance(f, CascadeFinding) and f.phase == "onset"]
    inside = {
        f.asset: f for f in reversed(called) if SQUEEZE[0] <= f.ts_detect // SECOND < SQUEEZE[1]
    }
    wide = [f for f in findings if isinstance(f, MarketFinding) and f.phase == "onset"]
    first = next((f for f in wide if SQUEEZE[0] <= f.ts_detect // SECOND < SQUEEZE[1]), None)
    return Squeeze(
        assets=ranked,
        market=market,
        onsets={asset: iso(inside[asset].ts_detect) for asset in ranked if asset in inside},
        market_onset=iso(first.ts_detect) if first else None,
        sides={a: (f.position_side, f.side_reason) for a, f in inside.items() if a in ranked},
        saturated={a: f.saturated for a, f in inside.items() if a in ranked},
    )


def rank(recording: Recording, asset: str) -> Ranked:
    """Return how the event's hour ranks among all, with the giant rows and without them."""
    series = scores(r for r in recording.orders if r.asset == asset)
    smaller = scores(
        r for r in recording.orders if r.asset == asset and (r.notional_usd or 0) < GIANT
    )
    (place, margin, other), (place_2, margin_2, _) = _standing(series), _standing(smaller)
    return Ranked(place, margin, margin_2, place_2, other, room(series, SQUEEZE[1]))


def scores(orders: Iterable[Liquidation]) -> Scores:
    """Return (second, Z30) of one asset where it has rows, and after them while Z is high."""
    params, state = OnsetParams(), rate_state.RateState()
    shown: dict[int, dict[str, venue_rates.VenueSecond]] = defaultdict(dict)
    for order in orders:
        stream = venue_rates.stream_of(order.venue, order.instrument, order.coverage)
        cell = shown[order.ts_event // SECOND]
        seen = cell.setdefault(stream, venue_rates.VenueSecond(coverage=order.coverage))
        seen.entries.append((order.orders, order.notional_usd))
    scored: Scores = []
    at = BEGIN
    for second in [*sorted(shown), LAST]:
        while state.score > FLOOR and at + 1 < second:
            at += 1
            scored.append((at, log_rate.step(params, state, at, 1, {})))
        elapsed, at = max(1, second - at), second
        scored.append((at, log_rate.step(params, state, at, elapsed, shown.get(at, {}))))
    return [(at, score) for at, score in scored if at >= FIRST]


def alarms(series: Scores, at: float, below: float = 1.4, hold_s: int = 300) -> list[int]:
    """Return the seconds of alarms at threshold `at`; armed again after `hold_s` below."""
    seconds: list[int] = []
    armed, low_since = True, None
    for second, score in series:
        if not armed and low_since is not None and second - low_since >= hold_s:
            armed = True
        if armed and score >= at:
            seconds.append(second)
            armed, low_since = False, None
        elif score >= at - below:
            low_since = None
        elif low_since is None:
            low_since = second
    return seconds


def pooled_alarms(series: Scores, at: float, rearm_s: int = 300) -> list[int]:
    """Return the seconds of market-wide alarms at threshold `at`, as contagion.py re-arms."""
    seconds: list[int] = []
    last = 0
    for second, score in series:
        if score >= at:
            if second - last > rearm_s:
                seconds.append(second)
            last = second
    return seconds


def room(series: Scores, by: int, rule: Callable[[Scores, float], list[int]] = alarms) -> Room:
    """Return the threshold that the days other than the event's give, and its room."""

    def others(at: float) -> int:
        return sum(not DAY <= s < DAY + 24 * HOUR for s in rule(series, at))

    def called(at: float) -> bool:
        return any(SQUEEZE[0] <= s < by for s in rule(series, at))

    top = round(100 * max((score for _, score in series), default=0.0))
    falling = [i / 100 for i in range(top + 1, top - 300, -1)]
    beyond = next((h for h in falling if others(h) > 1), falling[-1])
    lowest = round(beyond + 0.01, 2)
    highest = next((h for h in falling if called(h)), None)
    return Room(lowest, lowest, highest, None if highest is None else others(highest))


def play(params: Params, recording: Recording) -> Iterator[msgspec.Struct]:
    """Yield what the product finds and the pulses between its parts, second for second."""
    liquidations: Iterator[Item] = (("liquidations", r) for r in recording.orders)
    items = merge(liquidations, recording.bars, key=_received)
    by_bars = replace(recording.source, items=items, clocked=BARS_CLOCKED)
    state = pipeline.State()
    for topic, record in paced(by_bars, LAST * SECOND + 10**9):
        step = engine.step(params, state.shard, topic, record)  # type: ignore[arg-type]
        yield from step.findings
        yield from (
            finding
            for _, finding in pipeline.market(
                params, state, step.findings, topic == BARS_CLOCKED[-1]
            )
            if isinstance(finding, MarketFinding)
        )


def _market_room(recording: Recording, onset: OnsetParams) -> tuple[Room, Scores]:
    """Fit the pooled threshold: the second largest excess of the majors' own pulses."""
    params = Params(onset=onset, market=_market_params(0.0))
    pulses: dict[int, list[float]] = defaultdict(list)
    for finding in play(params, recording):
        if isinstance(finding, AssetPulse) and finding.asset in params.market.majors:
            pulses[finding.ts_event // SECOND].append(finding.excess)
    second = [(s, sorted(x)[-2]) for s, x in sorted(pulses.items()) if len(x) > 1 and s >= FIRST]
    return room(second, MARKET_BY, pooled_alarms), second


def _fitted(recording: Recording, ranked: dict[str, Ranked]) -> OnsetParams:
    """Return thresholds of all majors, each fitted to its own other days."""
    usual = OnsetParams()
    cascade = {asset: dict(row) for asset, row in usual.cascade.items()}
    for asset in MarketParams().majors:
        if asset in ranked:
            value = ranked[asset].room.threshold
        else:
            value = room(scores(r for r in recording.orders if r.asset == asset), DAY).threshold
        cascade[asset] = {"full": value, "mixed": value, "throttled": value}
    return msgspec.structs.replace(usual, cascade=cascade, thresholds_are_default=False)


def _market_params(threshold: float) -> MarketParams:
    return MarketParams(
        threshold={"full": threshold, "mixed": threshold, "throttled": threshold},
        thresholds_are_default=False,
    )


def _standing(series: Scores) -> tuple[int, float, str]:
    """Return rank of the event's hour, its margin over the best other, and which that is."""
    best: dict[int, float] = defaultdict(lambda: float("-inf"))
    for second, score in series:
        best[second // HOUR] = max(best[second // HOUR], score)
    event = best.pop(SQUEEZE[0] // HOUR)
    other = max(best, key=lambda hour: best[hour])
    place = 1 + sum(score > event for score in best.values())
    return place, round(event - best[other], 3), iso(other * HOUR * SECOND)[:13]


def stress_record(data: Path) -> Stress:
    """Fit the stress threshold to one alarm a week on busy months; judge quiet ones and a crash."""
    months = sorted((data / MONTHS).glob("*-1m-*"))
    quiet = [p for p in months if any(month in p.name for month in QUIET_MONTHS)]
    series = {p.name: stress_series(p) for p in months}
    busy = [series[p.name] for p in months if p not in quiet]
    weeks = sum(map(len, busy)) / 10_080
    top = max(score for one in busy for _, score in one)
    falling = (top - i / 100 for i in range(1_000))
    beyond = next(h for h in falling if sum(len(pooled_alarms(s, h, 1_800)) for s in busy) > weeks)
    at = round(beyond + 0.01, 2)
    counts = {p.name.split(".")[0]: len(pooled_alarms(series[p.name], at, 1_800)) for p in quiet}
    calm = sum(len(series[p.name]) for p in quiet) / 10_080
    crash = pooled_alarms(stress_series(data / CRASH), at, 1_800)
    return Stress(
        threshold=at,
        fitted_on_weeks=round(weeks, 1),
        quiet_weeks=round(calm, 1),
        quiet_alarms=counts,
        quiet_a_week=round(sum(counts.values()) / calm, 2),
        crash_alarms=[iso(second * SECOND) for second in crash],
    )


def stress_series(path: Path) -> Scores:
    """Return (second the minute closed, stress) of one symbol's 1 m bars."""
    state = stress.StressState()
    bars = (bar for _, bar in open_source(path).items if isinstance(bar, Bar))
    return [
        (b.ts_close // SECOND, stress.fold(state, b.buy_usd - b.sell_usd, (b.high + b.low) / 2))
        for b in bars
    ]


def quiet_day(data: Path, folder: str = QUIET_DAY) -> Quiet:
    """Play a quiet recording, that of 2025-12-27, with the shipped parameters."""
    source = open_source(data / folder)
    items = [item for item in source.items if item[0] != "dead_letters"]
    state, params = pipeline.State(), Params()
    findings = [
        record
        for topic, item in paced(replace(source, items=iter(items)), 2**53)
        for _, record in pipeline.step(params, state, topic, item).outputs
        if isinstance(record, CascadeFinding | MarketFinding)
    ]
    cascades = [f for f in findings if isinstance(f, CascadeFinding)]
    orders = [r for _, r in items if isinstance(r, Liquidation)]
    minutes = {r.ts_recv // (60 * SECOND) for r in orders}
    return Quiet(
        hours=round(len(minutes) / 60, 1),
        liquidations=len(orders),
        watches=sum(f.phase == "watch" for f in cascades),
        cascades=sum(f.phase == "onset" for f in cascades),
        market_wide=sum(isinstance(f, MarketFinding) and f.phase == "onset" for f in findings),
    )


def _received(item: Item) -> int:
    record = item[1]
    return int(getattr(record, "ts_recv", 0) or getattr(record, "ts_close", 0))


def iso(micros: int) -> str:
    return datetime.fromtimestamp(micros // SECOND, UTC).isoformat()[:19] + "Z"


def main(args: Sequence[str]) -> None:
    """Print what the product makes of the recording under the folder given."""
    data = Path(args[0] if args else "../shared/data")
    report = {
        "squeeze_2023_01_14": squeeze(load(data)),
        "stress_2025_10_10": stress_record(data),
        "quiet_2025_12_27": quiet_day(data),
    }
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
