"""Deposit addresses, told by what they do: they pass what they get on to their exchange. Pure.

    whale ──5,000 ETH──> A ──4,999 ETH──> a wallet of binance
           a deposit into binance │ internal

Nobody labels A, which is one user's. That it passed on all that it got, within a day and to one
exchange only, is what tells it. With `k` such passes, and `m` transfers of its elsewhere, it is
the exchange's with probability (k + 1) / (k + m + 2), by Laplace's rule of succession. What it got
is told again, then as a deposit, with that confidence; what it gets later is so told at once.
"""

from collections import deque

import msgspec

from schemas.onchain import WhaleTransfer
from schemas.words import SECOND
from streams.feeds.labels import LEAST, Labels, Owner, classified, named

#: What an address passes on within this time may be what it got.
WITHIN = 86_400 * SECOND
#: It may keep so much of it: fees, and dust.
KEEPS = 0.1
#: Addresses and versions remembered, receipts of one address.
MOST, MOST_RECEIPTS = 20_000, 20


class Passing(msgspec.Struct):
    """What an address did: receipts of the last day, passes by exchange, transfers elsewhere."""

    receipts: deque[WhaleTransfer]
    passes: dict[str, int] = {}
    elsewhere: int = 0


class Owners(msgspec.Struct):
    """Addresses that nobody labels, and the last version of each transfer."""

    passings: dict[str, Passing] = {}
    versions: dict[str, int] = {}


def step(state: Owners, labels: Labels, transfer: WhaleTransfer) -> list[WhaleTransfer]:
    """Return a transfer with its owners, and behind it the earlier ones that it explains."""
    transfer = classified(transfer, labels)
    if transfer.removed:
        return [_numbered(state, _inferred(state, labels, transfer))]
    explained = _learn(state, labels, transfer)
    transfer = _inferred(state, labels, transfer)
    _remember(state, labels, transfer)
    return [_numbered(state, one) for one in (transfer, *explained)]


def owner(state: Owners, labels: Labels, address: str | None) -> Owner | None:
    """Return whose deposit address an unlabelled address is, None where it shows nothing."""
    passing = state.passings.get(address or "")
    if passing is None or not passing.passes or labels.of(address or ""):
        return None
    venue = max(passing.passes, key=lambda name: passing.passes[name])
    passes = passing.passes[venue]
    others = sum(passing.passes.values()) - passes + passing.elsewhere
    confidence = (passes + 1) / (passes + others + 2)
    return Owner(venue, "exchange", round(confidence, 4)) if confidence > LEAST else None


def _inferred(state: Owners, labels: Labels, transfer: WhaleTransfer) -> WhaleTransfer:
    changed: dict[str, object] = {}
    ends = (("from", transfer.from_owner, transfer.from_address),
            ("to", transfer.to_owner, transfer.to_address))  # fmt: skip
    for end, label, address in ends:
        if label == "unknown" and (whose := owner(state, labels, address)) is not None:
            changed |= named(end, whose)
    return msgspec.structs.replace(transfer, **changed) if changed else transfer


def _learn(state: Owners, labels: Labels, transfer: WhaleTransfer) -> list[WhaleTransfer]:
    """Take in what an unlabelled sender shows by this; return what it got, now explained."""
    passing = state.passings.get(transfer.from_address or "")
    if passing is None or transfer.from_owner != "unknown":
        return []
    since = transfer.ts_event - WITHIN
    got = [r for r in passing.receipts if r.asset == transfer.asset and r.ts_event >= since]
    whole = sum(receipt.quantity for receipt in got)
    passed_on = whole * (1 - KEEPS) <= transfer.quantity <= whole
    if transfer.to_kind != "exchange" or not got or not passed_on:
        passing.elsewhere += 1
        return []
    passing.passes[transfer.to_owner] = passing.passes.get(transfer.to_owner, 0) + 1
    passing.receipts = deque(r for r in passing.receipts if r not in got)
    explained = [_inferred(state, labels, receipt) for receipt in got]
    # What was a deposit from the start needs no second telling.
    return [
        msgspec.structs.replace(after, ts_recv=transfer.ts_recv)
        for before, after in zip(got, explained, strict=True)
        if after != before
    ]


def _remember(state: Owners, labels: Labels, transfer: WhaleTransfer) -> None:
    address = transfer.to_address
    if not address or labels.of(address) or transfer.transfer_kind != "transfer":
        return
    if transfer.to_confidence is None and transfer.to_owner != "unknown":
        return  # its provider knows whose it is
    passing = state.passings.pop(address, None) or Passing(deque(maxlen=MOST_RECEIPTS))
    passing.receipts.append(transfer)
    state.passings[address] = passing
    while len(state.passings) > MOST:
        del state.passings[next(iter(state.passings))]


def _numbered(state: Owners, transfer: WhaleTransfer) -> WhaleTransfer:
    """Return a telling of a transfer under the version that follows its last."""
    name = transfer.event_id
    version = state.versions.pop(name, 0) + 1
    state.versions[name] = version
    while len(state.versions) > MOST:
        del state.versions[next(iter(state.versions))]
    return msgspec.structs.replace(transfer, version=max(version, transfer.version))
