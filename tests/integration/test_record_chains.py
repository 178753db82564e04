"""What `undertow record` keeps of chains, played with the ids, versions and owners of live."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import zmq.asyncio
from aiohttp import web
from scripted_venues.bitcoind import PAYEE, Bitcoind
from scripted_venues.bitcoind import hash_of as block_hash
from scripted_venues.ears import Kept
from scripted_venues.node import HOT, WHALE, Node

from streams.cli.source import open_named
from streams.feed.connection import Time
from streams.feed.recording import keeping
from streams.feed.wanted import feeds_of
from streams.feeds.labels import Label, Labels
from streams.process import label_file
from streams.process.settings import Settings
from streams.sources.raw_frames import FrameWriter

QUICK = Time(sleep=lambda seconds: asyncio.sleep(min(seconds, 0.05)))
LABELS = Labels([
    Label(family=family, address=address, owner="binance", kind="exchange", source="test",
          confidence=0.9, date="2026-01-01")
    for family, address in (("evm", HOT), ("bitcoin", PAYEE))
])  # fmt: skip


def began() -> int:
    return time.time_ns() // 1000 - 3600 * 1_000_000


async def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def told(records) -> list[tuple]:
    return [(r.event_id, r.version, r.removed, r.to_owner, r.notional_usd) for r in records]


def transfers(kept: Kept) -> list:
    return kept.records_of.get("whale_transfers", [])


def standing(kept: Kept) -> set[str]:
    latest = {record.event_id: record for record in transfers(kept)}
    return {name.split(":")[1] for name, record in latest.items() if not record.removed}


@asynccontextmanager
async def recording(folder: Path, chain: str, urls: str, at: Time = QUICK):
    """Hear a chain as `feed` does, and keep its frames as `record` does."""
    settings = Settings(
        data_dir=str(folder), venues=chain, assets="all", whale_alert_key="k", venue_urls=urls
    )
    label_file.save(label_file.file_of(settings.data_dir), LABELS)
    kept, failed, writer = Kept(), [], FrameWriter(folder / "frames")
    keep_frame = keeping(writer, folder / "instruments", failed)
    [feed] = feeds_of(settings, kept, at, lambda producer: {}, keep_frame)
    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(feed.run(session))
        try:
            yield kept
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            writer.close()
    assert failed == []


def assert_played_as_live(folder: Path, kept: Kept) -> None:
    opened = open_named(folder / "frames", 1, 1.0, settings=Settings(data_dir=str(folder)))
    played = [record for topic, record in opened.items if topic == "whale_transfers"]
    assert len(played) > 1
    assert told(played) == told(transfers(kept))


@pytest.mark.parametrize("faults", [(), ("no_logs", "no_removed"), ("logs_first", "twice")])
def test_frames_of_a_node_give_a_reorgs_transfers_as_live(tmp_path: Path, faults) -> None:
    async def play() -> Kept:
        node = Node(began(), *faults)
        for name, number, parent in (("r", 100, "q"), ("a1", 101, "r"), ("a2", 102, "a1"),
                                     ("b1", 101, "r"), ("b2", 102, "b1"), ("b3", 103, "b2")):  # fmt: skip
            node.add(name, number, parent, ether=100.0)
        async with (
            node.serving() as url,
            recording(tmp_path, "ethereum", f"ethereum.node={url}", Time()) as kept,
        ):
            await until(lambda: node.clients)
            await node.tell("r", "a1", "a2")
            await until(lambda: len(hashes(kept)) == 6)
            await node.drop()
            await until(lambda: not node.clients)
            await until(lambda: node.clients)
            await node.remove("a2", "a1")
            await node.tell("b1", "b2", "b3")
            await until(lambda: sum(record.removed for record in transfers(kept)) >= 4)
            await until(lambda: len(hashes(kept)) == 12)
        return kept

    def hashes(kept: Kept) -> set[str]:
        return {record.tx_hash for record in transfers(kept)}

    assert_played_as_live(tmp_path, asyncio.run(play()))


@pytest.mark.parametrize("reader", ["esplora", "rpc"])
def test_answers_about_blocks_of_bitcoin_give_its_payments_as_live(
    tmp_path: Path, reader: str
) -> None:
    async def play() -> Kept:
        server = Bitcoind(began())
        server.add("r", 100, "q", t0=50.0)
        server.add("a1", 101, "r", t1=100.0)
        server.add("b1", 101, "r", t2=200.0)
        server.add("b2", 102, "b1", **{f"u{n}": 10.0 for n in range(60)})  # three pages
        server.tip = block_hash("r")
        async with (
            server.serving() as address,
            recording(tmp_path, "bitcoin", f"bitcoin.{reader}=http://{address}") as kept,
        ):
            await until(lambda: transfers(kept))
            server.tip = block_hash("a1")
            await until(lambda: block_hash("t1") in standing(kept))
            server.tip = block_hash("b2")
            await until(lambda: block_hash("u59") in standing(kept))
        return kept

    kept = asyncio.run(play())
    assert any(record.removed for record in transfers(kept))
    assert_played_as_live(tmp_path, kept)


def test_a_block_that_zmq_took_back_is_taken_back_when_played(tmp_path: Path) -> None:
    async def play() -> Kept:
        server = Bitcoind(began())
        server.add("r", 100, "q", t0=50.0)
        server.add("a1", 101, "r", t1=100.0)
        server.tip = block_hash("a1")
        context = zmq.asyncio.Context()
        publisher = context.socket(zmq.PUB)
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        async with server.serving() as address:
            urls = f"bitcoin.rpc=http://{address} bitcoin.zmq=tcp://127.0.0.1:{port}"
            async with recording(tmp_path, "bitcoin", urls) as kept:
                await until(lambda: transfers(kept))
                server.tip = block_hash("r")
                parts = [b"sequence", bytes.fromhex(block_hash("a1")) + b"D", bytes(4)]
                for _ in range(100):  # a subscriber joins late: PUB drops what nobody hears
                    await publisher.send_multipart(parts)
                    await asyncio.sleep(0.05)
                    if any(record.removed for record in transfers(kept)):
                        break
        publisher.close(linger=0)
        context.term()
        return kept

    kept = asyncio.run(play())
    assert any(record.removed for record in transfers(kept))
    assert_played_as_live(tmp_path, kept)


def alert(number: int) -> dict:
    return {
        "type": "alert", "channel_id": "c", "timestamp": 1_695_290_208, "blockchain": "ethereum",
        "transaction_type": "transfer", "from": "unknown wallet", "to": "unknown wallet",
        "amounts": [{"symbol": "USDT", "amount": 5e6, "value_usd": 5e6}],
        "transaction": {"hash": f"0x{number:064x}", "height": 1, "sub_transactions": [{
            "symbol": "USDT", "unit_price_usd": 1.0, "transaction_type": "transfer",
            "inputs": [{"address": WHALE, "amount": "5000000", "owner": "unknown wallet"}],
            "outputs": [{"address": HOT, "amount": "5000000", "owner": "unknown wallet"}]}]},
    }  # fmt: skip


def page(start: int) -> dict:
    party = {"owner": "", "owner_type": "unknown"}
    rows = [
        {"height": number, "timestamp": int(time.time()) - 60, "hash": f"0x{number:064x}",
         "sub_transactions": [{
             "symbol": "usdt", "transaction_type": "transfer", "unit_price_usd": 1.0,
             "inputs": [{"address": WHALE, "amount": str(usd), **party}],
             "outputs": [{"address": HOT, "amount": str(usd), **party}]}]}
        for number, usd in ((start, 5e6), (1_000 + start, 99_000.0))
    ]  # fmt: skip
    is_end = start >= 103
    after = start if is_end else start + 1
    rows = [] if is_end else rows
    return {"transactions": rows, "next": f"/ethereum/transactions?start_height={after}"}


@asynccontextmanager
async def whale_alert():
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/ethereum/status":
            return web.json_response({"end_height": 100})
        if request.path == "/ethereum/transactions":
            return web.json_response(page(int(request.query["start_height"])))
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.receive_str()
        await ws.send_str('{"type":"subscribed_alerts","id":"undertow","channel_id":"c"}')
        for number in (1, 2, 3, 1):
            await ws.send_str(json.dumps(alert(number)))
        await ws.receive()
        return ws

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("url", ["ws=ws://{}/ws", "rest=http://{}/ethereum"])
def test_whale_alerts_messages_and_pages_give_its_transfers_as_live(
    tmp_path: Path, url: str
) -> None:
    async def play() -> Kept:
        async with whale_alert() as address:
            urls = f"whale_alert.{url.format(address)}"
            async with recording(tmp_path, "whale_alert", urls) as kept:
                await until(lambda: len({record.event_id for record in transfers(kept)}) == 3)
                await asyncio.sleep(0.2)
        return kept

    kept = asyncio.run(play())
    assert {record.to_owner for record in transfers(kept)} == {"binance"}
    assert_played_as_live(tmp_path, kept)
