"""A whale's deposit on a chain is judged; a reorg takes the verdict back, and judges it in its new block."""

import msgspec
import pytest
from nights import PARAMS, START, tell_time

from schemas.findings import WhaleFinding
from schemas.onchain import WhaleTransfer
from schemas.words import SECOND
from streams.core import engine
from streams.core.shard import Shard
from streams.feeds.labels import Label, Labels
from streams.feeds.ledger import Ledger
from streams.feeds.reorg import Chain, Head

AT = START + 3_600
HOT = "0x" + "28c6" * 10
LABELS = Labels([
    Label(family="evm", address=HOT, owner="bybit", kind="exchange", source="test",
          confidence=0.9, date="2026-01-01")
])  # fmt: skip


def head(name, number, parent):
    return Head(number, name, parent, (AT + number) * SECOND)


def deposit(block):
    return WhaleTransfer(
        event_id=f"ethereum:{block}:5", provider="node", chain="ethereum", asset="ETH",
        transfer_kind="transfer", tx_hash="0xcd", leg=5, from_owner="unknown", from_kind="unknown",
        to_owner="unknown", to_kind="unknown", quantity=20_000.0, notional_usd=None,
        ts_event=AT * SECOND, ts_recv=(AT + 10) * SECOND, from_address="0x" + "aa" * 20, to_address=HOT,
    )  # fmt: skip


@pytest.mark.parametrize("told_badly", [False, True], ids=["well", "without removed logs"])
def test_a_reorg_of_depth_3_retracts_the_verdict_and_the_deposit_is_judged_in_its_new_block(
    told_badly,
):
    ledger, shard = Ledger(Chain(), LABELS, lambda asset, ts: 3_000.0), Shard()
    findings: list[WhaleFinding] = []

    def hear(records, second):
        findings.extend(tell_time(shard, second))
        for record in records:
            received = msgspec.structs.replace(record, ts_recv=second * SECOND)
            assert engine.step(PARAMS, shard, "whale_transfers", received).refused is None

    def blocks(names, second):
        records = []
        for name, number, parent in names:
            records += ledger.head(head(name, number, parent), second * SECOND)[0]
            deposits = [deposit(name)] if name in ("a1", "b2") else []
            records += ledger.block(name, deposits, True, second * SECOND)[0]
        hear(records, second)

    blocks([("r", 0, "q"), ("a1", 1, "r"), ("a2", 2, "a1"), ("a3", 3, "a2")], AT + 10)
    due = AT + 6 * 60 + 30
    findings += tell_time(shard, due)
    [first] = [f for f in findings if isinstance(f, WhaleFinding)]
    assert (first.event_id, first.venue, first.notional_usd) == ("ethereum:a1:5", "bybit", 6e7)
    records = []
    if not told_badly:
        for name in ("a3", "a2", "a1"):
            records += ledger.removed(name, (due + 10) * SECOND)[0]
        hear(records, due + 10)
    blocks([("b1", 1, "r"), ("b2", 2, "b1"), ("b3", 3, "b2"), ("b4", 4, "b3")], due + 20)
    findings += tell_time(shard, due + 3_600)
    verdicts = [f for f in findings if isinstance(f, WhaleFinding)]
    back = [f for f in verdicts if f.verdict == "retracted"]
    assert [(f.retracts, f.reason) for f in back] == [(first.finding_id, "removed by a reorg")]
    anew = [f for f in verdicts if f.event_id == "ethereum:b2:5"]
    assert [(f.version, f.venue) for f in anew] == [(1, "bybit")]
    assert len(verdicts) == 3
