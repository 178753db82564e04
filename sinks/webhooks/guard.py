"""Which URLs and addresses a webhook may reach (the SSRF guard).

Two doors. `check_url` judges the text of a URL, at start. `connector` judges the address
of every socket just before it connects, so that whatever produced the address (a literal,
decimal or hex tricks, DNS that changed its mind) the address checked is the one reached.
A checking aiohttp resolver would not do: aiohttp never asks the resolver about literals.
"""

import errno
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Not for the public internet, though ipaddress in older 3.11 patches calls them global.
_SPECIAL = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
# Cloud metadata outside the link-local range: Azure, Alibaba, Oracle, AWS over IPv6.
_METADATA = {
    ip_address(address)
    for address in ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
}


class ForbiddenAddress(OSError):
    """A webhook would have connected to an address that it may not reach."""


def refusal(address: str, allow_private: bool) -> str | None:
    """Return why a webhook may not connect to `address`, or None when it may.

    `allow_private` opens loopback and private networks; link-local, metadata,
    unspecified and multicast addresses stay closed, because no receiver lives there.
    """
    try:
        ip = _reached(ip_address(address))
    except ValueError:
        return f"{address} is not an address in its usual form"
    if ip.is_link_local or ip in _METADATA:
        return f"{address} is link-local or a metadata service"
    if ip.is_unspecified or ip.is_multicast:
        return f"{address} is not the address of one host"
    if allow_private or _is_public(ip):
        return None
    return f"{address} is not a public address, and allow_private does not name its host"


def check_url(url: str, allow_private: bool) -> None:
    """Check the text of an endpoint's URL.

    Raises ValueError, which names at most the host: paths of webhooks are often secret.
    """
    try:
        parsed = URL(url)
        host, port = parsed.host, parsed.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parsed.scheme not in ("http", "https") or not host or not port or " " in host:
        raise ValueError("not a URL like https://host/path")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise ValueError(f"{host}: a user name or password in the URL is refused")
    if parsed.scheme == "http" and not allow_private:
        raise ValueError(f"{host}: http is only for hosts named in allow_private, use https")
    check_host(host, allow_private)


def check_host(host: str, allow_private: bool) -> None:
    """Check a literal in any form, or a name, whose address is not asked for; raises ValueError."""
    if host.lower().rstrip(".") == "localhost" and not allow_private:
        raise ValueError(f"{host} is this machine, and allow_private does not name it")
    if _is_address(host) and (reason := refusal(host, allow_private)):
        raise ValueError(reason)


def connector(
    allow_private: bool, resolver: AbstractResolver | None = None
) -> aiohttp.TCPConnector:
    """Return an aiohttp connector whose sockets are refused to forbidden addresses.

    Connecting raises aiohttp.ClientConnectorError from ForbiddenAddress.
    """

    def checked_socket(addr_info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, proto, _, address = addr_info
        if reason := refusal(str(address[0]), allow_private):
            raise ForbiddenAddress(errno.EACCES, reason)
        return socket.socket(family, kind, proto)

    # Alerts are rare: a connection kept open would mostly be found closed, at the price
    # of an attempt, and a name is judged by the address it has now.
    return aiohttp.TCPConnector(
        socket_factory=checked_socket,
        resolver=resolver,
        force_close=True,
        use_dns_cache=False,
        limit=1,
    )


def _is_address(host: str) -> bool:
    """Whether `host` is a literal in any form the C library reads: dotted, decimal, hex."""
    try:
        return ":" in host or bool(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return False


def _reached(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that a mapped, 6to4 or NAT64 address leads to, else `ip`."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv6Address):
        return ip in _GLOBAL_UNICAST and ip.is_global
    return ip.is_global and not ip.is_reserved and not any(ip in net for net in _SPECIAL)
