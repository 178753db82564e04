"""BitMEX as venue-protocols.md 5 has it."""

import json
from datetime import UTC, datetime
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Bitmex(Speaks):
    path_of = {"realtime": "/realtime"}
    symbols = ("XBTUSDT", "ETHUSDT")

    def greeting(self) -> list[str]:
        return [
            '{"info":"Welcome to the BitMEX Realtime API.","version":"2.0.0","limit":{"remaining":39}}'
        ]

    def request(self, message: str) -> Request | None:
        return None if message == "ping" else Request(json.loads(message)["args"], None)

    def confirm(self, request: Request) -> list[str]:
        replies = []
        for name in request.names:
            sent = {"op": "subscribe", "args": [name]}
            replies.append(json.dumps({"success": True, "subscribe": name, "request": sent}))
            table = name.partition(":")[0]
            replies.append(
                json.dumps({"table": table, "action": "partial", "keys": [], "data": []})
            )
        return replies

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        sent = {"op": "subscribe", "args": request.names}
        error = {"status": 400, "error": f"Unknown table: {names[0]}", "meta": {}, "request": sent}
        return [json.dumps(error)], []

    def reply(self, message: str) -> str | None:
        return "pong"

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        if event.kind == "trade":
            message = {"table": "trade", "action": "insert", "data": [self._row(event)]}
            return f"trade:{event.symbol}", json.dumps(message)
        row = {"orderID": f"o-{event.number}", "symbol": event.symbol, "side": event.side.title(),
               "price": event.price, "leavesQty": 1000}  # fmt: skip
        return "liquidation", json.dumps(
            {"table": "liquidation", "action": "insert", "data": [row]}
        )

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if path == "/api/v1/instrument/active":
            return [
                {"symbol": s, "underlying": s.removesuffix("USDT"), "quoteCurrency": "USDT",
                 "isInverse": False, "isQuanto": False, "underlyingToPositionMultiplier": 1_000_000,
                 "multiplier": 1, "expiry": None}
                for s in self.symbols
            ]  # fmt: skip
        if path != "/api/v1/trade":
            return None
        rows = [e for e in tape if e.kind == "trade" and e.symbol == query["symbol"]]
        rows = [e for e in rows if query["startTime"] <= _moment(e.ts) <= query["endTime"]]
        start = int(query["start"])
        return [self._row(event) for event in rows[start : start + int(query["count"])]]

    def _row(self, event: Event) -> dict[str, Any]:
        return {
            "timestamp": _moment(event.ts), "symbol": event.symbol, "side": event.side.title(),
            "size": 3000, "price": event.price, "trdMatchID": f"m-{event.number}",
            "homeNotional": 0.003, "foreignNotional": 0.003 * event.price, "trdType": "Regular",
        }  # fmt: skip


def _moment(millis: int) -> str:
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
