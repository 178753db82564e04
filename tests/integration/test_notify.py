"""Alerts from a real Kafka through the outbox to a receiver, behind their offsets."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest
from aiohttp import web
from chaos.disk_space import Small, may_mount
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from nights import an_alert

from schemas import codec, metrics
from sinks.kafka import membership
from sinks.webhooks import history, notify
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.signing import new_secret
from sinks.webhooks.worker import delivering
from streams.kafka.rejoin import rejoining

T = 1_763_683_200_000_000


def conf(kafka):
    return {
        "bootstrap.servers": kafka,
        "group.id": "undertow-notify",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 6_000,
    }


def alert(name):
    return an_alert(
        alert_id=name,
        dedup_key="d",
        kind="Cascade: onset",
        severity="warning",
        ts_event=T,
        ts_detect=T,
    )


def members(kafka):
    group = OWN["group.id"]
    # Kept: a client that is gone never answers.
    admin = AdminClient({"bootstrap.servers": kafka})
    asked = admin.describe_consumer_groups([group], request_timeout=20)
    try:
        return len(asked[group].result(30).members)
    except KafkaException:
        return 0


def send(kafka, alerts, written_ms=None, partition=0):
    to = Producer({"bootstrap.servers": kafka})
    for record in alerts:
        when = {"timestamp": written_ms} if written_ms else {}
        to.produce("alerts", value=codec.encode(record), partition=partition, **when)
    assert to.flush(30) == 0


@contextmanager
def receiver(requests):
    """A receiver at a port of its own, in a thread."""
    loop, ports = asyncio.new_event_loop(), []

    async def receive(request):
        requests.append(request.headers["webhook-id"])
        return web.Response()

    async def start():
        app = web.Application()
        app.router.add_post("/", receive)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        return runner

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield Endpoint(
            f"http://127.0.0.1:{ports[0]}/", new_secret(), allow_private=True, target="every"
        )
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def notifying(kafka, endpoints, outbox, **extra):
    stop, errors = threading.Event(), []

    def session():
        notify.run(conf(kafka) | extra, Notifier(endpoints), outbox, stop.is_set)

    def work():
        try:
            with delivering(endpoints, outbox):
                rejoining("notify", session, stop.is_set)
        except Exception as problem:
            errors.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert errors == []


def committed(kafka):
    asker = Consumer(conf(kafka))
    [tp] = membership.answered(lambda: asker.committed([TopicPartition("alerts", 0)], timeout=30))
    asker.close()
    return tp.offset


def until(what):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_alerts_reach_their_receiver_once_over_a_restart_and_one_without_an_id_stops_none(
    clean_topics, tmp_path
):
    requests = []
    with receiver(requests) as endpoint, Outbox(tmp_path / "outbox.sqlite") as outbox:
        send(clean_topics, [alert(f"a{n}") for n in range(20)])
        send(clean_topics, [alert("no.webhook id"), alert("a20")])
        with notifying(clean_topics, [endpoint], outbox):
            until(lambda: len(requests) == 21)
            until(lambda: committed(clean_topics) == 22)
        send(clean_topics, [alert("a5"), alert("a21")])
        with notifying(clean_topics, [endpoint], outbox):
            until(lambda: committed(clean_topics) == 24 and outbox.pending() == {})
    assert sorted(requests) == sorted(f"a{n}" for n in range(22))


def test_a_dead_receiver_delays_neither_another_nor_the_offsets(clean_topics, tmp_path):
    requests = []
    dead = Endpoint("http://127.0.0.1:9/", new_secret(), allow_private=True, target="every")
    with receiver(requests) as endpoint, Outbox(tmp_path / "outbox.sqlite") as outbox:
        send(clean_topics, [alert(f"a{n}") for n in range(50)])
        with notifying(clean_topics, [dead, endpoint], outbox):
            until(lambda: len(requests) == 50 and committed(clean_topics) == 50)
        assert outbox.pending() == {dead.name: 50}


def test_notify_joins_again_after_another_took_its_name(clean_topics, tmp_path, caplog):
    requests = []
    name = {"group.instance.id": "notify-0"}
    with (
        receiver(requests) as endpoint,
        Outbox(tmp_path / "outbox.sqlite") as outbox,
        notifying(clean_topics, [endpoint], outbox, **name),
    ):
        send(clean_topics, [alert("a0")])
        until(lambda: requests == ["a0"])
        usurper = Consumer(conf(clean_topics) | name)
        usurper.subscribe(["alerts"])
        until(lambda: usurper.poll(0.1) or usurper.assignment())
        send(clean_topics, [alert("a1")])
        until(lambda: "fenced" in caplog.text)
        usurper.close()
        until(lambda: requests == ["a0", "a1"])
        until(lambda: committed(clean_topics) == 2)
    assert "starting again" in caplog.text.split("fenced")[0].splitlines()[-1]


@pytest.mark.parametrize("wrong_by_s", [-365 * 86_400, 365 * 86_400])
def test_a_clock_that_is_wrong_by_a_year_loses_no_alert(
    clean_topics, tmp_path, monkeypatch, wrong_by_s
):
    requests = []
    monkeypatch.setattr(history, "wall_us", lambda: int((time.time() + wrong_by_s) * 1e6))
    send(clean_topics, [alert("before")])
    with (
        receiver(requests) as endpoint,
        Outbox(tmp_path / "outbox.sqlite") as outbox,
        notifying(clean_topics, [endpoint], outbox),
    ):
        until(lambda: requests == ["before"])
        send(clean_topics, [alert("after")])
        until(lambda: requests == ["before", "after"])


def test_alerts_of_the_days_before_are_history(clean_topics, tmp_path):
    now_ms = int(time.time() * 1e3)
    send(clean_topics, [alert("old")], now_ms - 25 * 3_600_000)
    send(clean_topics, [alert("today")], now_ms - 23 * 3_600_000)
    send(clean_topics, [alert("newest")], now_ms)
    requests = []
    with (
        receiver(requests) as endpoint,
        Outbox(tmp_path / "outbox.sqlite") as outbox,
        notifying(clean_topics, [endpoint], outbox),
    ):
        until(lambda: committed(clean_topics) == 3 and not outbox.pending())
        # Written by a clock that is wrong by a year, but now.
        send(clean_topics, [alert("now")], now_ms - 365 * 86_400_000)
        until(lambda: committed(clean_topics) == 4 and not outbox.pending())
    assert requests == ["today", "newest", "now"]


@pytest.mark.skipif(bool(may_mount()), reason=may_mount() or "-")
def test_at_a_full_disk_notify_waits_says_so_and_tells_all_once_there_is_room(
    clean_topics, tmp_path, caplog
):
    requests, small = [], Small(tmp_path / "disk")
    path = small.place / "outbox.sqlite"
    try:
        with receiver(requests) as endpoint, Outbox(path) as outbox:
            with notifying(clean_topics, [endpoint], outbox):
                send(clean_topics, [alert("before")])
                until(lambda: requests == ["before"] and committed(clean_topics) == 1)
                small.fill()
                until(lambda: outbox.is_full)  # though nothing is to be written
                send(clean_topics, [alert(f"a{n}") for n in range(2_000)])
                until(lambda: metrics.READY.collect()[0].samples[0].value == 0)
                time.sleep(3)
                assert committed(clean_topics) < 2_001
                assert "cannot grow: the disk is full, waiting for room" in caplog.text
                small.free()
                until(lambda: len(requests) == 2_001 and committed(clean_topics) == 2_001)
            assert outbox.pending() == {}
        assert sorted(requests) == sorted(["before", *(f"a{n}" for n in range(2_000))])
    finally:
        small.stop()


@pytest.mark.skipif(bool(may_mount()), reason=may_mount() or "-")
def test_what_was_sent_as_the_disk_filled_up_is_noted_once_there_is_room_and_not_sent_again(
    tmp_path, caplog
):
    small = Small(tmp_path / "disk")

    class Filling(list):
        def append(self, request):
            super().append(request)
            if len(self) == 1:
                small.fill()

    requests = Filling()
    try:
        with receiver(requests) as endpoint, Outbox(small.place / "outbox.sqlite") as outbox:
            for n in range(3):
                outbox.put(alert(f"a{n}"), [endpoint])
            with delivering([endpoint], outbox):
                until(lambda: "the disk is full, waiting for room" in caplog.text)
                time.sleep(3)
                assert requests == ["a0"]
                small.free()
                until(lambda: outbox.pending() == {})
        assert sorted(requests) == ["a0", "a1", "a2"]
    finally:
        small.stop()


@pytest.mark.skipif(bool(may_mount()), reason=may_mount() or "-")
def test_started_at_a_full_disk_notify_waits_for_room(tmp_path, caplog):
    small = Small(tmp_path / "disk")
    try:
        small.fill()
        stop, outboxes = threading.Event(), []
        waiting = threading.Thread(
            target=lambda: outboxes.append(
                notify.opened(small.place / "outbox.sqlite", stop.is_set)
            )
        )
        waiting.start()
        until(lambda: "cannot grow: the disk is full; free some space" in caplog.text)
        small.free()
        waiting.join(30)
        outboxes.pop().close()
        small.fill()
        stop.set()
        assert notify.opened(small.place / "other.sqlite", stop.is_set) is None
    finally:
        small.stop()


#: Of these tests alone: members of others stay in their group for a session.
OWN = {"group.id": "two-notifies"}


def test_of_two_notifies_one_tells_all_and_the_other_takes_over_when_it_ends(
    clean_topics, tmp_path, caplog
):
    requests = []
    with receiver(requests) as endpoint:
        first = Outbox(tmp_path / "first.sqlite")
        second = Outbox(tmp_path / "second.sqlite")
        with notifying(clean_topics, [endpoint], second, **OWN):
            until(lambda: members(clean_topics) == 1)
            with notifying(clean_topics, [endpoint], first, **OWN):
                until(lambda: "stands by" in caplog.text)
                for partition in range(4):
                    send(clean_topics, [alert(f"a{partition}")], partition=partition)
                until(lambda: len(requests) == 4)
                assert first.counts() == {}
                assert members(clean_topics) == 1
        send(clean_topics, [alert("b")])
        with notifying(clean_topics, [endpoint], first, **OWN):
            until(lambda: "b" in requests)
        assert sorted(requests) == ["a0", "a1", "a2", "a3", "b"]


def test_one_that_hears_only_some_partitions_tells_nobody(clean_topics, tmp_path, caplog):
    """As a notify of an older version would have it, which does not stand by."""
    other = Consumer(conf(clean_topics) | OWN)
    other.subscribe(["alerts"])
    until(lambda: (other.poll(0.1), other.assignment())[1])
    requests = []
    with receiver(requests) as endpoint:
        outbox = Outbox(tmp_path / "outbox.sqlite")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("sinks.webhooks.turn.wait", lambda *_: None)
            with notifying(clean_topics, [endpoint], outbox, **OWN):
                until(lambda: (other.poll(0.1), "tells nobody" in caplog.text)[1])
                send(clean_topics, [alert("a")])
                until(lambda: (other.poll(0.1), other.assignment())[1])
                assert outbox.counts() == {}
                other.close()
                until(lambda: requests == ["a"])
