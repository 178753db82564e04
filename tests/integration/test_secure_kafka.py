"""Every process of ours on a cluster that asks for TLS and a password."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from stages import running, undertow, until

from schemas import codec
from schemas.market import Trade
from streams.kafka import clients, topics_admin
from streams.process.settings import load
from streams.stack import local_kafka

PASSWORD = "correct-horse"
START = 1_763_683_200_000_000
LISTENER = """
listeners=PLAINTEXT://127.0.0.1:${{port}},CONTROLLER://127.0.0.1:${{controller_port}},SAFE://127.0.0.1:{safe}
advertised.listeners=PLAINTEXT://127.0.0.1:${{port}},SAFE://127.0.0.1:{safe}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SAFE:SASL_SSL
inter.broker.listener.name=PLAINTEXT
listener.name.safe.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.safe.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_undertow="{password}";
listener.name.safe.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.safe.ssl.keystore.type=PEM
listener.name.safe.ssl.keystore.location={server}
listener.name.safe.ssl.truststore.type=PEM
listener.name.safe.ssl.truststore.location={ca}
listener.name.safe.ssl.client.auth=required
"""


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a person sets to reach a SASL_SSL listener that also asks for our certificate."""
    folder = tmp_path_factory.mktemp("secure")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("undertow.test")
    server.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    client.private_key_pem.write_to_path(str(folder / "key.pem"))
    for pem in client.cert_chain_pems:
        pem.write_to_path(str(folder / "cert.pem"), append=True)
    _as_pkcs8(folder / "server.pem")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        safe = probe.getsockname()[1]
    extra = LISTENER.format(
        safe=safe, password=PASSWORD, server=folder / "server.pem", ca=folder / "ca.pem"
    )
    try:
        broker = local_kafka.start(folder / "kafka", extra=extra)
    except local_kafka.CannotStart as reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(reason))
    _add_scram_user(broker.bootstrap)
    yield {
        "UNDERTOW_KAFKA_URL": f"127.0.0.1:{safe}",
        "UNDERTOW_KAFKA_SECURITY": "sasl_ssl",
        "UNDERTOW_KAFKA_USERNAME": "undertow",
        "UNDERTOW_KAFKA_PASSWORD": PASSWORD,
        "UNDERTOW_KAFKA_CA_FILE": str(folder / "ca.pem"),
        "UNDERTOW_KAFKA_CERT_FILE": str(folder / "cert.pem"),
        "UNDERTOW_KAFKA_KEY_FILE": str(folder / "key.pem"),
        "UNDERTOW_DATA_DIR": str(folder / "data"),
        "UNDERTOW_PARTITIONS": "2",
    }
    broker.stop()


def _as_pkcs8(pem: Path) -> None:
    """Rewrite the key as Java reads it."""
    from cryptography.hazmat.primitives import serialization as form

    text = pem.read_bytes()
    key = form.load_pem_private_key(text, None)
    chain = text[text.index(b"-----BEGIN CERT") :]
    encoded = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    pem.write_bytes(encoded + chain)


def _add_scram_user(bootstrap: str) -> None:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    user = UserScramCredentialUpsertion("scrammer", info, PASSWORD.encode())
    admin = topics_admin.admin_client(bootstrap)
    admin.alter_user_scram_credentials([user])["scrammer"].result()


def recording(folder: Path) -> Path:
    """Two minutes of trades of two assets, in the form of our own topic dumps."""
    folder.mkdir()
    trades = []
    for second in range(120):
        at = START + second * 1_000_000
        for asset in ("BTC", "ETH"):
            trades.append(
                Trade(
                    venue="binance", instrument=f"{asset}-USDT-PERP", asset=asset,
                    event_id=f"{asset}{second}", ts_event=at, ts_recv=at, price=100.0,
                    quantity=1.0, notional_usd=100.0, aggressor_side="sell",
                    venue_symbol=f"{asset}USDT",
                )
            )  # fmt: skip
    (folder / "trades.ndjson").write_bytes(b"\n".join(map(codec.encode, trades)) + b"\n")
    return folder


def count(environ: dict[str, str], topic: str) -> int:
    """How many messages a topic holds."""
    reader = Consumer(clients.consumer_conf(load({}, environ), "reader"))
    try:
        numbers = reader.list_topics(topic, timeout=10).topics[topic].partitions
        ends = [reader.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in numbers]
        return sum(high - low for low, high in ends)
    finally:
        reader.close()


def test_every_stage_works_over_tls_and_a_password(environ: dict[str, str], tmp_path: Path) -> None:
    made = undertow(environ, "topics")
    assert made.returncode == 0, made.stderr
    assert "trades" in made.stdout.split()
    sent = undertow(environ, "replay", str(recording(tmp_path / "tape")))
    assert sent.returncode == 0, sent.stderr
    assert "trades\t240" in sent.stdout
    scram = environ | {
        "UNDERTOW_KAFKA_SASL": "SCRAM-SHA-512",
        "UNDERTOW_KAFKA_USERNAME": "scrammer",
    }
    with ExitStack() as stack:
        stack.enter_context(running(environ, "rollup", log=tmp_path / "rollup.log"))
        # Two partitions' words on each of two, and bars, many in a message.
        until(lambda: count(environ, "bars") > 4, "bars and clocks")
        stack.enter_context(running(scram, "detect", log=tmp_path / "detect.log"))
        until(lambda: count(environ, "market_evidence") > 0, "detect's clock")
    logs = (tmp_path / "rollup.log").read_text() + (tmp_path / "detect.log").read_text()
    assert PASSWORD not in logs + made.stderr + sent.stderr


@pytest.mark.parametrize("command", ["topics", "rollup", "detect"])
def test_a_wrong_password_is_one_line_and_no_wait(environ: dict[str, str], command: str) -> None:
    began = time.monotonic()
    done = undertow(environ | {"UNDERTOW_KAFKA_PASSWORD": "wrong-horse"}, command)
    assert done.returncode == 1
    assert "refused us" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "wrong-horse" not in done.stderr
    assert time.monotonic() - began < 30


def test_brokers_of_another_authority_are_refused(environ: dict[str, str], tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    done = undertow(environ | {"UNDERTOW_KAFKA_CA_FILE": str(tmp_path / "other.pem")}, "topics")
    assert done.returncode == 1
    assert "certificate verify failed" in done.stderr


def test_a_certificate_that_is_none_is_one_line(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("hello")
    done = undertow(environ | {"UNDERTOW_KAFKA_CA_FILE": str(tmp_path / "no.pem")}, "detect")
    assert done.returncode == 1
    assert "no client for Kafka" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
