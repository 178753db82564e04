"""Bitfinex as venue-protocols.md 10 has it: channels are numbers, new on each connection."""

import json
from typing import Any

from scripted_venues.server import Event, Request, Speaks

_LIQUIDATIONS = "status:liq:global"


class Bitfinex(Speaks):
    path_of = {"public": "/ws/2"}
    symbols = ("tBTCF0:USTF0", "tETHF0:USTF0")
    numbers = {_LIQUIDATIONS: 91684, "trades:tBTCF0:USTF0": 23916, "trades:tETHF0:USTF0": 23917}

    def greeting(self) -> list[str]:
        return ['{"event":"info","version":2,"serverId":"s","platform":{"status":1}}']

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        if body["event"] != "subscribe":
            return None
        return Request([f"{body['channel']}:{body.get('key') or body['symbol']}"], body)

    def confirm(self, request: Request) -> list[str]:
        number = self.numbers[request.names[0]]
        return [json.dumps(request.number | {"event": "subscribed", "chanId": number})]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        error = {"event": "error", "msg": "symbol: invalid", "code": 10300}
        return [json.dumps(request.number | error)], []

    def reply(self, message: str) -> str | None:
        return '{"event":"pong","cid":1,"ts":1790000000000}'

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        if event.kind == "trade":
            name = f"trades:{event.symbol}"
            return name, json.dumps([self.numbers[name], "te", self._row(event)])
        return _LIQUIDATIONS, json.dumps([self.numbers[_LIQUIDATIONS], [self._position(event)]])

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if not path.endswith("/hist"):
            return None
        kind = "liquidation" if path == "/v2/liquidations/hist" else "trade"
        rows = [
            e for e in reversed(tape) if e.kind == kind and (kind != "trade" or e.symbol in path)
        ]
        rows = [e for e in rows if int(query["start"]) <= e.ts <= int(query["end"])]
        page = rows[: int(query["limit"])]
        if kind == "trade":
            return [self._row(event) for event in page]
        return [self._position(event) for event in page]

    def _row(self, event: Event) -> list[Any]:
        sign = -1 if event.side == "sell" else 1
        return [event.number, event.ts, sign * event.quantity, event.price]

    def _position(self, event: Event) -> list[Any]:
        long = 1 if event.side == "sell" else -1
        amount = long * event.quantity
        return [
            "pos",
            event.number,
            event.ts,
            None,
            event.symbol,
            amount,
            event.price,
            None,
            0,
            1,
            None,
            None,
        ]
