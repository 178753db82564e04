"""A run's report as people read it: the newspapers' table, episodes, verdicts."""

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from streams.core.alerts import usd
from streams.process.program import command

TOP = 10
EPISODES = 40


def show(report: dict[str, Any], console: Console, data_dir: str, url: str | None) -> None:
    """Print a report to `console`."""
    console.print(_headline(report))
    if report["orders"]:
        console.print(_shares("By asset", report["share_by_asset"]))
        console.print(_shares("By venue", report["share_by_venue"]))
        console.print(_hours(report["busiest_hours"]))
    console.print(_episodes(report))
    if never := _never_called(report):
        console.print(never, soft_wrap=True)
    if report["stress"]:
        console.print(_stress(report["stress"]))
    if report["whale_verdicts"]:
        console.print(_whales(report["whale_verdicts"]))
    if "planted" in report:
        console.print(_planted(report), soft_wrap=True)
    console.print(_records(report), soft_wrap=True)
    where = f" --data-dir {data_dir}" if data_dir != "data" else ""
    console.print(f'query it   {command()} sql{where} "SELECT * FROM board_24h"', soft_wrap=True)
    if url:
        console.print(
            f"           curl '{url}' --data-binary 'SELECT * FROM episodes'", soft_wrap=True
        )


def _headline(report: dict[str, Any]) -> Table:
    table = Table(title="Liquidations, last 24 h of the data", title_justify="left", box=None)
    table.add_column(style="bold")
    table.add_column()
    day = report["last_24h"]
    if day is None:
        table.add_row("total", "no liquidations in this source")
        return table
    is_bound = day["coverages"] != ["full"]
    bound = "at least " if is_bound else ""
    note = f"  (coverage: {', '.join(day['coverages'])})" if is_bound else ""
    table.add_row("total", f"{bound}{usd(day['notional_usd'] or 0)}{note}")
    if is_bound:
        table.add_row("in all", _estimated(report["totals_24h"]))
    table.add_row("orders", f"{day['orders']:,}")
    unknown = "not known: the source does not tell whose positions were closed"
    known = day["long_share"]
    table.add_row("long share", unknown if known is None else f"{known:.1%}")
    largest = day["largest_order_usd"]
    table.add_row("largest order", usd(largest) if largest else "not known")
    if report["orders_of_unknown_side"]:
        table.add_row("side unknown", f"{report['orders_of_unknown_side']:,} orders of the run")
    until = _clock(day["until"], date=True)
    table.add_row("covered", f"{_clock(day['since'], date=True)} to {until} UTC")
    if report["covered_since"] != day["since"]:
        bound = "at least " if report["lower_bound"] else ""
        whole = f"{bound}{usd(report['liquidated_usd'])} in {report['orders']:,} orders"
        table.add_row("whole run", f"{whole}, since {_clock(report['covered_since'], date=True)}")
    return table


def _estimated(venues: list[dict[str, Any]]) -> str:
    """Write the sum over venues, and each one that hides something."""
    if any(v["estimate_usd"] is None for v in venues):
        return "not known: a feed's coverage is not known, or its orders came in batches"

    def span(rows: list[dict[str, Any]]) -> str:
        middle, low, high = (
            usd(sum(r[f] for r in rows))
            for f in ("estimate_usd", "estimate_low_usd", "estimate_high_usd")
        )
        return f"{middle} ({low} to {high})"

    hiding = [v for v in venues if v["estimate_high_usd"] > v["notional_usd"] * 1.001]
    each = "; ".join(f"{v['venue']} {span([v])}" for v in hiding)
    return f"about {span(venues)}, of which {each}; 95 %, from simulated tapes"


def _shares(title: str, shares: dict[str, float]) -> Table:
    table = Table(title=title, title_justify="left", box=None, show_header=False)
    for name, share in list(shares.items())[:TOP]:
        table.add_row(name, f"{share:6.1%}", "█" * round(share * 40))
    rest = sum(list(shares.values())[TOP:])
    if rest:
        table.add_row(f"{len(shares) - TOP} others", f"{rest:6.1%}", "")
    return table


def _hours(hours: list[dict[str, Any]]) -> Table:
    table = Table(title="Busiest hours of them (UTC)", title_justify="left", box=None)
    for column in ("hour", "USD", "orders", "assets"):
        table.add_column(column)
    for row in hours:
        hour = row["hour"][:13].replace("T", " ") + " h"
        table.add_row(hour, usd(row["notional_usd"] or 0), f"{row['orders']:,}", str(row["assets"]))
    return table


def _episodes(report: dict[str, Any]) -> Table | str:
    episodes, watches = report["episodes"], report["watches"]
    basis = ""
    if any(e["threshold_is_default"] for e in episodes):
        basis = "; thresholds are shipped defaults, not calibrated on this data"
    if not episodes:
        return _none_called(report)
    largest = sorted(episodes, key=lambda e: -e["notional_usd"])[:EPISODES]
    cut = f"; the {EPISODES} largest" if len(episodes) > EPISODES else ""
    table = Table(
        title=f"Cascades: {len(episodes)} called, {watches} only watched{cut}{basis}",
        title_justify="left",
        box=None,
    )
    columns = (
        "asset",
        "side",
        "onset",
        "detected",
        "delay",
        "peak",
        "end",
        "USD",
        "in all",
        "move",
    )
    for column in columns:
        table.add_column(column, no_wrap=True)
    for e in sorted(largest, key=lambda e: e["detected"]):
        delay = _seconds(e["detected"]) - _seconds(e["onset"])
        table.add_row(
            e["asset"],
            e["position_side"],
            _clock(e["onset"], date=True),
            _clock(e["detected"]),
            f"{delay:.0f} s",
            _clock(e["peak"]),
            _clock(e["end"]) if e["end"] else "open",
            ("" if e["coverage"] == "full" else "≥ ") + usd(e["notional_usd"]),
            _in_all(e),
            "" if e["drawdown_bps"] is None else f"{e['drawdown_bps'] / 100:.1f} %",
        )
    for m in report["market_episodes"]:
        table.add_row(
            "market",
            "",
            _clock(m["onset"], date=True),
            _clock(m["detected"]),
            "",
            "",
            _clock(m["end"]) if m["end"] else "open",
            "",
            "",
            f"{len(m['assets'])} assets",
        )
    return table


def _none_called(report: dict[str, Any]) -> str:
    young = report["warm_up"]
    if young:
        return (
            f"Cascades: warm-up not over, so nothing can be called: {young['longest_s'] // 60} min"
            f" of history, {young['needed_s'] // 60} are needed"
        )
    return f"Cascades: none called ({report['watches']} watched)"


def _never_called(report: dict[str, Any]) -> str:
    """Write the largest that was watched only; planted or not, somebody should see it."""
    if not report["watched"]:
        return ""
    most = report["watched"][0]
    bound = "" if most["coverage"] == "full" else "at least "
    return (
        f"Watched and never called, the largest: {most['asset']} {most['position_side']}"
        f" {_clock(most['onset'], date=True)}, {bound}{usd(most['notional_usd'])}"
    )


def _in_all(e: dict[str, Any]) -> str:
    if e["coverage"] == "full":
        return ""
    if e["estimate_usd"] is None:
        return "not known"
    return f"{usd(e['estimate_low_usd'])}..{usd(e['estimate_high_usd'])}"


def _stress(rows: list[dict[str, Any]]) -> Table:
    title = f"Stress by minute bars, no liquidation: {len(rows)} times"
    title += f"; the {EPISODES} largest moves" if len(rows) > EPISODES else ""
    table = Table(title=title, title_justify="left", box=None)
    for column in ("asset", "onset", "end", "takers, 3 min", "move, 5 min", "score"):
        table.add_column(column, no_wrap=True)
    largest = sorted(rows, key=lambda r: -abs(r["move_bps"]))[:EPISODES]
    for r in sorted(largest, key=lambda r: r["onset"]):
        table.add_row(
            r["asset"],
            _clock(r["onset"], date=True),
            _clock(r["end"]) if r["end"] else "open",
            f"{'bought' if r['cvd_usd'] > 0 else 'sold'} {usd(abs(r['cvd_usd']))}",
            f"{r['move_bps'] / 100:+.2f} %",
            f"{r['stress']:.2f} of {r['threshold']:.2f}",
        )
    return table


def _whales(verdicts: list[dict[str, Any]]) -> Table:
    table = Table(
        title="Whale deposits: followed by their own selling?",
        title_justify="left",
        caption="p: how often a time without a deposit (a placebo) looks as sold as this one."
        " chance: that it was sold.\nsender: odds against this sender so far; 20 is strong."
        " share: of what came in together, by size.",
        caption_justify="left",
        box=None,
    )
    columns = ("asset", "into", "deposited", "at", "verdict", "p", "placebos", "chance", "sender")
    for column in (*columns, "share"):
        table.add_column(column, no_wrap=True)
    table.add_column("note")
    for v in verdicts:
        short = v["reason"].replace(" placebo windows before the transfer", " placebos")
        notes = [short] if short else []
        notes += ["onset followed"] if v["onset_followed"] else []
        table.add_row(
            v["asset"],
            v["venue"],
            usd(v["notional_usd"] or 0),
            _clock(v["ts_event"]),
            v["verdict"].replace("_", " "),
            "" if v["p_value"] is None else f"{v['p_value']:.4f}",
            str(v["placebos"]),
            "" if v["posterior"] is None else f"{v['posterior']:.2f}",
            "" if v["address_e"] is None else f"{v['address_e']:.2g}",
            f"{v['credit']:.0%}" if v["shared"] and v["credit"] is not None else "",
            "; ".join(notes),
        )
    return table


def _planted(report: dict[str, Any]) -> str:
    hits, false = report["found"], report["false_alarms"]
    delays = sorted(h["delay_s"] for h in hits)
    after = f", {_delays(delays)} after their planted onset" if delays else ""
    whales = [w for w in report["planted_whales"] if w["verdict"]]
    sellers = [w for w in whales if w["sells"]]
    waves = report["waves"]
    missed = sorted(
        (w for w in waves if w["outcome"] in ("watched", "missed")),
        key=lambda w: -w["notional_usd"],
    )
    under_way = sum(w["outcome"] == "open" for w in waves)
    still = f", {under_way} while an earlier call was still open" if under_way else ""
    called = sum(w["outcome"] == "called" for w in waves)
    caught = sum(w["verdict"] == "consistent_with_selling" for w in sellers)
    wrong = sum(w["verdict"] == "consistent_with_selling" for w in whales if not w["sells"])
    planted = len(report["planted"])
    return (
        f"Planted cascades: {len(hits)} of {planted} found{after}, {len(false)} false\n"
        f"Planted waves: {called} of {len(waves)} called{still}, {len(missed)} never called\n"
        f"{''.join(map(_missed, missed))}"
        f"Planted whales with a verdict: {len(whales)}; sellers recognised {caught} of "
        f"{len(sellers)}, hoarders accused {wrong} of {len(whales) - len(sellers)}"
    )


def _delays(delays: list[float]) -> str:
    """Write the shortest and longest delay, and the middle one; `delays` are sorted, seconds."""
    if len(delays) == 1:
        return f"{delays[0]:.0f} s"
    return f"{delays[0]:.0f} to {delays[-1]:.0f} s, half within {delays[len(delays) // 2]:.0f} s"


def _missed(wave: dict[str, Any]) -> str:
    how = "watched, never called" if wave["outcome"] == "watched" else "not even watched"
    worth = usd(wave["notional_usd"])
    return f"  missed: {wave['asset']} {_clock(wave['onset'], date=True)}, {worth}, {how}\n"


def _records(report: dict[str, Any]) -> str:
    counts = ", ".join(f"{n:,} {topic}" for topic, n in report["records"].items() if n)
    late = ""
    if report.get("late"):
        late = f" ({report['late']:,} came after their second was judged: stored, not judged)"
    lines = [f"Stored: {counts or 'nothing'}{late} in {report['elapsed_s']:.1f} s"]
    lines.append(f"Dead letters: {report['dead_letters']:,}")
    lines += [
        f"  {r['records']:>6,} x {r['topic']}: {r['field'] or 'message'}: {r['reason'][:90]}"
        f" (first at {r['first']})"
        for r in report["dead_letter_reasons"]
    ]
    return "\n".join(lines)


def _clock(moment: str | None, date: bool = False) -> str:
    if moment is None:
        return ""
    return f"{moment[:10]} {moment[11:19]}" if date else moment[11:19]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
