"""OKX v5 as venue-protocols.md 3 has it: an argument is confirmed, or refused, by itself."""

import json
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Okx(Speaks):
    path_of = {"public": "/ws/v5/public", "business": "/ws/v5/business"}
    symbols = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")

    def request(self, message: str) -> Request | None:
        if message == "ping":
            return None
        names = [
            f"{a['channel']}:{a.get('instId') or a['instType']}"
            for a in json.loads(message)["args"]
        ]
        return Request(names, None)

    def confirm(self, request: Request) -> list[str]:
        replies = []
        for name in request.names:
            channel, _, of = name.partition(":")
            kind = "instId" if of in self.symbols else "instType"
            argument = {"channel": channel, kind: of}
            replies.append(json.dumps({"event": "subscribe", "arg": argument, "connId": "c"}))
        return replies

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        served = [name for name in request.names if name not in names]
        errors = [
            json.dumps({"event": "error", "code": "60018", "connId": "c",
                        "msg": f"Wrong URL or channel:{n.replace(':', ',instId:')} doesn't exist."})
            for n in names
        ]  # fmt: skip
        return errors + self.confirm(Request(served, None)), served

    def reply(self, message: str) -> str | None:
        return "pong"

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        if event.kind == "trade":
            argument = {"channel": "trades-all", "instId": event.symbol}
            return f"trades-all:{event.symbol}", json.dumps(
                {"arg": argument, "data": [self._row(event)]}
            )
        family = "-".join(event.symbol.split("-")[:2])
        details = {
            "bkLoss": "0", "bkPx": str(event.price), "ccy": "", "sz": str(event.quantity),
            "posSide": "long" if event.side == "sell" else "short", "side": event.side,
            "ts": str(event.ts),
        }  # fmt: skip
        data = {"details": [details], "instFamily": family, "instId": event.symbol,
                "instType": "SWAP", "uly": family}  # fmt: skip
        argument = {"channel": "liquidation-orders", "instType": "SWAP"}
        return "liquidation-orders:SWAP", json.dumps({"arg": argument, "data": [data]})

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if path == "/api/v5/public/instruments":
            rows = [
                {"instType": "SWAP", "instId": s, "instFamily": s.removesuffix("-SWAP"),
                 "ctType": "linear", "ctVal": "0.01", "ctMult": "1", "ctValCcy": s.split("-")[0],
                 "settleCcy": "USDT"}
                for s in self.symbols if query["instType"] == "SWAP"
            ]  # fmt: skip
            return {"code": "0", "msg": "", "data": rows}
        if path == "/api/v5/market/history-trades":
            kind = [e for e in tape if e.kind == "trade" and e.symbol == query["instId"]]
        elif path == "/api/v5/public/liquidation-orders":
            kind = [e for e in tape if e.kind != "trade" and e.symbol.startswith(query["uly"])]
        else:
            return None
        older = [e for e in reversed(kind) if e.ts < int(query["after"])][: int(query["limit"])]
        if path == "/api/v5/market/history-trades":
            return {"code": "0", "msg": "", "data": [self._row(e) for e in older]}
        rows = [json.loads(self.frame(e)[1])["data"][0] for e in older]
        return {"code": "0", "msg": "", "data": rows}

    def _row(self, event: Event) -> dict[str, str]:
        return {
            "instId": event.symbol, "tradeId": str(event.number), "px": str(event.price),
            "sz": str(event.quantity), "side": event.side, "ts": str(event.ts),
        }  # fmt: skip
