"""One token for every HTTP endpoint, wherever a client puts a password."""

import base64
import resource

import pytest

from schemas.access import is_allowed, is_loopback, most_connections, why_not_bound

TOKEN = "s3cret-tökén"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer {TOKEN}"},
        {"Authorization": basic("default", TOKEN)},
        {"Authorization": basic("", TOKEN)},
        {"X-ClickHouse-User": "default", "X-ClickHouse-Key": TOKEN},
    ],
)
def test_the_token_is_taken_where_clients_send_it(headers: dict[str, str]) -> None:
    assert is_allowed(TOKEN, headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": TOKEN},
        {"Authorization": basic(TOKEN, "")},
        {"Authorization": "Basic not-base64!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xfe").decode()},
        {"Authorization": f"Digest {TOKEN}"},
        {"X-ClickHouse-Key": ""},
    ],
)
def test_anything_else_is_refused(headers: dict[str, str]) -> None:
    assert not is_allowed(TOKEN, headers)


def test_without_a_token_nothing_is_asked_for() -> None:
    assert is_allowed("", {})


def test_an_address_that_others_reach_needs_a_token() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.1", "undertow.example", ""):
        assert why_not_bound(host, "") is not None
        assert why_not_bound(host, TOKEN) is None
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"):
        assert is_loopback(host)
        assert why_not_bound(host, "") is None


def test_a_token_beyond_ascii_is_taken_as_any_server_reads_it() -> None:
    sent = "p\u00e4ss".encode()
    for read in (sent.decode(), sent.decode("latin-1")):
        assert is_allowed("p\u00e4ss", {"X-ClickHouse-Key": read})
    for read in (b"\xff\xfe".decode("utf-8", "surrogateescape"), "\xff\xfe", "\ud800"):
        assert not is_allowed(TOKEN, {"Authorization": f"Bearer {read}", "X-ClickHouse-Key": read})


def test_connections_leave_room_for_files() -> None:
    assert 1 <= most_connections(5) <= 5
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
    assert most_connections(10**9) <= soft // 4
