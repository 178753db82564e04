"""Plots of an evaluation as SVG text: colours that the colour-blind can tell, no scripts."""

import io
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from schemas.findings import CascadeFinding
from schemas.words import SECOND
from streams.evaluate.picture import Picture

Row = Mapping[str, Any]
#: Okabe and Ito's colours; ours is drawn thick and black.
COLOURS = (
    "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#999999", "#8C6D31",
)  # fmt: skip
_STYLE: Any = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e6e6e6", "svg.fonttype": "none", "svg.hashsalt": "undertow",
    "font.family": "sans-serif", "legend.frameon": False,
}  # fmt: skip
#: A delay beyond this, or a quartile that was missed, is drawn at the plot's top.
_LATEST_S = 300.0


def svg(figure: Figure) -> str:
    """Return a figure as an <svg> element; equal figures give equal text."""
    out = io.StringIO()
    with rc_context(_STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def example(example_row: Row) -> str:
    """Draw one cascade: price, liquidations a second, score; the alarms on all three."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 4.6), layout="constrained")
        axes = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1.4, 1.4))
        minutes = [(s - example_row["t0"]) / 60 for s in example_row["second"]]
        lines = (("price", 1, "price, USD"), ("usd_a_second", 1e6, "forced, $M/s"),
                 ("score", 1, "score, nats"))  # fmt: skip
        for axis, (key, unit, label) in zip(axes, lines, strict=True):
            if example_row[key] is not None:
                axis.plot(
                    minutes, [y / unit for y in example_row[key]], color="#333333", linewidth=1
                )
            axis.set_ylabel(label)
            for first, last in example_row["spans"]:
                span = ((first - example_row["t0"]) / 60, (last - example_row["t0"]) / 60)
                axis.axvspan(*span, color="#56B4E9", alpha=0.18, lw=0)
            for n, second in enumerate(example_row["alarms"]):
                axis.axvline((second - example_row["t0"]) / 60, color="#D55E00", linewidth=1.6,
                             label="alarm" if n == 0 else None)  # fmt: skip
        axes[2].axhline(example_row["threshold"], color="#D55E00", linestyle=":", linewidth=1)
        axes[2].set_xlabel("minutes from onset (shaded: cascades, onset until 95 % of the damage)")
        axes[0].set_xlim(minutes[0], minutes[-1])
        if example_row["alarms"]:
            axes[0].legend(loc="upper right")
        return svg(figure)


def curves(result: Row, case: str) -> str:
    """Draw, for each score, delay and damage to come against realised false alarms a week."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        rivals = {n: r["feeds"][case]["curve"] for n, r in result["rivals"].items()
                  if case in r["feeds"]}  # fmt: skip
        colours = iter(COLOURS * 2)
        for name, curve in rivals.items():
            ours = name == result["score"]
            style: Any = {"marker": "o", "markersize": 3.5 if ours else 2.5,
                          "linewidth": 2.2 if ours else 1.1, "zorder": 3 if ours else 2,
                          "color": "black" if ours else next(colours)}  # fmt: skip
            weekly = [max(p["false_alarms_per_week"], 0.02) for p in curve]
            delay = [_drawn_delay(p["delay_s"]["p50"]) for p in curve]
            left.plot(weekly, delay, label=name, **style)
            right.plot(weekly, [p["damage_to_come"] for p in curve], label=name, **style)
        left.set_ylabel(f"median delay, s (missed or over {_LATEST_S:.0f}: top)")
        right.set_ylabel("damage still to come at the alarm")
        right.set_ylim(0, 1.02)
        for axis in (left, right):
            axis.set_xscale("log")
            axis.set_xlabel("false alarms a week and asset, realised")
            axis.axvline(1, color="#999999", linewidth=0.8, linestyle=":")
        figure.legend(*left.get_legend_handles_labels(), loc="outside right upper")
        return svg(figure)


def _drawn_delay(seconds: float | None) -> float:
    return _LATEST_S if seconds is None else min(seconds, _LATEST_S)


def reliability(bins: Sequence[Row], said: str) -> str:
    """Draw observed against stated shares, with 95 % intervals and the number in each bin."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(4.4, 3.8), layout="constrained")
        axis: Axes = figure.subplots()
        axis.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
        axis.fill_between([0, 1], [-0.1, 0.9], [0.1, 1.1], color="#999999", alpha=0.12, lw=0)
        for one in bins:
            low, high = one["observed_interval"]
            full = one["n"] >= 50
            colour = "black" if full else "#b0b0b0"
            axis.plot([one["predicted"]] * 2, [low, high], color=colour, linewidth=1)
            axis.plot(one["predicted"], one["observed"], "o", color=colour, markersize=4)
            axis.annotate(str(one["n"]), (one["predicted"], one["observed"]), fontsize=7,
                          xytext=(4, 3), textcoords="offset points", color=colour)  # fmt: skip
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_xlabel(said)
        axis.set_ylabel("observed share")
        return svg(figure)


#: Phases that are drawn, each with its colour; others would crowd the picture.
_MARKS = {"watch": "#E69F00", "onset": "#D55E00", "peak": "#0072B2", "exhausted": "#009E73",
          "closed": "#555555"}  # fmt: skip
#: Before the episode and after it, and how much is one point, seconds.
_AROUND, _STEP = 600, 5


def night(picture: Picture, episode: Sequence[CascadeFinding]) -> str:
    """Draw an episode: price, forced dollars a second, score less threshold, and its phases."""
    onset = episode[0].ts_onset // SECOND
    first, last = onset - _AROUND, episode[-1].ts_event // SECOND + _AROUND // 2
    steps = range(first, last, _STEP)
    minutes = [(step - onset) / 60 for step in steps]
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 5.2), layout="constrained")
        price, forced, score = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1.2, 1.6))
        price.plot(minutes, _lasting(picture.price, steps), color="#333333", linewidth=1)
        price.set_ylabel(f"{picture.asset}, USD")
        usd = [sum(picture.forced_usd.get(s + i, 0.0) for i in range(_STEP)) for s in steps]
        forced.fill_between(minutes, [u / _STEP / 1e3 for u in usd], step="post", color="#56B4E9")
        forced.set_ylabel("forced, $1,000/s")
        score.plot(minutes, _lasting(picture.excess, steps), color="#333333", linewidth=1)
        score.axhline(0, color="#D55E00", linestyle=":", linewidth=1)
        score.set_ylabel("score less threshold")
        score.set_xlabel("minutes from onset")
        drawn: set[str] = set()
        for finding in episode:
            colour = _MARKS.get(finding.phase)
            if colour is None or finding.phase in drawn:
                continue
            drawn.add(finding.phase)
            at = (finding.ts_event // SECOND - onset) / 60
            for axis in (price, forced, score):
                axis.axvline(at, color=colour, linewidth=1.2)
            price.plot([], [], color=colour, label=finding.phase)
        price.set_xlim(minutes[0], minutes[-1])
        price.legend(loc="lower left", ncols=2)
        return svg(figure)


def _lasting(values: Mapping[int, float], steps: range) -> list[float]:
    """Return the last value known at each step, NaN before the first."""
    seconds = sorted(values)
    at = [bisect_right(seconds, step) for step in steps]
    return [round(values[seconds[i - 1]], 6) if i else math.nan for i in at]
