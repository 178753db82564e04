"""Every command's help shows how it is called, and what it shows is a call that it takes."""

import json
import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from streams.cli import main


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def command_of(path: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


@pytest.mark.parametrize("path", [*commands(main)], ids=" ".join)
def test_every_help_has_examples_that_the_command_takes(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*path, "--help"])
    calls = re.findall(r"(?:^  |\| |\$\()undertow ([^|>)\n]*)", done.stdout, re.M)
    # `undertow alerts test` is `undertow webhooks test`: either may stand there.
    assert calls, "no example"
    for call in calls:
        words = shlex.split(call)
        command: click.Command = main
        while isinstance(command, click.Group):
            command, words = command.commands[words[0]], words[1:]
        command.make_context("undertow", words, resilient_parsing=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_our_commands(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert "_UNDERTOW_COMPLETE" in done.stdout
    environ = {
        "_UNDERTOW_COMPLETE": "bash_complete",
        "COMP_WORDS": "undertow al",
        "COMP_CWORD": "1",
    }
    asked = CliRunner().invoke(main, [], env=environ, prog_name="undertow")
    assert "plain,alerts" in asked.stdout


#: What prints to people: a table, or lines that are one.
TABLES = (
    "audit",
    "doctor",
    "run",
    "settings",
    "webhooks list",
    "webhooks test",
    "alerts preview",
    "alerts silence",
)


@pytest.mark.parametrize("name", TABLES)
def test_where_a_person_reads_a_table_a_program_may_have_json(name: str) -> None:
    command = command_of(tuple(name.split()))
    assert any("--json" in parameter.opts for parameter in command.params)


def test_settings_as_json_hold_no_secret() -> None:
    environ = {"WEBHOOK_URLS": "https://a.example/secret-path#whsec_" + "A" * 32}
    done = CliRunner().invoke(main, ["settings", "--json"], env=environ)
    shown = json.loads(done.stdout)
    assert shown["partitions"] == 4
    assert "secret-path" not in done.stdout
