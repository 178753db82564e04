"""Deribit as venue-protocols.md 6 has it: what is missing in a result was not subscribed."""

import json
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Deribit(Speaks):
    path_of = {"public": "/ws/api/v2"}
    symbols = ("BTC-PERPETUAL", "ETH-PERPETUAL")

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        if body["method"] != "public/subscribe":
            return None
        return Request(body["params"]["channels"], body["id"])

    def confirm(self, request: Request) -> list[str]:
        return [json.dumps({"jsonrpc": "2.0", "id": request.number, "result": request.names})]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        served = [name for name in request.names if name not in names]
        return self.confirm(request._replace(names=served)), served

    def reply(self, message: str) -> str | None:
        return json.dumps({"jsonrpc": "2.0", "id": json.loads(message)["id"], "result": "ok"})

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        channel = f"trades.{event.symbol}.100ms"
        params = {"channel": channel, "data": [self._row(event)]}
        return channel, json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if path == "/api/v2/public/get_instruments":
            rows = [
                {"instrument_name": s, "kind": "future", "base_currency": s.split("-")[0],
                 "quote_currency": "USD", "instrument_type": "reversed",
                 "settlement_period": "perpetual", "contract_size": 10}
                for s in self.symbols
            ]  # fmt: skip
            return {"jsonrpc": "2.0", "result": rows}
        if path != "/api/v2/public/get_last_trades_by_instrument_and_time":
            return None
        first, last = int(query["start_timestamp"]), int(query["end_timestamp"])
        rows = [e for e in tape if e.symbol == query["instrument_name"] and first <= e.ts <= last]
        page = [self._row(event) for event in rows[: int(query["count"])]]
        return {"jsonrpc": "2.0", "result": {"trades": page, "has_more": len(page) < len(rows)}}

    def _row(self, event: Event) -> dict[str, Any]:
        row = {
            "timestamp": event.ts, "price": event.price, "amount": 640.0, "direction": event.side,
            "index_price": event.price, "instrument_name": event.symbol, "trade_seq": event.number,
            "mark_price": event.price, "tick_direction": 0, "contracts": 64.0,
            "trade_id": f"{event.kind}-{event.number}",
        }  # fmt: skip
        return row | ({"liquidation": "T"} if event.kind == "liquidation" else {})
