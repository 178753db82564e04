"""Raw frames: what is recorded is played byte for byte through the parsers that heard it live."""

import json

import pytest
from backports import zstd
from venue_table import TABLE
from venues import RECV

from schemas.market import Liquidation
from streams.cli.source import open_named
from streams.feeds import learning, registry
from streams.process import learnt_file
from streams.process.settings import Settings
from streams.simulate.night import night
from streams.sources.generated import generated_source
from streams.sources.lines import BREAKS_OFF, head
from streams.sources.open import open_source
from streams.sources.raw_frames import METADATA, FrameWriter, RawFrame, of_line, to_line

SECOND = 1_000_000
LIQUIDATED = (
    b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1791565601482,"data":['
    b'{"T":%d,"s":"BTCUSDT","S":"Buy","v":"0.006","p":"82396.90"}]}'
)


def bybit(ts_recv, millis, connection="a-1"):
    return RawFrame(ts_recv, "bybit", connection, "allLiquidation", LIQUIDATED % millis)


def recorded(folder, frames, **how):
    writer = FrameWriter(folder, **how)
    for frame in frames:
        writer.write(frame)
    writer.close()


def played(folder):
    return list(open_source(folder).items)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\n"}',
        b"",
        b"two\nlines\r\n",
        b"base64:aGk=",
        b"\xff\x00",
        "币安人生".encode(),
        b"a\tb",
        b"ends in \r",
    ],
)
def test_a_line_gives_back_the_very_bytes_of_its_frame(raw):
    frame = RawFrame(RECV, "bybit", "a-1", "allLiquidation", raw)
    line = to_line(frame)
    assert line.count(b"\n") == 1
    assert of_line(line.decode().rstrip("\r\n")) == frame


def test_every_venues_frames_give_the_records_of_live_with_the_same_ids(tmp_path):
    rows = [row for row in TABLE if row.metadata is None and not row.symbol]
    frames = [
        RawFrame(RECV + place, row.venue, f"{place}", row.channel, row.frame.encode())
        for place, row in enumerate(rows)
    ]
    recorded(tmp_path, frames)
    live = []
    for frame in frames:
        known = registry.bundled(frame.venue).of_connection()
        live += registry.parse(*frame[1:2], frame.channel, frame.raw, known, frame.ts_recv).records
    heard = {json.dumps(r.event_id) for r in live if type(r).__name__ != "MarkPrice"}
    items = played(tmp_path)
    assert {json.dumps(r.event_id) for topic, r in items if topic != "dead_letters"} == heard
    assert len(heard) > 60
    by_id = {record.event_id: record for record in reversed(live)}
    assert all(
        record == by_id[record.event_id] for topic, record in items if topic != "dead_letters"
    )


def test_what_two_connections_told_counts_once(tmp_path):
    recorded(tmp_path, [bybit(RECV, 1791565600992), bybit(RECV + 5, 1791565600992, "b-1")])
    [(topic, record)] = played(tmp_path)
    assert (topic, record.ts_recv) == ("liquidations", RECV)


def test_files_are_an_hour_each_and_say_again_what_the_venue_said_of_its_contracts(tmp_path):
    metadata = b'{"NEW_USDT":{"quanto_multiplier":"0.5"}}'
    forced = (
        b'{"time":1791400307,"channel":"futures.public_liquidates","event":"update","result":'
        b'[{"contract":"NEW_USDT","price":"2.9","time":%d,"size":-40}]}'
    )
    channel = "futures.public_liquidates"
    first = RawFrame(RECV, "gate", "1", METADATA, metadata)
    later = [
        RawFrame(RECV + n * 3600 * SECOND, "gate", "1", channel, forced % (1791400307418 + n))
        for n in range(3)
    ]
    recorded(tmp_path, [first, *later])
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert [r.quantity for _, r in played(tmp_path)] == [20.0] * 3
    assert [r.quantity for _, r in played(files[-1])] == [20.0]


def test_a_crash_costs_the_last_interval_and_a_cut_file_is_read_as_far_as_it_goes(tmp_path):
    writer = FrameWriter(tmp_path, flush_s=2.0)
    for second in range(10):
        writer.write(bybit(RECV + second * SECOND, 1791565600000 + second))
    [path] = tmp_path.iterdir()  # never closed: what a kill leaves
    stamps = [record.ts_recv for _, record in played(path)]
    assert stamps == [RECV + second * SECOND for second in range(8)]
    path.write_bytes(path.read_bytes()[:-10])
    items = played(path)
    assert [topic for topic, _ in items].count("liquidations") >= 6
    topic, letter = items[-1]
    assert topic == "dead_letters"
    assert letter.reason.startswith(BREAKS_OFF)


def test_bytes_behind_the_files_end_are_told_and_cost_nothing_before_them(tmp_path):
    recorded(tmp_path, [bybit(RECV, 1791565600992)])
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b"\x00rubbish")
    assert [topic for topic, _ in played(path)] == ["liquidations", "dead_letters"]


def test_a_quiet_feed_is_written_by_the_clock_of_whoever_asks(tmp_path):
    writer = FrameWriter(tmp_path, flush_s=2.0)
    writer.write(bybit(RECV, 1791565600992))
    assert list(tmp_path.iterdir()) == []
    writer.tick(RECV + 2 * SECOND)
    [path] = tmp_path.iterdir()
    assert len(head(path)) == 1


def test_lines_that_are_no_frames_cost_themselves(tmp_path):
    good = to_line(bybit(RECV, 1791565600992))
    lines = [
        good,
        b"not a line\n",
        b"1791565601482000\tnowhere\t1\t\t{}\n",
        b"1791565601482000\tbybit\t1\tnochannel\t{}\n",
        b"0000000000000001\tbybit\t1\t\t{}\n",
        b"1791565601482000\tbybit\t1\tallLiquidation\tbase64:?\n",
        b"1791565601482000\tbybit\t1\tallLiquidation\t{broken\n",
        b"1791565601482000\tgate\t1\t@instruments\t[1]\n",
    ]
    path = tmp_path / "x.zst"
    path.write_bytes(zstd.compress(b"".join(lines)))
    items = played(path)
    assert [topic for topic, _ in items] == ["liquidations"] + ["dead_letters"] * 7
    assert [r.field for _, r in items[1:]] == [
        "", "venue", "channel", "ts_recv", "raw", "", METADATA,
    ]  # fmt: skip


def test_a_refused_subscription_is_no_dead_letter(tmp_path):
    refused = b'{"success":false,"ret_msg":"error:handler not found","op":"subscribe"}'
    recorded(tmp_path, [RawFrame(RECV, "bybit", "1", "", refused), bybit(RECV, 1791565600992)])
    assert [topic for topic, _ in played(tmp_path)] == ["liquidations"]


def test_a_second_process_in_the_same_second_overwrites_nothing(tmp_path):
    recorded(tmp_path, [bybit(RECV, 1791565600001)])
    recorded(tmp_path, [bybit(RECV, 1791565600002, "b-1")])
    assert len(played(tmp_path)) == 2


def test_bitfinex_channel_numbers_are_those_of_their_own_connection(tmp_path):
    subscribed = b'{"event":"subscribed","channel":"trades","chanId":7,"symbol":"tBTCF0:USTF0"}'
    status = b'{"event":"subscribed","channel":"status","chanId":7,"key":"liq:global"}'
    printed = b'[7,"te",[1720045100,1791400314934,0.02,84305]]'
    forced = b'[7,[["pos",1,1791400313534,null,"tSOLF0:USTF0",31.5,160.02,null,0,1,null,null]]]'
    frames = [
        RawFrame(RECV, "bitfinex", "a", "", subscribed),
        RawFrame(RECV, "bitfinex", "b", "", status),
        RawFrame(RECV, "bitfinex", "a", "", printed),
        RawFrame(RECV, "bitfinex", "b", "", forced),
    ]
    recorded(tmp_path, frames)
    assert [topic for topic, _ in played(tmp_path)] == ["trades", "liquidations"]


def test_a_nights_frames_recorded_give_the_very_records_of_the_night_in_their_order(tmp_path):
    made = night.generate(7, 0.2)
    writer = FrameWriter(tmp_path)
    for ts_recv, venue, channel, raw in made.frames:
        writer.write(RawFrame(ts_recv, venue, f"{venue}/1", channel, raw))
    writer.close()
    live = [record for topic, record in generated_source(7, 0.2).items if topic != "dead_letters"]
    items = [record for topic, record in played(tmp_path) if topic != "dead_letters"]
    assert len(live) > 1_000
    once: dict[tuple[str, int], object] = {}
    for record in live:
        once.setdefault((record.event_id, getattr(record, "version", 1)), record)
    assert items == list(once.values())


def test_frames_are_played_by_what_was_learnt_of_their_venue(tmp_path):
    frame = (
        b'{"time":1791400307,"channel":"futures.public_liquidates","event":"update","result":'
        b'[{"price":"81900","size":-124,"time_ms":1791400307120,"contract":"BTC_USDT"}]}'
    )
    recorded(tmp_path / "frames", [RawFrame(RECV, "gate", "a-1", "", frame)])
    learnt = learning.SignEvidence(cases=40, as_order=40, as_position=0, sign="order")
    learnt_file.save(learnt_file.file_of(str(tmp_path)), learning.Learnt(gate=learnt))
    sides = []
    for settings in (None, Settings(data_dir=str(tmp_path))):
        opened = open_named(tmp_path / "frames", 1, 1.0, settings=settings)
        [order] = [record for _, record in opened.items if isinstance(record, Liquidation)]
        sides.append((order.order_side, order.position_side))
    assert sides == [(None, "unknown"), ("sell", "long")]
