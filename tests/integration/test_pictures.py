"""A picture of the episode at real receivers: behind the words, which never wait for it."""

import asyncio
import json
import struct
import sys
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from runs import run, write_recording
from stages import get

sys.path.insert(0, str(Path(__file__).parent))
from test_event_pages import BTC, FORMS, Receivers, T, alert, receiving
from test_mail import serving as mail_server

from schemas.words import SECOND
from sinks.alerts.rules import Rule, Rules
from sinks.board.serve import EmbeddedBoard, serving
from sinks.webhooks.delivery import Deliverer
from sinks.webhooks.endpoints import parse_endpoints
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.outbox_time import wall_us
from streams.process.settings import load
from streams.run.webhooks import drawing

TOKEN = "let-me-see-the-board"


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def parts_of(headers: dict[str, str], body: bytes) -> dict[str, bytes]:
    """The fields of an uploaded form."""
    typed = b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body
    whole = message_from_bytes(typed, policy=policy.default)
    assert isinstance(whole, EmailMessage)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in whole.iter_parts()
    }


@pytest.fixture(scope="module")
def shown(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Receivers, list[bytes], Path]]:
    """What came of a short night that was run with pictures, at HTTP and at mail."""
    folder = tmp_path_factory.mktemp("pictures")
    environ = write_recording(folder / "night")
    rules = folder / "rules.toml"
    rules.write_text(
        'picture = "https://board.example/board/picture/{episode}.png?pass={pass}"\n'
        'pictures = true\n[[rule]]\nkinds = ["cascade."]\n'
    )
    with receiving() as receivers, mail_server() as (port, mails, _):
        forms = ("slack", "discord", "telegram", "pagerduty")
        urls = " ".join(f"{form}+{receivers.url}{FORMS[form]}" for form in forms)
        urls += f" email+smtp://127.0.0.1:{port}/?from=a@b.example&to=c@d.example"
        given = {
            "webhook_urls": urls,
            "webhook_allow_private": "127.0.0.1",
            "alert_rules": str(rules),
            "alert_max_age_s": "0",
            "http_token": TOKEN,
        }
        environ |= {f"UNDERTOW_{name.upper()}": value for name, value in given.items()}
        code, said = run(folder / "data", environ, "--no-serve", "--source", str(folder / "night"))
        assert code in (0, 3), said
        settings = load(given | {"data_dir": str(folder / "data")})
        endpoints = parse_endpoints(urls, ["127.0.0.1"])
        # Half a minute later.
        with Outbox(
            folder / "data" / "outbox.sqlite", wall=lambda: wall_us() + 30 * SECOND
        ) as outbox:
            asyncio.run(Deliverer(endpoints, outbox, draw=drawing(settings)).drain())
            assert not outbox.listed("dead")
        yield receivers, mails, folder / "data"


def test_discord_and_telegram_get_it_uploaded_and_are_not_woken_by_it(shown) -> None:
    receivers, _, _ = shown
    uploads = [(h, b) for h, b in receivers.came["/api/webhooks/1/abcdefgh"] if b"image/png" in b]
    parts = parts_of(*uploads[-1])
    assert size_of(parts["files[0]"])[0] > 1_000
    payload = json.loads(parts["payload_json"])
    assert payload["embeds"][0]["image"] == {"url": "attachment://episode.png"}
    assert payload["flags"] == 4096
    assert payload["allowed_mentions"] == {"parse": []}
    photo = parts_of(*receivers.came["/bot1:abcdefgh/sendPhoto"][-1])
    assert photo["chat_id"] == b"-100"
    assert photo["disable_notification"] == b"true"
    assert "longs liquidated" in photo["caption"].decode()
    assert photo["photo"] == parts["files[0]"], "drawn once for both"


def test_mail_has_it_within_the_thread_of_its_event(shown) -> None:
    _, mails, _ = shown
    read = [message_from_bytes(mail, policy=policy.default) for mail in mails]
    [with_picture, *_] = [mail for mail in read if mail.is_multipart()]
    assert with_picture["References"] in {m["References"] for m in read if not m.is_multipart()}
    [page] = [p for p in with_picture.walk() if p.get_content_type() == "text/html"]
    [image] = [p for p in with_picture.walk() if p.get_content_type() == "image/png"]
    assert f"cid:{image['Content-ID'].strip('<>')}" in page.get_content()
    assert size_of(image.get_content())[0] > 1_000


def test_slack_and_pagerduty_get_a_link_with_which_the_board_shows_it_and_nothing_else(
    shown,
) -> None:
    receivers, _, data_dir = shown
    images = [
        block["image_url"]
        for body in receivers.bodies("slack")
        for block in body["blocks"]
        if block["type"] == "image"
    ]
    linked = [image["src"] for b in receivers.bodies("pagerduty") for image in b["images"]]
    assert set(images) <= set(linked)
    path = images[-1].removeprefix("https://board.example")
    board = EmbeddedBoard(data_dir / "clickhouse", TOKEN)
    with serving(board, "127.0.0.1", 0, TOKEN) as address:
        host = address.removesuffix("/board/")
        another = {"Origin": "https://app.pagerduty.example", "Sec-Fetch-Site": "cross-site"}
        assert fetched(f"{host}{path}", another)
        assert get(f"{host}{path.partition('?')[0]}")[0] == 401
        assert get(f"{host}{path.replace('pass=', 'pass=0')}")[0] == 401
        stranger = f"{host}/board/picture/nobody.png"
        assert get(stranger, Authorization=f"Bearer {TOKEN}")[0] == 404
        given = path.partition("?")[2]
        assert get(f"{host}/board/data/episodes.json?{given}")[0] == 401


def fetched(url: str, headers: dict[str, str]) -> tuple[int, int]:
    import urllib.request

    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        return size_of(answer.read())


PICTURES = Rules(pictures=True, rule=[Rule(kinds=["cascade."])])


def test_a_picture_that_is_never_drawn_keeps_no_word_waiting_and_is_given_up(tmp_path) -> None:
    clock = [T]
    drawing, hangs = threading.Event(), threading.Event()

    def draw(_: str) -> bytes:
        drawing.set()
        hangs.wait(60)
        raise OSError("the store is away")

    async def night(receivers: Receivers) -> list[tuple[str, str]]:
        endpoints = receivers.endpoints("discord")
        outbox = Outbox(tmp_path / "o.sqlite", wall=lambda: clock[0], steady=lambda: clock[0])
        stop = asyncio.Event()
        deliverer = Deliverer(endpoints, outbox, draw=draw, jitter=lambda: 1.0)
        running = asyncio.create_task(deliverer.run(stop))

        async def come(count: int) -> None:
            deadline = time.monotonic() + 30
            while len(receivers.bodies("discord")) < count:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)

        Notifier(endpoints, PICTURES).take([BTC[0]], outbox)
        await come(1)
        clock[0] += 11 * SECOND
        assert await asyncio.to_thread(drawing.wait, 30)
        Notifier(endpoints, PICTURES).take([alert("cascade.onset", "ETH", 900)], outbox)
        await come(2)
        hangs.set()
        async with asyncio.timeout(60):
            while len(outbox.listed("dead")) < 2:
                clock[0] += 70 * SECOND
                await asyncio.sleep(0.1)
        stop.set()
        await running
        dead = [(d.action, d.last_error) for d in outbox.listed("dead")]
        outbox.close()
        return dead

    with receiving() as receivers:
        dead = asyncio.run(night(receivers))
    assert dead == [("picture", "not drawn: the store is away")] * 2
    assert [b["embeds"][0]["title"] for b in receivers.bodies("discord")] == [
        "BTC longs liquidated",
        "ETH longs liquidated",
    ]


def test_the_end_of_an_event_takes_back_a_picture_of_how_it_began(tmp_path) -> None:
    with receiving() as receivers:
        endpoints = receivers.endpoints("discord", "telegram", "slack")
        with Outbox(tmp_path / "o.sqlite") as outbox:
            notifier = Notifier(endpoints, PICTURES)
            notifier.take([BTC[0]], outbox)
            began = [d.webhook_id for d in outbox.listed("pending") if d.action == "picture"]
            notifier.take([BTC[-1]], outbox)
            ends = [d.webhook_id for d in outbox.listed("pending") if d.action == "picture"]
    assert len(began) == len(ends) == 2, "uploads alone, as no link is set for Slack"
    assert not set(began) & set(ends)
