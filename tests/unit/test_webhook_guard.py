"""What a webhook may not reach. Sockets are tried in tests/integration/test_webhooks.py."""

import pytest

from sinks.webhooks.guard import check_url, refusal


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "::1",
        "fd00::1",
        "fec0::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "2001::1",
    ],
)
def test_what_is_not_public_is_refused_unless_its_host_is_named(address: str) -> None:
    assert refusal(address, allow_private=False) is not None
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "fe80::1%eth0",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "::ffff:0.0.0.0",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_link_local_metadata_and_nobody_are_refused_to_everyone(address: str) -> None:
    assert refusal(address, allow_private=False) is not None
    assert refusal(address, allow_private=True) is not None


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_public_addresses_are_reached(address: str) -> None:
    assert refusal(address, allow_private=False) is None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "0x7f.0.0.1",
        "0",
    ],
)
def test_an_address_in_any_notation_is_refused_at_start(host: str) -> None:
    with pytest.raises(ValueError, match=r"address|metadata"):
        check_url(f"https://{host}/hook", allow_private=False)


@pytest.mark.parametrize(
    "url", ["https://u@a.example/", "https://u:p@a.example/", "https://:p@a.example/"]
)
def test_credentials_in_a_url_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="user name or password"):
        check_url(url, allow_private=True)


def test_http_needs_a_named_host() -> None:
    check_url("http://127.0.0.1:8080/hook", allow_private=True)
    check_url("https://hooks.example/x", allow_private=False)
    with pytest.raises(ValueError, match="use https"):
        check_url("http://hooks.example/x", allow_private=False)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"])
def test_this_machine_by_name_is_refused_unless_it_is_named(host: str) -> None:
    with pytest.raises(ValueError, match="this machine"):
        check_url(f"https://{host}/x", allow_private=False)
    check_url(f"https://{host}/x", allow_private=True)


def test_a_host_with_a_space_is_no_host() -> None:
    with pytest.raises(ValueError, match="not a URL"):
        check_url("https://exa mple.com/x", allow_private=True)
