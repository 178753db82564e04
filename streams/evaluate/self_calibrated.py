"""Self-calibration on redrawn markets: shipped thresholds left alone, beside moved ones.

    tape ──> excess over what is shipped ──> each day's largest ──> core's self_calibration
                                    └──────> alarms <── threshold moved by so much that day

Four weeks to move in, eight that are judged. A block ends at midnight here, whether an episode
is open or not.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from streams.core.detectors import self_calibration
from streams.core.detectors.self_calibration import Blocks
from streams.core.params import Params, SelfCalibrationParams
from streams.evaluate import pass_marks, redrawn, transfer
from streams.evaluate.events import (
    REARM_S,
    SKIP,
    WEEK,
    Floats,
    High,
    Truth,
    Watch,
    alarms_of_high,
    high,
    judge,
)
from streams.evaluate.protocol import PRODUCT
from streams.evaluate.transfer import BUDGET, SHIPPED, Outcome
from streams.simulate.market import core

#: Days, the first one empty; what is judged comes after the weeks to move in.
DAYS = 85
WATCH = Watch(SKIP + 4 * WEEK, 8 * WEEK)
BUDGETS = (1.0, 3.0)
SEEDS = (661, 662, 663)
#: Below what no alarm at a threshold moved down by `reach` hangs on.
FLOOR = -2.5
Row = dict[str, Any]


def evaluate(params: Params, seeds: Sequence[int], tell: Callable[[str, int, int], None]) -> Row:
    """Return what evaluate.json holds of this part, under the names of `transfer`."""
    outcomes = []
    for n, seed in enumerate(seeds):
        drawn = redrawn.market(seed)
        tape = core.run(drawn, seed, DAYS)
        for one in transfer.seen(drawn, tape, params, seed):
            cut = [high(score, FLOOR) for score in one.excess]
            outcomes += judged(seed, (one.liquidity, one.feed), one.truths, cut, params)
        tell(f"redrawn market {seed}", n + 1, len(seeds))
    by_source = transfer.table(outcomes)
    result: Row = {
        "transfer": by_source,
        "within": {name: transfer.within(outcomes, name) for name in by_source},
        "markets": [o._asdict() for o in outcomes], "seeds": list(seeds), "budget": BUDGET,
        "score": PRODUCT,
    }  # fmt: skip
    return result | {"bars": pass_marks.transfer(result)}


def judged(
    seed: int, of: tuple[str, redrawn.Feed], truths: Sequence[Truth], sides: Sequence[High],
    params: Params,
) -> list[Outcome]:  # fmt: skip
    """Judge one asset by one feed: `sides` are its position sides' excess, from FLOOR on."""
    liquidity, feed = of
    outcomes = []
    for budget in (0.0, *BUDGETS):
        rules = replace(params.self_calibration, budget=budget)
        added = moved(rules, sides, feed)
        called = [
            alarms_of_high(_less(side, added), 0.0, params.onset.rearm_below, REARM_S)
            for side in sides
        ]
        weeks = judge([(0, truth) for truth in truths], called, WATCH)
        source = f"self-calibrated, {budget:g} a week" if budget else SHIPPED
        outcomes.append(
            Outcome(
                seed, liquidity, feed.name, source, float(added[-1]), int(weeks.false.sum()),
                WATCH.block / WEEK, weeks.caught.tolist(), weeks.left.tolist(),
            )
        )  # fmt: skip
    return outcomes


def moved(rules: SelfCalibrationParams, sides: Sequence[High], feed: redrawn.Feed) -> Floats:
    """Return what was added to the shipped threshold by day, nats."""
    days = sides[0].seconds // SKIP
    peaks = np.full(days, FLOOR)
    for side in sides:
        of_day = side.at // SKIP
        whole = of_day < days
        np.maximum.at(peaks, of_day[whole], side.score[whole].astype(np.float64))
    added, blocks = np.zeros(days), Blocks()
    for day in range(1, days if rules.budget else 0):
        midnight = day * SKIP
        self_calibration.close(rules, blocks, midnight, midnight)
        added[day] = blocks.moved.get(feed.feed_class, 0.0)
        second = (midnight + 1, midnight + 1)
        self_calibration.note(rules, blocks, second, feed.feed_class, float(peaks[day]))
    return added


def _less(side: High, added: Floats) -> High:
    day = np.minimum(side.at // SKIP, len(added) - 1)
    score = (side.score - added[day]).astype(np.float32)
    return High(side.at, score, FLOOR + max(0.0, -float(added.min())), side.seconds)
