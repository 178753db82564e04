"""`undertow webhooks` as a person calls it, beside a notify that has the outbox open."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import orjson
import pytest
from click.testing import CliRunner, Result
from nights import an_alert
from standardwebhooks import Webhook

from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.signing import new_secret, secret_key
from streams.cli import main

NOW = 1_772_000_002_000_000
ENDPOINT = Endpoint("https://a.example/x", new_secret())
ALERT = an_alert(ts_event=NOW, ts_detect=NOW)


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["webhooks", *words])


@pytest.fixture
def outbox(tmp_path: Path):
    """An outbox with one dead and one waiting delivery, held open as notify holds it."""
    with Outbox(tmp_path / "outbox.sqlite") as opened:
        opened.put_many([ALERT, msgspec.structs.replace(ALERT, alert_id="a2")], [ENDPOINT])
        [first, _] = opened.listed("pending")
        opened.mark_dead(first, "HTTP [500]")
        yield opened


def test_deliveries_are_listed_with_why_they_failed(outbox, tmp_path):
    result = call("list", "--data-dir", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "HTTP [500]" in result.stdout
    assert "a2" in result.stdout
    dead = call("list", "--state", "dead", "--data-dir", str(tmp_path)).stdout
    assert "a1" in dead
    assert "a2" not in dead


def test_a_dead_delivery_is_due_again_while_notify_has_the_file(outbox, tmp_path):
    result = call("retry", "a1", "--data-dir", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, "1 due now\n")
    assert outbox.pending() == {ENDPOINT.name: 2}
    assert call("retry", "a1", "--data-dir", str(tmp_path)).exit_code == 1


def test_a_disabled_endpoint_is_let_in_again_only_by_name(outbox, tmp_path):
    outbox.disable(ENDPOINT.name, "disabled: it answered 410 Gone")
    assert call("retry", "--all-dead", "--data-dir", str(tmp_path)).stdout == "0 due now\n"
    named = call("retry", "--endpoint", ENDPOINT.name, "--data-dir", str(tmp_path))
    assert named.stdout == "2 due now\n"
    assert outbox.disabled() == {}


@pytest.mark.parametrize("words", [("retry",), ("retry", "a1", "--all-dead")])
def test_a_retry_that_does_not_say_of_what_is_refused(outbox, tmp_path, words):
    assert call(*words, "--data-dir", str(tmp_path)).exit_code == 2


def test_without_an_outbox_the_commands_say_so(tmp_path):
    result = call("list", "--data-dir", str(tmp_path))
    assert result.exit_code == 2
    assert "no outbox" in result.stderr
    assert not (tmp_path / "outbox.sqlite").exists()


def test_a_new_secret_is_one():
    assert secret_key(call("secret").stdout.strip())


def test_each_endpoint_gets_a_signed_test_event_and_its_answer_is_printed():
    requests = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(500 if self.path == "/bad" else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        secret = new_secret()
        base = f"http://127.0.0.1:{server.server_port}"
        allow = ("--webhook-allow-private", "127.0.0.1")
        good = call("test", "--webhook-urls", f"{base}/good#{secret}", *allow)
        both = call("test", "--webhook-urls", f"{base}/good#{secret} {base}/bad#{secret}", *allow)
    finally:
        server.shutdown()
        server.server_close()
    assert good.exit_code == 0, good.output
    assert "ok\tHTTP 204" in good.stdout
    assert both.exit_code == 1
    assert "failed\tHTTP 500" in both.stdout
    headers, body = requests[0]
    assert Webhook(secret).verify(body, headers)["type"] == "undertow.test"
    assert orjson.loads(body)["type"] == "undertow.test"
