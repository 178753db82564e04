"""Bybit v5 as venue-protocols.md 2 has it: one bad topic refuses the whole request."""

import json
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Bybit(Speaks):
    path_of = {"linear": "/v5/public/linear", "inverse": "/v5/public/inverse"}

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        return Request(body["args"], body["req_id"]) if body["op"] == "subscribe" else None

    def confirm(self, request: Request) -> list[str]:
        return [self._reply(True, "", request)]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        return [self._reply(False, f"error:handler not found,topic:{names[0]}", request)], []

    def reply(self, message: str) -> str | None:
        return json.dumps({"success": True, "ret_msg": "pong", "conn_id": "c", "op": "ping"})

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        if event.kind == "trade":
            topic = f"publicTrade.{event.symbol}"
            item: dict[str, Any] = {"i": f"t-{event.number}", "S": event.side.title()}
        else:
            topic = f"allLiquidation.{event.symbol}"
            # The position's side: a sold order closed a long.
            item = {"S": "Buy" if event.side == "sell" else "Sell"}
        item |= {"T": event.ts, "s": event.symbol, "v": str(event.quantity), "p": str(event.price)}
        message = {"topic": topic, "type": "snapshot", "ts": event.ts + 10, "data": [item]}
        return topic, json.dumps(message)

    def rest(self, path: str, query: dict[str, str], tape: list[Event]) -> Any:
        if path == "/v5/market/instruments-info":
            linear = query["category"] == "linear"
            rows = [
                {"symbol": s, "contractType": "LinearPerpetual", "baseCoin": s.removesuffix("USDT"),
                 "quoteCoin": "USDT", "settleCoin": "USDT", "deliveryTime": "0"}
                for s in self.symbols if linear
            ]  # fmt: skip
            return {"retCode": 0, "retMsg": "OK", "result": {"list": rows}}
        if path != "/v5/market/recent-trade":
            return None
        rows = [
            {"execId": f"t-{e.number}", "symbol": e.symbol, "price": str(e.price),
             "size": str(e.quantity), "side": e.side.title(), "time": str(e.ts)}
            for e in reversed(tape) if e.kind == "trade" and e.symbol == query["symbol"]
        ]  # fmt: skip
        return {"retCode": 0, "retMsg": "OK", "result": {"list": rows[: int(query["limit"])]}}

    def _reply(self, success: bool, text: str, request: Request) -> str:
        return json.dumps({
            "success": success, "ret_msg": text, "conn_id": "c", "req_id": request.number,
            "op": "subscribe",
        })  # fmt: skip
