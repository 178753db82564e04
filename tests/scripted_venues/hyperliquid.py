"""Hyperliquid as venue-protocols.md 4 has it: one coin a request, no forced orders."""

import json
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Hyperliquid(Speaks):
    path_of = {"public": "/ws"}
    symbols = ("BTC", "ETH")

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        if body["method"] != "subscribe":
            return None
        wanted = body["subscription"]
        return Request([f"{wanted['type']}:{wanted['coin']}"], wanted)

    def confirm(self, request: Request) -> list[str]:
        data = {"method": "subscribe", "subscription": request.number}
        return [json.dumps({"channel": "subscriptionResponse", "data": data})]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        text = f"Error parsing JSON into valid websocket request: {json.dumps(request.number)}"
        return [json.dumps({"channel": "error", "data": text})], []

    def reply(self, message: str) -> str | None:
        return '{"channel":"pong"}'

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        message = {"channel": "trades", "data": [self._row(event)]}
        return f"trades:{event.symbol}", json.dumps(message)

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if query.get("type") == "meta":
            return {"universe": [{"name": s, "szDecimals": 5} for s in self.symbols]}
        rows = [e for e in reversed(tape) if e.symbol == query.get("coin")]
        return [self._row(event) for event in rows[:100]]

    def _row(self, event: Event) -> dict[str, Any]:
        return {
            "coin": event.symbol, "side": "A" if event.side == "sell" else "B",
            "px": str(event.price), "sz": str(event.quantity), "time": event.ts, "hash": "0x0",
            "tid": event.number, "users": ["0x1", "0x2"],
        }  # fmt: skip
