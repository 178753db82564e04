"""Every failure that real servers can provoke, with a secret in every setting: none is printed."""

import base64
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from nights import an_alert

from sinks.webhooks.endpoints import parse_endpoints
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox

T = 1_763_683_200_000_000
ALERT = an_alert(
    dedup_key="d",
    kind="cascade.onset",
    severity="warning",
    ts_event=T,
    ts_detect=T,
)
CLICKHOUSE = "ch-5ekret-Pa55/w%rd"
KAFKA = "kafka-5ekret-Pa55word"
TOKEN = "http-5ekret-t0ken"
KEY = base64.b64encode(b"5ekret-key-of-the-webhook").decode()
PATH = "T0-5ekret/B1-5ekret/xoxb-5ekret"
SIGNS = (
    "5ekret",
    KEY[:12],
    CLICKHOUSE[-8:],
    base64.b64encode(f"me:{CLICKHOUSE}".encode()).decode(),
)

#: Raw answers; `{said}` is the request that came, which a receiver may well quote.
ANSWERS = {
    "garbage": b"{said}\r\n\r\n",
    "bad header": b"HTTP/1.1 200 OK\r\n{said}\r\n\r\n",
    "long header": b"HTTP/1.1 200 OK\r\nX: {said}" + b"a" * 70_000 + b"\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz{said}\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{said}",
    "nothing": b"",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/{path}\r\nContent-Length: 0\r\n\r\n",
    "refusal": b"HTTP/1.1 401 No\r\nContent-Length: 400\r\nConnection: close\r\n\r\n{said}",
    "error": b"HTTP/1.1 500 {path}\r\nConnection: close\r\n\r\n{said}",
}  # fmt: skip


@contextmanager
def answering(answer: bytes):
    """A server that answers every request so, and yields its port."""

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    asked = connection.recv(65536)
                    path = (asked.split(b" ", 2)[1:] or [b""])[0].lstrip(b"/")
                    reply = b" ".join(asked.splitlines())
                    connection.sendall(answer.replace(b"{said}", reply).replace(b"{path}", path))
                except OSError:
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def ports():
    """A port for each answer, and one where nobody listens."""
    with ExitStack() as stack:
        free = socket.create_server(("127.0.0.1", 0))
        nobody = free.getsockname()[1]
        free.close()
        served = {what: stack.enter_context(answering(raw)) for what, raw in ANSWERS.items()}
        yield served | {"nobody": nobody}


def hook(base: str) -> str:
    return f"{base}/services/{PATH}?token=5ekret-query#whsec_{KEY}"


def database(base: str) -> str:
    scheme, rest = base.split("://")
    return f"{scheme}://me:{CLICKHOUSE.replace('%', '%25').replace('/', '%2F')}@{rest}/undertow"


def secretive(tmp_path: Path, **settings: str) -> dict[str, str]:
    """An environment with a secret wherever one can be."""
    every = {
        "data_dir": str(tmp_path),
        "kafka_security": "sasl_plaintext",
        "kafka_username": "me",
        "kafka_password": KAFKA,
        "http_token": TOKEN,
        "clickhouse_url": database("http://127.0.0.1:9"),
        "webhook_urls": hook("http://127.0.0.1:9"),
        "webhook_allow_private": "127.0.0.1",
        "log_level": "debug",
    } | settings
    return {f"UNDERTOW_{name.upper()}": value for name, value in every.items()}


def ran(environ: dict[str, str], *words: str, first: str = "") -> subprocess.CompletedProcess[str]:
    program = f"{first}\nfrom streams.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program, *words],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    for sign in SIGNS:
        assert sign not in done.stdout, done.stdout
        assert sign not in done.stderr, done.stderr
    return done


def test_no_answer_of_a_receiver_makes_its_url_be_printed(ports, tmp_path):
    urls = [hook(f"http://127.0.0.1:{port}") for port in ports.values()]
    urls.append(hook(f"https://127.0.0.1:{ports['error']}"))
    urls.append(hook(f"https://{'a' * 64}.example"))
    done = ran(secretive(tmp_path, webhook_urls=" ".join(urls)), "webhooks", "test")
    assert done.returncode == 1
    assert done.stdout.count("failed") >= len(urls) - 1


@pytest.mark.parametrize("words", [("migrate",), ("sql", "SELECT 1")])
def test_no_answer_of_clickhouse_makes_its_password_be_printed(ports, tmp_path, words):
    bases = [
        f"http://127.0.0.1:{ports[what]}"
        for what in ("nobody", "garbage", "redirect", "refusal", "error")
    ]
    for base in [*bases, f"https://127.0.0.1:{ports['error']}"]:
        done = ran(secretive(tmp_path, clickhouse_url=database(base)), *words)
        assert done.returncode != 0


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_failure_of_kafka_makes_its_password_be_printed(ports, tmp_path, form):
    for what, security in (
        ("nobody", "sasl_plaintext"),
        ("garbage", "sasl_plaintext"),
        ("error", "sasl_ssl"),
    ):
        broker = {"kafka_url": f"127.0.0.1:{ports[what]}", "kafka_security": security}
        environ = secretive(tmp_path, log_format=form, **broker)
        done = ran(
            environ, "notify", first="import streams.cli.options as o; o.KAFKA_WITHIN_S = 1.0"
        )
        assert done.returncode == 1, done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"clickhouse_url": f"http://me:{CLICKHOUSE}@db:port"}, ("settings",)),
        ({"kafka_url": f"kafka://me:{KAFKA}@broker:9092"}, ("settings",)),
        ({"http_token": TOKEN + "\n"}, ("settings",)),
        ({"webhook_urls": f"https://me:{KEY}@relay.example/{PATH}"}, ("webhooks", "test")),
        ({"webhook_urls": f"relay.example/{PATH}#whsec_{KEY}"}, ("webhooks", "test")),
        ({"webhook_urls": f"https://relay.example/{PATH}#whsec_{KEY}="}, ("webhooks", "test")),
        ({}, ("webhooks", "test", "--webhook-urls", "x", hook("https://relay.example"))),
        ({}, (hook("https://relay.example"),)),
        ({"log_format": TOKEN}, ("settings",)),
    ],
)  # fmt: skip
def test_a_setting_that_is_refused_is_named_and_not_quoted(tmp_path, settings, words):
    done = ran(secretive(tmp_path, **settings), *words)
    assert done.returncode == 2, done.stderr


def test_a_run_with_every_setting_leaves_no_secret_in_its_files(ports, tmp_path):
    urls = " ".join(
        hook(f"http://127.0.0.1:{ports[what]}") for what in ("garbage", "error", "nobody")
    )
    base = f"http://127.0.0.1:{ports['bad header']}"
    urls += (
        f" slack+{base}/services/{PATH} pagerduty+{base}/v2/enqueue?routing_key=5ekret-r0uting-key"
    )
    urls += f" telegram+{base}/bot123456:5ekret-t0ken/sendMessage?chat_id=5ekret-chat"
    urls += f" email+smtp://me:5ekret-Pa55@127.0.0.1:{ports['garbage']}/?from=a@b.example&to=d@e.example"
    environ = secretive(tmp_path, webhook_urls=urls, clickhouse_url="chdb", sql_port="0")
    receivers = parse_endpoints(urls, ["127.0.0.1"])
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        outbox.put(ALERT, receivers)
        Notifier(receivers).take([ALERT], outbox)
    done = ran(environ, "run", "--hours", "0.05", "--no-serve")
    assert done.returncode == 0, done.stderr
    listed = ran(environ, "webhooks", "list")
    assert "ClientResponseError" in listed.stdout
    assert (tmp_path / "run.json").exists()
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        content = path.read_bytes()
        assert not any(sign.encode() in content for sign in SIGNS), path


#: Everything that Python writes to stderr by itself.
UNEXPECTED = """
import logging, threading, warnings
import streams.cli
from streams.process.logs import log_to_stderr
from streams.process.settings import load
class Falls:
    def __del__(self): raise RuntimeError(known.kafka_password)
def fall(*_, **__):
    global known
    known = load()
    log_to_stderr(known)
    log = logging.getLogger("x")
    log.warning("%s", known, stack_info=True)
    log.warning("%d of these", known.webhook_urls)
    warnings.warn(known.clickhouse_url)
    Falls()
    thread = threading.Thread(target=lambda: known.http_token.nothing)
    thread.run = lambda: (_ for _ in ()).throw(KeyError(known.http_token, known.clickhouse_url))
    thread.start(); thread.join()
    try:
        raise ValueError(known.webhook_urls)
    except ValueError as problem:
        raise LookupError({"password": known.kafka_password, "all": known}) from problem
streams.cli.settings.settings.callback = fall
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_nobody_expects_is_printed_without_secrets(tmp_path, form):
    done = ran(secretive(tmp_path, log_format=form), "settings", first=UNEXPECTED)
    assert done.returncode == 1
    for sign in (
        "LookupError",
        "ValueError",
        "KeyError",
        "Logging error",
        "Exception ignored",
        "UserWarning",
    ):
        assert sign in done.stderr, done.stderr
