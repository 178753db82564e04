"""`undertow record` of every venue, killed: what is played has the identities of live."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from scripted_venues import SCRIPTS
from scripted_venues.ears import Fast, process_urls, until
from scripted_venues.server import serving
from scripted_venues.tape import ids

from streams.feed.venues import PROTOCOLS
from streams.sources.open import SourceError, open_source

#: Hyperliquid tells of no forced orders.
KINDS = dict.fromkeys(PROTOCOLS, ("trade", "liquidation")) | {"hyperliquid": ("trade",)}


def test_frames_that_a_killed_recorder_left_are_played_with_the_identities_of_live(
    tmp_path: Path,
) -> None:
    clock, folder = Fast(1), tmp_path / "frames"
    with ExitStack() as stack:
        servers = {venue: stack.enter_context(serving(SCRIPTS[venue]())) for venue in PROTOCOLS}
        command = [
            sys.executable, "-m", "streams.cli", "record", str(folder),
            "--venues", ",".join(PROTOCOLS), "--assets", "BTC,ETH",
            "--data-dir", str(tmp_path / "data"), "--venue-urls", process_urls(**servers),
        ]  # fmt: skip
        recorder = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            for venue, server in servers.items():
                symbol = server.script.symbols[0]
                names = [server.script.frame(clock.event(k, symbol, 0))[0] for k in KINDS[venue]]
                until(lambda: all(map(server.subscribed, names)), f"{venue}: {names}", 60)  # noqa: B023
            for number in range(1, 11):
                for venue, server in servers.items():
                    symbol = server.script.symbols[0]
                    server.emit(*(clock.event(kind, symbol, number) for kind in KINDS[venue]))
            expected = {
                event_id
                for v, server in servers.items()
                for event_id in ids(v, SCRIPTS[v](), server.tape)
            }
            until(lambda: expected <= set(on_disk(folder)), "what was heard is on disk", 60)
        finally:
            recorder.kill()
            recorder.wait()
    source, heard = open_source(folder), played(folder)
    assert len(expected) >= 10 * len(PROTOCOLS)
    assert {name for name in heard if "open_interest" not in name} == expected
    assert len(heard) == len(set(heard))
    assert source.name == "raw frames, 1 file"


def played(folder: Path) -> list[str]:
    """Return the identities of the trades and forced orders that a folder's frames give."""
    items = open_source(folder).items
    return [record.event_id for topic, record in items if topic in ("trades", "liquidations")]


def on_disk(folder: Path) -> list[str]:
    try:
        return played(folder)
    except SourceError:  # no frame yet
        return []


def test_a_folder_that_takes_no_more_ends_the_recorder_and_says_so(tmp_path: Path) -> None:
    with serving(SCRIPTS["bybit"]()) as bybit:
        full = tmp_path / "full"
        full.mkdir()
        command = [
            sys.executable, "-c",
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            "from streams.cli import main; main(sys.argv[1:])",
            "record", str(full), "--venues", "bybit", "--assets", "BTC,ETH",
            "--data-dir", str(tmp_path / "data"), "--venue-urls", process_urls(bybit=bybit),
        ]  # fmt: skip
        recorder = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        clock = Fast(1)
        try:
            until(lambda: bybit.subscribed("publicTrade.BTCUSDT"), "subscribed", 60)
            bybit.emit(*(clock.event("trade", "BTCUSDT", number) for number in range(3_000)))
            assert recorder.wait(20) == 1
        finally:
            recorder.kill()
            recorder.wait()
        assert recorder.stderr is not None
        assert "File too large" in recorder.stderr.read()
