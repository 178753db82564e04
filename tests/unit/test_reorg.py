"""Reorgs, told well and badly: taken back once, included once, and never while in doubt."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from venues import RECV

from schemas.onchain import WhaleTransfer
from streams.feeds import reorg
from streams.feeds.reorg import DEPTH, Ask, Chain, Gap, Head

SECOND = 1_000_000
BEGAN = RECV - 3600 * SECOND


def head(name, number, parent):
    return Head(number, name, parent, BEGAN + number * SECOND)


def transfer(event_id, ts=RECV):
    return WhaleTransfer(
        event_id=event_id, provider="node", chain="ethereum", asset="USDT",
        transfer_kind="transfer", tx_hash="0xcd", leg=1, from_owner="unknown",
        from_kind="unknown", to_owner="unknown", to_kind="unknown", quantity=5e6,
        notional_usd=None, ts_event=ts, ts_recv=ts,
    )  # fmt: skip


class Node:
    """A node that answers what is asked, and what a listener made of all that it heard."""

    def __init__(self, blocks, confirmations=0, answers=True):
        self.blocks = {name: head(name, number, parent) for name, number, parent in blocks}
        self.chain = Chain(confirmations)
        self.answers = answers
        self.told = []
        self.asked = Counter()
        self.gaps = []

    def take(self, step):
        self.told += step.records
        if step.gap:
            self.gaps.append(step.gap)
        for ask in step.asks:
            self.asked[ask] += 1
            if self.answers and ask.hash in self.blocks and self.asked[ask] < 50:
                self.answer(ask)

    def answer(self, ask):
        if ask.what == "head":
            self.take(reorg.hear_head(self.chain, self.blocks[ask.hash], RECV))
        else:
            self.logs(ask.hash, whole=True)

    def logs(self, name, whole=False):
        records = [transfer(f"{name}:{n}") for n in range(2)]
        self.take(reorg.hear_records(self.chain, name, records, whole, RECV))

    def heads(self, *names):
        for name in names:
            self.take(reorg.hear_head(self.chain, self.blocks[name], RECV))

    def removed(self, *names):
        for name in names:
            self.take(reorg.hear_removed(self.chain, name, RECV))

    def standing(self):
        latest = {}
        for record in self.told:
            before = latest.get(record.event_id)
            assert record.version == (before.version + 1 if before else 1), record.event_id
            assert before is None or before.removed != record.removed
            latest[record.event_id] = record
        return {name for name, record in latest.items() if not record.removed}


FORK = [
    ("r", 100, "q"),
    ("a1", 101, "r"), ("a2", 102, "a1"), ("a3", 103, "a2"),
    ("b1", 101, "r"), ("b2", 102, "b1"), ("b3", 103, "b2"), ("b4", 104, "b3"),
]  # fmt: skip
OLD = ("r", "a1", "a2", "a3")
NEW = ("b1", "b2", "b3", "b4")
STANDS = {f"{name}:{n}" for name in ("r", *NEW) for n in range(2)}
GONE = {f"{name}:{n}" for name in OLD[1:] for n in range(2)}


def well_told(node):
    node.removed("a3", "a2", "a1")
    node.heads(*NEW)


def without_removed_logs(node):
    node.heads(*NEW)


def without_heads(node):
    node.removed("a3", "a2", "a1")
    for name in NEW:
        node.logs(name)


def without_resent_logs_and_with_one_head(node):
    node.removed("a3")
    node.heads("b4")


def removed_twice_and_heads_twice(node):
    node.removed("a3", "a3", "a2", "a1", "a2")
    node.heads("b1", "b1", "b2", "b1", "b3", "b4", "b4", "b2")
    node.removed("a1")


def heads_out_of_order(node):
    node.heads("b3", "b1", "b4", "b2")


def old_heads_told_again_late(node):
    node.heads("b1", "b2", "a3", "b3", "a2", "b4", "a1", "r")


@pytest.mark.parametrize(
    "telling",
    [
        well_told, without_removed_logs, without_heads, without_resent_logs_and_with_one_head,
        removed_twice_and_heads_twice, heads_out_of_order, old_heads_told_again_late,
    ],
)  # fmt: skip
def test_a_reorg_of_depth_3_takes_back_each_transfer_once_and_includes_each_new_one_once(telling):
    node = Node(FORK)
    node.heads(*OLD)
    assert node.standing() == {f"{name}:{n}" for name in OLD for n in range(2)}
    telling(node)
    assert node.standing() == STANDS
    taken_back = [record.event_id for record in node.told if record.removed]
    assert sorted(taken_back) == sorted(GONE)
    assert Counter(r.event_id for r in node.told if not r.removed).most_common(1)[0][1] == 1


def test_logs_before_their_head_wait_for_it():
    node = Node(FORK)
    node.heads("r")
    node.answers = False
    node.logs("a1")
    assert node.asked[Ask("head", "a1")] == 1
    assert node.standing() == {"r:0", "r:1"}
    node.heads("a1")
    assert node.standing() >= {"a1:0", "a1:1"}


def test_a_transfer_has_its_blocks_time_and_a_retraction_the_time_of_its_telling():
    node = Node(FORK)
    node.heads(*OLD)
    without_removed_logs(node)
    tellings = [record for record in node.told if record.event_id == "a1:0"]
    assert [(r.version, r.removed) for r in tellings] == [(1, False), (2, True)]
    assert {r.ts_event for r in tellings} == {BEGAN + 101 * SECOND}


def test_a_block_that_comes_back_is_told_again_with_a_higher_version():
    blocks = [*FORK, ("a4", 104, "a3"), ("a5", 105, "a4")]
    node = Node(blocks)
    node.heads(*OLD, *NEW, "a4", "a5")
    assert node.standing() == {f"{n}:{i}" for n in (*OLD, "a4", "a5") for i in range(2)}
    assert max(record.version for record in node.told) == 3


def test_with_confirmations_a_short_reorg_is_never_heard_of():
    node = Node(FORK, confirmations=3)
    node.heads(*OLD)
    assert node.standing() == {"r:0", "r:1"}
    node.heads(*NEW)
    assert not any(record.removed for record in node.told)
    assert node.standing() == {"r:0", "r:1", "b1:0", "b1:1"}


def test_what_waited_for_its_confirmations_is_received_when_it_is_told():
    node = Node(FORK, confirmations=2)
    node.heads("r", "a1")
    for name, at in (("a2", RECV + 30 * SECOND), ("a3", RECV + 60 * SECOND)):
        step = reorg.hear_head(node.chain, node.blocks[name], at)
        step.records += reorg.hear_records(node.chain, name, [], True, at).records
        node.take(step)
    assert {r.event_id: r.ts_recv for r in node.told} == {
        "r:0": RECV + 30 * SECOND, "r:1": RECV + 30 * SECOND,
        "a1:0": RECV + 60 * SECOND, "a1:1": RECV + 60 * SECOND,
    }  # fmt: skip


def test_what_was_missed_while_away_is_asked_for_block_by_block():
    blocks = [
        ("r", 100, "q"),
        *((f"c{n}", 100 + n, f"c{n - 1}" if n > 1 else "r") for n in range(1, 41)),
    ]
    node = Node(blocks)
    node.heads("r", "c1")
    node.heads("c40")
    assert len(node.standing()) == 82
    assert node.gaps == []


def test_too_long_away_is_a_gap_with_bounds():
    blocks = [(f"c{n}", n, f"c{n - 1}") for n in range(1, 400)]
    node = Node(blocks)
    node.heads("c1", "c2")
    node.heads("c399")
    [gap] = node.gaps
    assert gap.since == BEGAN + 2 * SECOND
    assert gap == Gap(gap.since, BEGAN + 271 * SECOND)
    assert len(node.standing()) == 4 + 2 * 129


def test_memory_stays_as_long_as_the_depth():
    node = Node([(f"c{n}", n, f"c{n - 1}") for n in range(1, 2000)])
    for number in range(1, 2000):
        node.heads(f"c{number}")
    assert len(node.chain.blocks) == DEPTH + 1
    assert len(node.chain.tellings) <= 2 * (DEPTH + 1)
    node.logs("c1")  # long past
    assert len(node.standing()) == 2 * 1999


def test_the_same_payment_in_another_block_is_neither_taken_back_nor_told_again():
    node = Node(FORK, answers=False)
    node.heads("r", "a1")
    for block in ("a1", "b1"):
        node.take(reorg.hear_records(node.chain, block, [transfer("tx:0")], True, RECV))
        node.heads("b1")
    node.heads("b2")
    assert [(r.event_id, r.version) for r in node.told] == [("tx:0", 1)]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_however_it_is_told_the_end_is_the_nodes_own_chain(data):
    node = Node(FORK)
    node.heads("r")
    messages = [("head", name) for name in (*OLD[1:], *NEW)]
    messages += data.draw(st.lists(st.sampled_from(messages), max_size=4))
    messages += data.draw(
        st.lists(st.sampled_from([("logs", name) for name in (*OLD, *NEW)]), max_size=6)
    )
    for kind, name in data.draw(st.permutations(messages)):
        getattr(node, "heads" if kind == "head" else "logs")(name)
    for name in ("a3", "a2", "a1"):
        if data.draw(st.booleans()):
            node.removed(name)
    assert node.standing() == STANDS


def test_the_first_blocks_taken_back_are_followed_by_whatever_comes_and_what_is_between_is_a_gap():
    blocks = [("a1", 101, "r"), ("r", 100, "q"), ("b3", 103, "b2")]
    for after, gaps in (("r", []), ("b3", [Gap(BEGAN + 101 * SECOND, BEGAN + 103 * SECOND)])):
        node = Node(blocks)
        node.heads("a1")
        node.removed("a1")
        node.heads(after)
        assert node.gaps == gaps
        assert node.standing() == {f"{after}:0", f"{after}:1"}


def test_a_branch_that_leaves_below_our_first_block_is_followed_though_nothing_is_taken_back():
    node = Node(FORK)
    node.heads("a1", "a2")
    node.heads("b3")
    assert node.standing() == {f"{name}:{n}" for name in ("b1", "b2", "b3") for n in range(2)}
    assert node.gaps == []


def test_a_lower_branch_that_leaves_below_our_first_block_takes_nothing_back():
    node = Node(FORK)
    node.heads("a2", "a3")
    node.heads("b2")
    assert node.standing() == {f"{name}:{n}" for name in ("a2", "a3") for n in range(2)}


@pytest.mark.parametrize("first", [[], [("a5", 105, "a4")]])
def test_a_node_that_tells_of_blocks_in_a_ring_does_not_keep_us_for_ever(first):
    ring = [("r", 100, "x"), ("c", 101, "r"), ("r", 102, "c"), ("x", 102, "c")]
    chain = Chain()
    for one in [*first, *ring]:
        reorg.hear_head(chain, head(*one), RECV)
    assert chain.tip in ("a5", "c", "x")


def test_a_head_told_with_two_parents_stands_where_it_stood_first():
    chain = Chain()
    reorg.hear_head(chain, head("a1", 101, "r"), RECV)
    reorg.hear_head(chain, head("b0", 100, "q"), RECV)
    reorg.hear_removed(chain, "a1", RECV)
    reorg.hear_head(chain, head("b0", 100, "p"), RECV)
    reorg.hear_head(chain, head("b1", 102, "q"), RECV)
    assert (chain.tip, chain.blocks["b0"].head.parent) == ("b0", "p")


def test_a_head_that_waited_for_its_parent_and_became_the_first_block_waits_no_longer():
    blocks = [("a5", 105, "a4"), ("c3", 103, "c2"), ("d9", 109, "d8")]
    node = Node(blocks)
    node.heads("a5", "c3")
    node.removed("a5")
    node.heads("c3", "d9")
    assert node.standing() == {"c3:0", "c3:1"}
