"""Secrets that this process knows, and text without them: none is printed, whatever raised it.

    settings, endpoints ──keep_secret──> windows of 8 characters ──> redacted(text) ──> stderr,
                                         short ones, whole           last_error, log lines

A library prints a secret as it is, escaped, percent-encoded or cut off in the middle, so what
is looked for is every piece of eight characters of every such form. Texts are cut after they
were redacted, never before: of fewer than eight characters nothing could be recognised.
"""

import base64
import json
import re
import threading
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
_WINDOW = 8
#: Shorter ones would take ordinary words with them; within a URL they are masked all the same.
_SHORTEST = 4
# What every URL of a kind has in common, and our own name: no secret, even beside one.
_PUBLIC = frozenset(
    {"services", "webhooks", "webhook", "workflows", "triggers", "incoming", "integrations"}
    | {"messages", "channels", "enqueue", "alerts", "events", "hooks", "hook", "api", "bot"}
    | {"rest", "undertow", "clickhouse", "password", "localhost"}
)
_SHAPES = (
    # A login within a URL; the password may hold what should have been percent-encoded.
    (re.compile(r"([A-Za-z][\w+.-]*://[^\s:/@]*):\S+@"), rf"\1:{MASK}@"),
    # A receiver as WEBHOOK_URLS writes it, known or not: its path is a secret like its key.
    (re.compile(r"(https?://[^/\s#]+)/\S*?#whsec_"), rf"\1/{MASK}#whsec_"),
    (re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), f"whsec_{MASK}"),
    (
        re.compile(
            r"(https?://(?:hooks\.slack\.com|(?:\w+\.)?discord(?:app)?\.com|api\.telegram\.org"
            r"|[\w.-]*webhook\.office\.com|hooks\.zapier\.com|chat\.googleapis\.com))/[^\s'\"]+"
        ),
        rf"\1/{MASK}",
    ),
    # The token of a Telegram bot.
    (re.compile(r"\b\d{6,12}:[A-Za-z0-9_-]{30,}"), MASK),
)

_lock = threading.Lock()
_windows: set[str] = set()
_whole: set[str] = set()
_whole_pattern: re.Pattern[str] | None = None


def keep_secret(secret: str) -> None:
    """Have `redacted` mask `secret` from now on, in any form that a library prints it in."""
    global _whole_pattern
    with _lock:
        for form in _forms(secret):
            if form in _PUBLIC or _SHORTEST <= len(form) < _WINDOW:
                _whole.add(form)
            for start in range(len(form) - _WINDOW + 1):
                window = form[start : start + _WINDOW]
                if not any(window in public for public in _PUBLIC):
                    _windows.add(window)
        if _whole:
            longest_first = sorted(map(re.escape, _whole), key=len, reverse=True)
            _whole_pattern = re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)")


def keep_login(url: str) -> None:
    """Keep the password of `url`, and what its query calls one; it need not be a valid URL."""
    _, _, rest = url.partition("://")
    # The last @: a password may hold one, and a slash, though both should be encoded.
    login, at, _ = (rest or url).rpartition("@")
    user, colon, password = login.partition(":")
    if at and colon:
        keep_secret(password)
        keep_secret(base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
    for name, value in re.findall(r"[?&;]([^=&;]+)=([^&;#]*)", url):
        if re.search(r"pass|pwd|token|secret|key|auth", name, re.IGNORECASE):
            keep_secret(value)


def keep_path(url: str) -> None:
    """Keep the path, query and fragment of `url`, piece by piece: a webhook's are its key."""
    _, _, rest = url.partition("://")
    for piece in re.split(r"[/?#&;,\s]+", rest)[1:]:
        # Of `name=value` the value: the name is nobody's secret.
        secret = piece.partition("=")[2] or piece
        if secret and secret.lower() not in _PUBLIC:
            keep_secret(secret)


def redacted(text: str) -> str:
    """Return `text` with every known secret, and what looks like one, replaced by `***`."""
    for shape, shown in _SHAPES:
        text = shape.sub(shown, text)
    text = _without_windows(text)
    return _whole_pattern.sub(MASK, text) if _whole_pattern else text


def _without_windows(text: str) -> str:
    parts, kept_from, end = [], 0, -1
    for start in range(len(text) - _WINDOW + 1 if _windows else 0):
        if text[start : start + _WINDOW] in _windows:
            if start > end:
                parts += [text[kept_from:start], MASK]
            kept_from = end = start + _WINDOW
    return "".join([*parts, text[kept_from:]])


def _forms(secret: str) -> set[str]:
    forms = {secret, unquote(secret), secret.strip()}
    for plain in tuple(forms):
        # What the environment held and was not UTF-8 must not fail here.
        raw = plain.encode(errors="backslashreplace")
        forms |= {quote(raw), quote(raw, safe=""), quote_plus(raw)}
        forms |= {repr(plain)[1:-1], ascii(plain)[1:-1], repr(raw)[2:-1]}
        forms |= {json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]}
        forms.add(base64.b64encode(raw).decode())
    return forms
