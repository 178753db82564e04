"""What venues do not say, learnt from what they sent, with its evidence. Pure.

Gate's WebSocket gives a signed size, and nobody says whose sign it is. REST's `order_size` has the
order's: orders that both tell of are laid side by side.

Binance calls the sample of `<symbol>@forceOrder` the largest order of a second on one page and the
latest on another. In seconds in which it and `!forceOrder@arr` told different orders, one of them
was the larger, and one the later.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from schemas.market import Liquidation
from schemas.words import SECOND, Coverage

#: So many cases at least, of which at most this share may speak against what is learnt.
CASES, AGAINST = 20, 0.02

Sign = Literal["order", "position"]


class SignEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Orders that Gate told on both routes, by whose sign they had; and the verdict."""

    cases: int
    as_order: int
    as_position: int
    sign: Sign | None
    first: int = 0
    last: int = 0


class SampleEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds in which Binance's two streams told different orders of a symbol.

    `larger` and `later`: of how many was the symbol's own stream's order the larger, the later.
    """

    cases: int
    larger: int
    later: int
    coverage: Coverage | None
    first: int = 0
    last: int = 0


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """What was learnt, by what evidence, from what, and on which day (YYYY-MM-DD)."""

    gate: SignEvidence | None = None
    binance: SampleEvidence | None = None
    source: str = ""
    date: str = ""


def gate_sign(streamed: Iterable[Liquidation], answered: Iterable[Liquidation]) -> SignEvidence:
    """Return whose sign Gate's WebSocket gives.

    `streamed` are its orders, read as if the sign were the order's; `answered` those of REST's
    liq_orders. Orders are the same where contract, quantity and second agree (or the next second),
    and no other of them has these.
    """
    by_facts: dict[tuple[str, float, int], list[Liquidation]] = {}
    for order in answered:
        second = order.ts_event // SECOND
        for at in (second - 1, second, second + 1):
            facts = (order.venue_symbol, _rounded(order), at)
            by_facts.setdefault(facts, []).append(order)
    agree = [
        (order.ts_event, order.order_side == others[0].order_side)
        for order in streamed
        if len(others := by_facts.get(_facts(order), [])) == 1
    ]
    as_order = sum(same for _, same in agree)
    first, last = _span([ts for ts, _ in agree])
    sign: Sign | None = None
    if _is_clear(as_order, len(agree)):
        sign = "order"
    elif _is_clear(len(agree) - as_order, len(agree)):
        sign = "position"
    return SignEvidence(
        cases=len(agree), as_order=as_order, as_position=len(agree) - as_order, sign=sign,
        first=first, last=last,
    )  # fmt: skip


def binance_sample(orders: Iterable[Liquidation]) -> SampleEvidence:
    """Return what Binance's `<symbol>@forceOrder` samples, from orders of both kinds of stream."""
    seconds: dict[tuple[str, int], dict[bool, Liquidation]] = {}
    for order in orders:
        if order.venue == "binance" and order.stream.endswith(("@forceOrder", "@arr")):
            cell = (order.venue_symbol, order.ts_event // SECOND)
            seconds.setdefault(cell, {})[order.stream.startswith("!")] = order
    pairs = [
        (cell[False], cell[True])
        for cell in seconds.values()
        if len(cell) == 2 and cell[False].event_id != cell[True].event_id
    ]
    larger = sum((one.quantity or 0.0) > (other.quantity or 0.0) for one, other in pairs)
    later = sum(one.ts_event > other.ts_event for one, other in pairs)
    coverage: Coverage | None = None
    # Both may be clear by chance of a small sample; then nothing is learnt.
    if _is_clear(larger, len(pairs)) != _is_clear(later, len(pairs)):
        coverage = "largest_per_second" if _is_clear(larger, len(pairs)) else "latest_per_second"
    first, last = _span([one.ts_event for one, _ in pairs])
    return SampleEvidence(
        cases=len(pairs), larger=larger, later=later, coverage=coverage, first=first, last=last
    )


def _facts(order: Liquidation) -> tuple[str, float, int]:
    return order.venue_symbol, _rounded(order), order.ts_event // SECOND


def _rounded(order: Liquidation) -> float:
    return float(f"{order.quantity or 0.0:.9g}")


def _is_clear(cases: int, of: int) -> bool:
    return of >= CASES and cases >= of * (1 - AGAINST)


def _span(times: list[int]) -> tuple[int, int]:
    return (min(times), max(times)) if times else (0, 0)
