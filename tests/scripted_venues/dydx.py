"""dYdX v4's indexer as venue-protocols.md 9 has it: messages are numbered, 32 a channel at most."""

import json
from datetime import UTC, datetime
from typing import Any

from scripted_venues.server import Event, Request, Speaks


class Dydx(Speaks):
    path_of = {"indexer": "/v4/ws"}
    symbols = ("BTC-USD", "ETH-USD")

    def __init__(self) -> None:
        self.message = 0

    def greeting(self) -> list[str]:
        return [self._numbered({"type": "connected"})]

    def request(self, message: str) -> Request | None:
        body = json.loads(message)
        return Request([f"{body['channel']}:{body['id']}"], body)

    def confirm(self, request: Request) -> list[str]:
        of = {"channel": request.number["channel"], "id": request.number["id"]}
        return [self._numbered({"type": "subscribed", **of, "contents": {"trades": []}})]

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        text = f"Invalid subscription: {request.number['id']}"
        return [self._numbered({"type": "error", "message": text})], []

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        message = {"type": "channel_data", "id": event.symbol, "channel": "v4_trades",
                   "version": "2.4.0", "contents": {"trades": [self._row(event)]}}  # fmt: skip
        return f"v4_trades:{event.symbol}", self._numbered(message)

    def rest(self, path: str, query: dict[str, Any], tape: list[Event]) -> Any:
        if path == "/v4/perpetualMarkets":
            return {"markets": {s: {"ticker": s, "clobPairId": "0"} for s in self.symbols}}
        market = path.rpartition("/")[2]
        rows = [e for e in reversed(tape) if e.symbol == market]
        rows = [e for e in rows if _moment(e.ts) <= query.get("createdBeforeOrAt", "9")]
        return {"trades": [self._row(event) for event in rows[: int(query["limit"])]]}

    def _numbered(self, message: dict[str, Any]) -> str:
        self.message += 1
        return json.dumps(message | {"connection_id": "c", "message_id": self.message})

    def _row(self, event: Event) -> dict[str, Any]:
        return {
            "id": f"{event.kind}-{event.number}", "side": event.side.upper(),
            "size": str(event.quantity), "price": str(event.price), "createdAt": _moment(event.ts),
            "type": "LIMIT" if event.kind == "trade" else "LIQUIDATED",
        }  # fmt: skip


def _moment(millis: int) -> str:
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
