"""Findings told to people. Pure: one finding gives one alert or none."""

from typing import Any

import msgspec

from schemas.findings import (
    Alert,
    CascadeFinding,
    FeedFinding,
    MarketFinding,
    StressFinding,
    WhaleFinding,
)
from schemas.identity import natural_id
from schemas.texts import plain
from schemas.words import SECOND, Phase, Severity, Tier

_SEVERITY: dict[Phase, Severity] = {
    "watch": "info",
    "onset": "critical",
    "reignited": "critical",
    "exhausted": "warning",
    "closed": "info",
}
#: Names of a kind that an alert tells; its finding has them all.
NAMED = 5
#: Characters of an alert's title and text, and of somebody's reason that it repeats.
TITLE, TEXT, REASON = 300, 2_000, 300
_FORCED = {"long": "longs sold by force", "short": "shorts bought back by force"}
_OF_SIDE = {"long": "long ", "short": "short "}
_TITLES: dict[Phase, str] = {
    "watch": "above the usual",
    "onset": "begin",
    "reignited": "flare up again",
    "exhausted": "have calmed",
    "closed": "are over",
}
#: What an alert repeats of a cascade, field by field.
_SHARED = (
    "ts_onset", "position_side", "venues", "coverage", "silent", "threshold_is_default", "orders",
    "notional_usd", "estimate_usd", "estimate_low_usd", "estimate_high_usd", "usual_usd_per_min",
    "price_before", "price_worst", "drawdown_bps", "reignition_probability", "history_s",
)  # fmt: skip


def alert_of(finding: msgspec.Struct) -> Alert | None:
    """Return what people are told of a finding; waves, peaks and doubt are not told."""
    if isinstance(finding, CascadeFinding):
        return _cascade(finding)
    if isinstance(finding, MarketFinding) and finding.phase != "wave":
        return _market(finding)
    if isinstance(finding, StressFinding):
        return _stress(finding)
    if isinstance(finding, WhaleFinding):
        if finding.verdict == "consistent_with_selling":
            return _whale(finding)
        if finding.retracted_verdict == "consistent_with_selling":
            return _retraction(finding)
    if isinstance(finding, FeedFinding):
        return _feed(finding)
    return None


def dated(alert: Alert, written_at: int, max_age_s: float) -> Alert:
    """Return an alert, marked `replayed` where its second was judged too long before it is written.

    `written_at` in microseconds; a `max_age_s` of 0 is none.
    """
    if not max_age_s or written_at - alert.ts_detect <= max_age_s * SECOND:
        return alert
    return msgspec.structs.replace(alert, replayed=True)


def usd(worth: float) -> str:
    """Write dollars as the press does: $950, $12.3K, $4.5M, $1.2B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(worth) >= size:
            return f"${worth / size:,.1f}{unit}"
    return f"${worth:,.0f}"


def _cascade(finding: CascadeFinding) -> Alert | None:
    severity = _SEVERITY.get(finding.phase)
    if severity is None:
        return None
    seen = "at least " if finding.coverage != "full" else ""
    basis = "a default" if finding.threshold_is_default else "a fitted"
    forced = _FORCED.get(finding.position_side, "positions of unknown side closed by force")
    again = ""
    if finding.reignition_probability is not None:
        again = f"; another fifth within half an hour: {finding.reignition_probability:.0%} likely"
    fall = "" if finding.drawdown_bps is None else f", move {finding.drawdown_bps / 100:.2f} %"
    side = _OF_SIDE.get(finding.position_side, "")
    return _alert(
        finding,
        kind=f"cascade.{finding.phase}",
        tier="watch" if finding.phase == "watch" else "cascade",
        severity=severity,
        asset=finding.asset,
        title=f"{finding.asset}: {side}liquidations {_TITLES[finding.phase]}",
        text=f"{seen}{usd(finding.notional_usd)} of {forced} in {finding.orders:,} orders since "
        f"onset{fall}{again}; score {finding.score_name} {finding.log_rate:.2f} against {basis}"
        f" threshold of {finding.threshold:.2f}",
        numbers=_numbers(finding),
    )


def _numbers(finding: CascadeFinding) -> dict[str, Any]:
    """Return the fields of an alert that are a cascade's own."""
    numbers = {name: getattr(finding, name) for name in _SHARED}
    # Bounded as sums are, whatever came in.
    return numbers | {"pace_usd_per_min": min(60.0 * finding.peak_usd_per_s, 1e22)}


def _market(finding: MarketFinding) -> Alert:
    began = finding.phase == "onset"
    among = f" in {_few(finding.assets)}" if finding.assets else ""
    return _alert(
        finding,
        kind=f"market.{finding.phase}",
        tier="cascade",
        severity="critical" if began else "info",
        asset="",
        title=f"Liquidations across the market {'begin' if began else 'are over'}",
        text=f"forced orders{among} are far above the usual at the same time"
        if began
        else f"forced orders{among} were far above the usual at the same time",
        numbers={
            "ts_onset": finding.ts_onset,
            "assets": finding.assets,
            "coverage": finding.coverage,
            "silent": finding.silent,
            "threshold_is_default": finding.threshold_is_default,
        },
    )


def _stress(finding: StressFinding) -> Alert:
    began = finding.phase == "onset"
    flow = "bought" if finding.cvd_usd > 0 else "sold"
    text = (
        f"takers {flow} {usd(abs(finding.cvd_usd))} more than they did the other in three minutes,"
        f" the price moved {finding.move_bps / 100:+.2f} % in five; minute bars tell no forced"
        " orders, so this is no liquidation"
    )
    return _alert(
        finding,
        kind=f"stress.{finding.phase}",
        tier="stress",
        severity="warning" if began else "info",
        asset=finding.asset,
        title=f"{finding.asset}: market {'under stress' if began else 'calm again'}",
        text=text if began else "flow and price have been below their threshold for half an hour",
        numbers={
            "ts_onset": finding.ts_onset,
            "venues": finding.venues,
            "threshold_is_default": finding.threshold_is_default,
            "cvd_usd": finding.cvd_usd,
            "move_bps": finding.move_bps,
        },
    )


def _whale(finding: WhaleFinding) -> Alert:
    shared = ""
    if finding.shared:
        share = "" if finding.credit is None else f", its share by size {finding.credit:.0%}"
        shared = f"; other inflows overlap{share}"
    p_value = "p not known" if finding.p_value is None else f"p = {finding.p_value:.4f}"
    likely = "" if finding.posterior is None else f", posterior {finding.posterior:.2f}"
    return _alert(
        finding,
        kind=f"whale.{finding.verdict}",
        tier="watch",
        severity="warning",
        asset=finding.asset,
        title=f"{finding.asset} deposit to {finding.venue}: consistent with selling",
        text=f"{usd(finding.notional_usd or 0.0)} deposited, "
        f"{usd(finding.excess_selling_usd or 0.0)} sold beyond other venues, "
        f"{p_value} over {finding.placebos} placebo windows{likely}{shared}",
        numbers={
            "coverage": finding.coverage,
            "silent": finding.silent,
            "notional_usd": finding.notional_usd,
            "excess_selling_usd": finding.excess_selling_usd,
            "p_value": finding.p_value,
            "posterior": finding.posterior,
        },
    )


def _retraction(finding: WhaleFinding) -> Alert:
    return _alert(
        finding,
        kind="whale.retracted",
        tier="watch",
        severity="info",
        asset=finding.asset,
        title=f"{finding.asset} deposit to {finding.venue}: taken back",
        text=f"{usd(finding.notional_usd or 0.0)} deposited, told as consistent with selling: "
        f"the transfer was {plain(finding.reason, REASON)}, so that verdict no longer stands",
    )


def _feed(finding: FeedFinding) -> Alert:
    name, reason = finding.producer, plain(finding.reason, REASON)
    why = f" ({reason})" if reason else ""
    title, text = {
        "silent": (
            "silent",
            f"{name} tells nothing{why}: findings rest on the other feeds until it does",
        ),
        "recovered": ("back", f"{name} tells again"),
        "doubted": (
            "its words are not believed",
            f"{name} again and again says more than its records bear out: {reason}",
        ),
        "late": ("records come too late", reason),
        "misplaced": ("records lie on the wrong partition", reason),
    }[finding.state]
    return _alert(
        finding,
        kind=f"feed.{finding.state}",
        tier="watch",
        severity="info" if finding.state == "recovered" else "warning",
        asset="",
        title=f"Feed {name}: {title}",
        text=text,
    )


def _notes(finding: CascadeFinding | MarketFinding | WhaleFinding) -> str:
    """Return what people must know about the feeds behind a finding."""
    notes = ""
    if isinstance(finding, CascadeFinding) and finding.side_reason:
        notes += f"; side: {plain(finding.side_reason, REASON)}"
    if isinstance(finding, CascadeFinding) and finding.saturated:
        notes += f"; {_few(finding.saturated)} at its limit of one order a second"
    if isinstance(finding, CascadeFinding) and finding.missing_share:
        notes += f"; venues that usually show {finding.missing_share:.0%} of it tell nothing"
    if isinstance(finding, CascadeFinding) and finding.young:
        notes += f"; young: what is usual rests on {finding.history_s // 60} min and on a guess"
    if finding.silent:
        notes += f"; silent: {_few(finding.silent)}"
    return notes


def _few(names: list[str]) -> str:
    """Return some names, of many their number and the first few: `20, among them a, b, c`."""
    first = ", ".join(names[:NAMED])
    return f"{len(names)}, among them {first}" if len(names) > NAMED else first


def _alert(
    finding: CascadeFinding | MarketFinding | StressFinding | WhaleFinding | FeedFinding,
    *,
    kind: str,
    tier: Tier,
    severity: Severity,
    asset: str,
    title: str,
    text: str,
    numbers: dict[str, Any] | None = None,
) -> Alert:
    if isinstance(finding, FeedFinding):
        fault = [finding.state] if finding.state in ("doubted", "misplaced") else []
        dedup_key = natural_id("feed", finding.producer, *fault)
    elif isinstance(finding, StressFinding):
        dedup_key = finding.episode_id
    else:
        dedup_key = finding.event_id if isinstance(finding, WhaleFinding) else finding.episode_id
        text += _notes(finding)
    return Alert(
        alert_id=natural_id("alert", finding.finding_id),
        dedup_key=dedup_key,
        kind=kind,
        tier=tier,
        severity=severity,
        asset=asset,
        title=plain(title, TITLE),
        text=plain(text, TEXT),
        finding_id=finding.finding_id,
        ts_event=finding.ts_event,
        ts_detect=finding.ts_detect,
        **(numbers or {}),
    )
