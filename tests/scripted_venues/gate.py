"""Gate v4 as venue-protocols.md 7 has it."""

import json
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Gate(Speaks):
    path_of = {"usdt": "/v4/ws/usdt", "btc": "/v4/ws/btc"}
    symbols = ("BTC_USDT", "ETH_USDT")

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        if body.get("event") != "subscribe":
            return None
        assert isinstance(body["time"], int)
        return Request([f"{body['channel']}:{of}" for of in body["payload"]], body)

    def confirm(self, request: Request) -> list[str]:
        body = request.number
        return [json.dumps(body | {"error": None, "result": {"status": "success"}})]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        error = {"code": 2, "message": f"unknown contract {names[0].partition(':')[2]}"}
        channel = request.number["channel"]
        message = {
            "time": 1,
            "channel": channel,
            "event": "subscribe",
            "error": error,
            "result": None,
        }
        return [json.dumps(message)], []

    def reply(self, message: str) -> str | None:
        return '{"time":1545404023,"channel":"futures.pong","event":"","error":null,"result":null}'

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        size = -100 if event.side == "sell" else 100
        if event.kind == "trade":
            name, channel, result = (
                f"futures.trades:{event.symbol}",
                "futures.trades",
                [self._row(event)],
            )
        else:
            channel = "futures.public_liquidates"
            name = f"{channel}:!all"
            result = [{"price": str(event.price), "size": str(size), "time_ms": event.ts,
                       "contract": event.symbol}]  # fmt: skip
        seconds = event.ts // 1000
        message = {"time": seconds, "channel": channel, "event": "update", "result": result}
        return name, json.dumps(message)

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if path.endswith("/contracts"):
            return [
                {"name": s, "type": "direct", "quanto_multiplier": "0.0001"}
                for s in self.symbols if "/usdt/" in path
            ]  # fmt: skip
        if not path.endswith("/trades"):
            return None
        first, last = int(query["from"]), int(query["to"])
        rows = [e for e in reversed(tape) if e.kind == "trade" and e.symbol == query["contract"]]
        rows = [e for e in rows if first <= e.ts // 1000 <= last]
        offset = int(query["offset"])
        return [self._row(event) for event in rows[offset : offset + int(query["limit"])]]

    def _row(self, event: Event) -> dict[str, Any]:
        return {
            "contract": event.symbol, "create_time": event.ts // 1000, "create_time_ms": event.ts,
            "id": event.number, "price": str(event.price), "size": -75 if event.side == "sell" else 75,
        }  # fmt: skip
