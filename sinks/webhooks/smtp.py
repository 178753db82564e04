"""One mail to one SMTP server, guarded as webhooks are: the address checked is the one reached.

TLS is a must, from the first byte (`smtps://`, port 465) or by STARTTLS (`smtp://`, port 587),
but for hosts that `allow_private` names.
"""

import smtplib
import socket
import ssl
from urllib.parse import parse_qs, unquote, urlsplit

from sinks.webhooks.guard import ForbiddenAddress, check_host, refusal

TIMEOUT_S = 15.0


def check_smtp_url(url: str, allow_private: bool) -> None:
    """Check the text of a mail endpoint's URL; raises ValueError, which names at most the host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in ("smtp", "smtps") or not host:
        raise ValueError("not a URL like smtps://user:password@host/?from=a@b.c&to=d@e.f")
    sender, receivers = addresses(url)
    if "@" not in sender or not receivers or not all("@" in to for to in receivers):
        raise ValueError(f"{host}: the URL needs ?from=a@b.c&to=d@e.f")
    if any(c.isspace() for address in (sender, *receivers) for c in address):
        raise ValueError(f"{host}: a mail address with a space")
    check_host(host, allow_private)


def addresses(url: str) -> tuple[str, list[str]]:
    """Return from whom and to whom mail goes; empty where the URL does not say."""
    query = parse_qs(urlsplit(url).query)
    return query.get("from", [""])[0], query.get("to", [])


def send(url: str, allow_private: bool, mail: bytes) -> tuple[int, str]:
    """Hand `mail` to the server; return its last code, 250 when it was taken, and what it said.

    Raises OSError and ssl.SSLError when there was no answer.
    """
    parts = urlsplit(url)
    context = ssl.create_default_context()
    try:
        with _connected(url, allow_private, context) as server:
            if parts.scheme == "smtp" and (server.has_extn("starttls") or not allow_private):
                server.starttls(context=context)
                server.ehlo()
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            sender, receivers = addresses(url)
            refused = server.sendmail(sender, receivers, mail)
            for code, answer in refused.values():
                return code, answer.decode(errors="replace")
            return 250, ""
    except smtplib.SMTPRecipientsRefused as problem:
        code, answer = next(iter(problem.recipients.values()))
        return code, answer.decode(errors="replace")
    except smtplib.SMTPResponseException as problem:
        return problem.smtp_code, str(problem.smtp_error)


def _connected(url: str, allow_private: bool, context: ssl.SSLContext) -> smtplib.SMTP:
    parts = urlsplit(url)
    host = parts.hostname or ""

    class Guarded(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            opened = _guarded_socket(host, port, timeout, allow_private)
            if parts.scheme == "smtps":
                return context.wrap_socket(opened, server_hostname=host)
            return opened

    server = Guarded(timeout=TIMEOUT_S, local_hostname="undertow.invalid")
    # What STARTTLS checks the certificate for; without a connection at once it is not set.
    server._host = host  # type: ignore[attr-defined]
    code, answer = server.connect(host, parts.port or (465 if parts.scheme == "smtps" else 587))
    if code != 220:
        server.close()
        raise smtplib.SMTPConnectError(code, answer)
    server.ehlo()
    return server


def _guarded_socket(host: str, port: int, timeout: float, allow_private: bool) -> socket.socket:
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, proto, _, address in addresses:
        if reason := refusal(str(address[0]), allow_private):
            raise ForbiddenAddress(reason)
        opened = socket.socket(family, kind, proto)
        opened.settimeout(timeout)
        try:
            opened.connect(address)
            return opened
        except OSError:
            opened.close()
            if address == addresses[-1][4]:
                raise
    raise OSError(f"{host} has no address")
