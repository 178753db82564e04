"""The pictures of a report: PNG, the same bytes for the same night with the same matplotlib."""

import io
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sinks.report.night import Night, second_of

#: Okabe and Ito's colours, which the colour-blind can tell apart.
LONG, SHORT, ONSET, WATCHED, LINE = "#E69F00", "#56B4E9", "#D55E00", "#666666", "#333333"
_VENUES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#8C6D31")
_VERDICTS = {"consistent_with_selling": "#D55E00", "no_evidence": "#009E73"}
_STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e6e6",
    "legend.frameon": False, "figure.facecolor": "white", "axes.axisbelow": True,
}  # fmt: skip
_DPI = 150
#: Bars of the waterfall; the levels with least are left out where there are more.
_LEVELS = 40


def charts(night: Night) -> dict[str, bytes]:
    """Return the pictures by the names of their files; what cannot be drawn is left out."""
    drawn = {"timeline.png": timeline(night)}
    if night.episode and night.answers["waterfall"].rows:
        drawn["waterfall.png"] = _waterfall(night)
    if night.episode and len(night.answers["first_orders"].rows) > 1:
        drawn["venues.png"] = _venues(night)
    return drawn


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    with rc_context(_STYLE):
        figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None})
    return out.getvalue()


def timeline(night: Night) -> bytes:
    """Draw price and forced USD of an asset on one axis of time, with episodes and deposits."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.5, 5.4), layout="constrained")
        price, forced = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
        start = second_of(night.window.since)
        hour = 3600 if second_of(night.window.until) - start > 3 * 3600 else 60
        seconds, values = _columns(night, "prices")
        price.plot([(s - start) / hour for s in seconds], values, color=LINE, linewidth=1)
        price.set_ylabel(f"{night.asset}, USD")
        if not values:
            price.set_yticks([])
            price.text(0.5, 0.5, "no trades stored: no price", transform=price.transAxes,
                       ha="center", color="#8a3c00")  # fmt: skip
        records = night.answers["forced"].records()
        at = [(row["second"] - start) / hour for row in records]
        width = night.step_s / hour
        for side, colour, sign, words in (
            ("long", LONG, -1, "longs closed"), ("short", SHORT, 1, "shorts closed"),
            ("unknown", WATCHED, -1, "side not known"),
        ):  # fmt: skip
            usd = [sign * (row[f"{side}_usd"] or 0.0) / 1e6 for row in records]
            if any(usd):
                below = [-(row["long_usd"] or 0.0) / 1e6 for row in records]
                bottom = below if side == "unknown" else None
                forced.bar(at, usd, width, bottom, align="edge", color=colour, label=words)
        forced.axhline(0, color=LINE, linewidth=0.8)
        forced.set_ylabel(f"forced, $M in {_span(night.step_s)}")
        day = night.window.since[:10]
        forced.set_xlabel(f"UTC, from {day}" if night.window.until[:10] != day else f"UTC, {day}")
        forced.xaxis.set_major_locator(MaxNLocator(8, steps=(1, 2, 3, 5, 6, 10)))
        forced.xaxis.set_major_formatter(lambda at, _: _clock(start + at * hour))
        _mark_episodes(night, (price, forced), start, hour)
        _mark_deposits(night, price, start, hour)
        price.set_xlim(0, (second_of(night.window.until) - start) / hour)
        figure.legend(loc="outside upper center", ncols=3)
        return _png(figure)


def _mark_episodes(night: Night, axes: Sequence[Axes], start: float, unit: float) -> None:
    labelled: set[str] = set()
    for row in night.answers["episodes"].records():
        if row["asset"] != night.asset:
            continue
        is_called = row["tier"] == "cascade"
        colour, words = (ONSET, "cascade called") if is_called else (WATCHED, "only watched")
        label = None if words in labelled else words
        labelled.add(words)
        onset = (second_of(row["ts_onset"]) - start) / unit
        end = second_of(row["ts_end"]) if row["ts_end"] else second_of(night.window.until)
        called = (second_of(row["ts_detect"] or row["ts_onset"]) - start) / unit
        for number, axis in enumerate(axes):
            axis.axvspan(onset, (end - start) / unit, color=colour, alpha=0.10, lw=0)
            axis.axvline(called, color=colour, linewidth=1.2, linestyle="-" if is_called else ":",
                         label=None if number else label)  # fmt: skip


def _mark_deposits(night: Night, axis: Axes, start: float, unit: float) -> None:
    low, high = axis.get_ylim()
    labelled: set[str] = set()
    for row in night.answers["verdicts"].records():
        if row["asset"] != night.asset:
            continue
        verdict = str(row["verdict"])
        label = None if verdict in labelled else f"deposit: {verdict.replace('_', ' ')}"
        labelled.add(verdict)
        axis.plot(
            (second_of(row["ts_event"]) - start) / unit, low, marker="^", markersize=7,
            color=_VERDICTS.get(verdict, "#999999"), linestyle="none", clip_on=False, label=label,
        )  # fmt: skip
    axis.set_ylim(low, high)


def _waterfall(night: Night) -> bytes:
    """Draw how much was forced while the market stood at each level, by how late it was."""
    assert night.episode is not None
    rows = night.answers["waterfall"].records()
    kept = sorted(rows, key=lambda row: -(row["notional_usd"] or 0.0))[:_LEVELS]
    levels = [row for row in rows if row in kept]
    onset = second_of(night.episode.ts_onset)
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.5, 0.9 + 0.17 * max(len(levels), 14)), layout="constrained")
        axis = figure.subplots()
        usd = [(row["notional_usd"] or 0.0) / 1e6 for row in levels]
        late = [(second_of(row["ts_first"]) - onset) / 60 for row in levels]
        longest = max([*late, 1e-9])
        # The later a level was first reached, the darker.
        shades = [(0.90 - 0.55 * one / longest,) * 3 for one in (max(m, 0.0) for m in late)]
        axis.barh(range(len(levels)), usd, color=shades, edgecolor=LINE, linewidth=0.4)
        axis.set_yticks(range(len(levels)), [_price(row["price_from"]) for row in levels])
        axis.tick_params(axis="y", labelsize=7)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        for place, (width, minutes) in enumerate(zip(usd, late, strict=True)):
            text = f"  {minutes:.1f} min"
            axis.text(width, place, text, va="center", fontsize=6.5, color="#555555")
        axis.set_xlabel("forced, $M; beside each level the minutes from onset until it was reached")
        axis.set_ylabel(f"{night.episode.asset}, USD")
        axis.margins(y=0.01)
        axis.set_xlim(0, 1.08 * max([*usd, 1e-9]))
        return _png(figure)


def _venues(night: Night) -> bytes:
    """Draw which share of its own forced USD each venue had reached, minute by minute."""
    assert night.episode is not None
    onset = second_of(night.episode.ts_onset)
    by_venue: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in night.answers["by_venue"].records():
        by_venue[row["venue"]].append(((row["second"] - onset) / 60, row["usd"] or 0.0))
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.5, 3.2), layout="constrained")
        axis = figure.subplots()
        for number, (venue, points) in enumerate(sorted(by_venue.items())):
            whole = math.fsum(usd for _, usd in points)
            if not whole:
                continue
            so_far = 0.0
            minutes, shares = [0.0], [0.0]
            for minute, usd in points:
                so_far += usd
                minutes.append(minute)
                shares.append(100 * so_far / whole)
            axis.step(minutes, shares, where="post", label=venue, linewidth=1.4,
                      color=_VENUES[number % len(_VENUES)])  # fmt: skip
        axis.set_ylabel("of its own forced USD, %")
        axis.set_xlabel("minutes from onset")
        axis.set_ylim(0, 102)
        axis.legend(loc="lower right", ncols=2)
        return _png(figure)


def _columns(night: Night, name: str) -> tuple[list[float], list[float]]:
    rows = night.answers[name].records()
    return [row["second"] for row in rows], [row["price"] for row in rows]


def _clock(second: float) -> str:
    minutes = round(second / 60)
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def _span(seconds: int) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds} s"


def _price(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.5g}"
