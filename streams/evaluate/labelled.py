"""A labelled recording: the product itself run over it, and rivals on the same orders.

DIR holds topics as `undertow simulate` writes them (<topic>.ndjson[.gz], one JSON record a
line) and truth.ndjson. Of the truth only this is read, times in microseconds UTC:

    {"kind": "cascade", "asset", "position_side", "t0", "t95", "end"}   must be found
    {"kind": "grey", "asset", "position_side", "t0", "end"}             may be found
    {"kind": "whale", "event_id", "sells": true | false}                deposits with known end

An alarm is right from 300 s before t0 until t95, excused until 1800 s after end, and counted
at `ts_detect`. Damage is what the feeds showed, a lower bound where they are throttled.
Rivals get, on this very recording, the lowest threshold at which they raise no more false
alarms than the product did: a favour to them that no one has in life.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from schemas.findings import CascadeFinding, MarketFinding, WhaleFinding
from schemas.words import SECOND
from streams.core import pipeline
from streams.core.params import Params
from streams.evaluate import drawn, figure_tables, recorded
from streams.evaluate.calibrate import lowest
from streams.evaluate.events import (
    SKIP,
    WEEK,
    Ints,
    Truth,
    Watch,
    Weeks,
    alarms,
    difference,
    false_alarms,
    figures,
    judge,
)
from streams.evaluate.protocol import CONTENDERS, Seen, rows
from streams.evaluate.protocol import PRODUCT as OURS
from streams.evaluate.recorded import Key, Recording
from streams.evaluate.scores import z30
from streams.process.clock import not_after
from streams.sources import Source
from streams.sources.lines import SourceError
from streams.sources.pace import paced

CASE = "as_recorded"
PRODUCT = "undertow"
#: Fewer weeks than this give no interval: resampling them would only flatter.
LEAST_BLOCKS = 4


class Cascade(msgspec.Struct, tag="cascade", tag_field="kind"):
    """One that must be found."""

    asset: str
    position_side: str
    t0: int
    t95: int
    end: int


class Grey(msgspec.Struct, tag="grey", tag_field="kind"):
    """One that may be found."""

    asset: str
    position_side: str
    t0: int
    end: int


class Whale(msgspec.Struct, tag="whale", tag_field="kind"):
    """A deposit whose owner sold, or did not."""

    event_id: str
    sells: bool


Line = Cascade | Grey | Whale


def truth_lines(path: Path) -> list[Line]:
    """Read truth.ndjson; kinds that are not scored are passed over. Raises SourceError."""
    lines: list[Line] = []
    try:
        texts = path.read_bytes().splitlines()
    except OSError as problem:
        raise SourceError(f"{path}: {problem.strerror}; see `undertow evaluate --help`") from None
    for number, text in enumerate(texts, 1):
        try:
            kind = msgspec.json.decode(text, type=dict[str, Any]).get("kind")
            if kind in ("cascade", "grey", "whale"):
                lines.append(msgspec.json.decode(text, type=Line))
        except msgspec.DecodeError as problem:
            raise SourceError(f"{path}, line {number}: {problem}") from None
    return lines


def evaluate(
    params: Params, source: Source, truth: list[Line], tell: Callable[[int, int], None]
) -> dict[str, Any]:
    """Run the product over `source` and judge it; the dict is laid out as evaluate.json."""
    recording, findings = _played(params, source, tell)
    cascades = [line for line in truth if isinstance(line, Cascade)]
    keys = sorted(set(recording.orders) | {(c.asset, c.position_side) for c in cascades})
    if not keys:
        raise SourceError("the recording holds no liquidations and the truth no cascades")
    watch = _watch(recording)
    truths = [_truth(recording, truth, key) for key in keys]
    ours = [_called(recording, findings, key) for key in keys]
    weeks = {PRODUCT: judge([(0, t) for t in truths], ours, watch)}
    weeks |= _rivals(recording, keys, truths, ours, watch)
    by_name = {n: {"feeds": {CASE: _row(w)}, "giants": {}} for n, w in weeks.items()}
    paired = {
        n: {"damage_to_come": _paired(weeks[PRODUCT], w)} for n, w in weeks.items() if n != PRODUCT
    }
    market = sum(isinstance(f, MarketFinding) and f.phase == "onset" for f in findings)
    return by_name[PRODUCT]["feeds"][CASE] | {
        "score": PRODUCT, "feeds": by_name[PRODUCT]["feeds"], "giants": {}, "rivals": by_name,
        "ours_less_rival": {CASE: paired}, "whale": _whales(findings, truth),
        "market_onsets": market, "params_version": params.version,
        "thresholds_are_default": params.onset.thresholds_are_default,
        "examples": _examples(params, recording, keys, truths, ours, watch, weeks[PRODUCT]),
        "blocks": len(weeks[PRODUCT].false), "unpriced_orders": recording.unpriced, "bars": [],
    }  # fmt: skip


def _row(weeks: Weeks) -> figure_tables.Row:
    row = figure_tables.row(figures(weeks))
    return row if len(weeks.false) >= LEAST_BLOCKS else row | {"intervals": {}}


def _paired(ours: Weeks, other: Weeks) -> figure_tables.Row | None:
    """Return the difference in damage to come; None where there was no cascade."""
    if not len(ours.caught):
        return None
    share = figure_tables.full(difference(ours, other, lambda x: x.left))
    return share if len(ours.false) >= LEAST_BLOCKS else share | {"interval": None}


def _played(
    params: Params, source: Source, tell: Callable[[int, int], None]
) -> tuple[Recording, list[msgspec.Struct]]:
    recording, state, findings = Recording(), pipeline.State(), []
    for number, (topic, record) in enumerate(paced(source, not_after())):
        if topic == "dead_letters":
            continue
        recorded.take(recording, record)
        step = pipeline.step(params, state, topic, record)
        findings += [o for to, o in step.outputs if to in ("cascades", "whale_selling")]
        if number % 50_000 == 0:
            tell(recording.last, number)
    return recording, findings


def _watch(recording: Recording) -> Watch:
    """Leave out a day while baselines settle (an hour of a recording under three days)."""
    length = (recording.last - recording.first) // SECOND + 1
    skip = SKIP if length >= 3 * SKIP else min(3600, length // 4)
    return Watch(skip, (length - skip) // max(1, round((length - skip) / WEEK)))


def _truth(recording: Recording, lines: list[Line], key: Key) -> Truth:
    first = recording.first // SECOND
    of_key = [x for x in lines if not isinstance(x, Whale) and (x.asset, x.position_side) == key]
    usd = recorded.running_usd(recorded.feed(recording, key))
    last = len(usd) - 2

    def at(time: int) -> int:
        return min(max(time // SECOND - first, 0), last)

    return Truth(
        rows([(at(x.t0), at(x.t95), at(x.end)) for x in of_key if isinstance(x, Cascade)], 3),
        rows([(at(x.t0), at(x.end)) for x in of_key if isinstance(x, Grey)], 2),
        usd,
    )


def _called(recording: Recording, findings: list[msgspec.Struct], key: Key) -> Ints:
    first = recording.first // SECOND
    at = [
        f.ts_detect // SECOND - first
        for f in findings
        if isinstance(f, CascadeFinding)
        and (f.phase == "onset" or (f.phase == "reignited" and f.log_rate >= f.threshold))
        and (f.asset, f.position_side) == key
    ]
    return np.array(sorted(at), np.int64)


def _rivals(
    recording: Recording, keys: list[Key], truths: list[Truth], ours: list[Ints], watch: Watch
) -> Mapping[str, Weeks]:
    blocks = (len(truths[0].usd) - 1 - watch.skip) // watch.block
    alarms_of: dict[str, list[Ints]] = {
        name: [] for name in CONTENDERS if name not in ("MAXC", OURS)
    }
    for key, truth, called in zip(keys, truths, ours, strict=True):
        feed = recorded.feed(recording, key)
        view = Seen(feed, np.zeros(0, np.float32), _pressure(recording, key))
        budget = len(false_alarms(truth, called, watch)) / blocks
        for name, at in alarms_of.items():
            score = CONTENDERS[name]
            series = score.parts[0](view) if len(feed.at) else np.zeros(feed.seconds, np.float32)
            value = lowest([(truth, series)], budget, score.rearm_below, score.rearm_s, watch)
            at.append(alarms(series, value, score.rearm_below, score.rearm_s))
    pairs = [(0, truth) for truth in truths]
    return {name: judge(pairs, at, watch) for name, at in alarms_of.items()}


def _examples(
    params: Params, recording: Recording, keys: list[Key], truths: list[Truth], ours: list[Ints],
    watch: Watch, weeks: Weeks,
) -> list[dict[str, Any]]:  # fmt: skip
    cascades = [
        (n, row)
        for n, truth in enumerate(truths)
        for row in truth.cascades.tolist()
        if 0 <= (row[0] - watch.skip) // watch.block < len(weeks.false)
    ]
    examples = []
    for what, i in drawn.picks(weeks).items():
        n, (t0, t95, _) = cascades[i]
        feed, asset = recorded.feed(recording, keys[n]), keys[n][0]
        usual_orders = recorded.usual_orders(len(feed.at), feed.seconds)
        threshold = params.threshold(
            asset, usual_orders, recorded.feed_class(recording, asset),
            recorded.throttle(recording, asset),
            recorded.by_venue(recording, asset, usual_orders),
        )  # fmt: skip
        series = drawn.Series(recorded.price(recording, asset), feed, z30(feed), threshold, ours[n])
        name = {"what": what, "asset": " ".join(keys[n]), "left": float(weeks.left[i])}
        examples.append(name | drawn.window(series, truths[n], t0, t95))
    return examples


def _pressure(recording: Recording, key: Key) -> Any:
    """Return taker flow with the sign that a liquidation of longs has."""
    flow = recorded.taker(recording, key[0])
    return -flow if key[1] == "short" else flow


def _whales(findings: list[msgspec.Struct], lines: list[Line]) -> dict[str, Any]:
    verdicts: dict[str, str] = {}
    for finding in findings:
        if isinstance(finding, WhaleFinding):
            verdicts[finding.event_id] = finding.verdict
    counts: dict[str, dict[str, int]] = {"sellers": {}, "hoarders": {}}
    for line in lines:
        if isinstance(line, Whale):
            group = counts["sellers" if line.sells else "hoarders"]
            verdict = verdicts.get(line.event_id, "no verdict")
            group[verdict] = group.get(verdict, 0) + 1
    return counts if any(counts.values()) else {}
