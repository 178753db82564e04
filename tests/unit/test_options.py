"""Logs that machines read, and secrets that nobody does."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams import cli

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    "UNDERTOW_KAFKA_PASSWORD": "hunter-kafka",
    "UNDERTOW_HTTP_TOKEN": "hunter-token",
    "UNDERTOW_WEBHOOK_URLS": "https://a.example/hook#whsec_aHVudGVy",
    "UNDERTOW_CLICKHOUSE_URL": "https://me:hunter-db@db.example:8443/undertow",
}
USED = {"UNDERTOW_KAFKA_SECURITY": "sasl_plaintext", "UNDERTOW_KAFKA_USERNAME": "me"}


LOGS = """
import logging
from streams.process import logs, settings
logs.log_to_stderr(settings.load())
log = logging.getLogger("undertow.test")
log.info("two\\nlines and %s", "\\ud800 half a character")
log.debug("not asked for")
for number in range(3):
    logging.getLogger("undertow.librdkafka").error("broker %d is away", number)
try:
    raise ValueError("why")
except ValueError:
    log.exception("it failed")
raise SystemError("nobody caught it")
"""


def logged(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LOGS],
        cwd=ROOT,
        env=os.environ | {"UNDERTOW_LOG_FORMAT": form},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_a_json_log_is_one_object_a_line_whatever_is_logged() -> None:
    first, away, second, last = map(json.loads, logged("json").splitlines())
    assert set(first) == {"time", "level", "logger", "message"}
    assert first["message"] == "two\nlines and \ud800 half a character"
    assert (first["level"], first["logger"]) == ("info", "undertow.test")
    assert datetime.datetime.fromisoformat(first["time"]).utcoffset() == datetime.timedelta(0)
    assert away["message"] == "broker 0 is away"
    assert second["level"] == "error"
    assert second["exception"].splitlines()[-1] == "ValueError: why"
    assert last["message"] == "unexpected: nobody caught it"


def test_a_text_log_names_level_and_logger() -> None:
    assert " ERROR undertow.test it failed\nTraceback" in logged("text")


def test_no_secret_is_in_the_settings_or_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRETS | USED).items():
        monkeypatch.setenv(name, value)
    runner = CliRunner()
    asked = [["settings"], ["--help"], *([name, "--help"] for name in cli.main.commands)]
    for command in asked:
        shown = runner.invoke(cli.main, command)
        assert shown.exit_code == 0, shown.output
        assert "hunter" not in shown.output
        assert "whsec" not in shown.output.replace("whsec_…", "")


def test_no_secret_can_be_given_where_ps_shows_it() -> None:
    for command in cli.main.commands.values():
        assert not {"kafka_password", "http_token"} & {option.name for option in command.params}
