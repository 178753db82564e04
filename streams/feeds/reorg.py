"""Which blocks a chain consists of, and what is so to be said of their records. Pure.

    100 ── 101a ── 102a ── 103a                    101a .. 103a are left: their records are
      └─── 101b ── 102b ── 103b ── 104b            taken back, those of 101b .. 104b are told

A block is known by its hash, what it follows by its parent's. A node may tell of heads twice, out
of order, or not at all, may forget to take logs back or take them back twice: what is missing is
asked for by its hash. Told is what stands in the chain of the highest block, and has so many
blocks upon it as `confirmations` wants. Told again or taken back, a record has a higher version.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from schemas.market import Liquidation
from schemas.onchain import WhaleTransfer

#: Blocks remembered below the highest: a reorg that goes deeper is not undone.
DEPTH = 256
#: Heads whose ancestors are not known, beyond which the chain begins anew behind a gap.
MOST_ORPHANS = 128

#: What stands in blocks.
Record = WhaleTransfer | Liquidation


class Head(NamedTuple):
    """A block's number, its hash and its parent's, and its time in microseconds."""

    number: int
    hash: str
    parent: str
    ts: int


class Ask(NamedTuple):
    """What is to be asked of the node: the head, or all records, of the block with this hash."""

    what: Literal["head", "records"]
    hash: str


class Gap(NamedTuple):
    """Times between which blocks were not heard, microseconds."""

    since: int
    until: int


class Step(msgspec.Struct):
    """What follows from something heard: records for the topics, questions, and what is lost."""

    records: list[Any] = []
    asks: list[Ask] = []
    gap: Gap | None = None


class Block(msgspec.Struct):
    """A block that is joined to the chain; `records` by event_id, in the order heard."""

    head: Head
    turn: int
    records: dict[str, Any] = {}
    is_whole: bool = False


class Telling(msgspec.Struct):
    """What was last said of a record, and the number of the block that it stood in."""

    record: Any
    number: int


class Chain(msgspec.Struct):
    """All that is known; `orphans` are heads by the parent that is missing."""

    confirmations: int = 0
    blocks: dict[str, Block] = {}
    tip: str = ""
    orphans: dict[str, dict[str, Head]] = {}
    early: dict[str, dict[str, Any]] = {}
    dead: set[str] = set()
    tellings: dict[str, Telling] = {}
    turn: int = 0


def hear_head(chain: Chain, head: Head, ts_recv: int) -> Step:
    """Take in a head, newly announced or asked for."""
    step = Step()
    if head.hash in chain.blocks:
        return step
    if chain.tip and head.parent not in chain.blocks:
        if head.number + DEPTH < chain.blocks[chain.tip].head.number:
            return step  # long past
        chain.orphans.setdefault(head.parent, {})[head.hash] = head
        if (root := _from_below(chain)) is not None:
            # What was known is no part of the chain, down to the block that we began with.
            chain.dead |= chain.blocks.keys()
            chain.tip = ""
            _join(chain, root)
        elif sum(map(len, chain.orphans.values())) <= MOST_ORPHANS:
            # A parent that waits itself is known: what it waits for is asked for again.
            step.asks = [Ask("head", parent) for parent in _missing(chain)]
            return step
        else:
            step.gap = _begin_anew(chain)
    else:
        if chain.blocks and not chain.tip and head.parent not in chain.blocks:
            # All that was known was taken back, to below where we began.
            first = min((block.head for block in chain.blocks.values()), key=lambda one: one.number)
            step.gap = Gap(first.ts, head.ts) if head.number > first.number else None
        _join(chain, head)
    step.asks = [
        Ask("records", hash_) for hash_, block in chain.blocks.items() if not block.is_whole
    ]
    _settle(chain, ts_recv, step)
    return step


def hear_records(
    chain: Chain, block: str, records: Iterable[Record], is_whole: bool, ts_recv: int
) -> Step:
    """Take in records of the block with hash `block`; `is_whole`: there are no others in it."""
    step = Step()
    known = chain.blocks.get(block)
    if known is None:
        early = chain.early.setdefault(block, {})
        early.update((record.event_id, record) for record in records)
        while len(chain.early) > DEPTH:
            del chain.early[next(iter(chain.early))]
        step.asks.append(Ask("head", block))
        return step
    for record in records:
        known.records.setdefault(record.event_id, _at(record, known.head))
    known.is_whole = known.is_whole or is_whole
    _settle(chain, ts_recv, step)
    return step


def hear_removed(chain: Chain, block: str, ts_recv: int) -> Step:
    """Take in that a block is no longer of the chain."""
    step = Step()
    if block in chain.blocks and block not in chain.dead:
        chain.dead.add(block)
        chain.tip = _best(chain)
        _settle(chain, ts_recv, step)
    return step


def _join(chain: Chain, head: Head) -> None:
    """Put a block upon its parent, and upon it those that waited for it."""
    waiting = [head]
    while waiting:
        one = waiting.pop(0)
        if (waited := chain.orphans.get(one.parent)) is not None:
            waited.pop(one.hash, None)
            if not waited:
                del chain.orphans[one.parent]
        if one.hash in chain.blocks:
            continue
        chain.turn += 1
        early = chain.early.pop(one.hash, {})
        records = {name: _at(record, one) for name, record in early.items()}
        chain.blocks[one.hash] = Block(one, chain.turn, records)
        for ancestor in _back(chain, one.hash):
            # It is built upon, so the node that took it back has it again.
            chain.dead.discard(ancestor.head.hash)
        tip = chain.blocks.get(chain.tip)
        if tip is None or one.number >= tip.head.number:
            chain.tip = one.hash
        waiting += chain.orphans.pop(one.hash, {}).values()
    _prune(chain)


def _begin_anew(chain: Chain) -> Gap:
    """Let the lowest of the orphans be the first block; what was told stays told."""
    orphans = [head for heads in chain.orphans.values() for head in heads.values()]
    lowest = min(orphans, key=lambda head: head.number)
    since = chain.blocks[chain.tip].head.ts
    chain.blocks, chain.dead, chain.tip, chain.tellings = {}, set(), "", {}
    chain.orphans.get(lowest.parent, {}).pop(lowest.hash, None)
    _join(chain, lowest)
    return Gap(since, lowest.ts)


def _from_below(chain: Chain) -> Head | None:
    """Return where a branch begins that is as high as the tip, and leaves below our first block."""
    lowest = min(block.head.number for block in chain.blocks.values())
    height = chain.blocks[chain.tip].head.number
    roots = (root for parent in _missing(chain) for root in chain.orphans[parent].values())
    for root in roots:
        if root.number <= lowest and root.hash not in chain.blocks:
            above, waiting = [root], dict(chain.orphans)
            for head in above:
                above += waiting.pop(head.hash, {}).values()
            if max(head.number for head in above) >= height:
                return root
    return None


def _missing(chain: Chain) -> list[str]:
    waiting = {name for heads in chain.orphans.values() for name in heads}
    return [parent for parent in chain.orphans if parent not in waiting]


def _back(chain: Chain, block: str) -> Iterator[Block]:
    """Yield a block and those below it, as far as they are known."""
    above = None
    while (one := chain.blocks.get(block)) is not None:
        if above is not None and one.head.number >= above:
            return  # a node that tells of blocks in a ring
        yield one
        above, block = one.head.number, one.head.parent


def _best(chain: Chain) -> str:
    """Return the highest block that stands upon no dead one, of equals the last heard."""
    alive = [
        block
        for name, block in chain.blocks.items()
        if not any(below.head.hash in chain.dead for below in _back(chain, name))
    ]
    best = max(alive, key=lambda block: (block.head.number, block.turn), default=None)
    return best.head.hash if best else ""


def _settle(chain: Chain, ts_recv: int, step: Step) -> None:
    """Say what is new in the chain, and take back what is no longer in it."""
    tip = chain.blocks.get(chain.tip)
    highest = tip.head.number - chain.confirmations if tip else -1
    within = [block for block in _back(chain, chain.tip) if block.head.number <= highest]
    standing = {name for block in within for name in block.records}
    # The same payment may stand in a block whose records are yet to come.
    is_known = all(block.is_whole for block in within)
    for name, telling in chain.tellings.items():
        if is_known and not telling.record.removed and name not in standing:
            telling.record = _again(telling.record, ts_recv, removed=True)
            step.records.append(telling.record)
    for block in reversed(within):
        for name, record in block.records.items():
            known = chain.tellings.get(name)
            if known is None:  # it may have waited for its confirmations
                latest = msgspec.structs.replace(record, ts_recv=max(record.ts_recv, ts_recv))
            elif known.record.removed:
                version = known.record.version
                latest = _again(msgspec.structs.replace(record, version=version), ts_recv, False)
            else:  # in another block than before, and the same record
                known.number = block.head.number
                continue
            chain.tellings[name] = Telling(latest, block.head.number)
            step.records.append(latest)


def _again(record: Record, ts_recv: int, removed: bool) -> Record:
    version = record.version + 1
    changed: Record = msgspec.structs.replace(
        record, version=version, removed=removed, ts_recv=ts_recv
    )
    return changed


def _at(record: Record, head: Head) -> Record:
    """Return a record at its block's time, which may lie a little ahead of its receipt."""
    ts_event = min(head.ts, record.ts_recv)
    at: Record = msgspec.structs.replace(record, ts_event=ts_event, removed=False, version=1)
    return at


def _prune(chain: Chain) -> None:
    lowest = chain.blocks[chain.tip].head.number - DEPTH
    for name in [n for n, block in chain.blocks.items() if block.head.number < lowest]:
        del chain.blocks[name]
        chain.dead.discard(name)
    for name in [n for n, telling in chain.tellings.items() if telling.number < lowest]:
        del chain.tellings[name]
    for parent, heads in list(chain.orphans.items()):
        kept = {name: head for name, head in heads.items() if head.number >= lowest}
        if kept:
            chain.orphans[parent] = kept
        else:
            del chain.orphans[parent]
