"""What many whale tests say together: a posterior, a sender's e-value, shared credit.

    an asset's p-values  ──> z: pi0 N(0,1) + (1 - pi0) sum w N(shift,1) ──> posterior of one
    a sender's p-values  ──> e = (1 - p + p ln p) / (p ln^2 p)      ──> E = product, flag at 20
    inflows on one venue ──> USD x overlap of their windows         ──> credit, a share of one

Under the null no sender's E ever reaches 20 with a chance above 1/20 (Ville), if its p-values
are valid given those before. Two tests of one stretch of tape are not, so windows that overlap
the sender's last counted one are left out. Source: detection.md 5.2 and 5.3; there the second
group is a p^(a-1), which sellers' p-values are too concentrated for (simulator seeds 151-154).
"""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

#: 1/alpha at alpha = 0.05.
FLAG_AT = 20.0
#: p-values of an asset that the two groups are fitted to: the latest, and this many at least.
P_VALUES = 500
P_VALUES_MIN = 50
#: Senders of an asset whose E is known; the one not heard of for longest begins anew at 1.
SENDERS = 500
_STOREY = 0.5
#: How far sellers' z lie from the others': these are mixed, in shares that the data give.
SHIFTS = (2.0, 3.0, 4.0)
#: The finest p-value that a test gives: 1 / (1 + WhaleParams.placebos_max).
_FINEST = 1 / 1_501
_NORMAL = NormalDist()
_Ratios = NDArray[np.float64]


class Groups(NamedTuple):
    """The share of inflows that changed nothing, and of the others that of each of SHIFTS."""

    pi0: float
    weights: tuple[float, ...]


class Sender(msgspec.Struct, array_like=True):
    """One sender's ln E since second `since`, and the end of its last counted window, micros."""

    log_e: float
    since: int
    until: int = 0


class Evidence(msgspec.Struct):
    """One asset's latest p-values and its senders, the one last heard of at the end."""

    p_values: list[float] = []
    senders: dict[str, Sender] = {}


def fit(p_values: Sequence[float]) -> Groups | None:
    """Fit two groups: pi0 by Storey at 0.5, weights by EM; None for fewer than P_VALUES_MIN."""
    if len(p_values) < P_VALUES_MIN:
        return None
    pi0 = _below_one(sum(p > _STOREY for p in p_values), len(p_values))
    ratios = np.array([_ratios(p) for p in p_values])
    weights = np.full(len(SHIFTS), 1 / len(SHIFTS))
    for _ in range(60):
        other = (1 - pi0) * (ratios @ weights)
        grown = weights * (ratios / (pi0 + other)[:, None]).sum(axis=0)
        weights = grown / grown.sum()
    return Groups(pi0, tuple(weights.tolist()))


def _ratios(p_value: float) -> _Ratios:
    """Return how much likelier each shift makes this p-value than no shift does.

    Of the whole step that ends with it: sellers pile up on the first, where density is no guide.
    """
    step = min(p_value, _FINEST)
    last, first = _z(p_value), _z(p_value - step)
    mass = [(_beyond(last - shift) - _beyond(first - shift)) / step for shift in SHIFTS]
    return np.array(mass)


def _z(p_value: float) -> float:
    if p_value <= 0:
        return math.inf
    return -_NORMAL.inv_cdf(p_value) if p_value < 1 else -math.inf


def _beyond(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def _below_one(large: int, n: int) -> float:
    """Return Storey's pi0 = large / (n / 2) as its mean given that it cannot exceed 1.

    Cut off at 1 instead, one estimate in six from 50 p-values would say that nobody sells.
    """
    share = (large + 1) / (n + 2)
    error = math.sqrt(share * (1 - share) / n) / (1 - _STOREY)
    # Further out than 8 errors there is no mass left to take a mean of.
    z = max((1 - share / (1 - _STOREY)) / error, -8.0)
    below = math.erfc(-z / math.sqrt(2)) / 2
    return 1 - error * (z + math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / below)


def posterior(p_value: float, groups: Groups) -> float:
    """Return the probability that an inflow with this p-value is of the second group."""
    other = (1 - groups.pi0) * float(_ratios(p_value) @ np.array(groups.weights))
    return other / (groups.pi0 + other)


def e_value(p_value: float) -> float:
    """Return the mixture calibrator of a p-value: its mean is at most 1 under the null."""
    x = -math.log(p_value)
    # The quotient is 0/0 at p = 1.
    return 0.5 + x / 6 if x < 1e-4 else (math.expm1(x) - x) / (x * x)


def credit(usd: float, rivals: Iterable[tuple[float, float]]) -> float:
    """Return an inflow's share of what was sold; `rivals` as (USD, overlap in [0, 1])."""
    theirs = sum(worth * overlap for worth, overlap in rivals)
    return usd / (usd + theirs) if usd > 0 else float(theirs == 0)


def learn(evidence: Evidence, p_value: float, share: float = 1.0) -> float | None:
    """Return the posterior of a new p-value by those before it, and keep it with them.

    Only a `share` of it, an inflow's credit, is its own: rivals may have sold instead.
    """
    groups = fit(evidence.p_values)
    evidence.p_values = [*evidence.p_values[1 - P_VALUES :], p_value]
    return None if groups is None else share * posterior(p_value, groups)


def multiply(
    evidence: Evidence, name: str, p_value: float, share: float, span: tuple[int, int], second: int
) -> float:
    """Bet a sender's credit on one window [from, to), micros; return the ln factor of its E.

    A share of an e-value, 1 + share (e - 1), is one too: where rivals may have sold, the
    sender risks and gains less. 0 where the window overlaps the last one counted.
    """
    sender = evidence.senders.pop(name, None) or Sender(0.0, second)
    evidence.senders[name] = sender
    while len(evidence.senders) > SENDERS:
        del evidence.senders[next(iter(evidence.senders))]
    if span[0] < sender.until:
        return 0.0
    factor = math.log1p(share * (e_value(p_value) - 1))
    sender.log_e += factor
    sender.until = span[1]
    return factor


def e_of(evidence: Evidence, name: str) -> float | None:
    """Return a sender's E, at most 1e15; None for one that is not known."""
    sender = evidence.senders.get(name)
    return None if sender is None else min(math.exp(min(sender.log_e, 700.0)), 1e15)


def take_back(
    evidence: Evidence, name: str, p_value: float, factor: float, span: tuple[int, int], judged: int
) -> None:
    """Undo what a retracted test, judged in second `judged`, had added."""
    if p_value in evidence.p_values:
        evidence.p_values.remove(p_value)
    sender = evidence.senders.get(name)
    if sender is None or sender.since > judged:
        return
    sender.log_e -= factor
    if factor and sender.until == span[1]:
        sender.until = span[0]
