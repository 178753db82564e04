"""One HTML page that says what happened, to people who were not there: no script, no request."""

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from sinks.alerts.message import usd
from sinks.report import questions
from sinks.report.night import Answer, Night

_CSS = """
body{font:16px/1.55 Georgia,serif;max-width:62rem;margin:2.5rem auto;padding:0 1.2rem;color:#1c1c1c}
h1{font-size:1.9rem;margin-bottom:.2rem}h2{margin-top:2.4rem;border-bottom:2px solid #1c1c1c}
table{border-collapse:collapse;margin:.8rem 0 .4rem;font:13px/1.4 system-ui,sans-serif;width:100%}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.28rem .55rem;border-bottom:1px solid #d5d5d5;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n,td.t{white-space:nowrap}
figure{margin:1rem 0}
img{max-width:100%;height:auto;margin:.6rem 0}.note{color:#555;font-size:14px}
.unknown{color:#8a3c00}.lead{font-size:1.15rem}.wide{overflow-x:auto}
details{font:12px/1.4 system-ui,sans-serif;margin:0 0 1.2rem}
pre{white-space:pre-wrap;background:#f5f5f5;padding:.6rem}
@media print{details{display:none}h2{break-after:avoid}table,img{break-inside:avoid}}
"""
_CSP = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
#: Columns as people call them.
_HEADS = {
    "position_side": "closed", "ts_onset": "onset", "ts_detect": "called", "ts_end": "end",
    "delay_s": "seconds to the call", "notional_usd": "seen, at least",
    "estimate_usd": "in all", "estimate_low_usd": "in all, low",
    "estimate_high_usd": "in all, high",
    "drawdown_bps": "move", "long_share": "longs", "largest_order_usd": "largest order",
    "began_as": "began as", "ts_begin": "began", "price_from": "from", "price_to": "to",
    "ts_first": "first order", "ts_last": "last order", "after_onset_s": "seconds after onset",
    "lead_venues": "in order of lead", "lead_assets": "in order of lead",
    "lead_p_value": "p of no order", "p_value": "p", "inflow_usd": "deposit",
    "minutes_before": "minutes before", "from_owner": "from", "to_owner": "to",
    "excess_selling_usd": "selling beyond others", "onset_followed": "onset followed",
    "seconds_with_orders": "seconds with an order", "rows_without_usd": "without a worth",
    "median_delay_s": "median delay, s", "ts_from": "silent from", "ts_to": "until",
    "usd_when_called": "seen when called", "usd_in_the_end": "seen in the end",
    "known_share": "known then", "drawdown_bps_when_called": "move when called",
    "drawdown_bps_in_the_end": "move in the end", "estimate_unknown": "total not known",
    "threshold_is_default": "default threshold", "saturated": "venues at their limit",
    "silent": "silent feeds", "corrections": "corrected later",
}  # fmt: skip
#: Where a column of a table means something else.
_HEADS_OF = {
    ("verdicts", "ts_event"): "deposited", ("verdicts", "notional_usd"): "deposit",
    ("verdicts", "ts_detect"): "judged", ("told", "ts_detect"): "told",
    ("coverage", "notional_usd"): "seen",
}  # fmt: skip
_TEXTS = (
    *("asset", "assets", "tier", "began_as", "from_owner", "to_owner", "topic", "why", "producer"),
    *("venue", "coverage", "verdict", "reason", "kind", "title", "severity"),
)


def page(night: Night, pictures: Mapping[str, bytes]) -> str:
    """Return the whole page, with its pictures in it."""
    since, until = night.window.since[:19], _clock(night.window.until, day_of(night))
    parts = [
        f"<h1>Liquidations, {escape(since)} to {until} UTC</h1>",
        *_summary(night),
        "<h2>What happened, in order</h2>",
        _picture(pictures, "timeline.png", _timeline_in_words(night)),
        _sql("The price and what was forced", night.answers["prices"], night.answers["forced"]),
        _table(
            night,
            "episodes",
            "Cascades that were called, and what was only watched",
            "Nothing was called, and nothing watched.",
        ),
        _table(night, "assets", f"By asset, {questions.MOST} at most", ""),
        _table(night, "venues", f"By venue, {questions.MOST} at most", ""),
        *_episode(night, pictures),
        *_who_led(night, pictures),
        *_deposits(night),
        *_coverage(night),
        *_not_known(night),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta http-equiv='Content-Security-Policy' content=\"{_CSP}\">"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Liquidations, {escape(since)} UTC</title><style>{_CSS}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _summary(night: Night) -> list[str]:
    [row] = night.answers["totals"].records()
    rises = night.answers["episodes"].records()
    called = [one for one in rises if one["tier"] == "cascade"]
    at_least = "at least " if row["coverage"] != "full" or row["rows_without_usd"] else ""
    known = (row["long_usd"] or 0.0) + (row["short_usd"] or 0.0)
    of_what = ", and of what has a known side" if row["unknown_usd"] else ", of which"
    longs = 100 * (row["long_usd"] or 0.0) / known if known else 0.0
    sided = f"{of_what} {longs:.1f} % were longs" if known else ""
    text = (
        f"Positions worth {at_least}{usd(row['notional_usd'] or 0.0)} were liquidated{sided}:"
        f" {row['orders']:,} forced orders in {_many(row['assets'], 'asset')} on"
        f" {_many(row['venues'], 'venue')}."
    )
    if row["largest_order_usd"]:
        text += f" The largest single order was {usd(row['largest_order_usd'])}."
    number = _many(len(called), "cascade") if called else "No cascade"
    calls = f"{number} {'were' if len(called) > 1 else 'was'} called."
    if called:
        soonest, latest = (
            f(one["delay_s"] for one in called if one["delay_s"] is not None) for f in (min, max)
        )
        calls += f" From onset to the call it took {soonest:.0f} to {latest:.0f} seconds."
    watched = [one["notional_usd"] for one in rises if one["tier"] != "cascade"]
    if watched:
        what = "One more was" if len(watched) == 1 else f"{len(watched)} more were"
        forced = "it forced" if len(watched) == 1 else "the largest forced"
        calls += (
            f" {what} only watched, as the score never passed the threshold;"
            f" {forced} {usd(max(watched))}."
        )
    return [
        f"<p class='lead'>{escape(text)} {escape(_in_all(night))}</p>",
        f"<p class='lead'>{escape(calls)}</p>",
        "<p class='note'>Times are UTC, of the events themselves. &ldquo;At least&rdquo; stands"
        " where a venue shows only some of its orders, or an order without its worth. An empty"
        " cell was not known: it is never zero. Under each table is the query that gave it.</p>",
        _sql("These figures", night.answers["totals"]),
    ]


def _in_all(night: Night) -> str:
    """Say what it was with what throttled venues hid; their errors are held for one."""
    venues = night.answers["hidden"].records()
    low, high = (
        [row[name] for row in venues] for name in ("estimate_low_usd", "estimate_high_usd")
    )
    if None in low + high:
        return "How much was hidden from us cannot be told of every venue."
    if sum(high) <= 1.001 * sum(row["notional_usd"] for row in venues):
        return ""
    return (
        f"With what throttled venues hid it was between {usd(sum(low))} and {usd(sum(high))},"
        " by what such throttles hide in simulated markets."
    )


def _timeline_in_words(night: Night) -> str:
    return (
        f"Price of {night.asset} above; below, what was forced, longs downwards and shorts"
        " upwards. Shaded: cascades, with a line where each was called, and (grey) what was only"
        f" watched. Triangles: deposits of {night.asset} to exchanges."
    )


def _episode(night: Night, pictures: Mapping[str, bytes]) -> list[str]:
    if night.episode is None:
        return []
    asset, side = night.episode.asset, night.episode.position_side
    onset, last = (
        _clock(t, day_of(night)) for t in (night.episode.ts_onset, night.episode.ts_last)
    )
    return [
        f"<h2>The cascade looked at most closely: {escape(asset)}, {escape(side)}s</h2>",
        f"<p>Its onset was at {onset}, its last step at {last}. The picture shows how much was"
        " forced while the market stood at each price: levels are a tenth of a percent apart, and"
        " darker ones were reached later. It is where the market was, not the price at which an"
        " order was filled.</p>",
        _picture(pictures, "waterfall.png", f"Forced dollars of {asset} by price level."),
        _sql("The levels", night.answers["waterfall"]),
        _table(night, "waves", "Its waves", ""),
    ]


def _who_led(night: Night, pictures: Mapping[str, bytes]) -> list[str]:
    parts = [
        "<h2>Who led</h2>",
        "<p>Order in time is no proof of cause: contagion and a common shock look the same. A small"
        " p says that the order is unlikely to be chance alone.</p>",
        _table(night, "market", "Cascades in many assets at once",
               "No cascade was in many assets at once."),
        _table(night, "led", "Venues in the order in which their orders rose and fell",
               "No order of venues can be told: it takes two that show every order."),
    ]  # fmt: skip
    if night.episode:
        parts += [
            _picture(pictures, "venues.png",
                     "How soon each venue had forced which share of its own total."),
            _table(night, "first_orders", "First orders of the cascade looked at, by venue", ""),
        ]  # fmt: skip
    return parts


def _deposits(night: Night) -> list[str]:
    return [
        "<h2>Large deposits, and what can be said of them</h2>",
        "<p>A deposit is not a sale. Each is compared with other times in the same market at which"
        " nobody deposited (placebos). <em>Consistent with selling</em> says that takers sold more"
        " on that venue than chance explains; it does not say who.</p>",
        _table(night, "verdicts", "Deposits and their verdicts", "No deposit was reported."),
        _table(night, "inflows", "Deposits in the 45 minutes before an onset",
               "No deposit came in the 45 minutes before an onset."),
    ]  # fmt: skip


def _coverage(night: Night) -> list[str]:
    return [
        "<h2>How complete this is</h2>",
        "<p><em>full</em>: the venue shows every order. <em>latest per second</em> and <em>largest"
        " per second</em>: one order a second and instrument at most, so that the worst minutes"
        " show least. <em>unknown</em>: nobody can tell.</p>",
        _table(night, "coverage", "What each venue showed", ""),
        _table(night, "hidden", "Seen, and in all with what throttled venues hid", ""),
        _table(night, "gaps", "Silent feeds", "No feed said that it was silent."),
        _table(night, "letters", "What could not be read", "Everything that came could be read."),
    ]


def _not_known(night: Night) -> list[str]:
    return [
        "<h2>What was not known at the time</h2>",
        "<p>When a cascade was called, only its beginning had been seen. The first table sets what"
        " was known then beside what was known in the end. A verdict on a deposit comes only after"
        " its window has passed: the table of verdicts says when each was judged.</p>",
        _known_in_words(night),
        _table(night, "known_then", "Known when called, and in the end", "No cascade was called."),
        _table(night, "told", "What people were told, when", "Nobody was told anything."),
    ]


def _known_in_words(night: Night) -> str:
    known = night.answers["known_then"].records()
    shares = sorted(row["known_share"] for row in known if row["known_share"] is not None)
    if not shares:
        return ""
    middle = shares[len(shares) // 2]
    text = (
        f"Of {_many(len(known), 'cascade')}, half had shown less than {100 * middle:.1f} % of"
        " what they forced in the end when they were called."
    )
    unknown = sum(bool(row["estimate_unknown"]) for row in known)
    if unknown:
        text += f" Of {unknown} the total is not known to this day: a feed was silent or unknown."
    default = sum(bool(row["threshold_is_default"]) for row in known)
    if default:
        text += f" {default} were judged by shipped thresholds, not by ones fitted to this market."
    return f"<p>{escape(text)}</p>"


def _table(night: Night, name: str, caption: str, nothing: str) -> str:
    answer = night.answers[name]
    if not answer.rows:
        return (f"<p class='note'>{escape(nothing)}</p>" if nothing else "") + _sql(caption, answer)
    heads = "".join(
        f"<th scope='col'{_kind(column)}>{escape(_head(name, column))}</th>"
        for column in answer.columns
    )
    body = "\n".join(
        "<tr>" + "".join(
            f"<td{_kind(column)}>{shown(column, value, day_of(night))}</td>"
            for column, value in zip(answer.columns, row, strict=True)
        ) + "</tr>"
        for row in answer.rows
    )  # fmt: skip
    return (
        f"<div class='wide'><table data-answer='{name}'><caption>{escape(caption)}</caption>"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table></div>"
        + _sql(caption, answer)
    )


def _sql(caption: str, *answers: Answer) -> str:
    texts = "".join(f"<pre>{escape(answer.sql)}</pre>" for answer in answers)
    return f"<details><summary>{escape(caption)}, as SQL</summary>{texts}</details>"


def _picture(pictures: Mapping[str, bytes], name: str, words: str) -> str:
    if name not in pictures:
        return ""
    encoded = base64.b64encode(pictures[name]).decode()
    return (
        f"<figure><img alt='{escape(words, quote=True)}' src='data:image/png;base64,{encoded}'>"
        f"<figcaption class='note'>{escape(words)}</figcaption></figure>"
    )


def _head(name: str, column: str) -> str:
    return _HEADS_OF.get((name, column)) or _HEADS.get(column, column.replace("_", " "))


def _kind(column: str) -> str:
    if column.startswith("ts_"):
        return " class='t'"
    is_text = column in _TEXTS or column.startswith(("lead_", "position_"))
    return "" if is_text and column != "lead_p_value" else " class='n'"


def day_of(night: Night) -> str:
    """Return the day that all of a window lies on; empty where it is more than one."""
    day = night.window.since[:10]
    return day if night.window.until.startswith(day) else ""


def shown(column: str, value: Any, day: str = "") -> str:
    """Write a value of a column for people, as HTML; times of `day` without it."""
    if value is None or value == "" or value == []:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return escape(", ".join(map(str, value)))
    if column.startswith("ts_"):
        return _clock(str(value), day)
    if isinstance(value, int | float):
        return _number(column, value)
    return escape(str(value).replace("_", " ") if column in ("verdict", "coverage") else str(value))


def _number(column: str, value: float) -> str:
    if "usd" in column and column != "rows_without_usd":
        return escape(usd(value))
    if column.endswith("_share"):
        return f"{100 * value:.1f} %"
    if "drawdown_bps" in column:
        return f"{value / 100:.2f} %"
    if column.endswith("p_value"):
        return f"{value:.4f}"
    if column.startswith("price_"):
        return f"{value:,.2f}" if value >= 1 else f"{value:.6g}"
    if column in ("estimate_unknown", "onset_followed", "threshold_is_default"):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _clock(text: str, day: str) -> str:
    """Write a time to the second, without the day where that goes without saying."""
    return escape(text[:19].removeprefix(f"{day} "))


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
