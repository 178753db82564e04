"""Bitget v3 as venue-protocols.md 8 has it: no history of anything that a feed may ask for."""

import json
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Bitget(Speaks):
    path_of = {"public": "/v3/ws/public"}

    def request(self, message: str) -> Request | None:
        if message == "ping":
            return None
        arguments = json.loads(message)["args"]
        names = [f"{a['topic']}:{a['instType']}:{a.get('symbol', '')}" for a in arguments]
        return Request(names, None)

    def confirm(self, request: Request) -> list[str]:
        return [
            json.dumps({"event": "subscribe", "arg": _argument(name)}) for name in request.names
        ]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        served = [name for name in request.names if name not in names]
        errors = [
            json.dumps({"event": "error", "arg": _argument(name), "code": "30001",
                        "msg": "doesn't exist", "op": "subscribe"})
            for name in names
        ]  # fmt: skip
        return errors + self.confirm(Request(served, None)), served

    def reply(self, message: str) -> str | None:
        return "pong"

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        if event.kind == "trade":
            name = f"publicTrade:usdt-futures:{event.symbol}"
            row = {"i": str(event.number), "p": str(event.price), "v": str(event.quantity),
                   "S": event.side, "T": str(event.ts)}  # fmt: skip
        else:
            name = "liquidation:usdt-futures:"
            position = "buy" if event.side == "sell" else "sell"
            row = {"symbol": event.symbol, "side": position, "price": str(event.price),
                   "amount": str(event.quantity * event.price), "ts": str(event.ts)}  # fmt: skip
        message = {"action": "update", "arg": _argument(name), "data": [row], "ts": event.ts}
        return name, json.dumps(message)

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if path != "/api/v3/market/instruments":
            return None
        rows = [
            {"symbol": s, "category": "USDT-FUTURES", "baseCoin": s.removesuffix("USDT"),
             "quoteCoin": "USDT", "type": "perpetual", "deliveryTime": ""}
            for s in self.symbols if query["category"] == "USDT-FUTURES"
        ]  # fmt: skip
        return {"code": "00000", "data": rows}


def _argument(name: str) -> dict[str, str]:
    topic, kind, symbol = name.split(":")
    return {"instType": kind, "topic": topic} | ({"symbol": symbol} if symbol else {})
