"""Mail to a real SMTP server: one thread an event, refused for good where it is, TLS a must."""

import asyncio
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from schemas.findings import Alert
from sinks.webhooks.delivery import Deliverer, probe
from sinks.webhooks.endpoints import parse_endpoints
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox

T = 1_763_683_200_000_000


def alert(kind: str, name: str) -> Alert:
    return Alert(
        alert_id=name, dedup_key="episode-1", kind=kind, tier="cascade", severity="critical", asset="BTC", title="t",
        text="t", finding_id="f", ts_event=T, ts_detect=T, position_side="long", notional_usd=4e6, venues=["börse"],
    )  # fmt: skip


@contextmanager
def serving(*answers: str) -> Iterator[tuple[int, list[bytes], list[str]]]:
    """An SMTP server; yields its port, the mails taken and the commands heard."""
    mails: list[bytes] = []
    heard: list[str] = []
    to_data = list(answers)

    class Session(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                heard.append(line)
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    self.say("250-here\r\n250-AUTH PLAIN\r\n250 8BITMIME")
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (part := self.rfile.readline()) != b".\r\n":
                        lines.append(part)
                    answer = to_data.pop(0) if to_data else "250 taken"
                    if answer.startswith("250"):
                        mails.append(b"".join(lines))
                    self.say(answer)
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("235 in" if verb == "AUTH" else "250 ok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], mails, heard
        server.shutdown()


def endpoints(port: int, private: bool = True):
    url = f"email+smtp://me:s3cr3t-w0rd@127.0.0.1:{port}/?from=undertow@a.example&to=one@b.example&to=two@b.example"
    return parse_endpoints(url, ["127.0.0.1"] if private else [])


async def delivered(tmp_path: Path, port: int, *alerts: Alert) -> Outbox:
    receivers = endpoints(port)
    outbox = Outbox(tmp_path / "outbox.sqlite")
    for each in alerts:
        Notifier(receivers).take([each], outbox)
        await Deliverer(receivers, outbox).drain()
    return outbox


def test_the_mails_of_one_event_are_one_thread_in_plain_text(tmp_path):
    with serving() as (port, mails, heard):
        asyncio.run(
            delivered(tmp_path, port, alert("cascade.onset", "a1"), alert("cascade.closed", "a2"))
        )
        first, last = (message_from_bytes(mail, policy=policy.default) for mail in mails)
    assert [first["Subject"], last["Subject"]] == [
        "BTC longs liquidated",
        "Over: BTC longs liquidated",
    ]
    assert first["References"] == last["References"]
    assert first["Message-ID"] != last["Message-ID"]
    assert first["To"] == "one@b.example, two@b.example"
    assert "$4.0M of longs sold by force on börse" in first.get_content()
    assert first.get_content_type() == "text/plain"
    assert sum(line.upper().startswith("RCPT TO:<ONE@B.EXAMPLE>") for line in heard) == 2


def test_a_refusal_for_good_is_dead_at_once_and_another_is_tried_again(tmp_path):
    with serving("554 no such thing", "451 later") as (port, _, _):
        outbox = asyncio.run(delivered(tmp_path, port, alert("cascade.onset", "a1")))
        [dead] = outbox.listed("dead")
        assert (dead.attempts, dead.last_error) == (1, "SMTP 554: b'no such thing'")
        asyncio.run(delivered(tmp_path / "b", port, alert("cascade.onset", "a1")))
        with Outbox(tmp_path / "b" / "outbox.sqlite") as outbox:
            assert [(d.attempts, d.state) for d in outbox.listed("pending") if d.attempts] == [
                (1, "pending")
            ]


def test_a_server_without_tls_is_told_nothing_unless_its_host_is_allowed():
    with serving() as (port, mails, heard), pytest.raises(ValueError, match="allow_private"):
        endpoints(port, private=False)
    with serving() as (port, mails, heard):
        [named] = parse_endpoints(
            f"email+smtp://me:s3cr3t-w0rd@mail.example:{port}/?from=a@b.c&to=d@e.f"
        )
        answer = asyncio.run(probe(named))
        assert not answer.taken
        assert (mails, heard) == ([], [])
        assert "s3cr3t" not in str(answer)


def test_a_test_mail_arrives():
    with serving() as (port, mails, _):
        answer = asyncio.run(probe(endpoints(port)[0]))
    assert answer.taken
    assert b"A test from undertow" in mails[0]


@pytest.mark.parametrize(
    "url",
    [
        "smtp://host",
        "smtp://host/?from=a@b.c",
        "smtp://host/?from=x&to=d@e.f",
        "https://host/?from=a@b.c&to=d@e.f",
    ],
)
def test_a_mail_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="endpoint 1"):
        parse_endpoints(f"email+{url}")
