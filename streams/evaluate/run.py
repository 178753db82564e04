"""The whole evaluation: simulate, calibrate on some seeds, judge on others, one dict.

seeds ──> histories ──┬─ each feed class x asset ──> alarms of every score ──> figures
   └────> whales      ├─ market-wide onset
                      └─ exhaustion                (threads: the loops hold no lock)
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from streams.core.params import WhaleParams
from streams.evaluate import (
    exhaustion,
    figure_tables,
    market_wide,
    outages,
    pass_marks,
    protocol,
    whale_foreign,
)
from streams.evaluate import (
    whale_figures as whales,
)
from streams.evaluate.drawn import drawn
from streams.evaluate.events import Weeks
from streams.evaluate.protocol import BUDGET, CONTENDERS, CURVE, PRODUCT, Found, History
from streams.evaluate.whale_paths import Judged, judged
from streams.simulate.market import core
from streams.simulate.market.feeds import RULES
from streams.simulate.market.params import Market

T = TypeVar("T")
S = TypeVar("S")
#: One asset on one feed: what each score did, by budget.
Scored = dict[str, dict[float, Found]]
#: Hears what was done last, how many parts are done, and of how many.
Tell = Callable[[str, int, int], None]


class Case(NamedTuple):
    """What is judged: a feed rule, planted giants or not, and under which name it is told."""

    name: str
    rule: str
    giants: bool = False


FEEDS = (
    Case("full", "full"),
    Case("throttled_45", "45_latest"),
    Case("latest_100", "100_latest"),
    Case("largest_100", "100_largest"),
)
MORE = (
    Case("three_latest", "three_latest"),
    Case("three_largest", "three_largest"),
    Case("giants_full", "full", True),
    Case("giants_latest_100", "100_latest", True),
    Case("giants_largest_100", "100_largest", True),
)
#: Where the market-wide onset is judged: all complete, all throttled.
MARKET_FEEDS = ("full", "latest_100", "three_latest")


class Plan(msgspec.Struct, frozen=True):
    """What a run does. The seeds of the bars are 171, 172 and 281 to 283."""

    calibrate_on: tuple[int, ...] = (171, 172)
    seeds: tuple[int, ...] = (281, 282, 283)
    days: int = 120
    cases: tuple[Case, ...] = FEEDS + MORE
    whales: bool = True
    ours: str = PRODUCT
    rivals: tuple[str, ...] = tuple(name for name in CONTENDERS if name != PRODUCT)
    workers: int = 2


QUICK = Plan((171,), (271,), 22, FEEDS, whales=False)


class Past(NamedTuple):
    """Histories by seed, each of all assets, and the whales' deposits of the tested ones."""

    calibration: list[list[History]]
    test: list[list[History]]
    whales: dict[int, list[Judged]]


def evaluate(market_of: Market, plan: Plan, tell: Tell) -> dict[str, Any]:
    """Run `plan` and return what build/evaluate.json holds."""
    past = _simulated(market_of, plan, tell)
    assets = range(len(market_of.assets))
    parts = [(case, asset) for case in plan.cases for asset in assets]
    parts_done = _each(
        plan,
        parts,
        lambda p: _scored(market_of, plan, past, *p),
        tell,
        lambda p: f"{p[0].name} {p[1]}",
    )
    by_case = {
        case.name: [parts_done[n] for n, part in enumerate(parts) if part[0] == case]
        for case in plan.cases
    }
    weeks = {case: _judged(past, scored) for case, scored in by_case.items()}
    result = figure_tables.of(plan.ours, by_case, weeks)
    result["market"] = _market(market_of, plan, past, by_case, tell)
    result |= _exhaustion(market_of, plan, past, by_case["full"], tell)
    result["outages"] = _outages(market_of, plan, past, by_case, tell)
    result["whale"] = whales.report(past.whales, WhaleParams()) if plan.whales else {}
    result["examples"] = drawn(
        market_of, past.test, by_case["full"], weeks["full"][plan.ours][BUDGET], plan.ours
    )
    result |= _of_plan(plan)
    result["bars"] = pass_marks.of(result)
    return result


def under_outages(market_of: Market, plan: Plan, tell: Tell) -> dict[str, Any]:
    """Run the part on outages alone: what `evaluate` has under "outages", and its bars."""
    past = _simulated(market_of, replace(plan, whales=False), tell)
    cases = [case for case in FEEDS if case.name in outages.CASE_OF.values()]
    by_case = _fitted_alone(market_of, plan, past, cases, outages.RIVALS, tell)
    result = _of_plan(plan) | {"outages": _outages(market_of, plan, past, by_case, tell)}
    return result | {"bars": pass_marks.outages(result)}


def of_market(market_of: Market, plan: Plan, tell: Tell) -> dict[str, Any]:
    """Run the market-wide part alone: what `evaluate` has under "market", and its bars."""
    past = _simulated(market_of, replace(plan, whales=False), tell)
    cases = [case for case in plan.cases if case.name in MARKET_FEEDS]
    by_case = _fitted_alone(market_of, plan, past, cases, (), tell)
    result = _of_plan(plan) | {"market": _market(market_of, plan, past, by_case, tell)}
    return result | {"bars": pass_marks.market(result)}


def of_whales(market_of: Market, plan: Plan, tell: Tell) -> dict[str, Any]:
    """Run the whale test alone, on the simulator and on another market; and its bars."""

    def one(seed: int) -> list[Judged]:
        return judged(market_of, core.run(market_of, seed, plan.days), seed, WhaleParams())

    paths = _each(plan, plan.seeds, one, tell, lambda seed: f"simulated seed {seed}")
    by_seed = dict(zip(plan.seeds, paths, strict=True))
    result = _of_plan(plan) | {"whale": whales.report(by_seed, WhaleParams())}
    result["whale_foreign"] = _foreign(plan, tell)
    return result | {"bars": pass_marks.whales(result)}


def _foreign(plan: Plan, tell: Tell) -> list[dict[str, Any]]:
    """Judge deposits on a market that is not the simulator's, by how loud its venues are."""

    def one(own: float) -> dict[str, Any]:
        market = whale_foreign.ForeignMarket(own=own)
        paths = {
            seed: [whale_foreign.judged(market, seed, plan.days, WhaleParams())]
            for seed in plan.seeds
        }
        noise = [whale_foreign.noise(market, seed, plan.days, WhaleParams()) for seed in plan.seeds]
        return {
            "own": own, "noise": sum(noise) / len(noise), **whales.tested(paths),
        }  # fmt: skip

    return _each(plan, whale_foreign.LEVELS, one, tell, lambda own: f"another market, own {own}")


def _of_plan(plan: Plan) -> dict[str, Any]:
    return {
        "seeds": list(plan.seeds), "calibrated_on": list(plan.calibrate_on), "days": plan.days,
        "score": plan.ours, "budget": BUDGET,
    }  # fmt: skip


def _fitted_alone(
    market_of: Market, plan: Plan, past: Past, cases: Sequence[Case], rivals: Sequence[str],
    tell: Tell,
) -> dict[str, list[Scored]]:  # fmt: skip
    """Fit the thresholds of the product and of some rivals, by case and asset; judge nothing."""
    scores = {name: CONTENDERS[name] for name in (plan.ours, *rivals)}
    parts = [(case, asset) for case in cases for asset in range(len(market_of.assets))]

    def one(part: tuple[Case, int]) -> Scored:
        case, asset = part
        known = [seed[asset] for seed in past.calibration]
        return protocol.of_asset(market_of, known, [], RULES[case.rule], False, scores, ())

    made = _each(plan, parts, one, tell, lambda p: f"{p[0].name} {p[1]}")
    return {c.name: [made[n] for n, part in enumerate(parts) if part[0] == c] for c in cases}


def _simulated(market_of: Market, plan: Plan, tell: Tell) -> Past:
    def one(seed: int) -> tuple[list[History], list[Judged] | None]:
        tape = core.run(market_of, seed, plan.days)
        deposits = None
        if plan.whales and seed in plan.seeds:
            deposits = judged(market_of, tape, seed, WhaleParams())
        return protocol.histories(market_of, tape, seed), deposits

    seeds = [*plan.calibrate_on, *plan.seeds]
    made = _each(plan, seeds, one, tell, lambda seed: f"simulated seed {seed}")
    first = len(plan.calibrate_on)
    pairs = zip(seeds, made, strict=True)
    return Past(
        [h for h, _ in made[:first]],
        [h for h, _ in made[first:]],
        {seed: simulated for seed, (_, simulated) in pairs if simulated is not None},
    )


def _scored(market_of: Market, plan: Plan, past: Past, case: Case, asset: int) -> Scored:
    # BOCPD costs as much as all others together, and is nobody's choice on a throttled feed.
    plain = case in FEEDS
    names = [n for n in (plan.ours, *plan.rivals) if plain or n != "BOCPD"]
    contenders = {name: CONTENDERS[name] for name in names}
    return protocol.of_asset(
        market_of,
        [seed[asset] for seed in past.calibration],
        [seed[asset] for seed in past.test],
        RULES[case.rule],
        case.giants,
        contenders,
        CURVE if plain else (),
    )


def _judged(past: Past, scored: Sequence[Scored]) -> dict[str, dict[float, Weeks]]:
    test = [[seed[asset] for seed in past.test] for asset in range(len(scored))]
    return {
        name: {
            budget: protocol.judged(test, [asset[name][budget] for asset in scored])
            for budget in scored[0][name]
        }
        for name in scored[0]
    }


def _market(
    market_of: Market, plan: Plan, past: Past, by_case: dict[str, list[Scored]], tell: Tell
) -> dict[str, Any]:
    cases = [case for case in plan.cases if case.name in MARKET_FEEDS]

    def one(case: Case) -> dict[str, Any]:
        product_found = [asset[plan.ours][BUDGET] for asset in by_case[case.name]]
        made, figures, rival = market_wide.evaluate(
            market_of,
            past.calibration,
            past.test,
            RULES[case.rule],
            CONTENDERS[plan.ours],
            product_found,
        )
        return figure_tables.row(figures) | {
            "threshold": msgspec.to_builtins(made), "budget": market_wide.BUDGET,
            "pooled_dollars": figure_tables.row(rival),
        }  # fmt: skip

    rows = _each(plan, cases, one, tell, lambda case: f"market-wide, {case.name}")
    by_name = {case.name: row for case, row in zip(cases, rows, strict=True)}
    return by_name["full"] | {"feeds": by_name}


def _outages(
    market_of: Market, plan: Plan, past: Past, by_case: dict[str, list[Scored]], tell: Tell
) -> dict[str, Any]:
    if not by_case.keys() >= set(outages.CASE_OF.values()):
        return {}
    names = [(number, row.asset) for number, row in enumerate(market_of.assets)]
    limits = [outages.thresholds(by_case, which, plan.ours) for which in names]
    return outages.evaluate(
        past.test, limits, plan.ours,
        lambda histories, one: _each(
            plan, histories, one, tell, lambda h: f"outages {h.seed} {h.asset}"
        ),
    )  # fmt: skip


def _exhaustion(
    market_of: Market, plan: Plan, past: Past, scored: list[Scored], tell: Tell
) -> dict[str, Any]:
    score, rule = CONTENDERS[plan.ours], RULES["full"]

    def one(history: History) -> exhaustion.Ends:
        view = protocol.seen(market_of, history, rule, False)
        series = score.parts[0](view)
        at = scored[history.asset][plan.ours][BUDGET].threshold.value
        return exhaustion.ends(history, view.feed, series, at)

    known, fresh = (
        exhaustion.joined(
            _each(plan, [h for seed in part for h in seed], one, tell, lambda h: f"ends {h.seed}")
        )
        for part in (past.calibration, past.test)
    )
    report = exhaustion.report(known, fresh)
    return {"exhaustion_bins": report.pop("bins"), "exhaustion": report}


def _each(
    plan: Plan, parts: Sequence[T], do: Callable[[T], S], tell: Tell, name: Callable[[T], str]
) -> list[S]:
    """Do all parts, some at once; results in the parts' order."""
    done: list[str] = []

    def one(part: T) -> S:
        made = do(part)
        done.append(name(part))
        tell(done[-1], len(done), len(parts))
        return made

    with ThreadPoolExecutor(plan.workers) as pool:
        results: Iterable[S] = pool.map(one, parts)
        return list(results)
