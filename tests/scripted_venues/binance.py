"""Binance as venue-protocols.md 1 has it; `/ws` and `/stream` are the unrouted, silent paths."""

import json
import time
from collections.abc import Callable
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Binance(Speaks):
    path_of = {"um": "/market/stream", "cm": "/stream"}

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        return Request(body["params"], body["id"]) if body.get("method") == "SUBSCRIBE" else None

    def confirm(self, request: Request) -> list[str]:
        return [json.dumps({"result": None, "id": request.number})]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        error = {"code": 2, "msg": f"Invalid request: {names[0]}"}
        return [json.dumps({"error": error, "id": request.number})], []

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        if event.kind == "trade":
            name = f"{event.symbol.lower()}@aggTrade"
            payload = {"e": "aggTrade", "E": event.ts + 20, "s": event.symbol, **self._row(event)}
        else:
            name = "!forceOrder@arr"
            order = {
                "s": event.symbol, "S": event.side.upper(), "o": "LIMIT", "f": "IOC",
                "q": str(event.quantity), "p": str(event.price), "ap": str(event.price),
                "X": "FILLED", "l": str(event.quantity), "z": str(event.quantity), "T": event.ts,
                "ps": event.symbol, "st": 1,
            }  # fmt: skip
            payload = {"e": "forceOrder", "E": event.ts + 500, "o": order}
        return name, json.dumps({"stream": name, "data": payload})

    def rest(self, path: str, query: dict[str, str], tape: list[Event]) -> Any:
        if path == "/fapi/v1/exchangeInfo":
            return {"symbols": [
                {"symbol": s, "baseAsset": s.removesuffix("USDT"), "quoteAsset": "USDT"}
                for s in self.symbols
            ]}  # fmt: skip
        if path == "/dapi/v1/exchangeInfo":
            return {"symbols": []}
        if path == "/fapi/v1/openInterest":
            return {"symbol": query["symbol"], "openInterest": "7.5", "time": self.clock()}
        if path != "/fapi/v1/aggTrades":
            return None
        rows = [e for e in tape if e.kind == "trade" and e.symbol == query["symbol"]]
        rows = [e for e in rows if e.number >= int(query.get("fromId", 0))]
        if "fromId" not in query:
            first, last = int(query["startTime"]), int(query["endTime"])
            rows = [e for e in rows if first <= e.ts <= last]
        return [self._row(event) for event in rows[: min(int(query["limit"]), self.page)]]

    page = 1000
    #: The time that a reading is of, milliseconds.
    clock: Callable[[], int] = staticmethod(lambda: int(time.time() * 1000))

    def _row(self, event: Event) -> dict[str, Any]:
        return {
            "a": event.number, "p": str(event.price), "q": str(event.quantity),
            "f": event.number, "l": event.number, "T": event.ts, "m": event.side == "sell",
        }  # fmt: skip
