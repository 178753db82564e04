"""Every folder of recorded data: its totals, summed again by other means, or why it holds none."""

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from schemas.market import Liquidation, OpenInterest, Trade
from schemas.onchain import WhaleTransfer
from schemas.status import DeadLetter
from streams.sources.lines import time_of
from streams.sources.open import SourceError, open_source

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recordings are not at {DATA}")


def text_of(path: Path) -> Any:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    return opened(path, "rt", encoding="utf-8", errors="replace", newline="")


def table(folder: str, name: str) -> Iterator[dict[str, str]]:
    with text_of(DATA / folder / name) as file:
        yield from csv.DictReader(file)


def sums(folder: str) -> Counter[str]:
    """What is read of a folder: counts by type, and sums by type and field."""
    totals, seen, last = Counter[str](), set[str](), 0
    for _, record in open_source(DATA / folder).items:
        name = type(record).__name__
        assert time_of(record) >= last
        last = time_of(record)
        if not isinstance(record, DeadLetter):
            if record.event_id in seen:  # type: ignore[attr-defined]
                totals["repeated"] += 1
                continue
            seen.add(record.event_id)  # type: ignore[attr-defined]
        totals[name] += 1
        if isinstance(record, Liquidation | Trade | OpenInterest | WhaleTransfer):
            totals[f"{name} usd"] += record.notional_usd or 0.0  # type: ignore[assignment]
            totals[f"{name} coins"] += record.quantity or 0.0  # type: ignore[assignment]
        if isinstance(record, Liquidation):
            totals[record.position_side] += record.quantity or record.notional_usd or 0  # type: ignore[assignment]
    return totals


def aave() -> dict[str, float]:
    events: dict[tuple[Any, ...], float] = {}
    for name in ("liquidations.csv.gz", "cbbtc_liquidations.csv"):
        for row in table("aave_liquidations_2022-2026_vlad3d", name):
            amount = int(row["collateral_amount_raw"]) / 1e8
            key = (
                *(row["timestamp"], row["collateral_asset_symbol"].upper(), f"{amount:.10g}"),
                *(row["version"], row["liquidatee"], row["liquidator"]),
            )
            events[key] = amount
    for row in table("aave_liquidations_2022-2026_vlad3d", "collateral_liquidations.csv.gz"):
        amount = float(row["amount_tokens"])
        if amount > 0:
            key = (
                *(row["timestamp"], row["collateral_symbol"].upper(), f"{amount:.10g}"),
                *(row["version"], row["liquidatee"], row["liquidator"]),
            )
            events[key] = amount
    return {"Liquidation": len(events), "Liquidation coins": sum(events.values()), "DeadLetter": 1}


def compound() -> dict[str, float]:
    rows = list(table("compound_v3_liquidations_2025-26_svr", "liquidations.csv"))
    worth = sum(float(row["value_liquidated_usd"]) for row in rows)
    return {"Liquidation": len(rows), "Liquidation usd": worth}


def delorean() -> dict[str, float]:
    decimals = json.loads(
        (Path(__file__).resolve().parents[2] / "streams/feeds/snapshot/ethereum.json").read_text()
    )["instruments"]
    coins, count, letters = 0.0, 0, 0
    for name in ("liq_aave_v2.csv.gz", "liq_aave_v3.csv"):
        for row in table("defi_liquidations_2021-2023_delorean", name):
            token = decimals.get(row["collateralAsset"].lower())
            if token is None:
                letters += 1
                continue
            coins += int(row["liquidatedCollateralAmount"]) / 10 ** token["decimals"]
            count += 1
    liquity = list(table("defi_liquidations_2021-2023_delorean", "liquity_liquidations.csv.gz"))
    worth = sum(float(row["collateral"]) * float(row["price"]) for row in liquity)
    coins += sum(float(row["collateral"]) for row in liquity)
    return {
        "Liquidation": count + len(liquity),
        "Liquidation coins": coins,
        "Liquidation usd": worth,
        "DeadLetter": letters,
    }


def coinalyze_daily() -> dict[str, float]:
    folder, totals = "coinalyze_daily_2022_2023_hmb2662", Counter[str]()
    for row in table(folder, "liquidations_daily.csv.gz"):
        for name, value in row.items():
            if name and value and float(value):
                totals["Liquidation"] += 1
                multiplied = 1000 if name.startswith("1000") else 1
                side = "long" if name.endswith("_longliq") else "short"
                totals[side] += float(value) * multiplied  # type: ignore[assignment]
    for row in table(folder, "open_interest_daily.csv.gz"):
        totals["OpenInterest"] += sum(bool(v) and float(v) > 0 for k, v in row.items() if k != "t")
    return dict(totals)


def coinalyze_hourly() -> dict[str, float]:
    totals = Counter[str]()
    rows = table("coinalyze_hourly_2024-06_08_denizyts", "derived_merged_utc.csv.gz")
    for row in rows:
        for side in ("long", "short"):
            if row[f"{side}_liq_base"] and float(row[f"{side}_liq_base"]):
                totals["Liquidation"] += 1
                totals[side] += float(row[f"{side}_liq_base"])  # type: ignore[assignment]
                totals["Liquidation usd"] += float(row[f"{side}_liq_usd"])  # type: ignore[assignment]
        if row["oi_close"]:
            totals["OpenInterest"] += 1
            totals["OpenInterest coins"] += float(row["oi_close"])  # type: ignore[assignment]
    return dict(totals)


def node_fills() -> dict[str, float]:
    worth, tids, forced = 0.0, set(), set()
    with text_of(DATA / "hyperliquid_node_fills_2025-10-27" / "node_fills.jsonl.gz") as file:
        for line in file:
            for _, fill in json.loads(line)["events"]:
                if fill["coin"].startswith("@") or "/" in fill["coin"]:
                    continue
                if fill["crossed"]:
                    tids.add((fill["coin"], fill["tid"]))
                    worth += float(fill["px"]) * float(fill["sz"])
                if fill.get("liquidation"):
                    forced.add(fill["tid"])
    return {"Trade": len(tids), "Trade usd": worth, "Liquidation": len(forced)}


def official() -> dict[str, float]:
    sides: dict[tuple[Any, ...], list[int]] = {}
    for row in table("hyperliquid_official_2023", "non_mm_trades.csv.gz"):
        crossed = row["crossed"] == "true"
        bought = (row["side"] == "Bid") == crossed
        key = (row["time"], row["coin"], row["px"], row["sz"], bought)
        sides.setdefault(key, [0, 0])[crossed] += 1
    prints = {key: max(counts) for key, counts in sides.items()}
    worth = sum(float(key[2]) * float(key[3]) * n for key, n in prints.items())
    return {"Trade": sum(prints.values()), "Trade usd": worth}


def liqqq() -> dict[str, float]:
    rows = list(table("binance_liqs_2025-12-01_liqqq", "liquidations.csv"))
    good = [row for row in rows if row["exchange"] == "binance"]
    worth = sum(float(row["quantity"]) * float(row["price"]) for row in good)
    return {"Liquidation": len(good), "Liquidation usd": worth, "DeadLetter": 1}


def pcdogyu() -> dict[str, float]:
    rows = list(table("multi_venue_liqs_2026-04-03_pcdogyu", "liquidation_events.csv"))
    good = [row for row in rows if row["exchange"] != "okx"]  # no contract is called ETHUSDT there
    worth = sum(float(row["qty"]) * float(row["price"]) for row in good)
    return {
        "Liquidation": len(good), "Liquidation usd": worth, "DeadLetter": len(rows) - len(good),
        "short": sum(float(row["qty"]) for row in good if row["side"] == "short"),
    }  # fmt: skip


def groupm() -> dict[str, float]:
    rows = list(table("perp_multi_venue_2025-26_groupm", "open_interest.csv.gz"))
    good = {
        (row["venue"], row["coin"], row["timestamp"]): float(row["oi_usd"])
        for row in rows
        if row["venue"] != "lighter"
    }
    return {"OpenInterest": len(good), "OpenInterest usd": sum(good.values())}


def whale_alert() -> dict[str, float]:
    path = DATA / "whale_alert_samples" / "whale_alert_rest_v1_2019-06-18_subset.json"
    rows = json.loads(path.read_text())["transactions"]
    worth = sum(row["amount_usd"] for row in rows)
    return {"WhaleTransfer": len(rows), "WhaleTransfer usd": worth}


def krishna() -> dict[str, float]:
    rows = list(table("binance_liqs_2023-01_krishna", "liqs.csv.gz"))
    distinct = {tuple(row.values()): float(row["liq_amount"]) for row in rows}
    return {"Liquidation": len(distinct), "Liquidation usd": sum(distinct.values())}


READ: dict[str, Callable[[], dict[str, float]]] = {
    "aave_liquidations_2022-2026_vlad3d": aave,
    "binance_liqs_2023-01_krishna": krishna,
    "binance_liqs_2025-12-01_liqqq": liqqq,
    "coinalyze_daily_2022_2023_hmb2662": coinalyze_daily,
    "coinalyze_hourly_2024-06_08_denizyts": coinalyze_hourly,
    "compound_v3_liquidations_2025-26_svr": compound,
    "defi_liquidations_2021-2023_delorean": delorean,
    "hyperliquid_node_fills_2025-10-27": node_fills,
    "hyperliquid_official_2023": official,
    "multi_venue_liqs_2026-04-03_pcdogyu": pcdogyu,
    "perp_multi_venue_2025-26_groupm": groupm,
    "whale_alert_samples": whale_alert,
}
#: Recorders' folders, klines and captures: `test_sources_recorder`, `test_sources_files`, below.
ELSEWHERE = {
    *("binance_ws_2024-06_alejandro", "binance_ws_2024-08_bandsthobaby"),
    *("binance_ws_2025-01_paulius", "binance_ws_2025-06_neoparth", "binance_ws_2025-12_riftfern"),
    *("klines_isda_btc_windows", "klines_isda_um_1m_taker", "ws_fixtures"),
}
WITHOUT = {
    "atom_flash_2025-10-10": "trades that name no symbol and no venue",
    "hyperliquid_adl_2025-10-10": "auto-deleveraging",
    "labels_defillama_cex": "labels of addresses, no transfer",
    "labels_etherscan_brianleect": "labels of addresses, no transfer",
    "oi_5m_2025-12_2026-06_hlreaper": "open interest that names no venue",
    "onchain_exchange_flows_2024-11_2025-10_dse4101": "no single transfer",
}


def test_no_folder_is_left_out() -> None:
    folders = {path.name for path in DATA.iterdir() if path.is_dir()}
    assert folders == {*READ, *ELSEWHERE, *WITHOUT}


@pytest.mark.parametrize("folder", READ)
def test_a_folder_s_totals_equal_an_independent_sum(folder: str) -> None:
    totals, right = sums(folder), READ[folder]()
    for name, value in right.items():
        if isinstance(value, int):
            assert totals[name] == value, name
        else:
            assert totals[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("folder", WITHOUT)
def test_a_folder_without_records_says_why_in_one_line(folder: str) -> None:
    with pytest.raises(SourceError, match="holds no record") as caught:
        open_source(DATA / folder)
    assert WITHOUT[folder] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_captured_trades_equal_a_sum_over_the_raw_frames() -> None:
    folder = DATA / "ws_fixtures" / "cryptofeed"
    worth, count = 0.0, 0
    for line in (folder / "BINANCE_FUTURES.ws.1.0.trades.txt").read_text().splitlines():
        if '"aggTrade"' in line.partition("{")[2][:80]:
            item = json.loads(line.partition(": ")[2])["data"]
            worth += float(item["p"]) * float(item["q"])
            count += 1
    trades = [
        record
        for _, record in open_source(folder / "BINANCE_FUTURES.ws.1.0.trades.txt").items
        if isinstance(record, Trade)
    ]
    assert (len(trades), sum(t.notional_usd or 0 for t in trades)) == (
        count,
        pytest.approx(worth, rel=1e-6),
    )
    assert trades[0].ts_recv == 1_626_992_742_289_739
    assert all(a.ts_recv <= b.ts_recv for a, b in pairwise(trades))
