"""`undertow board`: the live board over what is stored, here or on a server."""

import contextlib
import time
from pathlib import Path
from typing import Any

import click

from streams.cli.options import Refused, option, say, settled, stopping, watched


@click.command()
@option("data_dir")
@option("clickhouse_url")
@option("board_host")
@option("board_port")
@watched
def board(**given: Any) -> None:
    """Serve the live board at http://127.0.0.1:8125/board/ until Ctrl-C.

    It reads CLICKHOUSE_URL, or what `undertow run` stores in DATA_DIR, also while it does.

    \b
    undertow board
    undertow board --clickhouse-url https://user:password@clickhouse:8443/undertow
    """
    from clickhouse_connect.driver import exceptions as driver

    from sinks.board import serve
    from sinks.board.deliveries import Outbox
    from sinks.board.live import Source
    from sinks.board.pages import Board
    from sinks.clickhouse.client import chdb_path
    from sinks.sql.endpoint import EndpointError
    from streams.cli.store import client
    from streams.process import health
    from streams.process.logs import log_to_stderr

    settings = settled(**given)
    log_to_stderr(settings)
    path = chdb_path(settings.clickhouse_url, settings.data_dir)
    source = Source(outbox=Outbox(Path(settings.data_dir).resolve() / serve.OUTBOX))
    token, stop = settings.http_token, stopping()
    try:
        with contextlib.ExitStack() as stack:
            if path is None:
                database = stack.enter_context(contextlib.closing(client(settings)))
                shown = Board(serve.server(database), token, source)
            else:
                _check(path)
                shown = serve.EmbeddedBoard(path, token, source)
            ops_url = stack.enter_context(health.serving(settings, "board"))
            address = stack.enter_context(
                serve.serving(shown, settings.board_host, settings.board_port, token)
            )
            say(f"board on {address}, health on {ops_url}; Ctrl-C ends it")
            while not stop():
                health.come_round()
                time.sleep(0.2)
    except (EndpointError, health.CannotServe, ValueError) as problem:
        raise Refused(str(problem)) from None
    except driver.Error as problem:
        raise click.ClickException(str(problem)) from None


def _check(path: Path) -> None:
    if not path.is_dir():
        raise Refused(f"nothing has been stored in {path} yet: `undertow run` does, or --data-dir")
