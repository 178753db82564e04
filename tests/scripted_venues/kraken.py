"""Kraken Futures as venue-protocols.md 12 has it: a subscription begins with history."""

import json
from datetime import UTC, datetime
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Kraken(Speaks):
    path_of = {"futures": "/ws/v1"}
    symbols = ("PF_XBTUSD", "PF_ETHUSD")

    def greeting(self) -> list[str]:
        return ['{"event":"info","version":1}']

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        return Request([f"{body['feed']}:{product}" for product in body["product_ids"]], body)

    def confirm(self, request: Request) -> list[str]:
        return [json.dumps(request.number | {"event": "subscribed"})]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        product = names[0].partition(":")[2]
        return [json.dumps({"event": "error", "message": f"Invalid product id {product}"})], []

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        message = {
            "feed": "trade", "product_id": event.symbol, "uid": f"{event.kind}-{event.number}",
            "side": event.side, "type": "fill" if event.kind == "trade" else "liquidation",
            "seq": event.number, "time": event.ts, "qty": event.quantity, "price": event.price,
        }  # fmt: skip
        return f"trade:{event.symbol}", json.dumps(message)

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if path == "/derivatives/api/v3/instruments":
            rows = [
                {"symbol": s, "type": "flexible_futures", "contractSize": 1} for s in self.symbols
            ]
            return {"result": "success", "instruments": rows}
        if path != "/derivatives/api/v3/history":
            return None
        rows = [e for e in reversed(tape) if e.symbol == query["symbol"]]
        rows = [e for e in rows if _moment(e.ts) < query["lastTime"]][:100]
        return {"result": "success", "history": [
            {"time": _moment(e.ts), "trade_id": e.number, "price": e.price, "size": e.quantity,
             "side": e.side, "type": "fill" if e.kind == "trade" else "liquidation",
             "uid": f"{e.kind}-{e.number}"}
            for e in rows
        ]}  # fmt: skip


def _moment(millis: int) -> str:
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
