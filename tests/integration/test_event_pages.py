"""What arrives at real receivers: one page for each market event, in order, in each one's own form."""

import asyncio
import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path

import pytest
from click.testing import CliRunner
from runs import OFTEN, run
from standardwebhooks import Webhook

from schemas.findings import Alert
from schemas.words import SECOND
from sinks.alerts.rules import Rule, Rules
from sinks.webhooks.delivery import Deliverer
from sinks.webhooks.endpoints import Endpoint, parse_endpoints
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.signing import new_secret
from streams.cli import main

T = 1_763_683_200 * SECOND
SECRET = new_secret()
FORMS = {
    "webhook": f"/hook#{SECRET}",
    "cloudevents": f"/events#{SECRET}",
    "slack": "/services/T0/B0/abcdefgh",
    "discord": "/api/webhooks/1/abcdefgh",
    "telegram": "/bot1:abcdefgh/sendMessage?chat_id=-100",
    "pagerduty": "/v2/enqueue?routing_key=R0abcdefgh",
    "alertmanager": "/api/v2/alerts",
}
SEVERITY = {"onset": "critical", "reignited": "critical", "exhausted": "warning"}


def alert(kind: str, asset: str, second: int, usd: float = 1e6) -> Alert:
    phase = kind.rpartition(".")[2]
    return Alert(
        alert_id=f"{kind}-{asset}-{second}".replace(".", "-"), dedup_key=f"{kind.split('.')[0]}-{asset}", kind=kind,
        tier="watch" if phase == "watch" else "cascade", severity=SEVERITY.get(phase, "info"), asset=asset, title="t", text="t",
        finding_id="f", ts_event=T + second * SECOND, ts_detect=T + (second + 4) * SECOND, notional_usd=usd,
        position_side="long",
    )  # fmt: skip


class Receivers:
    """One server that is every kind of receiver; keeps what came, answers what it is told."""

    def __init__(self) -> None:
        self.came: dict[str, list[tuple[dict[str, str], bytes]]] = defaultdict(list)
        self.answers: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        self.url = ""

    def endpoints(self, *forms: str) -> list[Endpoint]:
        text = " ".join(f"{form}+{self.url}{FORMS[form]}" for form in forms or FORMS)
        return parse_endpoints(text, ["127.0.0.1"])

    def bodies(self, form: str) -> list:
        path = FORMS[form].partition("#")[0].partition("?")[0]
        return [json.loads(body) for _, body in self.came[path]]


@contextmanager
def receiving() -> Iterator[Receivers]:
    receivers = Receivers()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            path = self.path.partition("?")[0]
            body = self.rfile.read(int(self.headers["content-length"]))
            receivers.came[path].append(({k.lower(): v for k, v in self.headers.items()}, body))
            status, answer = (
                receivers.answers[path].pop(0) if receivers.answers[path] else (202, b"")
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    receivers.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield receivers
    finally:
        server.shutdown()
        server.server_close()


class Live:
    """Alerts as they come, at the pace of event time, and what is due delivered on the way."""

    def __init__(self, path: Path, endpoints: list[Endpoint], rules: Rules | None = None) -> None:
        self.now_us = T
        self.outbox = Outbox(path, wall=lambda: self.now_us, steady=lambda: self.now_us)
        self.notifier = Notifier(endpoints, rules)
        self.deliverer = Deliverer(endpoints, self.outbox, jitter=lambda: 1.0)

    def hear(self, *alerts: Alert, every_s: int = 1) -> None:
        """Take alerts in as they come, those of the same `every_s` seconds together."""
        for _, together in groupby(alerts, key=lambda each: each.ts_event // SECOND // every_s):
            batch = list(together)
            self.wait_until(batch[-1].ts_event)
            self.notifier.take(batch, self.outbox)
            self.deliver()

    def wait_until(self, ts_event: int) -> None:
        while self.now_us < ts_event:
            self.now_us = min(ts_event, self.now_us + 20 * SECOND)
            self.deliver()

    def deliver(self) -> None:
        if any(self.outbox.wait_us(name) == 0 for name in self.notifier.names):
            asyncio.run(self.deliverer.drain())


BTC = [
    alert("cascade.onset", "BTC", 0),
    alert("cascade.exhausted", "BTC", 300),
    alert("cascade.closed", "BTC", 900),
]


def a_night_of_300_assets() -> list[Alert]:
    draw = random.Random(10)
    night = [alert("market.onset", "", 25), alert("market.closed", "", 2_400)]
    for number in range(300):
        onset = int(draw.expovariate(1 / 240))
        night += [
            alert("cascade.watch", f"A{number}", max(0, onset - 2)),
            alert("cascade.onset", f"A{number}", onset, draw.lognormvariate(12, 2)),
            alert("cascade.exhausted", f"A{number}", onset + draw.randrange(60, 900)),
            alert("cascade.reignited", f"A{number}", onset + 1_000)
            if number % 7 == 0
            else night[0],
            alert("cascade.closed", f"A{number}", onset + draw.randrange(1_200, 2_000)),
        ]
    return sorted({a.alert_id: a for a in night}.values(), key=lambda a: a.ts_event)


def test_a_night_of_300_assets_is_one_page_and_at_most_12_notifications_at_every_receiver(tmp_path):
    with receiving() as receivers:
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints())
        live.hear(*a_night_of_300_assets(), every_s=10)
        live.wait_until(live.now_us + 600 * SECOND)
        counts = {form: len(receivers.bodies(form)) for form in FORMS}
        assert 3 <= min(counts.values()) == max(counts.values()) <= 12, counts
        events = Counter((b["event_action"], b["dedup_key"]) for b in receivers.bodies("pagerduty"))
        assert len({key for _, key in events}) == 1, "one market event is one page"
        assert [n for (action, _), n in events.items() if action == "resolve"] == [1]
        assert receivers.bodies("pagerduty")[-1]["event_action"] == "resolve"
        types = [b["type"] for b in receivers.bodies("webhook")]
        assert (types[0], types[-1]) == ("event.trigger", "event.resolve")
        assert set(types[1:-1]) <= {"event.update", "event.reminder"}
        alert_ids = [i for b in receivers.bodies("webhook") for i in b["data"]["alert_ids"]]
        assert len(alert_ids) == len(set(alert_ids))
        [first, *_] = receivers.came["/hook"]
        assert first[0]["webhook-timestamp"]
        for headers, body in receivers.came["/hook"]:
            stamp = {**headers, "webhook-timestamp": headers["webhook-timestamp"]}
            assert verified(stamp, body)["type"].startswith("event.")
        assert receivers.came["/events"][0][0]["content-type"] == "application/cloudevents+json"
        assert "webhook-signature" not in receivers.came["/v2/enqueue"][0][0]
        assert live.outbox.pending() == {}


def verified(headers: dict[str, str], body: bytes) -> dict:
    """Verify as a receiver does, at the moment of the signature."""
    webhook = Webhook(SECRET)
    webhook._Webhook__verify_timestamp = lambda stamp: __import__(
        "datetime"
    ).datetime.fromtimestamp(int(stamp), __import__("datetime").UTC)
    return webhook.verify(body, headers)


def test_no_critical_is_delayed_and_an_end_waits_for_the_trigger_that_failed(tmp_path):
    with receiving() as receivers:
        receivers.answers["/v2/enqueue"] = [(500, b"")]
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints("pagerduty", "slack"))
        live.hear(BTC[0])
        assert len(receivers.bodies("slack")) == 1, "sent in the second that it was told"
        live.hear(alert("cascade.closed", "BTC", 2))
        assert [b["event_action"] for b in receivers.bodies("pagerduty")] == ["trigger"]
        live.wait_until(T + 60 * SECOND)
        assert [b["event_action"] for b in receivers.bodies("pagerduty")] == [
            "trigger",
            "trigger",
            "resolve",
        ]


def test_what_pagerduty_refuses_for_good_is_dead_at_once_and_says_so(tmp_path):
    with receiving() as receivers:
        receivers.answers["/v2/enqueue"] = [(400, b'{"status":"invalid event"}')]
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints("pagerduty"))
        live.hear(BTC[0])
        [dead] = live.outbox.listed("dead")
        assert (dead.attempts, dead.last_error) == (1, "HTTP 400")
        assert receivers.bodies("pagerduty")[0]["routing_key"] == "R0abcdefgh"
        for part in tmp_path.iterdir():
            assert b"R0abcdefgh" not in part.read_bytes(), "a key is no matter for the disk"


def test_telegram_is_asked_again_when_its_answer_says(tmp_path):
    with receiving() as receivers:
        receivers.answers["/bot1:abcdefgh/sendMessage"] = [
            (429, b'{"ok":false,"parameters":{"retry_after":35}}')
        ]
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints("telegram"))
        live.hear(BTC[0])
        live.wait_until(T + 34 * SECOND)
        assert len(receivers.bodies("telegram")) == 1
        live.wait_until(T + 40 * SECOND)
        assert len(receivers.bodies("telegram")) == 2
        assert receivers.bodies("telegram")[0]["chat_id"] == "-100"


def test_an_event_that_goes_on_is_told_again_unless_somebody_sees_to_it(tmp_path):
    with receiving() as receivers:
        for name, taken in (("a", False), ("b", True)):
            receivers.came.clear()
            live = Live(tmp_path / name / "outbox.sqlite", receivers.endpoints("webhook"))
            live.hear(BTC[0])
            if taken:
                done = CliRunner().invoke(
                    main, ["alerts", "ack", "cascade", "--data-dir", str(tmp_path / name)]
                )
                assert done.exit_code == 0, done.output
            live.wait_until(T + 3 * 3_600 * SECOND)
            live.hear(alert("cascade.closed", "BTC", 4 * 3_600))
            live.wait_until(T + 9 * 3_600 * SECOND)
            types = [b["type"] for b in receivers.bodies("webhook")]
            reminders = [] if taken else ["event.reminder"] * 2
            assert types == ["event.trigger", *reminders, "event.resolve"]


def test_a_restart_between_any_two_alerts_tells_the_same(tmp_path):
    with receiving() as receivers:
        night = a_night_of_300_assets()[:120]
        for name, every in (("whole", 10**9), ("cut", 7)):
            receivers.came.clear()
            live = Live(tmp_path / name / "outbox.sqlite", receivers.endpoints("webhook"))
            for number, each in enumerate(night):
                live.hear(each)
                if number % every == every - 1:
                    # Killed before the offset was committed: the same alert comes again.
                    now_us = live.now_us
                    live.outbox.close()
                    live = Live(tmp_path / name / "outbox.sqlite", receivers.endpoints("webhook"))
                    live.now_us = live.outbox._began_steady_us = now_us
                    live.hear(each)
            ids = [(h["webhook-id"], b) for h, b in receivers.came["/hook"]]
            if name == "whole":
                expected = ids
        assert [i for i, _ in ids] == [i for i, _ in expected]


def test_rules_choose_who_is_told_what_and_quiet_hours_keep_back_what_is_not_critical(tmp_path):
    rules = Rules(
        rule=[Rule(to=["slack"], assets=["ETH"]), Rule(to=["webhook"], quiet="22:00-07:00 UTC", kinds=["feed.", "cascade."])]
    )  # fmt: skip
    silent = alert("feed.silent", "", 60)
    with receiving() as receivers:
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints("slack", "webhook"), rules)
        live.hear(BTC[0], silent, alert("cascade.onset", "ETH", 70))
        assert [b["text"] for b in receivers.bodies("slack")] == ["🔴 ETH longs liquidated"]
        assert {b["data"]["severity"] for b in receivers.bodies("webhook")} == {"critical"}
        live.wait_until(T + 7 * 3_600 * SECOND + 60 * SECOND)
        assert "feed-" in {b["data"]["key"] for b in receivers.bodies("webhook")}


ESCALATES = Rules(
    rule=[
        Rule(to=["slack"], escalate_to=["pagerduty"], escalate_after_min=10),
        Rule(to=["pagerduty"], kinds=["nothing"]),
    ]
)


@pytest.mark.parametrize(
    ("ends_s", "taken", "heard"),
    [(300, False, []), (3_600, False, ["trigger", "resolve"]), (3_600, True, [])],
)
def test_what_nobody_takes_is_told_to_somebody_else_and_so_is_its_end(
    tmp_path, ends_s, taken, heard
):
    with receiving() as receivers:
        endpoints = receivers.endpoints("slack", "pagerduty")
        live = Live(tmp_path / "outbox.sqlite", endpoints, ESCALATES)
        live.hear(BTC[0])
        if taken:
            ack = ["alerts", "ack", "cascade-BTC", "--data-dir", str(tmp_path)]
            assert CliRunner().invoke(main, ack).exit_code == 0
        live.hear(alert("cascade.closed", "BTC", ends_s))
        live.wait_until(T + 9_000 * SECOND)
        assert [b["event_action"] for b in receivers.bodies("pagerduty")] == heard
        assert len(receivers.bodies("slack")) >= 2


def test_a_silence_keeps_back_what_it_names_for_as_long_as_it_says(tmp_path):
    with receiving() as receivers:
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints("slack"))
        call = ["alerts", "silence", "--data-dir", str(tmp_path)]
        with live.outbox.writing() as writing:
            made = writing.silence("BTC", "", 3_600 * SECOND)
        live.hear(BTC[0], alert("cascade.onset", "ETH", 400))
        assert [b["text"] for b in receivers.bodies("slack")] == ["🔴 ETH longs liquidated"]
        assert CliRunner().invoke(main, [*call, "--for", "2h"]).exit_code == 2
        assert (
            CliRunner().invoke(main, [*call, "--asset", "SOL", "--for", "2 hours"]).exit_code == 2
        )
        listed = CliRunner().invoke(main, [*call, "--asset", "SOL", "--for", "2h"])
        assert "SOL" in listed.stdout
        assert CliRunner().invoke(main, [*call, "--end", made.silence]).exit_code in (0, 2)


def test_the_default_night_is_one_page_at_every_receiver(tmp_path):
    with receiving() as receivers:
        urls = " ".join(
            f"{form}+{receivers.url}{FORMS[form]}" for form in ("slack", "pagerduty", "webhook")
        )
        environ = OFTEN | {
            "WEBHOOK_URLS": urls,
            "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
            "UNDERTOW_ALERT_MAX_AGE_S": "0",
        }
        code, output = run(tmp_path, environ, "--no-serve", "--hours", "8")
        assert code == 0, output
        events = [(b["event_action"], b["dedup_key"]) for b in receivers.bodies("pagerduty")]
        assert len({key for _, key in events}) == 1
        assert (events[0][0], events[-1][0]) == ("trigger", "resolve")
        assert (
            len(events) == len(receivers.bodies("slack")) == len(receivers.bodies("webhook")) <= 6
        )
        for query in {b["data"]["query"] for b in receivers.bodies("webhook")}:
            asked = CliRunner().invoke(main, ["sql", query, "--data-dir", str(tmp_path)])
            assert len(asked.stdout.splitlines()) >= 2, query
        shown = CliRunner().invoke(main, ["alerts", "preview", "--data-dir", str(tmp_path)])
        assert shown.stderr == f"{len(events)} notifications of 1 event\n"


def test_a_night_of_long_ago_wakes_nobody_unless_a_rule_asks_for_it(tmp_path):
    with receiving() as receivers:
        rules = tmp_path / "rules.toml"
        rules.write_text('[[rule]]\nto = ["slack"]\nreplayed = true\nkinds = ["cascade.onset"]\n')
        urls = " ".join(f"{form}+{receivers.url}{FORMS[form]}" for form in ("slack", "pagerduty"))
        environ = OFTEN | {
            "WEBHOOK_URLS": urls,
            "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
            "UNDERTOW_ALERT_RULES": str(rules),
        }
        code, said = run(tmp_path / "a", environ, "--no-serve", "--hours", "8")
        assert code == 0, said
        assert receivers.bodies("slack")
        assert not receivers.bodies("pagerduty")
        assert "alerts are of more than 15 min ago" in said


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("telegram+https://api.telegram.org/bot1:x/sendMessage", "needs .chat_id"),
        ("pagerduty+https://events.pagerduty.com/v2/enqueue", "needs .routing_key"),
        ("teams+https://a.example/x", "teams. is no form"),
        ("webhook+https://a.example/x", "whsec_"),
    ],
)
def test_a_receiver_that_lacks_what_its_form_needs_is_refused(entry, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_endpoints(entry)
