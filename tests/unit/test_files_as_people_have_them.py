"""Files out of order, repeated, renamed, packed: read whole, or refused in words."""

import gzip
import io
import json
import random
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from schemas.market import Liquidation
from schemas.status import DeadLetter, FeedStatus
from streams.core import pipeline
from streams.core.params import Params
from streams.process.clock import not_after
from streams.sources import packed
from streams.sources.open import SourceError, open_source
from streams.sources.pace import paced

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "files"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"the handed files are not at {CASES}")
START = 1_700_000_000
VISION = "BTCUSDT-aggTrades-2023-11-14.csv"
HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"


def read(path: Path) -> tuple[Counter[str], list[DeadLetter], str]:
    """What the pipeline makes of a recording: records, bars, late ones; dead letters; its name."""
    source = open_source(path)
    counts, letters, state = Counter[str](), list[DeadLetter](), pipeline.State()
    # A second's bar may come in parts, which add up.
    seconds: set[tuple[str, int]] = set()
    for topic, record in paced(source, not_after()):
        if isinstance(record, DeadLetter):
            letters.append(record)
            continue
        step = pipeline.step(Params(), state, topic, record)
        bars = [output for to, output in step.outputs if to == "bars"]
        seconds |= {(bar.instrument, bar.ts_open) for bar in bars}  # type: ignore[attr-defined]
        if step.refused:
            counts[step.refused] += 1
        elif not isinstance(record, FeedStatus):
            counts[type(record).__name__] += 1
            counts[getattr(record, "venue", "")] += 1
            counts["usd"] += round(getattr(record, "notional_usd", None) or 0)
    counts["late"] += state.fold.late
    counts["bars"] = len(seconds)
    return counts, letters, source.name


def vision(seconds: Any, first_id: int = 0) -> str:
    return "".join(
        f"{first_id + n},100.0,1.0,{n},{n},{(START + s) * 1000},false\n"
        for n, s in enumerate(seconds)
    )


@needs_cases
@pytest.mark.parametrize(
    ("case", "right"),
    [
        ("dump-partition-after-partition", {"Trade": 120, "bars": 120, "late": 0}),
        ("dump-where-one-topic-has-no-word-on-time", {"Trade": 120, "bars": 60, "late": 0}),
        ("dump-with-many-trades-a-message", {"Trade": 300, "bars": 60}),
        ("files-in-a-subfolder", {"Trade": 240, "late": 0}),
        ("klines-month-and-its-last-day", {"Bar": 180, "letters": 60}),
        ("klines-one-stray-row", {"Bar": 161, "letters": 0}),
        ("recorder-of-eleven-columns", {"Liquidation": 30, "letters": 0}),
        ("recorder-that-wrote-each-row-twice", {"Liquidation": 30, "letters": 30}),
        ("recorder-with-lower-case-symbols", {"Trade": 40, "letters": 0}),
        ("tardis-file-named-with-both-words", {"Trade": 80, "Liquidation": 0}),
        # Its README counts the 80 of the exchange that was read then. OKX's five are read now.
        ("tardis-folder-with-another-exchange", {"binance": 80, "okx": 5, "Trade": 85}),
        ("timestamps-through-a-spreadsheet", {"Trade": 0, "letters": 120}),
        ("vision-one-stray-row", {"bars": 60, "late": 0, "letters": 1}),
        ("zip-made-on-a-mac", {"Trade": 120, "letters": 0}),
    ],
)
def test_a_handed_file_is_read_right(case: str, right: dict[str, int]) -> None:
    counts, letters, _ = read(CASES / case / "in")
    counts["letters"] = len(letters)
    assert {name: counts[name] for name in right} == right


@needs_cases
def test_klines_in_microseconds_are_spots() -> None:
    source = open_source(CASES / "klines-of-spot-taken-for-perpetual" / "in")
    assert {record.instrument for _, record in source.items} == {"BTC-USDT-SPOT"}  # type: ignore[attr-defined]


def test_a_file_of_an_exchange_that_is_not_read_is_named(tmp_path: Path) -> None:
    header = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    for exchange, symbol in (("upbit", "KRW-BTC"), ("binance-futures", "BTCUSDT")):
        row = f"{exchange},{symbol},1740614400123000,1740614400131456,1,sell,85000.5,0.012\n"
        (tmp_path / f"{exchange}_trades.csv").write_text(header + row)
    source = open_source(tmp_path)
    assert "not read: upbit_trades.csv: Tardis exchange 'upbit'" in source.name
    assert [topic for topic, _ in source.items] == ["trades"]


@needs_cases
def test_the_reader_says_which_topics_it_paced_and_which_it_sorted() -> None:
    name = open_source(CASES / "dump-where-one-topic-has-no-word-on-time" / "in").name
    assert "no words on time in trades: paced by their own records" in name
    name = open_source(CASES / "dump-partition-after-partition" / "in").name
    assert "sorted by time: trades.ndjson" in name


def test_files_that_overlap_and_rows_out_of_place_count_once_and_in_time(tmp_path: Path) -> None:
    rows = vision(range(600)).splitlines(keepends=True)
    (tmp_path / "BTCUSDT-aggTrades-2023-11.csv").write_text("".join(rows))
    (tmp_path / "BTCUSDT-aggTrades-2023-11-14.csv").write_text("".join(rows[400:]))
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], counts["bars"], counts["late"]) == (600, 600, 0)
    assert len(letters) == 200
    assert letters[0].reason.startswith("duplicate event_id, first seen at BTCUSDT-aggTrades-2023")


@pytest.mark.parametrize("seed", range(3))
def test_rows_shuffled_within_a_minute_give_the_same_bars(tmp_path: Path, seed: int) -> None:
    rows = vision(range(600)).splitlines(keepends=True)
    draw = random.Random(seed)
    shuffled = [row for at in range(0, 600, 60) for row in draw.sample(rows[at : at + 60], 60)]
    (tmp_path / "BTCUSDT-aggTrades-2023-11-14.csv").write_text("".join(shuffled))
    counts, _, _ = read(tmp_path)
    assert (counts["Trade"], counts["bars"], counts["late"]) == (600, 600, 0)


@pytest.mark.parametrize("packed", [False, True])
def test_a_dump_of_partitions_one_after_the_other_is_sorted(tmp_path: Path, packed: bool) -> None:
    lines = []
    for asset in ("BTC", "ETH", "SOL"):
        for second in range(300):
            at = (START + second) * 1_000_000
            trade = {
                "type": "trade", "event_id": f"{asset}{second}", "venue": "okx",
                "instrument": f"{asset}-USDT-PERP", "venue_symbol": asset, "asset": asset,
                "aggressor_side": "buy", "price": 10.0, "quantity": 1.0, "notional_usd": 10.0,
                "ts_event": at, "ts_recv": at + 900_000,
            }  # fmt: skip
            feed_status = {"type": "feed_status", "producer": "x", "state": "alive", "ts_event": at}
            lines += [json.dumps(trade), json.dumps(feed_status)]
    text = "\n".join(lines).encode()
    path = tmp_path / ("trades.ndjson.gz" if packed else "trades.ndjson")
    path.write_bytes(gzip.compress(text) if packed else text)
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], counts["late"], len(letters)) == (900, 0, 0)


def test_a_zip_in_a_folder_in_a_folder_is_read_and_a_mac_s_litter_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "um" / "daily"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "BTCUSDT-aggTrades-2023-11-14.zip", "w") as archive:
        archive.writestr("BTCUSDT-aggTrades-2023-11-14.csv", vision(range(60)))
        archive.writestr("__MACOSX/._BTCUSDT-aggTrades-2023-11-14.csv", b"\x00\x05\x16\x07")
    (tmp_path / ".DS_Store").write_bytes(b"\x00")
    counts, letters, name = read(tmp_path)
    assert (counts["Trade"], letters) == (60, [])
    assert "not read" not in name


def test_a_recorder_s_repeats_are_named_with_the_line_they_repeat(tmp_path: Path) -> None:
    row = "BTC,BUY,LIMIT,IOC,0.784,26263.36,26003.33,FILLED,0.784,0.784,1693000000000\n"
    (tmp_path / "binance.csv").write_text(row + row)
    items = list(open_source(tmp_path).items)
    [order] = [record for _, record in items if isinstance(record, Liquidation)]
    [letter] = [record for _, record in items if isinstance(record, DeadLetter)]
    assert order.venue_symbol == "BTCUSDT"
    assert letter.reason == "duplicate event_id, first seen at binance.csv:1"


def test_a_folder_of_an_unknown_exchange_alone_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "upbit_trades.csv").write_text(
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        "upbit,KRW-BTC,1740614400123000,1740614400131456,1,sell,85000.5,0.012\n"
    )
    with pytest.raises(SourceError, match="not a recording in a known form"):
        open_source(tmp_path)


def test_decimal_commas_and_whole_numbers_with_a_point_are_numbers(tmp_path: Path) -> None:
    header = (
        "agg_trade_id;price;quantity;first_trade_id;last_trade_id;transact_time;is_buyer_maker\n"
    )
    rows = "".join(f"{n}.0;100,5;1,25;{n};{n};{(START + n) * 1000}.0;false\n" for n in range(60))
    (tmp_path / "BTCUSDT-aggTrades-2023-11-14.csv").write_text(header + rows)
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], counts["bars"], letters) == (60, 60, [])
    assert counts["usd"] == 60 * 126  # 100.5 x 1.25, each rounded


def test_klines_of_spot_and_of_futures_in_two_folders_are_two_series(tmp_path: Path) -> None:
    for folder in ("spot", "um"):
        (tmp_path / folder).mkdir()
        rows = "".join(
            f"{(START // 60 * 60 + 60 * n) * 1000},1,2,1,2,10,0,15,3,4,6,0\n" for n in range(30)
        )
        (tmp_path / folder / "BTCUSDT-1m-2023-11.csv").write_text(rows)
    counts, letters, _ = read(tmp_path)
    assert (counts["Bar"], letters) == (60, [])


def test_a_parquet_file_of_any_known_table_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    times = pa.array([(START + n) * 10**9 for n in range(60)], pa.timestamp("ns", tz="UTC"))
    table = pa.table(
        {
            "agg_trade_id": range(60), "price": [100.5] * 60, "quantity": [1.0] * 60,
            "transact_time": times, "is_buyer_maker": [False] * 60, "nested": [[1]] * 60,
            "text": ['with "quotes", and commas'] * 60,
        }
    )  # fmt: skip
    path = tmp_path / "BTCUSDT-aggTrades-2023-11-14.csv"  # whatever it is called
    pq.write_table(table, path)
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], counts["bars"], letters) == (60, 60, [])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="cannot be unpacked"):
        open_source(tmp_path)


def test_files_that_run_backwards_and_overlap_are_opened_in_time(tmp_path: Path) -> None:
    """A file whose last line is its first in time is not awaited until its first line's time."""
    for number, seconds in enumerate((range(0, 20_000, 2), range(1, 20_000, 2))):
        rows = vision(seconds, number * 100_000).splitlines(keepends=True)
        name = f"BTCUSDT-aggTrades-2023-11-{14 + number}.csv"
        (tmp_path / name).write_text("".join(reversed(rows)))
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], counts["bars"], counts["late"], letters) == (20_000, 20_000, 0, [])


def packed_twice(name: str, text: bytes) -> dict[str, bytes]:
    """A file in a zip in a zip, in a tar in zstd, gzipped twice, zipped and then gzipped."""
    inner, outer, tar = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(name, text)
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    with tarfile.open(fileobj=tar, mode="w") as archive_:
        member = tarfile.TarInfo(f"deep/{name}.gz")
        member.size = len(gzip.compress(text))
        archive_.addfile(member, io.BytesIO(gzip.compress(text)))
    return {
        "outer.zip": outer.getvalue(),
        "all.tar.zst": zstd.compress(tar.getvalue()),
        "tar-without-a-name": tar.getvalue(),
        f"{name}.gz.gz": gzip.compress(gzip.compress(text)),
        f"{name}.zip.gz": gzip.compress(inner.getvalue()),
    }


@pytest.mark.parametrize("how", range(5))
def test_what_is_packed_twice_is_read(tmp_path: Path, how: int) -> None:
    name, content = list(packed_twice(VISION, vision(range(60)).encode()).items())[how]
    (tmp_path / name).write_bytes(content)
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], letters) == (60, [])


def test_a_renamed_zip_is_known_by_the_file_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "download (3).zip", "w") as archive:
        archive.writestr(VISION, vision(range(60)))
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], letters) == (60, [])


def test_a_tar_that_is_cut_off_gives_its_whole_members_and_is_named(tmp_path: Path) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            text = vision(range(500)).encode()
            member = tarfile.TarInfo(f"{symbol}-aggTrades-2023-11-14.csv")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    (tmp_path / "two.tar").write_bytes(tar.getvalue()[: len(tar.getvalue()) * 2 // 3])
    counts, _, name = read(tmp_path)
    assert counts["Trade"] == 500
    assert "not read: two.tar: unexpected end of data" in name


def test_a_packed_file_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{VISION}.gz").write_bytes(gzip.compress(vision(range(3_000)).encode()))
    opened, real = list[Path](), packed.gzip.open
    monkeypatch.setattr(packed.gzip, "open", lambda *a: opened.append(a[0]) or real(*a))
    source = open_source(tmp_path)
    before = len(opened)  # recognising reads a few lines
    assert len(list(source.items)) == 3_000
    assert len(opened) == before


@pytest.mark.parametrize("place", [0, 5, 120])
@pytest.mark.parametrize("days", [-28, 28])
def test_a_row_days_off_its_file_is_refused_by_name(tmp_path: Path, place: int, days: int) -> None:
    rows = vision(range(120)).splitlines(keepends=True)
    rows.insert(place, vision([days * 86_400], first_id=900))
    (tmp_path / VISION).write_text("".join(rows))
    counts, [letter], _ = read(tmp_path)
    assert (counts["Trade"], counts["bars"], counts["late"]) == (120, 120, 0)
    assert (letter.topic, letter.offset) == (VISION, place + 1)
    assert "rows around it" in letter.reason or "file's name says" in letter.reason


def test_a_recording_with_gaps_of_days_has_no_strays(tmp_path: Path) -> None:
    rows = "".join(
        f"BTC,BUY,LIMIT,IOC,1,26000,26000,FILLED,1,1,{(START + day * 86_400) * 1000}\n"
        for day in (0, 0.1, 3, 9, 9.1, 30)
    )
    (tmp_path / "binance_2023-11-14.csv").write_text(rows)
    counts, letters, _ = read(tmp_path)
    assert (counts["Liquidation"], letters) == (6, [])


@pytest.mark.parametrize("text", ["1.23E+05", "1,23E+05", "8.1E-06"])
def test_numbers_that_a_spreadsheet_rounded_are_refused(tmp_path: Path, text: str) -> None:
    header = HEADER.replace(",", ";")
    (tmp_path / VISION).write_text(f"{header}1;{text};1;1;1;{START}000;false\n")
    counts, [letter], _ = read(tmp_path)
    assert counts["Trade"] == 0
    assert (letter.field, letter.offset) == ("price", 2)
    assert "in exponent form its last digits are gone" in letter.reason


@pytest.mark.parametrize("text", ["1e-05", "1.5E7", "1.234567E-05"])
def test_exponents_that_programs_write_whole_are_numbers(tmp_path: Path, text: str) -> None:
    (tmp_path / VISION).write_text(f"{HEADER}1,{text},1,1,1,{START}000,false\n")
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], letters) == (1, [])


def test_a_remark_above_and_a_mark_between_files_put_together_are_no_loss(tmp_path: Path) -> None:
    content = f"sep=,\n{HEADER}{vision(range(60))}\ufeff{HEADER}{vision(range(60, 120), 60)}"
    (tmp_path / f"Copy of {VISION}").write_text(content)
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], letters) == (120, [])


def test_trades_of_venues_are_not_taken_for_liquidations(tmp_path: Path) -> None:
    header = "exchange,symbol,side,amount,price,timestamp,id,receipt_timestamp\n"
    row = f"BINANCE_FUTURES,BTC-USDT-PERP,sell,0.5,100,{START}.5,77,{START}.75\n"
    folder = tmp_path / "a" / "b" / "c" / "d"  # this test's folder says "trades" too
    folder.mkdir(parents=True)
    (folder / "trades.csv").write_text(header + row)
    [(topic, trade)] = list(open_source(folder).items)
    assert (topic, trade.event_id) == ("trades", "binance:BTCUSDT:77")  # type: ignore[attr-defined]
    assert trade.ts_recv - trade.ts_event == 250_000  # type: ignore[attr-defined]
    (folder / "trades.csv").rename(folder / "a.csv")
    with pytest.raises(SourceError, match="neither 'liquidations' nor 'trades'"):
        open_source(folder)


def test_a_table_without_a_venue_is_of_the_one_that_its_path_names(tmp_path: Path) -> None:
    text = f"symbol,side,price,quantity,time\nBTC/USDT:USDT,SELL,100,0.5,{START}000\n"
    (tmp_path / "liquidations.csv").write_text(text)
    with pytest.raises(SourceError, match="neither its rows nor its path name one venue"):
        open_source(tmp_path)
    (tmp_path / "liquidations.csv").rename(tmp_path / "binance-liquidations.csv")
    [(_, order)] = list(open_source(tmp_path).items)
    assert (order.venue, order.instrument) == ("binance", "BTC-USDT-PERP")  # type: ignore[attr-defined]


def test_bitmex_s_archive_is_not_bybit_s(tmp_path: Path) -> None:
    header = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue\n"
    row = "2023-11-14D00:00:01.123456000,XBTUSD,Buy,100,36000.5,PlusTick,aa-1,277770\n"
    (tmp_path / "20231114.csv").write_text(header + row)
    [(_, trade)] = list(open_source(tmp_path).items)
    assert (trade.event_id, trade.notional_usd) == ("bitmex:XBTUSD:aa-1", 100)  # type: ignore[attr-defined]


def test_forced_orders_of_gate_s_archive_are_not_taken_for_trades(tmp_path: Path) -> None:
    folder = tmp_path / "futures_usdt" / "liquidates" / "202401"
    folder.mkdir(parents=True)
    path = folder / "BTC_USDT-202401.csv"
    path.write_text("1704067201.123456,1,42000.1,-75\n" * 30)
    with pytest.raises(SourceError, match="forced orders of Gate, whose columns need a header"):
        open_source(tmp_path)
    header = "time,contract,size,order_size,order_price,fill_price,left\n"
    path.write_text(header + "1704067201,BTC_USDT,600,-500,42000,41990,100\n")
    [(_, order)] = list(open_source(tmp_path).items)
    assert (order.position_side, order.price_kind) == ("long", "fill")  # type: ignore[attr-defined]
    assert order.notional_usd == pytest.approx(400 * 0.0001 * 41_990)  # type: ignore[attr-defined]


def test_rows_of_five_minutes_are_not_bars_of_one(tmp_path: Path) -> None:
    rows = "".join(f"{(START + 300 * n) * 1000},1,2,1,2,10,0,15,3,4,6,0\n" for n in range(30))
    (tmp_path / "BTCUSDT-1m-2023-11-14.csv").write_text(rows)
    with pytest.raises(SourceError, match="its rows are 5 min apart"):
        open_source(tmp_path)


ORDER = {"s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "q": "0.5", "p": "90", "ap": "100", "z": "0.5"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", [{"e": "forceOrder", "E": START * 1000, "o": ORDER | {"T": START * 1000}}]),
        ("x.jsonl", ORDER | {"T": START * 1000}),
        ("ccxt.jsonl", {"info": ORDER | {"T": START * 1000}, "symbol": "BTC/USDT:USDT"}),
        (
            "allForceOrders.json",
            [{"symbol": "BTCUSDT", "price": "90", "origQty": "0.5", "executedQty": "0.5",
              "averagePrice": "100", "status": "FILLED", "timeInForce": "IOC", "type": "LIMIT",
              "side": "SELL", "time": START * 1000}],
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 1])
def test_orders_of_binance_are_read_however_they_are_wrapped(
    tmp_path: Path, name: str, content: Any, indent: int | None
) -> None:
    (tmp_path / f"binance-{name}").write_text(json.dumps(content, indent=indent))
    counts, letters, _ = read(tmp_path)
    assert counts["usd"] == 50 * counts["Liquidation"] > 0
    assert letters == []


def test_a_header_without_rows_and_what_is_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / VISION).write_text(vision(range(60)))
    (tmp_path / "ETHUSDT-aggTrades-2023-11-14.csv").write_text(HEADER)
    (tmp_path / "liq.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "SOLUSDT-aggTrades-2023-11-14.zip").write_text("<!DOCTYPE html>\n<html>404\n")
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
        archive.writestr("xl/sheet1.xml", "<x/>")
    counts, _, name = read(tmp_path)
    assert counts["Trade"] == 60
    assert "no records in ETHUSDT-aggTrades-2023-11-14.csv: a header without rows" in name
    for told in ("an SQLite database", "a web page", "a spreadsheet or document: save it as CSV"):
        assert told in name


def test_the_market_that_the_path_says_is_kept_without_its_column(tmp_path: Path) -> None:
    for market in ("spot", "um"):
        (tmp_path / market).mkdir()
        (tmp_path / market / "btcusdt_aggtrades_20231114.csv").write_text(vision(range(60)))
    source = open_source(tmp_path)
    instruments = Counter(record.instrument for _, record in source.items)  # type: ignore[attr-defined]
    assert instruments == {"BTC-USDT-SPOT": 60, "BTC-USDT-PERP": 60}


@pytest.mark.parametrize(
    "when", [f"{START}123", f"{START}123000", f"{START}123000000", "2023-11-14T22:13:20.123Z"]
)
def test_a_tardis_file_that_a_tool_wrote_again_is_read(tmp_path: Path, when: str) -> None:
    text = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    text += f"bybit,BTCUSDT,{when},{when},,SELL,85000.5,0.5\n"
    (tmp_path / "bybit_liquidations_2023-11-14_BTCUSDT.csv").write_text(text)
    [(_, order)] = list(open_source(tmp_path).items)
    assert order.ts_event == START * 10**6 + 123_000  # type: ignore[attr-defined]
    assert order.position_side == "long"  # type: ignore[attr-defined]


def test_files_put_together_may_have_their_columns_in_another_order(tmp_path: Path) -> None:
    other = "price,agg_trade_id,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
    rows = "".join(f"100.0,{60 + n},1.0,0,0,{(START + 60 + n) * 1000},false\n" for n in range(60))
    (tmp_path / VISION).write_text(f"{HEADER}{vision(range(60))}{other}\n{rows}")
    counts, letters, _ = read(tmp_path)
    assert (counts["Trade"], counts["usd"], letters) == (120, 12_000, [])


def test_a_member_that_would_leave_its_archive_is_named_and_the_others_are_read(
    tmp_path: Path,
) -> None:
    with tarfile.open(tmp_path / "two.tar", "w") as archive:
        for name in ("../outside.csv", VISION):
            text = vision(range(60)).encode()
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    counts, _, name = read(tmp_path)
    assert counts["Trade"] == 60
    assert "not read: two.tar: '../outside.csv' would be extracted" in name


def test_what_stands_beside_recordings_is_no_loss_and_a_file_without_its_name_is_told(
    tmp_path: Path,
) -> None:
    (tmp_path / VISION).write_text(vision(range(60)))
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "download.py").write_text("import requests\n")
    assert open_source(tmp_path).unread == ()
    (tmp_path / "x.csv").write_text(HEADER + vision(range(60)))
    [unread] = open_source(tmp_path).unread
    assert unread.startswith("x.csv: looks like Binance Vision aggTrades")
