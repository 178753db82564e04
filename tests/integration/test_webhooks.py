"""Deliveries to a real server on 127.0.0.1, under a clock that only sleeping moves."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer
from nights import an_alert
from standardwebhooks import Webhook, WebhookVerificationError

from schemas.findings import Alert
from sinks.webhooks import delivery
from sinks.webhooks.delivery import Deliverer
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.signing import new_secret

pytestmark = pytest.mark.enable_socket

SECOND = 1_000_000
ALERT = an_alert(text="é ₿")
Handler = Callable[[web.Request], Awaitable[web.Response]]


def alert(alert_id: str) -> Alert:
    return msgspec.structs.replace(ALERT, alert_id=alert_id)


class Clock:
    """Starts now, because verifiers compare with the real time, and moves by sleeping."""

    def __init__(self) -> None:
        self.now_us = int(time.time()) * SECOND

    def __call__(self) -> int:
        return self.now_us

    async def sleep(self, seconds: float) -> None:
        self.now_us += round(seconds * SECOND)
        await asyncio.sleep(0)


class Receiver:
    """A webhook receiver: records what comes, answers what it is told, then 200."""

    def __init__(self, *answers: web.Response, handler: Handler | None = None) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self._answers = list(answers)
        self._handler = handler

    async def receive(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((headers, await request.read()))
        if self._handler:
            return await self._handler(request)
        return self._answers.pop(0) if self._answers else web.Response()

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@asynccontextmanager
async def listening(*receivers: Receiver) -> AsyncIterator[list[Endpoint]]:
    servers: list[TestServer] = []
    try:
        for receiver in receivers:
            app = web.Application()
            app.router.add_post("/hook", receiver.receive)
            servers.append(TestServer(app, host="127.0.0.1"))
            await servers[-1].start_server()
        yield [
            Endpoint(str(s.make_url("/hook")), new_secret(), allow_private=True) for s in servers
        ]
    finally:
        for server in servers:
            await server.close()


def opened(path: Path, clock: "Clock") -> Outbox:
    return Outbox(path, wall=clock, steady=clock)


def deliverer(
    endpoints: list[Endpoint],
    outbox: Outbox,
    clock: Clock,
    resolver: AbstractResolver | None = None,
) -> Deliverer:
    return Deliverer(
        endpoints, outbox, clock=clock, sleep=clock.sleep, jitter=lambda: 1.0, resolver=resolver
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_a_failed_delivery_is_repeated_with_its_id_a_new_time_and_a_good_signature(
    path: Path,
) -> None:
    async def scene() -> None:
        receiver, clock = Receiver(web.Response(status=500)), Clock()
        async with listening(receiver) as endpoints:
            with opened(path, clock) as outbox:
                outbox.put(ALERT, endpoints)
                await deliverer(endpoints, outbox, clock).drain(until_idle=True)
                assert [d.attempts for d in outbox.listed("delivered")] == [2]
            assert receiver.ids() == ["a1", "a1"]
            (first, body), (second, again) = receiver.got
            assert body == again
            waited = int(second["webhook-timestamp"]) - int(first["webhook-timestamp"])
            assert waited == 5
            assert second["content-type"] == "application/json"
            for headers, raw in receiver.got:
                verified = Webhook(endpoints[0].secret).verify(raw, headers)
                assert verified["data"]["text"] == ALERT.text

    asyncio.run(scene())


def verifier(secrets: list[str]) -> Receiver:
    """Return a receiver that refuses what is not signed by one of `secrets`, now."""

    async def verified(request: web.Request) -> web.Response:
        try:
            Webhook(secrets[0]).verify(await request.read(), dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        return web.Response()

    return Receiver(handler=verified)


@pytest.mark.parametrize("wrong_s", [365 * 86_400, -365 * 86_400, -3_600, 60])
def test_what_a_wrong_clock_signed_is_signed_again_by_the_receivers(
    path: Path, wrong_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        secrets: list[str] = []
        receiver, clock = verifier(secrets), Clock()
        clock.now_us += wrong_s * SECOND
        async with listening(receiver) as endpoints:
            secrets.append(endpoints[0].secret)
            with opened(path, clock) as outbox:
                outbox.put(ALERT, endpoints)
                await deliverer(endpoints, outbox, clock).drain()
                assert [d.attempts for d in outbox.listed("delivered")] == [1]
        assert len(receiver.got) == (2 if abs(wrong_s) > 300 else 1)
        assert ("our clock is" in caplog.text) == (abs(wrong_s) > 300)

    asyncio.run(scene())


def test_a_wrong_secret_is_refused_once_an_attempt(path: Path) -> None:
    async def scene() -> None:
        receiver, clock = verifier([new_secret()]), Clock()
        async with listening(receiver) as endpoints:
            with opened(path, clock) as outbox:
                outbox.put(ALERT, endpoints)
                await deliverer(endpoints, outbox, clock).drain()
                assert [d.attempts for d in outbox.listed("pending")] == [1]
        assert len(receiver.got) == 1

    asyncio.run(scene())


def test_an_attempt_that_fails_ten_times_is_dead_and_listed(path: Path) -> None:
    async def scene() -> None:
        receiver = Receiver(*[web.Response(status=404) for _ in range(20)])
        clock = Clock()
        started = clock()
        async with listening(receiver) as endpoints:
            with opened(path, clock) as outbox:
                outbox.put(ALERT, endpoints)
                await deliverer(endpoints, outbox, clock).drain(until_idle=True)
                (dead,) = outbox.listed("dead")
        assert (dead.attempts, dead.last_error) == (10, "HTTP 404")
        assert len(receiver.got) == 10
        assert clock() - started == (75 * 3600 + 35 * 60 + 5) * SECOND

    asyncio.run(scene())


def test_a_redirect_is_a_failure_and_is_not_followed(path: Path) -> None:
    async def scene() -> None:
        target, clock = Receiver(), Clock()
        async with listening(target) as [there]:
            moved = Receiver(web.Response(status=307, headers={"location": there.url}))
            async with listening(moved) as endpoints:
                with opened(path, clock) as outbox:
                    outbox.put(ALERT, endpoints)
                    await deliverer(endpoints, outbox, clock).drain()
                    assert [d.last_error for d in outbox.listed("pending")] == ["HTTP 307"]
        assert target.got == []

    asyncio.run(scene())


def test_gone_disables_the_endpoint_and_nothing_more_is_sent_to_it(path: Path) -> None:
    async def scene() -> None:
        gone, other, clock = Receiver(web.Response(status=410)), Receiver(), Clock()
        async with listening(gone, other) as endpoints:
            with opened(path, clock) as outbox:
                outbox.put(alert("a1"), endpoints)
                outbox.put(alert("a2"), endpoints)
                await deliverer(endpoints, outbox, clock).drain(until_idle=True)
                outbox.put(alert("a3"), endpoints)
            with opened(path, clock) as outbox:
                await deliverer(endpoints, outbox, clock).drain(until_idle=True)
                assert len(outbox.listed("dead")) == 3
        assert gone.ids() == ["a1"]
        assert other.ids() == ["a1", "a2", "a3"]

    asyncio.run(scene())


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_the_whole_endpoint(path: Path, status: int) -> None:
    async def scene() -> None:
        receiver = Receiver(web.Response(status=status, headers={"retry-after": "90"}))
        clock = Clock()
        started = clock()
        async with listening(receiver) as endpoints:
            with opened(path, clock) as outbox:
                outbox.put(alert("a1"), endpoints)
                outbox.put(alert("a2"), endpoints)
                await deliverer(endpoints, outbox, clock).drain()
                assert receiver.ids() == ["a1"]
                assert outbox.wait_us(endpoints[0].name) == 90 * SECOND
                await deliverer(endpoints, outbox, clock).drain(until_idle=True)
                assert len(outbox.listed("delivered")) == 2
        assert clock() - started == 90 * SECOND

    asyncio.run(scene())


def test_a_retry_outlives_the_process(path: Path) -> None:
    async def scene() -> None:
        receiver, clock = Receiver(web.Response(status=500)), Clock()
        async with listening(receiver) as endpoints:
            with opened(path, clock) as outbox:
                outbox.put(ALERT, endpoints)
                await deliverer(endpoints, outbox, clock).drain()
            with opened(path, clock) as outbox:
                assert outbox.put(ALERT, endpoints) == 0
                await deliverer(endpoints, outbox, clock).drain(until_idle=True)
                assert len(outbox.listed("delivered")) == 1
        assert receiver.ids() == ["a1", "a1"]

    asyncio.run(scene())


def test_a_slow_endpoint_does_not_delay_another(path: Path) -> None:
    async def scene() -> None:
        all_at_quick = asyncio.Event()

        async def wait_for_quick(request: web.Request) -> web.Response:
            await all_at_quick.wait()  # in turns, this would never come
            return web.Response()

        async def count(request: web.Request) -> web.Response:
            if len(quick.got) == 3:
                all_at_quick.set()
            return web.Response()

        slow, quick, clock = Receiver(handler=wait_for_quick), Receiver(handler=count), Clock()
        async with listening(slow, quick) as endpoints:
            with opened(path, clock) as outbox:
                for name in ("a1", "a2", "a3"):
                    outbox.put(alert(name), endpoints)
                await deliverer(endpoints, outbox, clock).drain()
                assert len(outbox.listed("delivered")) == 6

    asyncio.run(scene())


def test_an_endpoint_has_one_request_at_a_time(path: Path) -> None:
    async def scene() -> None:
        here, most = 0, 0

        async def overlap(request: web.Request) -> web.Response:
            nonlocal here, most
            here += 1
            most = max(most, here)
            await asyncio.sleep(0.01)
            here -= 1
            return web.Response()

        receiver, clock = Receiver(handler=overlap), Clock()
        async with listening(receiver) as endpoints:
            with opened(path, clock) as outbox:
                for number in range(5):
                    outbox.put(alert(f"a{number}"), endpoints)
                await deliverer(endpoints, outbox, clock).drain()
        assert (len(receiver.got), most) == (5, 1)

    asyncio.run(scene())


def test_an_endpoint_that_never_answers_or_is_not_there_is_a_failed_attempt(path: Path) -> None:
    async def scene() -> None:
        async def never(request: web.Request) -> web.Response:
            await asyncio.sleep(3600)
            return web.Response()

        clock = Clock()
        async with listening(Receiver()) as [absent]:
            pass
        async with listening(Receiver(handler=never)) as [silent]:
            with opened(path, clock) as outbox:
                outbox.put(ALERT, [silent, absent])
                impatient = Deliverer(
                    [silent, absent], outbox, clock=clock, sleep=clock.sleep, timeout_s=0.05
                )
                await impatient.drain()
                errors = [d.last_error for d in outbox.listed("pending")]
        assert "Timeout" in errors[0]
        assert "ClientConnectorError" in errors[1]

    asyncio.run(scene())


def test_an_endless_answer_is_not_read(path: Path) -> None:
    async def scene() -> None:
        async def endless(request: web.Request) -> web.Response:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65_536)

        receiver, clock = Receiver(handler=endless), Clock()
        async with listening(receiver) as endpoints:
            with opened(path, clock) as outbox:
                outbox.put(ALERT, endpoints)
                await deliverer(endpoints, outbox, clock).drain()
                assert len(outbox.listed("delivered")) == 1

    asyncio.run(scene())


class Rebinding(AbstractResolver):
    """DNS under an attacker's hand: every name is where he says."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host, host=self.address, port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1"]
)
def test_a_name_that_leads_inside_is_refused_when_sending(path: Path, address: str) -> None:
    async def scene() -> None:
        receiver, clock, resolver = Receiver(), Clock(), Rebinding(address)
        async with listening(receiver) as [inside]:
            port = inside.url.split(":")[2].split("/")[0]
            lure = Endpoint(f"https://hooks.example:{port}/hook", new_secret())
            with opened(path, clock) as outbox:
                outbox.put(ALERT, [lure])
                await deliverer([lure], outbox, clock, resolver).drain()
                (waiting,) = outbox.listed("pending")
        assert resolver.asked == ["hooks.example"]
        assert f"{address} is" in waiting.last_error
        assert receiver.got == []

    asyncio.run(scene())


def test_a_named_host_still_cannot_lead_to_the_metadata_service(path: Path) -> None:
    async def scene() -> None:
        clock, lure = Clock(), Endpoint("http://relay.lan/", new_secret(), allow_private=True)
        with opened(path, clock) as outbox:
            outbox.put(ALERT, [lure])
            await deliverer([lure], outbox, clock, Rebinding("169.254.169.254")).drain()
            (waiting,) = outbox.listed("pending")
        assert "metadata" in waiting.last_error

    asyncio.run(scene())


def test_run_delivers_what_another_thread_puts_until_it_is_stopped(path: Path) -> None:
    async def scene() -> None:
        stop, clock = asyncio.Event(), Clock()

        async def last(request: web.Request) -> web.Response:
            stop.set()
            return web.Response()

        receiver = Receiver(handler=last)
        async with listening(receiver) as endpoints:
            with opened(path, clock) as outbox:
                running = asyncio.create_task(deliverer(endpoints, outbox, clock).run(stop))
                await asyncio.to_thread(outbox.put, ALERT, endpoints)
                await asyncio.wait_for(running, 10)
                assert len(outbox.listed("delivered")) == 1

    asyncio.run(scene())


def test_without_endpoints_run_waits_for_stop(path: Path) -> None:
    async def scene() -> None:
        stop = asyncio.Event()
        with Outbox(path) as outbox:
            running = asyncio.create_task(Deliverer([], outbox).run(stop))
            await asyncio.sleep(0)
            assert not running.done()
            stop.set()
            await asyncio.wait_for(running, 10)

    asyncio.run(scene())


def test_what_another_thread_puts_in_goes_out_though_no_look_is_due(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "POLL_S", 3_600)

    async def scene() -> None:
        receiver, stop = Receiver(), asyncio.Event()
        async with listening(receiver) as endpoints:
            with contextlib.closing(Outbox(path)) as outbox:
                running = asyncio.create_task(Deliverer(endpoints, outbox).run(stop))
                for number in (1, 2):
                    await asyncio.to_thread(outbox.put, alert(f"a{number}"), endpoints)
                    async with asyncio.timeout(60):
                        while len(receiver.got) < number or outbox.pending():
                            await asyncio.sleep(0.01)
                stop.set()
                async with asyncio.timeout(60):
                    await running
        assert receiver.ids() == ["a1", "a2"]

    asyncio.run(scene())
