"""Every recording form is read in time order, told apart by its marks, and never fatal."""

import gzip
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.bars import Bar
from schemas.codec import encode, encode_many
from schemas.market import Liquidation, Trade
from schemas.status import FeedStatus
from schemas.words import MINUTE, SECOND, grid_usd
from streams.sources import series
from streams.sources.lines import time_of
from streams.sources.open import FAMILIES, SUPPORTED, SourceError, open_source

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
recorded = pytest.mark.skipif(not DATA.is_dir(), reason=f"recordings are not at {DATA}")
T = 1_737_908_830_000_000
KRISHNA = "s,liq_amount,S,q,funding_rate,time\n"
TARDIS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
KLINES = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"


def records(path):
    items = list(open_source(path).items)
    stamps = [time_of(record) for _, record in items]
    assert stamps == sorted(stamps)
    return items


def only(path):
    ((_, record),) = records(path)
    return record


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def a_trade(recv, number):
    return Trade(
        event_id=f"x:{number}", venue="binance", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT",
        asset="BTC", aggressor_side="buy", price=1.0, quantity=2.0, notional_usd=2.0,
        ts_event=recv - 100, ts_recv=recv,
    )  # fmt: skip


# Krishna


def test_a_krishna_row_is_a_batch_in_dollars_without_a_price(tmp_path):
    file = write(
        tmp_path / "liqs.csv",
        KRISHNA + "SANDUSDT,45795.5,SELL,10,0.01,2023-01-06 09:55:06.536440+05:30\n",
    )
    record = only(file)
    assert (record.orders, record.notional_usd, record.price, record.quantity) == (
        10,
        45_795.5,
        None,
        None,
    )
    assert (
        record.ts_event
        == int(datetime(2023, 1, 6, 4, 25, 6, tzinfo=UTC).timestamp()) * 10**6 + 536_440
    )


def test_a_krishna_sell_row_may_hold_buys_so_no_row_has_a_side(tmp_path):
    file = write(
        tmp_path / "liqs.csv",
        KRISHNA
        + "ETHUSDT,31000,SELL,2,0.01,2023-01-06 09:58:23.301382+05:30\n"
        + "ETHUSDT,32000,BUY,3,0.01,2023-01-06 09:59:23.301382+05:30\n",
    )
    sides = [(r.position_side, r.order_side) for _, r in records(file)]
    assert sides == [("unknown", None), ("unknown", None)]


def test_a_dirty_krishna_row_is_a_dead_letter(tmp_path):
    file = write(
        tmp_path / "liqs.csv",
        KRISHNA
        + "ETHUSDT,31000,SELL,2,0.01,2023-01-06 09:58:23.301382+05:30\n"
        + "ETHUSDT,-5,SELL,2,0.01,2023-01-06 09:58:24.301382+05:30\n"
        + "ETHUSDT,31000,SELL,2,0.01,2023-01-06 09:58:25.301382\n",
    )
    dead = [r for topic, r in records(file) if topic == "dead_letters"]
    assert [(d.offset, d.field) for d in dead] == [(3, "liq_amount"), (4, "time")]


@recorded
def test_krishnas_squeeze_hour_is_63_million_dollars():
    source = open_source(DATA / "binance_liqs_2023-01_krishna")
    start = int(datetime(2023, 1, 14, tzinfo=UTC).timestamp()) * 10**6
    hour = [r for _, r in source.items if start <= r.ts_event < start + 60 * MINUTE]
    assert len(hour) == 757
    assert sum(r.notional_usd for r in hour) == pytest.approx(63_342_357.28, abs=1)
    assert {r.position_side for r in hour} == {"unknown"}
    assert source.gap_after_s == 3 * 3600


@recorded
def test_krishnas_btc_candles_are_named_as_not_read():
    name = open_source(DATA / "binance_liqs_2023-01_krishna").name
    assert "no records in BTC_1m.csv: candles without the takers' split" in name


# Klines


def test_a_kline_is_a_minute_bar_with_the_takers_split(tmp_path):
    line = "1738368000000,0.3790,0.3795,0.3783,0.3788,434592.5,1738368059999,164695.83081,558,245241.0,92932.51355,0\n"
    bar = only(write(tmp_path / "ALGOUSDT-1m-2025-02.csv", KLINES + line))
    assert (bar.instrument, bar.ts_open, bar.width) == (
        "ALGO-USDT-PERP",
        1_738_368_000_000_000,
        MINUTE,
    )
    assert bar.buy_usd == grid_usd(92_932.51355)
    assert bar.buy_usd + bar.sell_usd == pytest.approx(164_695.83081, abs=1e-4)
    assert (bar.high, bar.low, bar.quantity, bar.trades) == (0.3795, 0.3783, 434_592.5, 558)
    assert (bar.open, bar.close) == (0.3790, 0.3788)
    assert (bar.ts_first, bar.ts_last) == (bar.ts_open, bar.ts_close - 1)


def test_klines_read_the_same_without_header_in_microseconds_and_zipped(tmp_path):
    line = "1738368000000000,1,2,1,2,10,1738368059999999,15,3,4,6,0\n"
    with zipfile.ZipFile(tmp_path / "XRPUSDT-1m-2025-02.zip", "w") as archive:
        archive.writestr("XRPUSDT-1m-2025-02.csv", line)
    bar = only(tmp_path / "XRPUSDT-1m-2025-02.zip")
    assert (bar.ts_open, bar.buy_usd, bar.sell_usd) == (1_738_368_000_000_000, 6.0, 9.0)


def test_coin_margined_klines_count_contracts(tmp_path):
    line = "1738368000000,50000,50000,50000,50000,10,1738368059999,0.02,3,4,0.008,0\n"
    bar = only(write(tmp_path / "BTCUSD_PERP-1m-2025-02.csv", KLINES + line))
    assert (bar.buy_usd, bar.sell_usd, bar.quantity) == (400.0, 600.0, 0.02)


def test_a_quiet_minute_stays_and_an_impossible_one_is_a_dead_letter(tmp_path):
    file = write(
        tmp_path / "XRPUSDT-1m-2025-02.csv",
        KLINES
        + "1738368000000,2,2,2,2,0,1738368059999,0,0,0,0,0\n"
        + "1738368060000,2,2,3,2,1,1738368119999,2,1,1,2,0\n"
        + "1738368120000,2,2,2,2,1,1738368179999,2,1,1,5,0\n"
        + "1738368000000,2,2,2,2,1,1738368059999,2,1,1,2,0\n",
    )
    items = records(file)
    assert [topic for topic, _ in items] == ["bars", "dead_letters", "dead_letters", "dead_letters"]
    assert [r.field for _, r in items[1:]] == ["low", "taker_buy_quote_volume", "ts_open"]


def test_months_and_symbols_of_klines_merge_by_close(tmp_path):
    for name, start in (
        ("XRPUSDT-1m-2025-02", 1738368000000),
        ("XRPUSDT-1m-2025-01", 1738367940000),
        ("BTCUSDT-1m-2025-01", 1738367940000),
    ):
        write(tmp_path / f"{name}.csv", KLINES + f"{start},2,2,2,2,1,0,2,1,1,2,0\n")
    source = open_source(tmp_path)
    assert "trades" not in source.clocked
    assert "bars" in source.clocked
    assert len(records(tmp_path)) == 3


# Vision


VISION = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"


def test_vision_trades_stream_with_the_same_identity_as_the_live_feed(tmp_path):
    text = (
        VISION
        + "2541757614,104943.5,0.15,1,2,1737908829873,true\n2541757615,104943.6,0.2,3,3,1737908829874,false\n"
    )
    items = records(write(tmp_path / "BTCUSDT-aggTrades-2025-01-26.csv", text))
    assert [r.event_id for _, r in items] == [
        "binance:BTCUSDT:2541757614",
        "binance:BTCUSDT:2541757615",
    ]
    assert [r.aggressor_side for _, r in items] == ["sell", "buy"]


def test_vision_files_without_header_gzipped_in_microseconds_read_the_same(tmp_path):
    path = tmp_path / "1000PEPEUSDT-aggTrades-2025-01-26.csv.gz"
    path.write_bytes(gzip.compress(b"7,0.02,1000,1,2,1737908829873123,True\n"))
    record = only(path)
    assert record.ts_event == 1_737_908_829_873_123
    assert (record.asset, record.quantity, record.notional_usd) == ("PEPE", 1_000_000.0, 20.0)


def test_spot_files_have_an_eighth_column_and_are_another_instrument(tmp_path):
    record = only(
        write(
            tmp_path / "BTCUSDT-aggTrades-2025-01.csv", "7,100000,1,1,2,1737908829873,True,True\n"
        )
    )
    assert (record.instrument, record.event_id) == ("BTC-USDT-SPOT", "binance:spot:BTCUSDT:7")


def test_a_line_that_steps_back_in_time_is_put_in_its_place(tmp_path):
    text = "1,2,1,1,1,1737908829900,true\n2,2,1,2,2,1737908829800,true\n"
    items = records(write(tmp_path / "BTCUSDT-aggTrades-2025-01.csv", text))
    assert [record.ts_event for _, record in items] == [
        1_737_908_829_800_000, 1_737_908_829_900_000,
    ]  # fmt: skip


def test_a_line_further_back_than_the_window_is_received_in_its_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(series, "WINDOW", 4)
    monkeypatch.setattr(series, "LEAST_WINDOW", 1)
    text = "".join(f"{n},2,1,{n},{n},{1737908829900 + n},true\n" for n in range(9))
    text += "9,2,1,9,9,1737908829800,true\n"
    items = records(write(tmp_path / "BTCUSDT-aggTrades-2025-01.csv", text))
    [late] = [r for _, r in items if r.ts_event == 1_737_908_829_800_000]
    assert late.ts_recv == 1_737_908_829_904_000


def test_a_file_that_breaks_off_keeps_what_came_before(tmp_path):
    path = tmp_path / "BTCUSDT-aggTrades-2025-01.csv.gz"
    lines = "".join(f"{i},2,1,{i},{i},{1737908829900 + i},true\n" for i in range(20_000))
    path.write_bytes(gzip.compress(lines.encode())[:-2000])
    items = records(path)
    assert len(items) > 1000
    assert items[-1][0] == "dead_letters"
    assert "breaks off" in items[-1][1].reason


# Tardis


def test_tardis_liquidation_sides_are_order_sides_for_both_venues(tmp_path):
    text = TARDIS + (
        f"binance-futures,BTCUSDT,{T},{T + 9},,sell,100000,0.5\nbinance-futures,BTCUSDT,{T + 1},{T + 10},,buy,100000,0.5\n"
    )
    write(tmp_path / "binance-futures_liquidations_2025-01-26_BTCUSDT.csv", text)
    write(
        tmp_path / "bybit_liquidations_2025-01-26_BTCUSDT.csv",
        TARDIS + f"bybit,BTCUSDT,{T},{T + 20},,sell,99000,0.5\n",
    )
    orders = [(r.venue, r.position_side, r.price_kind) for _, r in records(tmp_path)]
    assert orders == [
        ("binance", "long", "average_fill"),
        ("binance", "short", "average_fill"),
        ("bybit", "long", "bankruptcy"),
    ]


def test_tardis_coverage_follows_the_feeds_of_the_day(tmp_path):
    def coverage(exchange, stamp):
        text = TARDIS + f"{exchange},BTCUSDT,{stamp},{stamp},,sell,100000,0.5\n"
        return only(write(tmp_path / "x_liquidations.csv", text)).coverage

    assert coverage("bybit", 1_741_000_000_000_000) == "full"
    assert coverage("bybit", 1_700_000_000_000_000) == "latest_per_second"
    assert coverage("bybit", 1_600_000_000_000_000) == "unknown"
    assert coverage("binance-futures", 1_600_000_000_000_000) == "full"
    assert coverage("binance-futures", 1_700_000_000_000_000) == "largest_per_second"


def test_equal_bybit_liquidations_of_one_tardis_message_are_two(tmp_path):
    line = f"bybit,BTCUSDT,{T},{T},,sell,99000,0.5\n"
    items = records(write(tmp_path / "bybit_liquidations.csv", TARDIS + line + line))
    assert len({r.event_id for _, r in items}) == 2


def test_tardis_trades_of_inverse_contracts_are_dollars(tmp_path):
    text = TARDIS + f"bybit,BTCUSD,{T},{T + 5},abc,buy,50000,1000\n"
    record = only(write(tmp_path / "bybit_trades.csv", text))
    assert (record.aggressor_side, record.notional_usd, record.quantity) == ("buy", 1000.0, 0.02)
    assert (record.event_id, record.ts_recv) == ("bybit:BTCUSD:abc", T + 5)


def test_a_tardis_trade_of_unknown_side_is_a_dead_letter(tmp_path):
    text = TARDIS + f"bybit,BTCUSDT,{T},{T},a,buy,5,1\nbybit,BTCUSDT,{T},{T},b,unknown,5,1\n"
    items = records(write(tmp_path / "bybit_trades.csv", text))
    assert (items[1][1].field, items[1][1].offset) == ("side", 3)


def test_an_unsupported_tardis_exchange_is_refused_by_name(tmp_path):
    write(tmp_path / "upbit_trades.csv", TARDIS + f"upbit,KRW-BTC,{T},{T},a,buy,5,1\n")
    with pytest.raises(SourceError, match="'upbit'"):
        open_source(tmp_path)


def test_a_tardis_file_that_does_not_say_its_kind_is_refused(tmp_path):
    with pytest.raises(SourceError, match="neither 'trades' nor 'liquidations'"):
        open_source(write(tmp_path / "x.csv", TARDIS + f"bybit,BTCUSDT,{T},{T},a,buy,5,1\n"))


# Our own dumps


def test_a_dump_keeps_each_files_order_and_its_clock_lines(tmp_path):
    alive = FeedStatus(producer="binance", state="alive", ts_event=T + 10)
    trades = [a_trade(T, 1), a_trade(T + 50, 2), alive, a_trade(T + 40, 3)]
    (tmp_path / "trades.ndjson").write_bytes(b"\n".join(map(encode, trades)) + b"\n")
    liquidation = Liquidation(
        event_id="l", venue="bybit", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT", asset="BTC",
        position_side="long", order_side="sell", price=None, price_kind=None, quantity=1.0,
        notional_usd=5.0, coverage="full", stream="s", ts_event=T + 20, ts_recv=T + 20,
    )  # fmt: skip
    (tmp_path / "liquidations.ndjson.gz").write_bytes(gzip.compress(encode(liquidation) + b"\n"))
    items = list(open_source(tmp_path).items)
    assert [record for topic, record in items if topic == "trades"] == trades
    assert [topic for topic, _ in items][:2] == ["trades", "liquidations"]


def test_a_bad_line_of_a_dump_is_a_dead_letter_with_its_line(tmp_path):
    lines = [
        b"{}",
        encode(a_trade(T, 1)),
        b'{"type":"trade","price":-1}',
        encode(a_trade(T + 1, 2)),
    ]
    (tmp_path / "trades.ndjson").write_bytes(b"\n".join(lines))
    items = list(open_source(tmp_path).items)
    assert [(topic, getattr(r, "offset", None)) for topic, r in items] == [
        ("dead_letters", 1), ("trades", None), ("dead_letters", 3), ("trades", None),
    ]  # fmt: skip


@pytest.mark.parametrize("by_the_run", [False, True])
def test_a_line_of_many_is_as_many_lines_and_a_bad_element_is_refused_alone(tmp_path, by_the_run):
    one, two, three = (encode(a_trade(T + n, n)) for n in range(3))
    many = b"[" + one + b"," + two + b"]"
    bad = b"[" + one + b',{"type":"trade","price":-1}]'
    (tmp_path / "trades.ndjson").write_bytes(b"\n".join((many, bad, three)))
    items = list(open_source(tmp_path, by_the_run=by_the_run).items)
    assert [topic for topic, _ in items] == [*["trades"] * 3, "dead_letters", "trades"]
    assert items[3][1].field.startswith("[1]")
    assert [encode(items[n][1]) for n in (0, 1, 2, 4)] == [one, two, one, three]


def test_a_dump_of_bars_may_hold_what_rollup_writes(tmp_path):
    bars = [
        Bar(
            venue="okx", instrument="BTC-USDT-PERP", asset="BTC", ts_open=T + n * SECOND,
            width=SECOND, high=2.0, low=1.0, quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=1,
        )
        for n in range(3)
    ]  # fmt: skip
    (tmp_path / "bars.ndjson").write_bytes(encode_many(bars[:2]) + b"\n" + encode(bars[2]))
    assert [record for _, record in open_source(tmp_path).items] == bars


def test_findings_beside_a_dump_are_not_input(tmp_path):
    (tmp_path / "trades.ndjson").write_bytes(encode(a_trade(T, 1)))
    write(tmp_path / "cascades.ndjson", "{}")
    source = open_source(tmp_path)
    assert "cascades.ndjson" in source.name
    assert len(list(source.items)) == 1


# Opening


def test_forms_mixed_in_a_folder_merge_by_time(tmp_path):
    write(
        tmp_path / "liqs.csv",
        KRISHNA + "BTCUSDT,31000,BUY,2,0.01,2025-01-26 16:27:10.000000+00:00\n",
    )
    write(
        tmp_path / "BTCUSDT-1m-2025-01.csv",
        KLINES + "1737908820000,2,2,2,2,1,0,2,1,1,2,0\n1737908760000,2,2,2,2,1,0,2,1,1,2,0\n",
    )
    items = records(tmp_path)
    assert [topic for topic, _ in items] == ["bars", "liquidations", "bars"]
    assert {"bars", "liquidations"} <= set(open_source(tmp_path).clocked)


def test_a_missing_path_is_said_in_one_line(tmp_path):
    with pytest.raises(SourceError, match="no such file or folder") as caught:
        open_source(tmp_path / "absent")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x00\xff" * 50, b"\x1f\x8b broken"])
def test_unrecognised_content_is_refused_naming_what_was_looked_for(tmp_path, content):
    (tmp_path / "mystery.csv.gz").write_bytes(content)
    with pytest.raises(SourceError, match="not a recording in a known form") as caught:
        open_source(tmp_path)
    assert "\n" not in str(caught.value)
    assert "mystery.csv.gz" in str(caught.value)
    assert "`undertow run --help` lists them" in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no files"):
        open_source(tmp_path)


def test_help_lists_every_form():
    assert len(SUPPORTED.splitlines()) == len(FAMILIES)


@recorded
@pytest.mark.parametrize(
    ("folder", "bars"),
    [
        ("klines_isda_btc_windows", 509),
        ("klines_isda_um_1m_taker/NEARUSDT-1m-2023-09.csv.gz", 43_200),
    ],
)
def test_recorded_klines_are_all_read(folder, bars):
    items = records(DATA / folder)
    assert len(items) == bars
    assert {topic for topic, _ in items} == {"bars"}
    assert all(b.low * b.quantity <= (b.buy_usd + b.sell_usd) * (1 + 1e-6) + 1e-3 for _, b in items)


@recorded
def test_a_table_that_merely_resembles_a_recorders_file_is_not_taken_for_one():
    with pytest.raises(SourceError):
        open_source(DATA / "atom_flash_2025-10-10")
