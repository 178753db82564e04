"""`undertow record` beside a feed of the same venue: what is played has the identities of live."""

import subprocess
import sys
import time
from pathlib import Path

from scripted_venues.binance import Binance
from scripted_venues.bybit import Bybit
from scripted_venues.ears import Fast, process_urls, until
from scripted_venues.server import serving
from scripted_venues.tape import ids

from streams.sources.open import open_source


def test_frames_that_a_killed_recorder_left_are_played_with_the_identities_of_live(
    tmp_path: Path,
) -> None:
    clock, folder = Fast(1), tmp_path / "frames"
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        command = [
            sys.executable, "-m", "streams.cli", "record", str(folder), "--venues", "binance,bybit",
            "--data-dir", str(tmp_path / "data"),
            "--venue-urls", process_urls(binance=binance, bybit=bybit),
        ]  # fmt: skip
        recorder = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            until(lambda: binance.subscribed("btcusdt@aggTrade"), "binance subscribed", 40)
            until(lambda: bybit.subscribed("allLiquidation.ETHUSDT"), "bybit subscribed", 40)
            for number in range(30):
                binance.emit(clock.event("trade", "BTCUSDT", number))
                bybit.emit(clock.event("trade", "ETHUSDT", number))
                bybit.emit(clock.event("liquidation", "ETHUSDT", number, "buy"))
            time.sleep(3)  # more than an interval: what was heard is on disk
        finally:
            recorder.kill()
            recorder.wait()
        expected = ids("binance", Binance(), binance.tape) + ids("bybit", Bybit(), bybit.tape)
    source = open_source(folder)
    heard = [record.event_id for topic, record in source.items if topic != "dead_letters"]
    assert sorted(heard) == sorted(expected)
    assert source.name == "raw frames, 1 file"
