"""What is told anew: superseded by version, taken back by a finding, never judged twice."""

from pathlib import Path

import msgspec
import pytest
from nights import (
    PARAMS,
    START,
    Event,
    again,
    clocked,
    deposit,
    disturbed_night,
    event,
    liquidation,
    tell_time,
    write_ndjson,
)

from schemas.findings import Alert, CascadeFinding, WhaleFinding
from schemas.onchain import WhaleTransfer
from schemas.words import SECOND
from streams.core import engine, inflows, pipeline
from streams.core.detectors.whale_selling import Inflow
from streams.core.params import WhaleParams
from streams.core.shard import Shard
from streams.sources.ndjson import ndjson_source
from streams.sources.time_order import looked_at

AT = START + 3_600
DUE = AT + 6 * 60
FIRST = deposit(AT)


def play(events: list[Event]) -> list[msgspec.Struct]:
    state = pipeline.State()
    return [
        record
        for topic, item in clocked(events)
        for _, record in pipeline.step(PARAMS, state, topic, item).outputs
    ]


def verdicts(*transfers: WhaleTransfer, until: int = AT + 3_600) -> list[WhaleFinding]:
    """What a shard without any tape says of transfers, told each when it is received."""
    shard, findings = Shard(), []
    for transfer in sorted(transfers, key=lambda t: t.ts_recv):
        findings += tell_time(shard, transfer.ts_recv // SECOND)
        engine.step(PARAMS, shard, "whale_transfers", transfer)
    findings += tell_time(shard, until)
    return [f for f in findings if isinstance(f, WhaleFinding)]


def test_a_removal_before_its_window_has_passed_leaves_nothing_to_say() -> None:
    assert verdicts(FIRST, again(FIRST, AT + 60, 2, removed=True)) == []


def test_a_correction_before_its_window_has_passed_takes_the_place_of_what_was_told() -> None:
    [finding] = verdicts(FIRST, again(FIRST, AT + 60, 2, notional_usd=5e7))
    assert (finding.version, finding.notional_usd) == (2, 5e7)


def test_a_removal_after_the_verdict_takes_it_back_by_name() -> None:
    first, back = verdicts(FIRST, again(FIRST, DUE + 60, 2, removed=True))
    assert (first.verdict, first.version) == ("not_testable", 1)
    assert (back.verdict, back.reason) == ("retracted", "removed by a reorg")
    assert (back.retracts, back.retracted_verdict) == (first.finding_id, "not_testable")
    assert back.ts_event == first.ts_event
    assert back.ts_detect == PARAMS.ts_judged(DUE + 60)
    assert back.finding_id != first.finding_id


def test_a_correction_after_the_verdict_takes_it_back_and_is_judged_at_once() -> None:
    first, back, anew = verdicts(FIRST, again(FIRST, DUE + 60, 2, to_owner="binance"))
    assert (back.venue, back.verdict, back.reason) == (
        "bybit", "retracted", "corrected by version 2",
    )  # fmt: skip
    assert back.retracts == first.finding_id
    assert (anew.venue, anew.version, anew.retracts) == ("binance", 2, None)
    assert anew.ts_detect == back.ts_detect
    assert len({first.finding_id, back.finding_id, anew.finding_id}) == 3


def test_a_correction_to_a_later_time_is_judged_after_its_own_window() -> None:
    moved = again(FIRST, DUE + 60, 2, ts_event=(DUE + 30) * SECOND)
    _, _, anew = verdicts(FIRST, moved)
    assert anew.ts_detect == PARAMS.ts_judged(anew.ts_window_end // SECOND)
    assert anew.ts_window_end > moved.ts_recv


def test_a_correction_to_what_is_no_deposit_only_takes_back() -> None:
    findings = verdicts(FIRST, again(FIRST, DUE + 60, 2, to_kind="unknown"))
    assert [f.verdict for f in findings] == ["not_testable", "retracted"]


def test_a_transfer_that_is_mined_again_is_judged_again() -> None:
    """Reorgs mostly bring a transaction back in another block."""
    mined_again = again(FIRST, DUE + 90, 3, ts_event=(AT + 30) * SECOND)
    findings = verdicts(FIRST, again(FIRST, DUE + 60, 2, removed=True), mined_again)
    assert [(f.verdict, f.version) for f in findings] == [
        ("not_testable", 1), ("retracted", 2), ("not_testable", 3),
    ]  # fmt: skip


def test_a_correction_of_what_was_never_told_is_its_first_telling() -> None:
    [finding] = verdicts(again(FIRST, DUE + 60, 2))
    assert (finding.verdict, finding.version) == ("not_testable", 2)


@pytest.mark.parametrize("late", [1, 2, 3])
def test_a_version_that_is_not_higher_changes_nothing(late: int) -> None:
    third = again(FIRST, DUE + 60, 3, removed=True)
    old = again(FIRST, DUE + 90, late) if late > 1 else FIRST
    assert verdicts(FIRST, third, old) == verdicts(FIRST, third)


def test_two_versions_told_in_one_second_are_told_in_any_order_alike() -> None:
    second, third = (again(FIRST, DUE + 60, n, notional_usd=n * 1e7) for n in (2, 3))
    assert verdicts(FIRST, second, third) == verdicts(FIRST, third, second)
    assert [f.version for f in verdicts(FIRST, second, third)][-1] == 3


def test_the_same_version_twice_in_a_second_is_a_duplicate_and_another_is_not() -> None:
    shard = Shard()
    second = again(FIRST, AT, 2)
    for record, refused in ((FIRST, None), (second, None), (second, "duplicate")):
        assert engine.step(PARAMS, shard, "whale_transfers", record).refused == refused


def test_credit_is_not_shared_with_a_transfer_that_was_removed() -> None:
    other = deposit(AT + 30, event_id="other")
    gone = again(other, AT + 60, 2, removed=True)
    assert [f.shared for f in verdicts(FIRST, other)] == [True, True]
    assert [f.shared for f in verdicts(FIRST, other, gone)] == [False]


def test_what_is_remembered_is_bounded_by_time_and_by_number() -> None:
    state = inflows.Inflows()
    many = [deposit(AT, event_id=f"d{n}") for n in range(inflows.KEPT + 50)]
    assert len(inflows.step(PARAMS, state, "BTC", AT, many, [])) == 50  # no room to wait
    assert len(state.tellings) == inflows.KEPT
    assert len(msgspec.msgpack.encode(state.tellings)) < 500_000
    inflows.step(PARAMS, state, "BTC", AT + inflows.KEPT_S + 1, [deposit(AT, event_id="x")], [])
    assert list(state.tellings) == ["x"]


@pytest.fixture(scope="module")
def findings() -> list[msgspec.Struct]:
    return play(disturbed_night())


def cascades(findings: list[msgspec.Struct]) -> list[CascadeFinding]:
    return [f for f in findings if isinstance(f, CascadeFinding)]


def test_people_hear_that_an_alert_was_taken_back_and_of_nothing_else_taken_back(findings) -> None:
    whales = [f for f in findings if isinstance(f, WhaleFinding)]
    told_of = [a for a in findings if isinstance(a, Alert) and a.kind.startswith("whale.")]
    assert [(f.event_id, f.verdict) for f in whales] == [
        ("deposit", "not_testable"), ("deposit", "retracted"), ("deposit", "not_testable"),
        ("deposit", "retracted"), ("seller", "consistent_with_selling"), ("seller", "retracted"),
    ]  # fmt: skip
    assert [(a.kind, a.severity, a.dedup_key) for a in told_of] == [
        ("whale.consistent_with_selling", "warning", "seller"),
        ("whale.retracted", "info", "seller"),
    ]
    assert told_of[1].finding_id == whales[-1].finding_id


def test_a_corrected_order_is_told_beside_its_episode_and_changes_no_other_finding(
    findings,
) -> None:
    first_tellings = [e for e in disturbed_night() if getattr(e[2], "version", 1) == 1]
    plain = cascades(play(first_tellings))
    while_open, after = [f for f in cascades(findings) if f.phase == "corrected"]
    assert [f for f in cascades(findings) if f.phase != "corrected"] == plain
    assert while_open.ts_event == (START + 1_610) * SECOND
    [closed] = [f for f in plain if f.phase == "closed" and f.asset == while_open.asset]
    assert {while_open.episode_id, after.episode_id} == {closed.episode_id}
    assert while_open.orders < closed.orders == after.orders
    assert after.ts_event == (START + 2_350) * SECOND


def test_a_correction_that_concerns_no_episode_or_tape_is_harmless(findings) -> None:
    calm = liquidation(START + 10, 9, 1e4, "BTC", "bybit")
    other_side = msgspec.structs.replace(
        liquidation(START + 1_600, 99, 1e4, "BTC", "bybit"), position_side="short", order_side="buy"
    )
    ancient = deposit(START + 2_000, event_id="ancient", ts_event=1_420_070_400 * SECOND)
    news = [event(again(order, START + 2_340, 2, removed=True)) for order in (calm, other_side)]
    more = [*disturbed_night(), *news, event(again(ancient, START + 2_000, 2))]
    anew = play(sorted(more, key=lambda e: e[0]))
    assert cascades(anew) == cascades(findings)
    [finding] = [f for f in anew if isinstance(f, WhaleFinding) and f.event_id == "ancient"]
    assert (finding.verdict, finding.reason) == ("not_testable", "the tape begins after the window")


@pytest.mark.parametrize("many", [300, 3_000])
def test_what_a_deposit_costs_does_not_grow_with_those_that_wait(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [0]
    due = Inflow.due_second

    def looked(inflow: Inflow, params: WhaleParams) -> int:
        looks[0] += 1
        return due(inflow, params)

    monkeypatch.setattr(Inflow, "due_second", looked)
    crowd = [deposit(AT + n % 300, event_id=f"deposit {n}") for n in range(many)]
    findings = verdicts(*crowd)
    assert len(findings) == many
    assert looks[0] < 6 * many


def test_a_deposit_that_finds_no_room_to_wait_is_told_at_once_and_never_judged_again() -> None:
    crowd = [deposit(AT, event_id=f"deposit {n:04}") for n in range(inflows.WAITING + 2)]
    late = again(crowd[-1], AT + 60, 2, notional_usd=5e7)
    findings = verdicts(*crowd, late)
    refused = [f for f in findings if "wait to be tested" in f.reason and f.verdict != "retracted"]
    assert [f.event_id for f in refused] == ["deposit 1000", "deposit 1001", "deposit 1001"]
    assert {f.ts_detect for f in refused[:2]} == {PARAMS.ts_judged(AT)}
    assert [f.verdict for f in findings if f.event_id == "deposit 1001"] == [
        "not_testable",
        "retracted",
        "not_testable",
    ]
    assert len(findings) == len(crowd) + 2


def test_verdicts_of_one_second_come_in_the_order_in_which_they_were_due() -> None:
    early, late = deposit(AT, event_id="b"), deposit(AT + 120, event_id="a")
    told_late = again(early, DUE + 600, 1, event_id="c")
    moved = msgspec.structs.replace(told_late, version=2)
    findings = verdicts(late, early, again(moved, DUE + 600, 3))
    assert [f.event_id for f in findings] == ["b", "a", "c"]


@pytest.mark.parametrize("behind_s", [30, 600, 9_000])
def test_a_transfer_told_long_after_it_was_sent_is_judged_all_the_same(behind_s: int) -> None:
    late = deposit(AT, ts_recv=(AT + behind_s) * SECOND)
    [finding] = verdicts(late, until=AT + 4 * 3_600)
    assert (finding.event_id, finding.version) == (late.event_id, 1)
    assert finding.ts_event == late.ts_event


def test_a_transfer_told_by_a_file_of_long_ago_belongs_to_its_own_time() -> None:
    imported = deposit(AT, ts_recv=(AT + 30 * 86_400) * SECOND)
    shard = Shard()
    tell_time(shard, AT + 4 * 3_600)
    assert engine.step(PARAMS, shard, "whale_transfers", imported).refused == "late"


def test_a_dump_with_corrections_in_the_order_of_their_telling_is_not_sorted_anew(
    tmp_path: Path,
) -> None:
    write_ndjson(disturbed_night(), tmp_path / "recording")
    orders = {p.name: looked_at(p).goes_back for p in (tmp_path / "recording").iterdir()}
    assert orders == dict.fromkeys(orders, False)
    received = [
        record.ts_recv // SECOND
        for topic, record in ndjson_source(tmp_path / "recording").items
        if topic == "whale_transfers"
    ]
    assert received == sorted(received)
