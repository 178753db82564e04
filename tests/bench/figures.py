"""What the rounds gave: ratios with min, median and max, beside their bars; a plot of rates."""

from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

Spread = dict[str, float]


class Bar(NamedTuple):
    """What a figure must reach: at least (or at most) so much."""

    bound: float
    at_least: bool
    what: str


BARS = {
    "rollup_vs_bare": Bar(1.25, True, "rollup with transactions / bare loop of msgspec"),
    "rollup_vs_raw": Bar(0.6, True, "rollup / messages taken, nothing looked at"),
    "rollup_vs_flink": Bar(2, True, "rollup / Flink SQL, warm, exactly once"),
    "rollup_vs_csp": Bar(3, True, "rollup / csp, 1 s sums"),
    "rollup_vs_pathway": Bar(5, True, "rollup / Pathway, 1 s sums"),
    "rollup_spread": Bar(1.25, False, "rollup, fastest round / slowest"),
    "rollup_vs_quixstreams": Bar(5, True, "rollup / quixstreams, 1 s sums"),
    "rollup_vs_bytewax": Bar(4, True, "rollup / bytewax, 1 s sums"),
    "rollup_vs_faust": Bar(40, True, "rollup / plain Faust with a table"),
    "transactions_cost": Bar(0.9, True, "rollup, transactions on / off"),
    "embedded_vs_bare": Bar(0.6, True, "undertow run, stored and detected / bare loop, from files"),
    "sink_vs_bare": Bar(0.5, True, "sink rows / bare insert of ready columns"),
    "growth_5000_vs_10": Bar(1.3, False, "cost a record, 5,000 instruments / 10"),
    "rss_growth": Bar(1.1, False, "resident memory at the end / after the first part"),
    "parse_vs_orjson": Bar(0.35, True, "orjson.loads / parse of the same frames, dearest channel"),
    "recovery_vs_bare": Bar(2, False, "Faust state back / bare reading of its changelog"),
    "catch_up_vs_engine": Bar(0.5, True, "detect on a backlog / its engine alone, processor time"),
    "catch_up_rate": Bar(30_000, True, "detect on a backlog, records a processor second"),
    "feeds_lag_s": Bar(1, False, "feed of all venues, 30,000 trades/s: lag, p99 of 10 s, seconds"),
    "feeds_core": Bar(1, False, "the same: share of one core"),
    "feeds_rss_growth": Bar(1.1, False, "the same: memory, last two minutes / two after three"),
    "catch_up_flat": Bar(0.8, True, "detect on a backlog, last tenth / first tenth"),
    "detect_2_vs_1": Bar(1.6, True, "two detect on two cores, Kafka on the same / one"),
    "market_late_s": Bar(2, False, "12,000 bars a second: judged after s (median; here p99; most)"),
    "market_saturated": Bar(1.5, False, "12,000 bars a second: judged after, end / beginning"),
    "market_core": Bar(0.8, False, "12,000 bars a second: share of detect's core"),
    "market_rss": Bar(1.1, False, "12,000 bars a second: memory, last fifth / second"),
    "busy_differ": Bar(0, False, "stack beside four busy processes: findings that differ"),
    "busy_restarts": Bar(0, False, "stack beside four busy processes: stages started again"),
    "webhook_1k_p50": Bar(1.0, False, "webhook after s, p50, 1,000 trades a second beside"),
    "webhook_1k_p99": Bar(1.6, False, "webhook after s, p99, 1,000 trades a second beside"),
    "webhook_20k_p50": Bar(1.0, False, "webhook after s, p50, 20,000 trades a second beside"),
    "webhook_20k_p99": Bar(1.6, False, "webhook after s, p99, 20,000 trades a second beside"),
    "webhook_100k_p99": Bar(2.0, False, "webhook after s, p99, 100,000 trades a second beside"),
    "growth_us_at_1000": Bar(5.5, False, "detect: us a bar, 1,000 instruments"),
}


def spread(values: Sequence[float]) -> Spread:
    """Return min, median and max."""
    return {"min": min(values), "median": median(values), "max": max(values)}


def quotients(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Return the spread of each round's quotient."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def lines(figures: Mapping[str, Any]) -> list[str]:
    """Return the table for people: each ratio, its bar, and whether it is reached."""
    made = [f"{'':<60} {'min':>8} {'median':>8} {'max':>8}   bar"]
    for name, bar in BARS.items():
        figure = figures.get(name)
        sign = "≥" if bar.at_least else "≤"
        if not figure:
            made.append(f"{bar.what:<60} {'not measured':>26}   {sign} {bar.bound:g}")
            continue
        reached = figure["median"] >= bar.bound if bar.at_least else figure["median"] <= bar.bound
        numbers = " ".join(
            f"{figure[part]:>8.2f}" if part in figure else " " * 8
            for part in ("min", "median", "max")
        )
        verdict = "reached" if reached else "NOT reached"
        made.append(f"{bar.what:<60} {numbers}   {sign} {bar.bound:g}  {verdict}")
    return made


def plot(rates: Mapping[str, Spread], path: Path) -> None:
    """Draw the rates as bars on a logarithmic scale, with whiskers from min to max, as SVG."""
    rows = sorted(rates.items(), key=lambda item: -item[1]["median"])
    scale, left = 130.0, 250  # pixels a decade, beginning at 1,000 records a second

    def x(rate: float) -> float:
        return left + scale * max(0.0, log10(max(rate, 1.0)) - 3)

    parts = []
    for number, (name, rate) in enumerate(rows):
        y = 30 + 26 * number
        parts += [
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>',
            f'<rect x="{left}" y="{y}" width="{x(rate["median"]) - left:.0f}" height="18" fill="#48a"/>',
            f'<path d="M{x(rate["min"]):.0f} {y + 9}H{x(rate["max"]):.0f}" stroke="#000" stroke-width="2"/>',
            f'<text x="{x(rate["max"]) + 6:.0f}" y="{y + 13}">{rate["median"]:,.0f}</text>',
        ]
    head = '<text x="8" y="18">records a second, logarithmic; median, whiskers min to max</text>'
    size = f'width="760" height="{44 + 26 * len(rows)}"'
    style = 'font-family="sans-serif" font-size="12"'
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{head}{"".join(parts)}</svg>\n'
    )
