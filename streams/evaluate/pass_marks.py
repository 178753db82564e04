"""The bars of `make evaluate`: what must be reached, the figure, and whether it was."""

from collections.abc import Callable, Mapping
from typing import Any

Result = Mapping[str, Any]
#: False alarms a week and asset at most, on markets with other numbers.
TRANSFER = 1.3
#: Damage still to come at least, by what is silent.
OUTAGES = {"45% silent": 0.70, "55% silent": 0.60}


def of(result: Result) -> list[dict[str, Any]]:
    """Return each bar with its figure; `reached` is null where the run did not measure it."""
    return [
        *_feeds(result), *_giants(result), *_rivals(result), *market(result),
        *_exhaustion(result), *whales(result), *outages(result),
    ]  # fmt: skip


def outages(result: Result) -> list[dict[str, Any]]:
    """Return the bars of a venue silent from before the onset."""
    rows = {name: by_score[result["score"]] for name, by_score in result["outages"].items()}
    marks = []
    for name, row in rows.items():
        share = next((least for part, least in OUTAGES.items() if part in name), None)
        if share is None:
            continue
        whole = rows[name.split(",")[0] + ", nothing silent"]["false_alarms_per_week"]
        marks += [
            _least(f"damage still to come, {name}", share, row["damage_to_come"]),
            _least(f"recall, {name}", 0.95, row["recall"]),
            _most(f"false alarms a week less those of the whole feed, {name}", 0.1,
                  row["false_alarms_per_week"] - whole),
        ]  # fmt: skip
    return marks


def transfer(result: Result) -> list[dict[str, Any]]:
    """Return the bars of thresholds on redrawn markets, by class of liquidity; the worst feed's."""
    marks = []
    for source, by_class in result["transfer"].items():
        for liquidity, by_feed in by_class.items():
            key = "false_alarms_per_week"
            name = f"false alarms a week and asset, {source}, {liquidity}"
            marks.append(_most(name, TRANSFER, by_feed["all"][key]))
            worst = max((feed for feed in by_feed if feed != "all"), key=lambda f: by_feed[f][key])
            marks.append(_most(f"{name}, worst feed ({worst})", TRANSFER, by_feed[worst][key]))
    for source, share in result["within"].items():
        marks.append(_least(f"markets with at most 1.1 of them, {source}", 0.9, share))
    return marks


def _bar(
    name: str, must: str, figure: float | None, meets: Callable[[float], bool]
) -> dict[str, Any]:
    reached = None if figure is None or must == "reported" else meets(figure)
    return {"bar": name, "must": must, "figure": figure, "reached": reached}


def _least(name: str, least: float, figure: float | None) -> dict[str, Any]:
    return _bar(name, f">= {least}", figure, lambda x: x >= least)


def _most(name: str, most: float, figure: float | None) -> dict[str, Any]:
    return _bar(name, f"<= {most}", figure, lambda x: x <= most)


def _feeds(result: Result) -> list[dict[str, Any]]:
    feeds = result["feeds"]
    marks = [
        _least("recall, full feed", 0.985, result["recall"]),
        _most("false alarms a week and asset, full feed", 1.3, result["false_alarms_per_week"]),
        _least("within 60 s of onset, full feed", 0.74, result["within_60s"]),
        _least("within 120 s of onset, full feed", 0.80, result["within_120s"]),
    ]
    for case, least in {
        "full": 0.92, "throttled_45": 0.90, "latest_100": 0.58, "largest_100": 0.80
    }.items():  # fmt: skip
        figure = feeds[case]["damage_to_come"] if case in feeds else None
        marks.append(_least(f"damage still to come, {case}", least, figure))
    for one, three in (("latest_100", "three_latest"), ("largest_100", "three_largest")):
        gain = None
        if one in feeds and three in feeds:
            gain = feeds[three]["damage_to_come"] - feeds[one]["damage_to_come"]
        marks.append(
            _bar(f"damage to come, {three} less {one}", "> 0", gain, lambda x: x > 0)
        )  # fmt: skip
    return marks


def _giants(result: Result) -> list[dict[str, Any]]:
    giants = result["giants"]
    return [
        _least(
            f"recall with planted giants, {case}",
            least,
            giants[case]["recall"] if case in giants else None,
        )
        for case, least in {"full": 0.98, "latest_100": 0.80}.items()
    ]


def _rivals(result: Result) -> list[dict[str, Any]]:
    """Compare upper ends with 0 for "not worse", lower ends for "strictly better"."""
    marks = []
    if result["score"] == "Z30":
        marks.append(_bar("not worse than Z30: it is Z30", "reported", 0.0, lambda x: True))
    plain = [case for case in result["ours_less_rival"] if not case.startswith("giants_")]
    for case in plain:
        rivals = result["ours_less_rival"][case]
        if result["score"] != "Z30":
            high = rivals["Z30"]["damage_to_come"]["interval"][1]
            marks.append(
                _bar(f"not worse than Z30, {case}: upper end of difference", ">= 0", high,
                     lambda x: x >= 0)
            )  # fmt: skip
        others = {n: p["damage_to_come"] for n, p in rivals.items() if n not in ("Z30", "Z30+flow")}
        best = min(others, key=lambda n: others[n]["value"])
        marks.append(
            _bar(f"damage to come, less best other rival ({best}), {case}", "reported",
                 others[best]["value"], lambda x: True)
        )  # fmt: skip
        low = rivals["fixed-$"]["damage_to_come"]["interval"][0]
        marks.append(
            _bar(f"better than fixed-$, {case}: lower end of difference", "> 0", low,
                 lambda x: x > 0)
        )  # fmt: skip
    return marks


def market(result: Result) -> list[dict[str, Any]]:
    """Return the bars of the market-wide call."""
    feeds = result["market"]["feeds"]
    marks = []
    for case, least in (("full", 0.95), ("latest_100", 0.90), ("three_latest", 0.90)):
        figures = feeds.get(case, {})
        marks.append(_least(f"market-wide recall, {case}", least, figures.get("recall")))
        weekly = figures.get("false_alarms_per_week")
        marks.append(_most(f"market-wide false alarms a week, {case}", 1.1, weekly))
    return marks


def _exhaustion(result: Result) -> list[dict[str, Any]]:
    worst = result["exhaustion"]["worst_error"]
    return [_most("exhaustion: worst error of a bin with n >= 50", 0.10, worst)]


def whales(result: Result) -> list[dict[str, Any]]:
    """Return the bars of the whale test on the simulator."""
    figures = result["whale"]
    gain = figures["brier_base"] - figures["brier"] if figures else None
    return [
        _bar("whale: false positives at 0.05, shifted", "0.04 to 0.07", figures.get("fpr_05"),
             lambda x: 0.04 <= x <= 0.07),
        _bar("whale: false positives at 0.01, shifted", "0.005 to 0.02", figures.get("fpr_01"),
             lambda x: 0.005 <= x <= 0.02),
        _most("whale: distance of shifted p-values from uniform (Kolmogorov-Smirnov)", 0.025,
              figures.get("ks")),
        _most("whale: worst posterior error of a bin with n >= 50", 0.10,
              figures.get("reliability_error")),
        _bar("whale: Brier score below base rate's by", "> 0", gain, lambda x: x > 0),
        _most("hoarder flagged", 0.05, figures.get("hoarder_flag")),
        _least("half-the-time seller flagged within 30 inflows", 0.75, figures.get("seller_flag")),
    ]  # fmt: skip
