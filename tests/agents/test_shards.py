"""A shard that dies between any two writes goes on as if it had not."""

import asyncio
import itertools
import random
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from nights import PARAMS, START, clocked, deposit, disturbed_night, liquidation

from schemas.bars import Bar
from schemas.status import FeedStatus
from schemas.words import SECOND, grid_usd
from streams.core import engine, fold, open_seconds, pipeline, roster
from streams.core.detectors import flow
from streams.core.shard import INPUTS, AssetState
from streams.detect import faust_tables, shards

Message = tuple[str, int, msgspec.Struct]
#: Nobody is left out, however far one input lags.
PATIENT = msgspec.structs.replace(PARAMS, stale_after_s=86_400)


def test_the_shards_row_stays_small_while_one_input_lags(sent: list[Message]) -> None:
    """With bars late nothing closes, and open seconds pile up: they are in no row."""
    live = shards.load(PATIENT, 0, Kept(), SimpleNamespace(table=Kept()))
    for topic, offset, record in sent:
        if topic != "bars":
            shards.apply(PATIENT, live, topic, offset, [record])
    assert sum(len(state.open.order) for state in live.shard.assets.values()) > 500
    [(key, value)] = shards.writes(live)
    assert key == b"0/"
    assert len(value or b"") < 2_000


def test_an_asset_is_looked_at_and_stored_just_when_a_second_of_it_is_due(
    sent: list[Message],
) -> None:
    live = shards.load(PARAMS, 0, Kept(), SimpleNamespace(table=Kept()))
    judged = waiting = 0
    for topic, offset, record in sent:
        clock_rows = encoded(live) if isinstance(record, FeedStatus) else {}
        shards.apply(PARAMS, live, topic, offset, [record])
        assert live.shard.due.busy == engine.under_way(PARAMS, live.shard)
        if clock_rows:
            changed = {name for name, state in encoded(live).items() if state != clock_rows[name]}
            assert live.dirty == changed
            judged += len(changed)
            waiting += len(live.shard.due.busy.keys() - changed)
            live.dirty.clear()
    assert judged > 500
    assert waiting > 500


def encoded(live: shards.LiveShard) -> dict[str, bytes]:
    return {name: msgspec.msgpack.encode(state) for name, state in live.shard.assets.items()}


class Kept:
    """What a changelog would hold: the last value of each key of partition 0."""

    def __init__(self) -> None:
        self.rows: dict[Any, Any] = {}

    def of_partition(self, _: int) -> Iterator[tuple[Any, Any]]:
        return iter(list(self.rows.items()))


class KeptFlows(Kept):
    """The same for rows of flow: a day is said to be left there, and read when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def of_partition(self, _: int) -> Iterator[tuple[Any, Any]]:
        for key, value in list(self.rows.items()):
            begin, end = key[1]
            yield key, faust_tables.Left(7) if end - begin > faust_tables.LONG_S else value

    async def read_left(self, _: int, keys: Iterable[Any]) -> dict[Any, bytes]:
        rows = {key: self.rows[key] for key in keys}
        self.asked += len(rows)
        return rows


def messages() -> list[Message]:
    """The night as detect sees it: bars instead of trades, an offset for each topic."""
    out: list[tuple[str, msgspec.Struct]] = []
    state = fold.FoldState()
    for topic, record in clocked(disturbed_night()):
        if topic != "trades":
            out.append((topic, record))
        elif isinstance(record, FeedStatus):
            fold.tell_time(state, record, PARAMS)
            out += [("bars", bar) for bar in fold.drain(state)]
            clock_row = fold.clock_record(state, 0, 1)
            out += [("bars", clock_row)] if clock_row else []
        else:
            fold.fold(state, record)  # type: ignore[arg-type]
    numbered: list[Message] = []
    offsets: dict[str, int] = {}
    for topic, record in out:
        offsets[topic] = offsets.get(topic, -1) + 1
        numbered.append((topic, offsets[topic], record))
    return numbered


def begun(sent: list[Message], states: Kept, flows: Kept) -> shards.LiveShard:
    """A shard as a worker builds it, with what is open read from its topics again."""
    live = shards.load(PARAMS, 0, states, SimpleNamespace(table=flows))
    spans = shards.to_read(live)
    for topic, offset, record in sent:
        if offset in spans.get(topic, ()):
            shards.again(live, topic, offset, [record])
    return live


def detect(
    sent: list[Message],
    crash_after: Iterator[int],
    flows: Kept | None = None,
    store_every: int = 1,
) -> set[bytes]:
    """Work through batches as the agent does, dying after some number of effects.

    State is stored with every so many batches. Returns the findings delivered, each once
    however often it was sent.
    """
    states, flows = Kept(), flows or Kept()
    delivered: set[bytes] = set()
    acked = at = 0
    live: shards.LiveShard | None = None
    while acked < len(sent):
        if live is None:
            live, at = begun(sent, states, flows), acked
        effects: list[Any] = []
        batch = sent[at : at + 400]
        at += len(batch)
        for topic, offset, record in batch:
            if live.wanting:
                asyncio.run(shards.bring_days(live, SimpleNamespace(table=flows)))
            for step in shards.apply(PARAMS, live, topic, offset, [record]):
                for _, finding in pipeline.routed(step.findings):
                    effects.append(("finding", msgspec.json.encode(finding), None))
        stored = at >= len(sent) or at // 400 % store_every == 0
        if stored:
            for name, row, content in shards.flow_writes(live):
                effects.append((flows, faust_tables.bucket_of(name, *row), content))
            effects += [(states, key, value) for key, value in shards.writes(live)]
        survives = next(crash_after, len(effects))
        for where, key, value in effects[:survives]:
            if where == "finding":
                delivered.add(key)
            elif value is None:
                where.rows.pop(key, None)
            else:
                where.rows[key] = value
        if survives < len(effects):
            live = None
        elif stored:
            acked = at
            if isinstance(flows, KeptFlows):
                shards.put_days_away(live)
    return delivered


def apart(sent: list[Message], by: int) -> list[Message]:
    """The same messages, those of bars so many later among the others."""
    places = [
        (number + by * (topic == "bars"), number) for number, (topic, _, _) in enumerate(sent)
    ]
    return [sent[number] for _, number in sorted(places)]


@pytest.fixture(scope="module")
def sent() -> list[Message]:
    return messages()


@pytest.mark.parametrize("seed", range(6))
def test_dying_between_any_two_effects_changes_no_finding(sent: list[Message], seed: int) -> None:
    draw = random.Random(seed)
    undisturbed = detect(sent, iter(()))
    assert len(undisturbed) > 10
    deaths = [draw.randrange(60) for _ in range(40)]
    assert detect(sent, iter(deaths)) == undisturbed
    assert detect(sent, iter(deaths), store_every=3) == undisturbed
    assert detect(apart(sent, 80), iter(deaths), store_every=2) == undisturbed


def test_what_was_late_for_its_own_input_is_late_again_when_it_is_read_again() -> None:
    def order(number: int, second: int) -> Message:
        made = liquidation(START + second, number, 1e4, "BTC", "bybit")
        return "liquidations", number, made

    def time_message(topic: str, offset: int, second: int) -> Message:
        feed_status = FeedStatus(producer="x", state="alive", ts_event=(START + second) * SECOND)
        return topic, offset, feed_status

    # Bars lag: second 5 stays open, though liquidations have passed it.
    sent = [time_message(topic, offset, offset) for topic in INPUTS for offset in (0, 1)]
    sent += [order(2, 5), time_message("liquidations", 3, 9), order(4, 5), order(5, 12)]
    states = Kept()
    live = begun(sent, states, Kept())
    refused = [step.refused for m in sent for step in shards.apply(PATIENT, live, *m[:2], [m[2]])]
    assert refused[6:] == [None, None, "late", None]
    states.rows = dict(shards.writes(live))
    again = begun(sent, states, Kept())
    assert again.shard.assets["BTC"].open == live.shard.assets["BTC"].open
    assert again.shard.late == live.shard.late == {"liquidations": 1}
    # And once more, from what the second life stores.
    states.rows |= dict(shards.writes(again))
    assert begun(sent, states, Kept()).shard == again.shard


def test_of_an_asset_that_is_forgotten_no_row_is_left(
    sent: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    states, flows = Kept(), Kept()
    live = begun([], states, flows)

    def store() -> None:
        for name, row, content in shards.flow_writes(live):
            key = faust_tables.bucket_of(name, *row)
            flows.rows = {k: v for k, v in flows.rows.items() if k != key}
            flows.rows |= {} if content is None else {key: content}
        for name, content in shards.writes(live):
            states.rows.pop(name, None)
            states.rows |= {} if content is None else {name: content}

    for topic, offset, record in sent[: len(sent) // 2]:
        shards.apply(PARAMS, live, topic, offset, [record])
    store()
    [asset] = {key[0] for key in flows.rows}
    assert {f"0/{asset}".encode(), b"0/ETH"} < states.rows.keys()
    monkeypatch.setattr(roster, "overdue", lambda *_: [asset])
    for topic, offset, record in sent[len(sent) // 2 :]:
        shards.apply(PARAMS, live, topic, offset, [record])
        if asset not in live.shard.assets:
            break
    store()
    assert not flows.rows
    assert states.rows.keys() == {b"0/", b"0/ETH"}
    assert asset not in begun([], states, flows).shard.assets


def test_a_second_costs_what_is_due_in_it_however_much_waits() -> None:
    """Looks at open seconds: 2,000 that wait for one input cost no more than 20."""

    def looks(waiting: int, monkeypatch: pytest.MonkeyPatch) -> int:
        count = [0]
        for name in ("heappop", "heappush"):
            real = getattr(open_seconds, name)

            def counted(*messages: Any, real: Any = real) -> Any:
                count[0] += 1
                return real(*messages)

            monkeypatch.setattr(open_seconds, name, counted)
        live = shards.load(PATIENT, 0, Kept(), SimpleNamespace(table=Kept()))
        offset = itertools.count()

        def tell(topic: str, second: int) -> None:
            messages = FeedStatus(producer="x", state="alive", ts_event=(START + second) * SECOND)
            shards.apply(PATIENT, live, topic, next(offset), [messages])

        for second in range(waiting):
            made = liquidation(START + 10 + second, second, 1e4, f"A{second % 50}", "bybit")
            shards.apply(PATIENT, live, "liquidations", next(offset), [made])
        for second in (-2, *range(-1, waiting, 9)):
            for topic in INPUTS[:: 2 if second > 0 else 1]:
                tell(topic, second)
        list(shards.writes(live))
        before, rows = count[0], 0
        for second in range(10):
            tell("bars", second)
            rows += len(list(shards.writes(live)))
        assert rows == 10  # the shard's own
        return count[0] - before

    with pytest.MonkeyPatch.context() as patch:
        few = looks(20, patch)
    with pytest.MonkeyPatch.context() as patch:
        assert looks(2_000, patch) == few


def a_day_and_more() -> list[Message]:
    """Bars by the minute for 30 hours, with deposits whose windows are judged on the way."""
    draw = random.Random(3)
    out: list[tuple[str, msgspec.Struct]] = []
    for second in range(START, START + 30 * 3_600, 60):
        hour, rest = divmod(second - START, 3_600)
        if rest == 600 and hour in (3, 9, 14, 20, 25, 28):
            made = deposit(second + 5, event_id=f"deposit {hour}")
            out.append(("whale_transfers", made))
        for venue in ("bybit", "binance"):
            out.append(("bars", a_bar(second, venue, draw)))
        for topic in ("liquidations", "bars", "whale_transfers"):
            feed_status = FeedStatus(producer="x", state="alive", ts_event=(second + 60) * SECOND)
            out.append((topic, feed_status))
    places = {topic: iter(range(len(out))) for topic in ("liquidations", "bars", "whale_transfers")}
    return [(topic, next(places[topic]), record) for topic, record in out]


def a_bar(second: int, venue: str, draw: random.Random) -> Bar:
    bought, sold = (grid_usd(draw.lognormvariate(12, 1)) for _ in range(2))
    return Bar(
        venue=venue,
        instrument="BTC-USDT-PERP",
        asset="BTC",
        ts_open=second * SECOND,
        width=60 * SECOND,
        high=round(draw.gauss(101, 0.3), 2),
        low=round(draw.gauss(99, 0.3), 2),
        quantity=1.0,
        buy_usd=bought,
        sell_usd=sold,
        trades=9,
    )


@pytest.mark.parametrize("seed", range(4))
def test_dying_amid_packing_loses_and_doubles_no_flow(seed: int) -> None:
    sent, draw = a_day_and_more(), random.Random(seed)
    undisturbed, disturbed = Kept(), Kept()
    verdicts = detect(sent, iter(()), undisturbed)
    assert len(verdicts) >= 5
    widths = sorted(round((end - begin) / 60) for _, (begin, end) in undisturbed.rows)
    assert widths[-2:] == [60, 1_440]
    assert len(widths) < 130
    deaths = iter([draw.randrange(200) for _ in range(40)])
    assert detect(sent, deaths, disturbed) == verdicts
    assert next(deaths, None) is None
    assert disturbed.rows == undisturbed.rows


def test_days_left_in_the_changelog_are_read_for_a_deposit_and_change_no_verdict() -> None:
    sent = a_day_and_more()
    here, left = Kept(), KeptFlows()
    verdicts = detect(sent, iter(()), here)
    assert detect(sent, iter(()), left) == verdicts
    # One day, for the deposit of the last hours.
    assert left.asked == 1
    assert left.rows == here.rows
    assert detect(sent, iter(range(0, 200, 9)), left) == verdicts


def test_days_are_here_while_a_deposit_waits_and_away_before_and_after() -> None:
    live = shards.load(PARAMS, 0, Kept(), SimpleNamespace(table=Kept()))
    flows, seen = KeptFlows(), []
    for topic, offset, record in a_day_and_more():
        if live.wanting:
            asyncio.run(shards.bring_days(live, SimpleNamespace(table=flows)))
        shards.apply(PARAMS, live, topic, offset, [record])
        for name, row, content in shards.flow_writes(live):
            flows.rows[faust_tables.bucket_of(name, *row)] = content
        list(shards.writes(live))
        shards.put_days_away(live)
        state = live.shard.assets.get("BTC")
        if state is None or not state.flows.days:
            continue
        here = not flow.away(state.flows)
        waits = bool(state.whales.waiting) or any(c.transfers for c in state.open.cells.values())
        assert here == waits or (topic == "whale_transfers" and bool(live.wanting))
        seen.append(here)
    changes = [b for a, b in itertools.pairwise(seen) if a != b]
    assert not seen[0]
    assert changes == [True, False] * 2  # the deposits of hours 25 and 28


def test_bars_are_not_added_twice_when_their_minute_was_stored_first(sent: list[Message]) -> None:
    bars = [m for m in sent if isinstance(m[2], Bar)]
    assert bars
    live = shards.load(PARAMS, 0, Kept(), SimpleNamespace(table=Kept()))
    for topic, offset, record in sent[:3000]:
        shards.apply(PARAMS, live, topic, offset, [record])
    flows = Kept()
    for name, row, content in shards.flow_writes(live):
        if content is not None:
            flows.rows[faust_tables.bucket_of(name, *row)] = content
    states = Kept()
    # Only the minutes survived; the asset's own row is an empty one from before.
    states.rows[b"0/BTC"] = msgspec.msgpack.encode(AssetState())
    again = shards.load(PARAMS, 0, states, SimpleNamespace(table=flows))
    for topic, offset, record in sent[:3000]:
        shards.apply(PARAMS, again, topic, offset, [record])
    assert again.shard.assets["BTC"].flows.minutes == live.shard.assets["BTC"].flows.minutes
