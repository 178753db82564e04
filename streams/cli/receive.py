"""`undertow webhooks receive`: a receiver here, to see what one gets and that it is signed."""

import os
import subprocess
import sys
import time
from typing import Any

import click

from streams.cli.options import Refused, say, stopping
from streams.process.settings import PREFIX


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--port", default=0, show_default=True, help="where it listens; 0 picks a free one")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def receive(port: int, command: tuple[str, ...]) -> None:
    """Receive webhooks on this machine, verify their signatures, and print what each says.

    With COMMAND, run that with this receiver as its own, and end with it: exit code 1 when
    nothing came. Without, say how to set it, and go on until Ctrl-C. A receiver of your own
    verifies in the same way: sinks/README.md has one.

    \b
    undertow webhooks receive undertow run --hours 8 --no-serve --data-dir tryout
    undertow webhooks receive --port 8126
    """
    from sinks.webhooks.receiver import receiving
    from sinks.webhooks.signing import new_secret

    secret, count = new_secret(), 0

    def heard(webhook_id: str, body: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        data = body.get("data") or {}
        click.echo(f"verified  {webhook_id}  {body.get('type')}  {data.get('title', '')}".rstrip())
        if text := data.get("text"):
            click.echo(f"          {text.splitlines()[0]}")
        sys.stdout.flush()

    try:
        with receiving(secret, port, heard) as url:
            environ = {
                "WEBHOOK_URLS": f"{url}#{secret}",
                PREFIX + "WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
                # A night of long ago is told too: this is to be seen.
                PREFIX + "ALERT_MAX_AGE_S": "0",
                # To see them is what this is for, also those of a night of long ago.
                PREFIX + "ALERT_MAX_AGE_S": "0",
            }
            if command:
                code = _run(command, environ)
            else:
                say("\n".join(f"export {name}='{value}'" for name, value in environ.items()))
                code = _until_stopped()
    except OSError as problem:
        raise Refused(f"cannot receive on 127.0.0.1:{port}: {problem.strerror}") from None
    say(f"{count} webhooks received and verified")
    sys.exit(code or (not count and bool(command)))


def _run(command: tuple[str, ...], environ: dict[str, str]) -> int:
    # What it prints is not what came here.
    return subprocess.run(command, env=os.environ | environ, stdout=sys.stderr).returncode


def _until_stopped() -> int:
    stop = stopping()
    while not stop():
        time.sleep(0.1)
    return 0
