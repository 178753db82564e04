"""A node over a real WebSocket: reorgs of depth 3 told well and badly, what was missed, and whose."""

import asyncio
import json
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from scripted_venues.binance import Binance
from scripted_venues.ears import Fast, Kept, process_urls
from scripted_venues.node import HOT, WHALE, Node, hash_of
from scripted_venues.server import serving

from streams.feed.chains.chain_feed import ChainFeed, Source
from streams.feed.chains.evm import EvmDialogue
from streams.feed.connection import Time
from streams.feed.wanted import Unfit, feeds_of
from streams.feeds import registry
from streams.feeds.labels import Label, Labels
from streams.feeds.ledger import Ledger
from streams.feeds.reorg import Chain
from streams.process import label_file
from streams.process.settings import Settings

OLD, NEW = ("a1", "a2", "a3"), ("b1", "b2", "b3", "b4")
LABELS = Labels([
    Label(family="evm", address=HOT, owner="binance", kind="exchange", source="test",
          confidence=0.9, date="2026-01-01")
])  # fmt: skip


def began() -> int:
    return time.time_ns() // 1000 - 3600 * 1_000_000


def forked(*faults: str) -> Node:
    node = Node(began(), *faults)
    for name, number, parent in (
        ("r", 100, "q"), ("a1", 101, "r"), ("a2", 102, "a1"), ("a3", 103, "a2"),
        ("b1", 101, "r"), ("b2", 102, "b1"), ("b3", 103, "b2"), ("b4", 104, "b3"),
    ):  # fmt: skip
        node.add(name, number, parent)
    return node


@asynccontextmanager
async def heard(node: Node, natives: bool = False, confirmations: int = 0, least_usd: float = 1e5):
    kept = Kept()
    ledger = Ledger(Chain(confirmations), LABELS, lambda asset, ts: 3_000.0, least_usd)
    tokens = registry.bundled("ethereum")
    async with node.serving() as url, aiohttp.ClientSession() as session:
        source = Source(
            "ethereum", url, lambda: EvmDialogue("ethereum", tokens, (), natives, ledger), ledger
        )
        feed = ChainFeed(source, "ethereum", kept, Time())
        task = asyncio.create_task(feed.run(session))
        await until(lambda: len(node.clients) == 1)
        try:
            yield kept
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            feed.end()


async def until(true, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def transfers(kept):
    return kept.records_of.get("whale_transfers", [])


def standing(kept) -> set[str]:
    latest = {}
    for record in transfers(kept):
        before = latest.get(record.event_id)
        assert record.version == (before.version + 1 if before else 1)
        latest[record.event_id] = record
    return {name.split(":")[1] for name, record in latest.items() if not record.removed}


@pytest.mark.parametrize(
    "faults",
    [(), ("logs_first",), ("no_removed",), ("twice",), ("no_logs", "no_removed"), ("logs_first", "no_heads")],
    ids=lambda faults: "-".join(faults) or "well",
)  # fmt: skip
def test_a_reorg_of_depth_3_is_taken_back_once_and_included_once(faults):
    async def play():
        node = forked(*faults)
        async with heard(node) as kept:
            await node.tell("r", *OLD)
            await until(lambda: standing(kept) == {hash_of(n) for n in ("r", *OLD)})
            await node.remove("a3", "a2", "a1")
            await node.tell(*NEW)
            await until(lambda: standing(kept) == {hash_of(n) for n in ("r", *NEW)})
            await asyncio.sleep(0.2)
        back = [record for record in transfers(kept) if record.removed]
        assert sorted(r.event_id.split(":")[1] for r in back) == sorted(map(hash_of, OLD))
        assert kept.letters == []

    asyncio.run(play())


def test_a_transfer_has_worth_owner_and_the_time_of_its_block():
    async def play():
        node = forked()
        async with heard(node) as kept:
            await node.tell("r")
            await until(lambda: transfers(kept))
        [one] = transfers(kept)
        assert (one.asset, one.notional_usd, one.quantity_raw) == ("USDT", 5e6, "5000000000000")
        assert (one.to_owner, one.to_kind, one.to_confidence) == ("binance", "exchange", 0.9)
        assert (one.from_address, one.from_owner) == (WHALE, "unknown")
        assert one.ts_event == (node.began // 1_000_000 + 100) * 1_000_000

    asyncio.run(play())


def test_what_is_small_is_not_told_and_coins_are_by_the_price_that_was_heard():
    async def play():
        node = Node(began())
        node.add("r", 100, "q", usdt=99_999.0, ether=1_000.0)
        async with heard(node, natives=True) as kept:
            await node.tell("r")
            await until(lambda: transfers(kept))
        [one] = transfers(kept)
        assert (one.asset, one.quantity, one.notional_usd) == ("ETH", 1_000.0, 3_000_000.0)

    asyncio.run(play())


def test_blocks_missed_while_the_connection_was_gone_are_asked_for():
    async def play():
        node = Node(began())
        for number in range(100, 130):
            node.add(f"c{number}", number, f"c{number - 1}")
        async with heard(node) as kept:
            await node.tell("c100")
            await until(lambda: len(standing(kept)) == 1)
            await node.drop()
            await until(lambda: not node.clients)
            await until(lambda: node.clients)
            await node.tell("c129")
            await until(lambda: len(standing(kept)) == 30)
            await until(lambda: kept.alive("whale_transfers"))
        assert kept.states("gap") == []

    asyncio.run(play())


def test_garbage_of_a_node_is_a_dead_letter_and_nothing_more():
    async def play():
        node = forked()
        async with heard(node) as kept:
            for garbage in (
                "{",
                "[]",
                '{"jsonrpc":"2.0","method":"eth_subscription","params":{"result":{"number":"0xzz","hash":"0x1"}}}',
            ):
                for ws in node.clients:
                    await ws.send_str(garbage)
            await node.tell("r")
            await until(lambda: transfers(kept))
        assert len(kept.letters) >= 2

    asyncio.run(play())


def alert(tx: str, usd: float = 5e6) -> str:
    return json.dumps({
        "type": "alert", "channel_id": "c", "timestamp": int(time.time()) - 60, "blockchain": "ethereum",
        "transaction_type": "transfer", "from": "unknown wallet", "to": "unknown wallet",
        "amounts": [{"symbol": "USDT", "amount": usd, "value_usd": usd}],
        "transaction": {"hash": tx, "sub_transactions": [
            {"symbol": "USDT", "inputs": [{"address": WHALE, "owner": "unknown wallet"}],
             "outputs": [{"address": HOT, "owner": "unknown wallet"}]}]},
    })  # fmt: skip


async def of_whale_alert(serve, data_dir: Path, enough, by="ws", clock=Time()) -> Kept:
    """Hear a server of alerts until there is enough; `by` its WebSocket, or "rest"."""
    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    at = f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    url = f"ws://{at}/ws" if by == "ws" else f"http://{at}/ethereum"
    settings = Settings(
        data_dir=str(data_dir), venues="whale_alert", assets="all", whale_alert_key="secret-key",
        venue_urls=f"whale_alert.{by}={url}",
    )  # fmt: skip
    label_file.save(label_file.file_of(settings.data_dir), LABELS)
    kept = Kept()
    [feed] = feeds_of(settings, kept, clock, lambda producer: {})
    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(feed.run(session))
        await until(lambda: enough(kept))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await runner.cleanup()
    return kept


def test_whale_alert_is_asked_with_its_key_named_by_labels_and_its_hourly_cap_is_told():
    asked: list[tuple[str, dict]] = []

    async def whale_alert(request: web.Request) -> web.StreamResponse:
        if request.query.get("api_key") != "secret-key":
            return web.Response(status=401)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        asked.append((request.path, json.loads(await ws.receive_str())))
        await ws.send_str('{"type":"subscribed_alerts","id":"undertow","channel_id":"c"}')
        for number in range(100):
            await ws.send_str(alert(f"0x{number:064x}"))
        await ws.send_str(alert("0x" + "0" * 64))  # again, as after a reconnect
        await ws.receive()
        return ws

    with tempfile.TemporaryDirectory() as folder:
        heard = of_whale_alert(whale_alert, Path(folder), lambda kept: len(transfers(kept)) >= 100)
        kept = asyncio.run(heard)
    assert asked[0][1]["type"] == "subscribe_alerts"
    assert asked[0][1]["min_value_usd"] == 100_000
    assert len({record.event_id for record in transfers(kept)}) == 100
    assert {record.to_owner for record in transfers(kept)} == {"binance"}
    assert [letter.field for letter in kept.letters] == ["coverage"]


def test_alerts_that_a_connection_missed_are_a_gap_as_they_are_told_once(tmp_path):
    began = time.time_ns() // 1000
    lives: list[int] = []

    async def whale_alert(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.receive_str()
        await ws.send_str('{"type":"subscribed_alerts","id":"undertow","channel_id":"c"}')
        lives.append(time.time_ns() // 1000)
        await asyncio.sleep(0.3)
        if len(lives) > 1:
            await ws.receive()
        return ws

    kept = asyncio.run(of_whale_alert(whale_alert, tmp_path, lambda kept: kept.states("gap")))
    [gap] = kept.states("gap")  # none of what was before the first connection
    assert began < gap.ts_event <= lives[0] + 300_000
    assert gap.reason.startswith("whale_transfers of whale_alert/node until")


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"venues": "whale_alert"}, "whale_alert_key"),
        ({"venues": "ethereum"}, "ethereum.node"),
        ({"venues": "bitcoin", "venue_urls": "bitcoin.ws=ws://x"}, "bitcoin.esplora"),
        ({"venues": "ethereum", "venue_urls": "ethereum.rpc=ws://x"}, "ethereum.rpc"),
    ],
)
def test_a_chain_without_an_endpoint_is_refused_with_the_setting_that_is_missing(
    settings, missing, tmp_path
):
    with pytest.raises(Unfit, match=missing):
        feeds_of(Settings(data_dir=str(tmp_path), **settings), Kept(), Time(), lambda producer: {})


def test_whale_alerts_rest_v2_is_followed_page_by_page_and_through_an_outage():
    asked: list[str] = []
    away: list[int] = []

    def transaction(number: int, usd: float = 5e6) -> dict:
        party = {"owner": "", "owner_type": "unknown"}
        return {
            "height": number, "timestamp": int(time.time()) - 60, "hash": f"0x{number:064x}",
            "sub_transactions": [{
                "symbol": "usdt", "transaction_type": "transfer", "unit_price_usd": 1.0,
                "inputs": [{"address": WHALE, "amount": str(usd), **party}],
                "outputs": [{"address": HOT, "amount": str(usd), **party}],
            }],
        }  # fmt: skip

    async def rest(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        if away:
            return web.Response(status=away.pop())
        if request.query.get("api_key") != "secret-key":
            return web.Response(status=401)
        if request.path == "/ethereum/status":
            return web.json_response({"end_height": 100})
        start = int(request.query["start_height"])
        if start >= 103:
            rows, after = [], start
        else:
            rows, after = [transaction(start), transaction(1_000 + start, usd=99_000.0)], start + 1
            if start == 100:
                away.extend([503, 429])
        return web.json_response(
            {"transactions": rows, "next": f"/ethereum/transactions?start_height={after}"}
        )

    quick = Time(sleep=lambda seconds: asyncio.sleep(min(seconds, 0.05)))

    def enough(kept: Kept) -> bool:
        return len(transfers(kept)) == 3 and kept.alive("whale_transfers")

    with tempfile.TemporaryDirectory() as folder:
        kept = asyncio.run(of_whale_alert(rest, Path(folder), enough, "rest", quick))
    assert [record.tx_hash for record in transfers(kept)] == [
        f"0x{n:064x}" for n in (100, 101, 102)
    ]
    assert {(r.chain, r.to_owner, r.notional_usd) for r in transfers(kept)} == {
        ("ethereum", "binance", 5e6)
    }
    assert asked[0].startswith("/ethereum/status")
    assert kept.states("gap") == []
    assert kept.letters == []


def test_coins_are_worth_what_the_venue_beside_them_printed_last(tmp_path):
    async def play():
        node, kept = Node(began()), Kept()
        node.add("r", 100, "q", usdt=5e6, ether=50.0)  # dollars are not among the coins wanted
        with serving(Binance()) as binance:
            async with node.serving() as url, aiohttp.ClientSession() as session:
                settings = Settings(
                    data_dir=str(tmp_path), venues="binance,ethereum", assets="BTC,ETH",
                    venue_urls=f"{process_urls(binance=binance)} ethereum.node={url}",
                )  # fmt: skip
                feeds = feeds_of(settings, kept, Time(), lambda producer: {})
                tasks = [asyncio.create_task(feed.run(session)) for feed in feeds]
                clock = Fast(1)
                await until(lambda: binance.subscribed("ethusdt@aggTrade") and node.clients)
                await asyncio.to_thread(binance.emit, clock.event("trade", "ETHUSDT", 7))
                await until(lambda: kept.ids("trades"))
                await node.tell("r")
                await until(lambda: transfers(kept))
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        [trade] = kept.records_of["trades"]
        [one] = transfers(kept)
        assert (one.asset, one.quantity) == ("ETH", 50.0)
        assert one.notional_usd == 50.0 * trade.price

    asyncio.run(play())


def test_a_node_that_answers_and_gives_no_heads_is_silent_and_not_calm():
    async def play():
        node, kept, clock = Node(began()), Kept(), Fast(60)
        for number in range(100, 110):
            node.add(f"c{number}", number, f"c{number - 1}")
        ledger, tokens = Ledger(Chain(), LABELS), registry.bundled("ethereum")
        async with node.serving() as url, aiohttp.ClientSession() as session:
            source = Source(
                "ethereum", url, lambda: EvmDialogue("ethereum", tokens, (), False, ledger), ledger
            )
            feed = ChainFeed(source, "ethereum", kept, clock.time())
            task = asyncio.create_task(feed.run(session))
            await until(lambda: node.clients)
            await node.tell("c100")
            await until(lambda: transfers(kept) and kept.alive("whale_transfers"))
            heard_at = clock.micros()
            await until(lambda: kept.states("silent"), 20)
            [silent] = kept.states("silent")
            spoken = len(kept.alive("whale_transfers"))
            await asyncio.sleep(0.2)
            assert (
                len(kept.alive("whale_transfers")) == spoken
            )  # no word on time of what is not heard
            await until(lambda: node.clients)
            await node.tell("c101")
            await until(lambda: kept.states("recovered"), 20)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert silent.reason == "the node gives no heads"
        assert abs(silent.ts_event - heard_at) < 120 * 1_000_000

    asyncio.run(play())
