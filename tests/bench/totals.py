"""`python tests/bench/totals.py`: what throttled feeds hide, learnt by decimating complete tapes.

Simulated tapes are shown through each rule; stretches around their cascades and at random
give (seen, hidden, true). Multipliers come from some seeds,
the share of true totals inside the 95 % interval from others. About the simulator, not the
market: a user's own complete feed is the better teacher.
"""

import sys
from itertools import pairwise

import numba as nb
import numpy as np
import numpy.typing as npt

from schemas.words import Coverage
from streams.core.detectors.totals import Seen, total
from streams.core.params import TotalsParams
from streams.evaluate.protocol import histories
from streams.simulate.market import feeds, params

LEARN, TEST, DAYS = (151, 152, 153, 154), (271, 272, 273), 14
RULES: dict[str, Coverage] = {
    "100_latest": "latest_per_second",
    "100_largest": "largest_per_second",
}
Floats = npt.NDArray[np.float64]


@nb.njit(cache=True)
def factors(at: npt.NDArray[np.int32]) -> Floats:
    """k(b30) - 1 of a stream at each of its shown orders (one a second at most)."""
    out = np.empty(len(at))
    b = 0.0
    for i in range(len(at)):
        if i:
            b *= (1 - 1 / 30) ** (at[i] - at[i - 1])
        b += 1 / 30
        x = min(b, 1 - 0.5 / 30)
        out[i] = -np.log(1 - x) / x - 1
    return out


def windows(seconds: int, cascades: npt.NDArray[np.int64], seed: int) -> list[tuple[int, int]]:
    """Stretches to sum over: the cascades, and as many at random as there are hours."""
    draw = np.random.default_rng(seed)
    starts = draw.integers(86_400, seconds - 7_200, seconds // 3_600)
    lengths = np.exp(draw.uniform(np.log(30), np.log(7_200), len(starts)))
    spans = [(int(a), int(a + n)) for a, n in zip(starts, lengths, strict=True)]
    return spans + [(int(a), int(b) + 1) for a, b, _ in cascades]


def rows(rule: str, seeds: tuple[int, ...]) -> list[tuple[list[tuple[float, float]], float]]:
    """For each stretch: (USD seen, sum of (k-1) USD) of each stream; the true USD."""
    market, cases = params.NORMAL, []
    for seed in seeds:
        for past in histories(market, seed, DAYS):
            shown = feeds.shown(past.orders, feeds.RULES[rule], seed)
            streams = []
            for v in range(len(feeds.RULES[rule].shares)):
                mine = shown.venue == v
                at, usd = shown.at[mine], shown.usd[mine]
                extra = np.concatenate([[0.0], np.cumsum(factors(at) * usd)])
                streams.append((at, np.concatenate([[0.0], np.cumsum(usd)]), extra))
            whole = np.concatenate([[0.0], np.cumsum(past.orders.usd)])
            for first, last in windows(len(past.price), past.truth.cascades, seed):
                i, j = np.searchsorted(past.orders.at, (first, last))
                parts = []
                for at, usd, extra in streams:
                    a, b = np.searchsorted(at, (first, last))
                    parts.append((usd[b] - usd[a], extra[b] - extra[a]))
                if sum(usd for usd, _ in parts) > 0:
                    cases.append((parts, float(whole[j] - whole[i])))
    return cases


def learn(rule: str) -> tuple[tuple[float, float, float], ...]:
    """Quantiles of true / hidden by hidden / seen."""
    data = rows(rule, LEARN)
    seen = np.array([sum(p[0] for p in parts) for parts, _ in data])
    visible_usd = np.array([sum(p[1] for p in parts) for parts, _ in data])
    ratio = np.maximum(np.array([true for _, true in data]) - seen, 0) / visible_usd
    table = []
    for low, high in pairwise([0, *TotalsParams().shares, 1e9]):
        inside = (visible_usd / seen >= low) & (visible_usd / seen < high)
        q = np.quantile(ratio[inside], [0.025, 0.5, 0.975])
        table.append((round(float(q[0]), 2), round(float(q[1]), 2), round(float(q[2]), 2)))
        print(f"  {rule} hidden/seen {low} .. {high}: n = {inside.sum()}, {table[-1]}")
    return tuple(table)


def judge(rule: str, learnt: TotalsParams) -> None:
    """Print how often the truth lies inside, and how far the estimate is off, on fresh seeds."""
    inside, ratio, shown = [], [], []
    coverage = RULES["100_" + rule.split("_")[1]]
    for parts, true in rows(rule, TEST):
        total_usd = total(learnt, [Seen(coverage, usd, extra) for usd, extra in parts])
        if true > 1e6 and total_usd.estimate and total_usd.low and total_usd.high:
            inside.append(total_usd.low * 0.999 <= true <= total_usd.high * 1.001)
            ratio.append(total_usd.estimate / true)
            shown.append(total_usd.seen / true)
    q = np.quantile(ratio, [0.1, 0.5, 0.9]).round(2)
    print(
        f"{rule:<14} {len(inside)} stretches above $1M: truth in the interval {np.mean(inside):.3f};"
        f" estimate / truth {q} (10, 50, 90 %); seen / truth, median {np.median(shown):.2f}"
    )


def main() -> None:
    """Learn on some seeds, print what params should hold, judge on others."""
    table = {coverage: learn(rule) for rule, coverage in RULES.items()}
    print("params:", table)
    used = TotalsParams(multipliers=table) if "--learnt" in sys.argv else TotalsParams()
    for rule in (*RULES, "three_latest", "three_largest"):
        judge(rule, used)


if __name__ == "__main__":
    main()
