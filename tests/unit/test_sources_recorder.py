"""Hobby recorders' CSV files of Binance: dirt is counted, sums are right, overlaps count once."""

import csv
import gzip
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from schemas.words import grid_usd
from streams.sources.lines import time_of
from streams.sources.open import open_source

OURS = Path(__file__).resolve().parents[1] / "data" / "recorder"
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
recorded = pytest.mark.skipif(not DATA.is_dir(), reason=f"recordings are not at {DATA}")


def read(path, **options):
    items = list(open_source(path, **options).items)
    topics = defaultdict(list)
    for topic, record in items:
        topics[topic].append(record)
    stamps = [time_of(record) for _, record in items]
    assert stamps == sorted(stamps)
    return topics


def test_dirty_lines_are_dead_letters_with_their_file_line_and_column():
    dead = read(OURS / "binance.csv", keep_repeats=True)["dead_letters"]
    assert [(x.topic, x.offset, x.field) for x in dead] == [
        ("binance.csv", 1, ""),
        ("binance.csv", 5, "symbol"),
        ("binance.csv", 6, ""),
        ("binance.csv", 8, "side"),
        ("binance.csv", 9, "avg_price"),
    ]
    assert dead[0].raw.startswith("<generator object")
    assert dead[0].ts_recv == 1_737_908_829_829_000  # the first good line's


def test_symbols_get_back_the_usdt_that_the_recorder_cut_out():
    instruments = {r.venue_symbol: r.instrument for r in read(OURS / "binance.csv")["liquidations"]}
    assert instruments["LRCUSDT"] == "LRC-USDT-PERP"
    assert instruments["ETHUSDC"] == "ETH-USDC-PERP"
    assert instruments["BTCUSDT_250926"] == "BTC-USDT-250926"


def test_worth_is_the_filled_quantity_at_the_average_price_not_the_files_own_column():
    by_asset = {r.asset: r for r in read(OURS / "binance.csv")["liquidations"]}
    assert by_asset["LRC"].notional_usd == grid_usd(226 * 0.17057)
    assert (by_asset["LRC"].position_side, by_asset["LRC"].order_side) == ("long", "sell")
    assert by_asset["PEPE"].quantity == 40_000_000
    assert by_asset["PEPE"].notional_usd == grid_usd(40_000 * 0.0109313)
    assert by_asset["PEPE"].position_side == "short"


def test_without_an_average_price_the_limit_stands_in_and_is_labelled():
    (record,) = [r for r in read(OURS / "binance.csv")["liquidations"] if r.asset == "ETH"]
    assert (record.price, record.price_kind, record.notional_usd) == (3200.0, "order_limit", 6400.0)


def test_equal_rows_of_one_file_can_be_kept_and_rows_of_a_second_file_count_once():
    topics = read(OURS, keep_repeats=True)
    ada = [r for r in topics["liquidations"] if r.asset == "ADA"]
    assert len({r.event_id for r in ada}) == len(ada) == 2
    repeats = [x for x in topics["dead_letters"] if x.field == "event_id"]
    assert {(x.topic, x.offset, x.reason.split()[-1]) for x in repeats} == {
        ("binance_bigliqs.csv", 1, "binance.csv:4"),
        ("binance_bigliqs.csv", 2, "binance.csv:10"),
        ("binance_trades.csv", 5, "binance_trades.csv:3"),
    }


def test_equal_rows_of_one_file_are_the_recorders_own_repetition():
    topics = read(OURS / "binance.csv")
    assert len([r for r in topics["liquidations"] if r.asset == "ADA"]) == 1
    assert topics["dead_letters"][-1].reason.endswith("first seen at binance.csv:10")


def test_trades_keep_both_times_and_the_taker_and_come_in_order_of_receipt():
    trades = read(OURS / "binance_trades.csv")["trades"]
    assert [t.asset for t in trades] == ["BTC", "BTC", "ETH"]
    assert [t.aggressor_side for t in trades] == ["buy", "buy", "sell"]
    assert trades[0].ts_event == 1_737_908_829_873_000
    assert trades[0].ts_recv == 1_737_908_829_900_000
    assert trades[0].event_id == "binance:BTCUSDT:2541757614"


def test_the_identity_follows_the_content_and_not_the_folder(tmp_path):
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for file in OURS.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert open_source(copy).identity == open_source(OURS).identity
    (copy / "binance.csv").write_text("X,SELL")
    assert open_source(copy).identity != open_source(OURS).identity


@recorded
def test_paulius_sums_equal_an_independent_sum_over_the_raw_file():
    folder = DATA / "binance_ws_2025-01_paulius"
    with gzip.open(folder / "binance.csv.gz", "rt") as stream:
        rows = list(csv.reader(stream))
    expected = Counter()
    for row in rows:
        expected[row[1]] += float(row[9]) * float(row[6])
    records = read(folder, keep_repeats=True)["liquidations"]
    counts = Counter()
    for record in records:
        counts["SELL" if record.position_side == "long" else "BUY"] += record.notional_usd
    assert len(records) == len(rows) == 3510
    assert counts["SELL"] == pytest.approx(expected["SELL"], abs=len(rows) / 65_536)
    assert counts["BUY"] == pytest.approx(expected["BUY"], abs=len(rows) / 65_536)


@recorded
def test_the_paulius_recorder_wrote_most_of_its_rows_twice():
    topics = read(DATA / "binance_ws_2025-01_paulius")
    assert len(topics["liquidations"]) == 1837
    assert len(topics["dead_letters"]) == 1673


@recorded
@pytest.mark.parametrize(
    ("folder", "liquidations", "trades", "dead"),
    [
        ("binance_ws_2024-06_alejandro", 101 + 162, 273, 1),
        ("binance_ws_2024-08_bandsthobaby", 456 + 385, 20_635, 1546),
        ("binance_ws_2025-06_neoparth", 1155, 0, 1147),
        ("binance_ws_2025-12_riftfern", 1611, 3786, 0),
    ],
)
def test_every_line_of_a_recording_is_a_record_or_a_dead_letter(folder, liquidations, trades, dead):
    topics = read(DATA / folder)
    assert len(topics["liquidations"]) == liquidations
    assert len(topics["trades"]) == trades
    assert len(topics["dead_letters"]) == dead


@recorded
def test_overlapping_neoparth_files_give_each_event_once():
    topics = read(DATA / "binance_ws_2025-06_neoparth")
    ids = [r.event_id for r in topics["liquidations"]]
    assert len(ids) == len(set(ids)) == 700 + 2 + 445 + 8
    assert sum(x.field == "event_id" for x in topics["dead_letters"]) == 700 + 445
