"""One HTML file that says what an evaluation found, for a reader who knows nothing of it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from streams.evaluate import plots

Row = Mapping[str, Any]
_CSS = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0 1.4rem;font-size:13px}
td{font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}.ours{font-weight:600;background:#f3f3f3}
.yes{color:#00694c}.no{color:#b03a00;font-weight:600}small{color:#666}svg{max-width:100%;height:auto}
dt{font-weight:600}dd{margin:0 0 .4rem 1rem}h2{margin-top:2.2rem}
"""
_CASES = {
    "full": "Three venues, every order shown",
    "throttled_45": "45 % of the orders on a venue that shows the latest one a second",
    "latest_100": "All orders on one venue that shows the latest one a second",
    "largest_100": "All orders on one venue that shows the largest one a second",
    "three_latest": "Three venues, each showing its latest order a second",
    "three_largest": "Three venues, each showing its largest order a second",
    "as_recorded": "As recorded",
}
_WORDS = (
    ("cascade", "liquidations of which at least 30 % of the dollars were set off by earlier"
     " liquidations' own impact, and that part is at least a quarter of a usual day's total."
     " The simulator knows this; detectors do not."),
    ("recall", "share of cascades with an alarm from 300 s before onset until 95 % of the damage"
     " was done."),
    ("FA/week", "alarms a week and asset that belong to no cascade. Thresholds were fitted to 1"
     " on other seeds; what happened on these seeds is shown."),
    ("delay", "seconds from onset (2 % of the damage) to the alarm; negative: before it."),
    ("damage to come", "share of the cascade's forced dollars still ahead when the alarm fired,"
     " 0 if missed: what a warning is worth."),
    ("intervals", "95 %, by resampling whole weeks, all assets together; differences between two"
     " scores are paired on the same cascades."),
)  # fmt: skip
_COLUMNS = (
    ("FA/week", "false_alarms_per_week"), ("recall", "recall"), ("≤ 60 s", "within_60s"),
    ("≤ 120 s", "within_120s"), ("damage to come", "damage_to_come"),
)  # fmt: skip


def html(result: Row) -> str:
    """Return the whole report; `result` is what evaluate.json holds."""
    simulated = "market" in result
    parts = ["<h1>Undertow: what the detectors do, and do not</h1>"]
    parts.append(_intro(result) if simulated else _of_recording(result))
    parts.append(_words())
    if simulated:
        parts += ["<h2>Bars</h2>", _bars(result["bars"])]
    parts += ["<h2>Some cascades</h2>", _examples(result["examples"])]
    if simulated:
        parts += ["<h2>Delay against false alarms</h2>", _curves(result)]
    parts += ["<h2>Every score on every feed</h2>", *_scores(result)]
    if simulated:
        parts += [
            "<h2>A venue silent from before the onset</h2>", *_outages(result),
            "<h2>Market-wide onset</h2>", _market(result["market"]),
            "<h2>Exhaustion</h2>", _exhaustion(result),
            "<h2>Whales</h2>", _whale(result["whale"]),
            "<h2>Thresholds</h2>", _thresholds(result),
        ]  # fmt: skip
    body = "\n".join(parts)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Undertow evaluation"
        f"</title><style>{_CSS}</style></head><body>{body}</body></html>"
    )


def _of_recording(result: Row) -> str:
    default = result["thresholds_are_default"]
    ours = "the shipped defaults" if default else "calibrated ones"
    counts = "".join(
        f"<li>{escape(group)}: {escape(', '.join(f'{k} {v}' for k, v in verdicts.items()))}</li>"
        for group, verdicts in result["whale"].items()
    )
    return (
        f"<p>{escape(result['input'])}: the product itself run over it, thresholds {ours}; alarms"
        " counted when they were given. Rivals have, on this very recording, the lowest"
        " threshold at which they raise no more false alarms than the product: a favour to them."
        " Damage is what the feeds showed. No intervals under four weeks.</p>"
        f"<p>Market-wide onsets called: {result['market_onsets']}. Whale deposits:"
        f" <ul>{counts or '<li>none in the truth</li>'}</ul></p>"
        f"<p><small>{escape(str(result.get('command', '')))};"
        f" {escape(str(result.get('made', '')))}</small></p>"
    )


def _words() -> str:
    words = "".join(f"<dt>{escape(w)}</dt><dd>{escape(m)}</dd>" for w, m in _WORDS)
    return f"<dl>{words}</dl>"


def _intro(result: Row) -> str:
    of = ", ".join(str(s) for s in result["seeds"])
    on = ", ".join(str(s) for s in result["calibrated_on"])
    return (
        f"<p>Simulated markets of three assets (BTC, ETH, SOL), {result['days']} days for each of"
        f" the seeds {of}; thresholds fitted on the seeds {on}. The product's score is"
        f" <b>{escape(result['score'])}</b>; the others are what it must be compared with."
        " <b>These are figures about a simulator</b>, whose equations and labels are ours; they"
        " say how the scores compare and where they fail, not how a real market will go.</p>"
        f"<p><small>{escape(str(result.get('command', '')))}; {result.get('seconds', '?')} s;"
        f" {escape(str(result.get('made', '')))}</small></p>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], ours: Sequence[bool] = ()) -> str:
    """Return a table; cells are HTML."""
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    lines = []
    for n, row in enumerate(rows):
        mark = " class='ours'" if n < len(ours) and ours[n] else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
    return f"<table><tr>{top}</tr>{''.join(lines)}</table>"


def _bars(bars: Sequence[Row]) -> str:
    missed = sum(bar["reached"] is False for bar in bars)
    mark = {True: "<span class='yes'>reached</span>", False: "<span class='no'>missed</span>",
            None: "-"}  # fmt: skip
    rows = [
        (escape(bar["bar"]), escape(bar["must"]),
         "not measured" if bar["figure"] is None else f"{bar['figure']:.3f}", mark[bar["reached"]])
        for bar in bars
    ]  # fmt: skip
    said = "No bar was missed." if not missed else f"{missed} missed."
    return f"<p>{said}</p>" + _table(("bar", "must be", "is", ""), rows)


def _examples(examples: Sequence[Row]) -> str:
    drawings = []
    for one in examples:
        seed = f", seed {one['seed']}" if "seed" in one else ""
        title = (
            f"<h3>{escape(one['what'].capitalize())}: {escape(one['asset'])}{seed},"
            f" {one['left']:.0%} of the damage still to come</h3>"
        )
        drawings.append(title + plots.example(one))
    return "\n".join(drawings) or "<p>No cascade was judged.</p>"


def _curves(result: Row) -> str:
    said = (
        "<p>Each point is one budget of false alarms, from a quarter to seven a week, fitted on"
        " the calibration seeds and drawn where the judged seeds put it. Left, lower is better;"
        " right, higher.</p>"
    )
    drawn = [
        f"<h3>{escape(_CASES[case])}</h3>{plots.curves(result, case)}"
        for case in result["feeds"]
        if len(result["feeds"][case]["curve"]) > 1
    ]
    return said + "\n".join(drawn)


def _scores(result: Row) -> list[str]:
    sections = []
    for group in ("feeds", "giants"):
        for case in result[group]:
            giants = ", with three planted single huge orders a week" if group == "giants" else ""
            key = f"giants_{case}" if giants else case
            paired = result["ours_less_rival"][key]
            rivals = {n: r[group][case] for n, r in result["rivals"].items() if case in r[group]}
            rows = [_score(name, row, paired.get(name)) for name, row in rivals.items()]
            head = ("score", *(n for n, _ in _COLUMNS), "delay p25/p50/p75",
                    f"{result['score']} less it: damage")  # fmt: skip
            table = _table(head, rows, [name == result["score"] for name in rivals])
            sections.append(f"<h3>{escape(_CASES[case] + giants)}</h3>{table}")
    return sections


def _outages(result: Row) -> list[str]:
    said = (
        "<p>Two venues, one of which tells nothing from 120 s before each burst to its end, by its"
        " own word (told) or without one. Nobody's threshold knows of it.</p>"
    )
    sections = [said]
    head = ("score", *(n for n, _ in _COLUMNS), "delay p25/p50/p75")
    for outage, by_score in result["outages"].items():
        rows = [_score(name, row, None)[:-1] for name, row in by_score.items()]
        table = _table(head, rows, [name == result["score"] for name in by_score])
        sections.append(f"<h3>{escape(outage)}</h3>{table}")
    return sections if len(sections) > 1 else ["<p>Not run.</p>"]


def _score(name: str, row: Row, paired: Row | None) -> list[str]:
    cells = [escape(name)]
    for _, key in _COLUMNS:
        cells.append(_figure(row[key], row["intervals"].get(key)))
    delay = row["delay_s"].values()
    cells.append(" / ".join("missed" if s is None else f"{s:.0f} s" for s in delay))
    gain = (paired or {}).get("damage_to_come")
    return [*cells, _figure(gain["value"], gain["interval"], "+.3f") if gain else "-"]


def _figure(value: float | None, interval: Sequence[float] | None, shape: str = ".3f") -> str:
    if value is None:
        return "-"
    if not interval or None in interval:
        return format(value, shape)
    low, high = (format(x, shape) for x in interval)
    return f"{value:{shape}}<br><small>{low} to {high}</small>"


def _market(market: Row) -> str:
    rows = [_score(_CASES[case], row, None)[:-1] for case, row in market["feeds"].items()]
    head = ("feed", *(n for n, _ in _COLUMNS), "delay p25/p50/p75")
    return (
        "<p>Two or more assets cascading at once; onset is the second one's. The score is the"
        " larger of breadth and of the second largest excess over the assets' own thresholds,"
        f" each with a threshold of its own for half of {market['budget']} false alarms a week."
        " A cascade of one asset alone counts neither way.</p>" + _table(head, rows)
    )


def _exhaustion(result: Row) -> str:
    figures = result["exhaustion"]
    if not result["exhaustion_bins"]:
        return "<p>No episode ended.</p>"
    return (
        f"<p>{figures['ends']} times an episode was called exhausted; after"
        f" {figures['reignited']:.0%} of them another fifth of all its dollars followed within half"
        " an hour. Beside each such call a probability is stated, fitted on the calibration"
        " seeds. Dots should lie on the line; the band is ±0.10; grey: fewer than 50; the number"
        f" is how many. Brier score {figures['brier']:.3f}, base rate alone"
        f" {figures['brier_base']:.3f}.</p>"
        + plots.reliability(result["exhaustion_bins"], "stated probability of re-ignition")
    )


def _whale(whale: Row) -> str:
    if not whale:
        return "<p>Not measured in this run.</p>"
    names = (
        ("false positives at p ≤ 0.05, times shifted by 3 to 9 h", "fpr_05"),
        ("false positives at p ≤ 0.01, shifted", "fpr_01"),
        ("hoarders with p ≤ 0.05, no other whale selling then", "null_05"),
        ("hoarders with p ≤ 0.05 while another whale sells there", "crowded_null_05"),
        ("sellers with p ≤ 0.05", "power_05"), ("sellers with p ≤ 0.01", "power_01"),
        ("address that never sells, flagged within 30 deposits", "hoarder_flag"),
        ("address that sells after half of them, flagged", "seller_flag"),
    )  # fmt: skip
    rows = [
        (escape(said), f"{whale[key]:.3f}",
         "{:.3f} to {:.3f}".format(*whale[f"{key}_interval"]))
        for said, key in names
        if key in whale
    ]  # fmt: skip
    return (
        f"<p>{whale['inflows']} deposits of whales, {whale['sellers']} of them followed by the"
        " owner's own selling (planted). The test compares taker flow on the venue, less what"
        " other venues did, with placebo windows of the past. One deposit's p-value is not"
        " proof.</p>"
        + _table(("", "share", "95 %"), rows)
        + f"<p>Posterior: Brier score {whale['brier']:.3f}, base rate alone"
        f" {whale['brier_base']:.3f}. Intervals of the bins treat deposits as independent.</p>"
        + plots.reliability(whale["posterior_bins"], "stated probability of own selling")
    )


def _thresholds(result: Row) -> str:
    ours = result["score"]
    assets = ("BTC", "ETH", "SOL")
    rows = []
    for group in ("feeds", "giants"):
        for case, row in result[group].items():
            cells = [
                f"{t['value']:.2f}<br><small>{t['low']:.2f} to {t['high']:.2f}</small>"
                for t in row["thresholds"]
            ]
            rows.append((escape(case + (" + giants" if group == "giants" else "")), *cells))
    said = f"<p>{escape(ours)}, nats, with 95 % intervals over the calibration weeks.</p>"
    return said + _table(("feed", *assets), rows)
