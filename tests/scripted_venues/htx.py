"""HTX as venue-protocols.md 11 has it: gzip in binary messages, the ping's `ts` a string."""

import gzip
import json
from typing import Any

from scripted_venues.server import Event, Request, Speaks

_EVERY = "public.*.liquidation_orders"


class Htx(Speaks):
    path_of = {
        "linear": "/linear-swap-ws", "swap": "/swap-ws",
        "linear_orders": "/linear-swap-notification", "swap_orders": "/swap-notification",
    }  # fmt: skip
    symbols = ("BTC-USDT", "ETH-USDT")

    def __init__(self) -> None:
        self.pongs: list[str] = []

    def wrap(self, text: str) -> str | bytes:
        return gzip.compress(text.encode())

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        if body.get("op") == "sub":
            return Request([body["topic"]], body)
        return Request([body["sub"]], body) if "sub" in body else None

    def confirm(self, request: Request) -> list[str]:
        name, body = request.names[0], request.number
        if name == _EVERY:
            return [json.dumps({"op": "sub", "cid": body["cid"], "topic": name, "err-code": 0})]
        return [json.dumps({"id": body["id"], "subbed": name, "ts": 1, "status": "ok"})]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        error = {"status": "error", "err-code": "bad-request", "err-msg": f"invalid {names[0]}"}
        return [json.dumps(error | {"id": request.number["id"], "ts": 1})], []

    def reply(self, message: str) -> str | None:
        self.pongs.append(message)
        return None

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        if event.kind == "trade":
            name = f"market.{event.symbol}.trade.detail"
            row = {"amount": 6, "ts": event.ts, "id": event.number, "price": event.price,
                   "direction": event.side, "quantity": 0.006, "trade_turnover": 505.8}  # fmt: skip
            tick = {"id": event.number, "ts": event.ts, "data": [row]}
            message: dict[str, Any] = {"ch": name, "ts": event.ts, "tick": tick}
            return name, self.wrap(json.dumps(message))
        order = {"symbol": event.symbol.split("-")[0], "contract_code": event.symbol,
                 "direction": event.side, "offset": "close", "volume": 31, "price": event.price,
                 "created_at": event.ts, "amount": event.quantity,
                 "trade_turnover": event.quantity * event.price}  # fmt: skip
        topic = f"public.{event.symbol}.liquidation_orders"
        message = {"op": "notify", "topic": topic, "ts": event.ts, "data": [order]}
        return _EVERY, self.wrap(json.dumps(message))

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if path == "/linear-swap-api/v1/swap_contract_info":
            return {"status": "ok", "data": [
                {"symbol": s.split("-")[0], "contract_code": s, "contract_size": 0.001}
                for s in self.symbols
            ]}  # fmt: skip
        return {"status": "ok", "data": []} if path == "/swap-api/v1/swap_contract_info" else None
