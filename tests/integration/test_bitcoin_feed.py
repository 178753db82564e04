"""Bitcoin by Esplora, by bitcoind's RPC, woken by a WebSocket or by ZMQ: told once, taken back once."""

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
import zmq.asyncio
from scripted_venues.bitcoind import PAYEE, PAYER, Bitcoind, hash_of
from scripted_venues.ears import Kept

from streams.feed.chains.bitcoin_feed import BitcoinFeed
from streams.feed.connection import Time
from streams.feeds.bitcoin_frames import woken
from streams.feeds.labels import Label, Labels
from streams.feeds.ledger import Ledger
from streams.feeds.reorg import Chain

LABELS = Labels([
    Label(family="bitcoin", address=PAYEE, owner="kraken", kind="exchange", source="test",
          confidence=0.8, date="2026-01-01")
])  # fmt: skip


def node() -> Bitcoind:
    made = Bitcoind(time.time_ns() // 1000 - 3600 * 1_000_000)
    made.add("r", 100, "q", t0=50.0)
    made.add("a1", 101, "r", t1=100.0, small=0.1)
    made.add("a2", 102, "a1", t2=200.0)
    made.add("a3", 103, "a2", t3=300.0)
    made.add("b1", 101, "r", t2=200.0)  # the same payment, in another block
    made.add("b2", 102, "b1", **{f"u{n}": 10.0 for n in range(60)})  # three pages
    made.add("b3", 103, "b2")
    made.add("b4", 104, "b3", t9=99.0)
    return made


@asynccontextmanager
async def hearing(server: Bitcoind, *, rpc: bool = False, wake: str = "", zmq_url: str = ""):
    kept = Kept()
    async with server.serving() as address, aiohttp.ClientSession() as session:
        urls = {"rpc" if rpc else "esplora": f"http://{address}/"}
        if wake == "ws":
            urls["ws"] = f"ws://{address}/ws"
        if zmq_url:
            urls["zmq"] = zmq_url
        ledger = Ledger(Chain(), LABELS, lambda asset, ts: 90_000.0)
        # Without being woken it would look every ten seconds: here, ten times a second.
        quick = Time(sleep=lambda s: asyncio.sleep(s if wake else min(s, 0.1)))
        feed = BitcoinFeed(urls, ledger, "bitcoin", kept, quick)
        task = asyncio.create_task(feed.run(session))
        try:
            yield kept
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            feed.end()


async def until(true, seconds=8.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def transfers(kept):
    return kept.records_of.get("whale_transfers", [])


def standing(kept):
    latest = {record.event_id: record for record in transfers(kept)}
    return {name.split(":")[1] for name, record in latest.items() if not record.removed}


OLD = {hash_of(f"t{n}") for n in range(4)}
NEW = {hash_of(t) for t in ("t0", "t2", "t9", *(f"u{n}" for n in range(60)))}


@pytest.mark.parametrize("rpc", [False, True], ids=["esplora", "bitcoind"])
def test_a_reorg_takes_back_what_is_not_in_the_new_chain_and_nothing_else(rpc):
    async def play():
        server = node()
        server.tip = hash_of("r")
        async with hearing(server, rpc=rpc) as kept:
            await until(lambda: transfers(kept))
            await server.tell("a3")
            await until(lambda: standing(kept) == OLD)
            await server.tell("b4")
            await until(lambda: standing(kept) == NEW)
            await until(lambda: kept.alive("whale_transfers"))
        back = [record.event_id.split(":")[1] for record in transfers(kept) if record.removed]
        assert sorted(back) == sorted(OLD - NEW)
        [one] = [r for r in transfers(kept) if r.event_id == f"bitcoin:{hash_of('t2')}:0"]
        assert (one.from_address, one.to_owner, one.notional_usd) == (PAYER, "kraken", 18e6)

    asyncio.run(play())


def test_a_mempool_server_wakes_it_at_once():
    async def play():
        server = node()
        server.tip = hash_of("r")
        async with hearing(server, wake="ws") as kept:
            await until(lambda: transfers(kept) and server.sockets)
            await server.tell("a1")
            await until(lambda: hash_of("t1") in standing(kept), 4.0)  # not after ten seconds

    asyncio.run(play())


def test_bitcoinds_zmq_wakes_it_and_takes_back_what_was_disconnected():
    async def play():
        server = node()
        server.tip = hash_of("r")
        context = zmq.asyncio.Context()
        publisher = context.socket(zmq.PUB)
        port = publisher.bind_to_random_port("tcp://127.0.0.1")

        async def publish(number, topic, body):
            await publisher.send_multipart([topic, body, number.to_bytes(4, "little")])

        async with hearing(server, rpc=True, wake="zmq", zmq_url=f"tcp://127.0.0.1:{port}") as kept:
            await until(lambda: transfers(kept))
            server.tip = hash_of("a1")
            for number in range(50):  # a subscriber joins late: PUB drops what nobody hears
                await publish(number, b"hashblock", bytes.fromhex(server.tip))
                await asyncio.sleep(0.05)
                if hash_of("t1") in standing(kept):
                    break
            assert hash_of("t1") in standing(kept)
            server.tip = hash_of("r")
            await publish(0, b"sequence", bytes.fromhex(hash_of("a1")) + b"D")
            await until(lambda: standing(kept) == {hash_of("t0")}, 4.0)
        publisher.close(linger=0)
        context.term()

    asyncio.run(play())


def test_a_node_that_does_not_answer_is_silence_and_what_it_had_meanwhile_is_asked_for():
    async def play():
        server = node()
        server.tip = hash_of("r")
        async with hearing(server) as kept:
            await until(lambda: kept.alive("whale_transfers"))
            server.away = True
            await until(lambda: kept.states("silent"), 20.0)
            server.tip = hash_of("a3")
            server.away = False
            await until(lambda: standing(kept) == OLD)
            await until(lambda: kept.states("recovered"))
        assert kept.states("gap") == []

    asyncio.run(play())


def test_zmq_counters_tell_of_lost_messages_and_the_mempools_wake_nobody():
    counters: dict[bytes, int] = {}
    block = bytes(31) + b"\x01"

    def message(topic, body, number):
        return [topic, body, number.to_bytes(4, "little")]

    assert woken(message(b"sequence", block + b"A" + bytes(8), 5), counters) == []
    assert woken(message(b"sequence", block + b"R" + bytes(8), 6), counters) == []
    assert woken(message(b"sequence", block + b"A" + bytes(8), 8), counters) == [""]  # 7 was lost
    assert woken(message(b"sequence", block + b"D", 9), counters) == [block.hex()]
    assert woken(message(b"sequence", block + b"C", 10), counters) == [""]
    assert woken(message(b"hashblock", block, 0), counters) == [""]
    assert woken(message(b"hashblock", block, 2**32 - 1), counters) == [""]
    assert woken([b"hashblock"], counters) == []
