"""A node of an EVM chain as venue-protocols.md 13 has it, which tells of reorgs well or badly."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from streams.feeds.ethereum import TRANSFER

USDT = "0xdac17f958d2ee523a2206206994597c13d831ec7"
WHALE, HOT = "0x" + "aa" * 20, "0x" + "28c6" * 10


def hash_of(name: str) -> str:
    return "0x" + name.encode().hex().rjust(64, "0")


class Node:
    """Blocks by name; `logs_first`, `no_removed`, `no_heads`, `twice` are what it does wrong."""

    def __init__(self, began: int, *faults: str) -> None:
        self.blocks: dict[str, dict[str, Any]] = {}
        self.faults = set(faults)
        self.clients: list[web.WebSocketResponse] = []
        self.calls: list[str] = []
        self.began = began

    def add(self, name: str, number: int, parent: str, usdt: float = 5e6, ether: float = 0.0):
        seconds = self.began // 1_000_000 + number
        log = {
            "address": USDT,
            "topics": [TRANSFER, *("0x" + a[2:].rjust(64, "0") for a in (WHALE, HOT))],
            "data": "0x" + f"{int(usdt * 1e6):064x}",
            "blockNumber": hex(number),
            "blockHash": hash_of(name),
            "transactionHash": hash_of(f"tx{name}"),
            "logIndex": "0x5",
            "removed": False,
        }
        transaction = {
            "hash": hash_of(f"eth{name}"), "from": WHALE, "to": HOT,
            "value": hex(int(ether * 1e18)), "transactionIndex": "0x0",
        }  # fmt: skip
        self.blocks[name] = {
            "head": {
                "number": hex(number), "hash": hash_of(name), "parentHash": hash_of(parent),
                "timestamp": hex(seconds),
            },
            "logs": [log],
            "transactions": [transaction],
        }  # fmt: skip

    async def tell(self, *names: str) -> None:
        """Announce new blocks."""
        for name in names:
            block = self.blocks[name]
            head, logs = [("0xheads", block["head"])], [("0xlogs", log) for log in block["logs"]]
            if "no_heads" in self.faults:
                head = []
            if "no_logs" in self.faults:
                logs = []
            messages = [*logs, *head] if "logs_first" in self.faults else [*head, *logs]
            for _ in range(2 if "twice" in self.faults else 1):
                for subscription, result in messages:
                    await self._push(subscription, result)

    async def remove(self, *names: str) -> None:
        """Take blocks back, the newest first."""
        if "no_removed" in self.faults:
            return
        for name in names:
            for log in self.blocks[name]["logs"]:
                for _ in range(2 if "twice" in self.faults else 1):
                    await self._push("0xlogs", log | {"removed": True})

    async def drop(self) -> None:
        for ws in list(self.clients):
            if transport := ws._req.transport:  # type: ignore[union-attr]
                transport.abort()

    async def _push(self, subscription: str, result: Any) -> None:
        params = {"subscription": subscription, "result": result}
        message = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
        for ws in list(self.clients):
            await ws.send_str(json.dumps(message))

    def _answer(self, method: str, params: list[Any]) -> Any:
        if method == "eth_subscribe":
            return {"newHeads": "0xheads", "logs": "0xlogs"}[params[0]]
        if method == "eth_blockNumber":
            return "0x1"
        wanted = params[0]["blockHash"] if method == "eth_getLogs" else params[0]
        for block in self.blocks.values():
            if block["head"]["hash"] == wanted:
                if method == "eth_getLogs":
                    return block["logs"]
                more = (
                    {"transactions": block["transactions"]} if params[1] else {"transactions": []}
                )
                return block["head"] | more
        return None

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        asked: set[str] = set()
        try:
            async for message in ws:
                if message.type is not WSMsgType.TEXT:
                    continue
                call = json.loads(message.data)
                self.calls.append(call["method"])
                answer = {"jsonrpc": "2.0", "id": call["id"]}
                answer["result"] = self._answer(call["method"], call["params"])
                await ws.send_str(json.dumps(answer))
                if call["method"] == "eth_subscribe":
                    asked.add(call["params"][0])
                if asked == {"newHeads", "logs"} and ws not in self.clients:
                    self.clients.append(ws)
        finally:
            if ws in self.clients:
                self.clients.remove(ws)
        return ws

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/", self._websocket)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"ws://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"  # type: ignore[union-attr]
        finally:
            await self.drop()
            await runner.cleanup()
