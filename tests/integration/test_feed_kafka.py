"""`undertow feed` as a process, on a real Kafka, at scripted venues."""

from pathlib import Path

from scripted_venues.binance import Binance
from scripted_venues.bybit import Bybit
from scripted_venues.ears import Fast, process_urls, until
from scripted_venues.server import ScriptedVenue, serving
from scripted_venues.tape import ids
from scripted_venues.topics import everything
from stages import running

from schemas.market import Liquidation, Trade
from schemas.status import FeedStatus
from schemas.topics import TOPICS, key_of
from streams.kafka.records import partition_of


def environ(
    kafka: str, tmp_path: Path, binance: ScriptedVenue, bybit: ScriptedVenue
) -> dict[str, str]:
    return {
        "KAFKA_URL": kafka,
        "UNDERTOW_DATA_DIR": str(tmp_path / "data"),
        "UNDERTOW_VENUE_URLS": process_urls(binance=binance, bybit=bybit),
    }


def test_a_feed_writes_records_by_key_and_says_alive_on_every_partition(
    clean_topics: str, tmp_path: Path
) -> None:
    clock = Fast(1)
    log = tmp_path / "feed.log"
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        given = environ(clean_topics, tmp_path, binance, bybit)
        with running(given, "feed", log=log):
            until(lambda: binance.subscribed("ethusdt@aggTrade"), "binance", 60)
            until(lambda: bybit.subscribed("allLiquidation.ETHUSDT"), "bybit", 60)
            for number in range(200):
                binance.emit(clock.event("trade", "BTCUSDT", number))
                bybit.emit(clock.event("trade", "ETHUSDT", number))
            binance.emit(clock.event("liquidation", "BTCUSDT", 1))
            bybit.emit(clock.event("liquidation", "ETHUSDT", 1, "buy"))
            bybit.send_raw('{"topic":"publicTrade.BTCUSDT","data":[{"T":1,"s":"BTCUSDT"}]}')
            until(lambda: words(clean_topics, "liquidations") >= 16, "words on time", 60)
        expected = ids("binance", Binance(), binance.tape) + ids("bybit", Bybit(), bybit.tape)
    heard = []
    for topic in ("trades", "liquidations"):
        for partition, key, record in everything(clean_topics, topic):
            if isinstance(record, Trade | Liquidation):
                heard.append(record.event_id)
                assert partition == partition_of(key_of(TOPICS[topic], record), 4)
                assert topic == "trades" or key == record.asset.encode()
    assert sorted(heard) == sorted(expected)
    for topic in ("trades", "liquidations", "whale_transfers"):
        said = [
            (p, r.producer)
            for p, _, r in everything(clean_topics, topic)
            if isinstance(r, FeedStatus)
        ]
        assert {(p, venue) for p in range(4) for venue in ("binance", "bybit")} == set(said)
    last = [r for _, _, r in everything(clean_topics, "feed_status")]
    assert {(r.producer, r.state) for r in last} >= {("binance", "connected"), ("bybit", "silent")}
    [letter] = [r for _, _, r in everything(clean_topics, "dead_letters")]
    assert (letter.topic, letter.field) == ("bybit/linear", "data[0].T")


def words(kafka: str, topic: str) -> int:
    return sum(isinstance(r, FeedStatus) for _, _, r in everything(kafka, topic))
