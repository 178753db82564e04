"""One table of settings: it drives the code, `--help`, the README and their test.

A value comes from the command line, else UNDERTOW_<NAME>, else the TOML file named by
UNDERTOW_CONFIG, else its default.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

PREFIX = "UNDERTOW_"
#: Also read without the prefix, as hosting platforms set them.
PLAIN = ("kafka_url", "clickhouse_url", "webhook_urls")
_SECRET = ("webhook_urls",)


class SettingsError(Exception):
    """A setting that is unknown or unusable; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its unit; see `TABLE` for what each means."""

    data_dir: str = "data"
    kafka_url: str = ""
    kafka_port: Annotated[int, Meta(ge=0, le=65535)] = 9092
    kafka_jars: str = ""
    partitions: Annotated[int, Meta(ge=1, le=1024)] = 4
    group: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "undertow"
    params: str = ""
    clickhouse_url: str = "chdb"
    sql_host: str = "127.0.0.1"
    sql_port: Annotated[int, Meta(ge=0, le=65535)] = 8124
    webhook_urls: str = ""
    webhook_allow_private: str = ""
    flush_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    batch_rows: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"


TABLE: dict[str, str] = {
    "data_dir": "where everything on disk lives; kept between runs",
    "kafka_url": "bootstrap servers, host:port[,host:port]; empty: `stack` starts its own",
    "kafka_port": "port of the Kafka that `stack` starts; 0 picks a free one",
    "kafka_jars": "where Kafka's jars are kept; empty: under data_dir",
    "partitions": "partitions of each split topic; must stay what it was when they were made",
    "group": "prefix of consumer groups and transactional ids",
    "params": "JSON file of detector parameters (thresholds and windows); empty: defaults",
    "clickhouse_url": "`chdb` (embedded, under data_dir) or http(s)://user:password@host:port/db",
    "sql_host": "address of the SQL endpoint over chDB",
    "sql_port": "port of the SQL endpoint; 0 picks a free one",
    "webhook_urls": "alert receivers: https://host/path#whsec_… separated by spaces",
    "webhook_allow_private": "hosts that webhooks may reach though private, comma separated",
    "flush_s": "longest time a record waits for its batch, seconds",
    "batch_rows": "rows of one ClickHouse insert at most",
    "log_level": "debug, info, warning or error",
}


def load(
    given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings from `given`, the environment and the TOML file, in that order.

    Raises SettingsError naming an unknown key (and the nearest known one) or a bad value.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = _from_toml(environ.get(PREFIX + "CONFIG"))
    values |= {name: environ[name.upper()] for name in PLAIN if name.upper() in environ}
    values |= _from_environment(environ)
    values |= {name: value for name, value in (given or {}).items() if value is not None}
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as problem:
        what, _, where = str(problem).partition(" - at `$.")
        raise SettingsError(f"setting {where.rstrip('`') or '?'}: {what}") from None


def masked(settings: Settings) -> dict[str, Any]:
    """Return the settings as they may be printed: no password, no webhook secret."""
    shown: dict[str, Any] = msgspec.to_builtins(settings)
    for name in _SECRET:
        shown[name] = "***" if shown[name] else ""
    shown["clickhouse_url"] = mask_url(settings.clickhouse_url)
    return shown


def mask_url(url: str) -> str:
    """Replace the password of a URL."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for key, value in environ.items():
        if key.startswith(PREFIX) and key != PREFIX + "CONFIG":
            found[_known(key.removeprefix(PREFIX).lower(), key)] = value
    return found


def _from_toml(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        content = tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise SettingsError(f"{PREFIX}CONFIG={path}: {problem}") from None
    return {_known(key, f"{path}: {key}"): value for key, value in content.items()}


def _known(name: str, where: str) -> str:
    if name in TABLE:
        return name
    near = difflib.get_close_matches(name, TABLE, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(TABLE)}"
    raise SettingsError(f"unknown setting {where}{hint}")
