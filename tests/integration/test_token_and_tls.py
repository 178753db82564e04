"""The one token over the SQL endpoint, and ClickHouse behind TLS, with the real clients."""

import asyncio
import json
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest
import trustme
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from stages import undertow

from sinks.clickhouse.client import open_client
from sinks.clickhouse.migrate import migrate
from sinks.sql.endpoint import Endpoint, serve
from sinks.sql.query import query
from sinks.sql.reader import QueryError
from streams.process.settings import clickhouse_tls, load

TOKEN = "open-sesame"
ONE = "SELECT 1 + 1 AS two"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint that asks for the token, noted in its data directory as a run notes it."""
    folder = tmp_path_factory.mktemp("data")
    owner = open_client("chdb", folder)
    migrate(owner, "undertow")
    served = serve(owner.path, token=TOKEN)
    note = {"url": served.url, "pid": os.getpid()}
    (folder / "endpoint.json").write_text(json.dumps(note))
    served.data_dir = folder
    yield served
    served.stop()
    owner.close()


def test_clickhouse_connect_shows_the_token_as_its_password(endpoint: Endpoint) -> None:
    for extra in (
        {"password": TOKEN},
        {"username": "grafana", "password": TOKEN},
        {"access_token": TOKEN},
    ):
        client = clickhouse_connect.get_client(host="127.0.0.1", port=endpoint.port, **extra)
        assert client.query(ONE).result_rows == [(2,)]
        client.close()


@pytest.mark.parametrize("extra", [{}, {"password": "wrong"}, {"access_token": "wrong"}])
def test_clickhouse_connect_is_refused_without_it(endpoint: Endpoint, extra: dict) -> None:
    with pytest.raises((DatabaseError, OperationalError), match="token is missing or wrong"):
        clickhouse_connect.get_client(host="127.0.0.1", port=endpoint.port, **extra)


def test_undertow_sql_shows_the_token_to_the_run(endpoint: Endpoint) -> None:
    assert query(ONE, "TSV", data_dir=endpoint.data_dir, token=TOKEN) == "2\n"
    with pytest.raises(QueryError, match="token is missing or wrong"):
        query(ONE, "TSV", data_dir=endpoint.data_dir)
    environ = {"UNDERTOW_DATA_DIR": str(endpoint.data_dir)}
    allowed = undertow(environ | {"UNDERTOW_HTTP_TOKEN": TOKEN}, "sql", ONE, "--format", "TSV")
    assert (allowed.returncode, allowed.stdout) == (0, "2\n")
    refused = undertow(environ, "sql", ONE)
    assert refused.returncode == 1
    assert "token is missing or wrong" in refused.stderr


@pytest.fixture(scope="module")
def tls(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings for the endpoint behind TLS that asks for a certificate of ours."""
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    ours = authority.issue_cert("undertow.test")
    ours.private_key_pem.write_to_path(str(folder / "key.pem"))
    ours.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    front = asyncio.run_coroutine_threadsafe(_in_front_of(endpoint.port, context), loop).result()
    yield {
        "UNDERTOW_CLICKHOUSE_URL": f"https://me:{TOKEN}@127.0.0.1:{front.sockets[0].getsockname()[1]}/undertow",
        "UNDERTOW_CLICKHOUSE_CA_FILE": str(folder / "ca.pem"),
        "UNDERTOW_CLICKHOUSE_CERT_FILE": str(folder / "cert.pem"),
        "UNDERTOW_CLICKHOUSE_KEY_FILE": str(folder / "key.pem"),
    }
    loop.call_soon_threadsafe(front.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _in_front_of(port: int, context: ssl.SSLContext) -> asyncio.Server:
    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, ahead), pipe(behind, writer), return_exceptions=True)

    return await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)


def test_clickhouse_is_reached_over_tls_with_our_certificate(tls: dict[str, str]) -> None:
    settings = load({}, tls)
    client = open_client(settings.clickhouse_url, tls=clickhouse_tls(settings))
    assert client.query(ONE).result_rows == [(2,)]
    client.close()
    asked = undertow(tls, "sql", ONE, "--format", "TSV")
    assert (asked.returncode, asked.stdout) == (0, "2\n"), asked.stderr


def test_a_server_of_another_authority_is_refused(tls: dict[str, str], tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    other = tls | {"UNDERTOW_CLICKHOUSE_CA_FILE": str(tmp_path / "other.pem")}
    settings = load({}, other)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        open_client(settings.clickhouse_url, tls=clickhouse_tls(settings))
    asked = undertow(other, "sql", ONE)
    assert asked.returncode == 2
    assert "certificate verify failed" in asked.stderr
    assert TOKEN not in asked.stderr
