"""Every venue's scripted server in one process, printing trades at a steady rate: a busy market.

Arguments: trades a second in all, seconds. It prints one line of JSON with the urls, waits until
each venue is subscribed to, plays, and prints another with what it sent.
"""

import asyncio
import itertools
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from scripted_venues import SCRIPTS
from scripted_venues.ears import process_urls
from scripted_venues.server import Client, Event, Script, ScriptedVenue

#: Shares of all trades; one print a message everywhere, which costs a reader most.
SHARES = {
    "binance": 14, "bybit": 10, "okx": 6, "bitget": 4, "gate": 4, "hyperliquid": 4, "htx": 2,
    "dydx": 2, "deribit": 1, "bitmex": 1, "kraken": 1, "bitfinex": 1,
}  # fmt: skip
#: These tell a forced order now and then, so that none is thought silent.
FORCED, FORCED_EVERY = ("binance", "bybit", "okx"), 2_000
TICK_S = 0.01
_NUMBER, _TS = 777_777_777, 1_777_777_777_777
Frame = str | bytes
Waiting = dict[Client, list[bytes]]


class Stream:
    """What a venue prints of one symbol: its frames, and those who are to get them."""

    def __init__(self, venue: ScriptedVenue, symbol: str, kind: str = "trade") -> None:
        self._venue = venue
        self.name = venue.script.frame(_event(kind, symbol, 1, 1))[0]
        self._frame = _quick(venue.script, kind, symbol)

    def is_wanted(self) -> bool:
        """Say whether somebody subscribed."""
        return self._venue.subscribed(self.name)

    def print(self, number: int, ts: int, waiting: Waiting) -> None:
        """Add one print, of `ts` milliseconds, to what waits for each client."""
        frame = self._frame(number, ts)
        for client in self._venue.clients:
            if self.name in client.names:
                waiting.setdefault(client, []).append(_message(frame))


def _message(frame: Frame) -> bytes:
    """Return a frame as a WebSocket message."""
    payload = frame if isinstance(frame, bytes) else frame.encode()
    kind = b"\x82" if isinstance(frame, bytes) else b"\x81"
    if len(payload) < 126:
        return kind + bytes((len(payload),)) + payload
    return kind + b"\x7e" + len(payload).to_bytes(2) + payload


def _send(waiting: Waiting) -> None:
    """Write what waits at once: here it is not the sender that is measured."""
    for client, messages in waiting.items():
        transport = client.ws._req.transport  # type: ignore[union-attr]
        if transport is not None and not client.ws.closed:
            transport.write(b"".join(messages))
    waiting.clear()


def _event(kind: str, symbol: str, number: int, ts: int) -> Event:
    return Event(kind, symbol, number, "sell", 90_000.5, 0.25, ts)


def _quick(script: Script, kind: str, symbol: str) -> Callable[[int, int], Frame]:
    """Return what makes a frame: by its text, where number and time are all that differs.

    Else as the script does, where frames are numbered, compressed, or tell their time in words.
    """

    def slow(number: int, ts: int) -> Frame:
        return script.frame(_event(kind, symbol, number, ts))[1]

    def quick(number: int, ts: int) -> Frame:
        seconds = str(ts)[:-3]
        return text.replace("<n>", str(number)).replace("<t>", f"{ts}").replace("<s>", seconds)

    def at_once(frame: Frame, ts: int) -> str:
        """Return a frame that was sent in the moment of its print."""
        return str(frame).replace(str(ts + 10), str(ts)).replace(str(ts + 20), str(ts))

    text = at_once(slow(_NUMBER, _TS), _TS)
    text = text.replace(str(_NUMBER), "<n>").replace(str(_TS), "<t>").replace(str(_TS)[:-3], "<s>")
    ts = 1_788_000_000_123
    return quick if quick(5, ts) == at_once(slow(5, ts), ts) else slow


def _turns(streams: dict[str, list[Stream]]) -> Iterator[Stream]:
    """Yield streams for ever, each venue as often as its share."""
    turns = [venue for venue, share in SHARES.items() for _ in range(share)]
    random.Random(1).shuffle(turns)
    symbols = {venue: itertools.cycle(mine) for venue, mine in streams.items()}
    return (next(symbols[venue]) for venue in itertools.cycle(turns))


async def _play(rate: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    venues = {name: ScriptedVenue(SCRIPTS[name](), loop) for name in SHARES}
    ready = {name: threading.Event() for name in venues}
    serving = [loop.create_task(venue.serve(ready[name])) for name, venue in venues.items()]
    while not all(event.is_set() for event in ready.values()):
        await asyncio.sleep(TICK_S)
    _say({"urls": process_urls(**venues)})
    streams = {
        name: [Stream(venue, symbol) for symbol in venue.script.symbols]
        for name, venue in venues.items()
    }
    forced = itertools.cycle(
        [Stream(venues[name], venues[name].script.symbols[0], "liquidation") for name in FORCED]
    )
    while not all(stream.is_wanted() for mine in streams.values() for stream in mine):
        await asyncio.sleep(TICK_S)
    _say({"subscribed": True})
    waiting: Waiting = {}
    turns, sent, began = _turns(streams), 0, time.monotonic()
    while (lasted := time.monotonic() - began) < seconds:
        ts = time.time_ns() // 1_000_000
        for number in range(sent, sent := int(rate * lasted)):
            next(turns).print(number, ts, waiting)
            if number % FORCED_EVERY == 0:
                next(forced).print(number, ts, waiting)
        _send(waiting)
        await asyncio.sleep(TICK_S)
    _say({"sent": sent, "seconds": lasted, "cpu_s": time.process_time()})
    await asyncio.sleep(10)  # what is on its way is still read
    for task in serving:
        task.cancel()


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(_play(int(sys.argv[1]), float(sys.argv[2])))
