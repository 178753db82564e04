"""A node of Bitcoin: Esplora's REST, bitcoind's RPC, a mempool server's WebSocket and ZMQ in one."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

PAYER, PAYEE = "bc1qpayer00000", "bc1qpayee00000"


def hash_of(name: str) -> str:
    return name.encode().hex().rjust(64, "0")


class Bitcoind:
    """Blocks by name; `away` answers 503. Payments are names of transactions and their coins."""

    def __init__(self, began: int) -> None:
        self.blocks: dict[str, dict[str, Any]] = {}
        self.tip = ""
        self.away = False
        self.asked: list[str] = []
        self.sockets: list[web.WebSocketResponse] = []
        self._began = began // 1_000_000

    def add(self, name: str, height: int, parent: str, **payments: float) -> None:
        self.blocks[hash_of(name)] = {
            "name": name, "height": height, "parent": hash_of(parent),
            "time": self._began + height, "payments": payments,
        }  # fmt: skip

    async def tell(self, name: str) -> None:
        self.tip = hash_of(name)
        for ws in self.sockets:
            await ws.send_str(json.dumps({"block": {"id": self.tip}}))

    def _esplora(self, block: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "txid": hash_of(tx),
                "vin": [{"prevout": {"scriptpubkey_address": PAYER, "value": 10**12}}],
                "vout": [{"scriptpubkey_address": PAYEE, "value": round(coins * 1e8)},
                         {"scriptpubkey_address": PAYER, "value": 5}],
                "status": {"confirmed": True, "block_time": block["time"]},
            }
            for tx, coins in block["payments"].items()
        ]  # fmt: skip

    def _core(self, block: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "txid": hash_of(tx),
                "vin": [{"prevout": {"value": 1e4, "scriptPubKey": {"address": PAYER}}}],
                "vout": [{"value": coins, "n": 0, "scriptPubKey": {"address": PAYEE}}],
            }
            for tx, coins in block["payments"].items()
        ]

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked.append(path)
        if self.away:
            return web.Response(status=503)
        if path == "/ws":
            ws = web.WebSocketResponse(compress=False)
            await ws.prepare(request)
            self.sockets.append(ws)
            async for _ in ws:
                pass
            self.sockets.remove(ws)
            return ws
        if path == "/blocks/tip/hash":
            return web.Response(text=self.tip)
        name, *rest = path.removeprefix("/block/").split("/")
        block = self.blocks.get(name)
        if block is None:
            return web.Response(status=404)
        if rest:
            start = int(rest[1])
            return web.json_response(self._esplora(block)[start : start + 25])
        return web.json_response({
            "id": name, "height": block["height"], "timestamp": block["time"],
            "tx_count": len(block["payments"]), "previousblockhash": block["parent"],
        })  # fmt: skip

    async def _post(self, request: web.Request) -> web.Response:
        if self.away:
            return web.Response(status=503)
        call = json.loads(await request.read())
        self.asked.append(call["method"])
        method, params = call["method"], call["params"]
        if method == "getbestblockhash":
            return web.json_response({"result": self.tip, "error": None, "id": "b"})
        block = self.blocks.get(params[0])
        if block is None:
            error = {"code": -5, "message": "Block not found"}
            return web.json_response({"result": None, "error": error, "id": "b"}, status=500)
        head = {"hash": params[0], "height": block["height"], "time": block["time"],
                "previousblockhash": block["parent"]}  # fmt: skip
        more = {"tx": self._core(block)} if method == "getblock" else {}
        return web.json_response({"result": head | more, "error": None, "id": "b"})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        app.router.add_post("/", self._post)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
        finally:
            for ws in list(self.sockets):
                await ws.close()
            await runner.cleanup()
