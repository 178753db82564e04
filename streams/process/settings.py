"""One table of settings: it drives the code, `--help`, the README and their test.

A value comes from the command line, else UNDERTOW_<NAME>, else the TOML file named by
UNDERTOW_CONFIG, else its default.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from schemas.redact import MASK, keep_login, keep_path, keep_secret, redacted

PREFIX = "UNDERTOW_"
#: Also read without the prefix, as hosting platforms set them.
PLAIN = ("kafka_url", "clickhouse_url", "webhook_urls")
_SECRET = ("webhook_urls", "kafka_password", "http_token", "whale_alert_key")


Port = Annotated[int, Meta(ge=0, le=65535)]


class SettingsError(Exception):
    """A setting that is unknown or unusable; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its bounds, default and what `--help` says of it."""

    data_dir: Annotated[
        str, Meta(description="where everything on disk lives; kept between runs")
    ] = "data"
    kafka_url: Annotated[
        str,
        Meta(description="bootstrap servers, host:port[,host:port]; empty: `stack` starts its own"),
    ] = ""
    kafka_port: Annotated[
        Port, Meta(description="port of the Kafka that `stack` starts; 0 picks a free one")
    ] = 9092
    kafka_jars: Annotated[
        str, Meta(description="where Kafka's jars are kept; empty: under data_dir")
    ] = ""
    kafka_security: Annotated[
        str,
        Meta(
            description="plaintext, ssl, sasl_plaintext or sasl_ssl",
            pattern=r"^(sasl_)?(plaintext|ssl)\Z",
        ),
    ] = "plaintext"
    kafka_sasl: Annotated[
        str,
        Meta(
            description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, with kafka_security sasl_…",
            pattern=r"^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)\Z",
        ),
    ] = "PLAIN"
    kafka_username: Annotated[
        str, Meta(description="who we are to Kafka, with kafka_security sasl_…")
    ] = ""
    kafka_password: Annotated[str, Meta(description="its password; never on a command line")] = ""
    kafka_ca_file: Annotated[
        str, Meta(description="PEM of the authority that signed the brokers; empty: the system's")
    ] = ""
    kafka_cert_file: Annotated[
        str, Meta(description="PEM of our certificate, where brokers ask for one")
    ] = ""
    kafka_key_file: Annotated[str, Meta(description="PEM of its key, without a passphrase")] = ""
    kafka_reading: Annotated[
        str,
        Meta(
            description="memory: `rollup` reads librdkafka's where it knows it; objects: never",
            pattern=r"^(memory|objects)\Z",
        ),
    ] = "memory"
    venues: Annotated[
        str,
        Meta(description="venues and chains that `feed` hears, comma separated: binance,ethereum"),
    ] = "binance,bybit"
    assets: Annotated[
        str, Meta(description="coins that `feed` hears, comma separated: BTC,ETH; or all")
    ] = "BTC,ETH"
    feed_name: Annotated[
        str,
        Meta(
            description="what tells this `feed` from another of the same venues beside it",
            pattern=r"^([a-z0-9][a-z0-9_.]{0,19})?\Z",
        ),
    ] = ""
    confirmations: Annotated[
        int,
        Meta(description="blocks upon a chain's block before it is told; 0: at once", ge=0, le=200),
    ] = 0
    transfer_least_usd: Annotated[
        float, Meta(description="transfers on chains below this are not told, dollars", ge=0)
    ] = 100_000.0
    whale_alert_key: Annotated[
        str, Meta(description="key of Whale Alert's API, for `feed --venues whale_alert`")
    ] = ""
    venue_urls: Annotated[
        str,
        Meta(description="other endpoints: binance.um=wss://host/path, separated by spaces"),
    ] = ""
    partitions: Annotated[
        int,
        Meta(
            description="partitions of each split topic; must stay what it was when they were made",
            ge=1,
            le=1024,
        ),
    ] = 4
    group: Annotated[
        str,
        Meta(
            description="prefix of consumer groups and transactional ids",
            pattern=r"^[A-Za-z0-9._-]{1,100}\Z",
        ),
    ] = "undertow"
    params: Annotated[
        str,
        Meta(
            description="JSON file of detector parameters (thresholds and windows); empty: defaults"
        ),
    ] = ""
    clickhouse_url: Annotated[
        str,
        Meta(
            description="`chdb` (embedded, under data_dir) or http(s)://user:password@host:port/db"
        ),
    ] = "chdb"
    clickhouse_ca_file: Annotated[
        str,
        Meta(description="PEM of the authority that signed an https server; empty: the usual ones"),
    ] = ""
    clickhouse_cert_file: Annotated[
        str, Meta(description="PEM of our certificate, where the server asks for one")
    ] = ""
    clickhouse_key_file: Annotated[
        str, Meta(description="PEM of its key, without a passphrase")
    ] = ""
    clickhouse_cluster: Annotated[
        str,
        Meta(
            description="cluster of ClickHouse servers that share the tables; empty: one server",
            pattern=r"^[A-Za-z0-9_.-]{0,100}\Z",
        ),
    ] = ""
    retention: Annotated[
        str,
        Meta(description="days kept by table, set by `migrate`: trades=30,bars=400; 0 is for ever"),
    ] = ""
    sql_host: Annotated[str, Meta(description="address of the SQL endpoint over chDB")] = (
        "127.0.0.1"
    )
    sql_port: Annotated[Port, Meta(description="port of the SQL endpoint; 0 picks a free one")] = (
        8124
    )
    board_host: Annotated[str, Meta(description="address of `undertow board`")] = "127.0.0.1"
    board_port: Annotated[
        Port, Meta(description="port of `undertow board`; 0 picks a free one")
    ] = 8125
    ops_host: Annotated[str, Meta(description="address of /healthz, /readyz and /metrics")] = (
        "127.0.0.1"
    )
    ops_port: Annotated[
        Port,
        Meta(
            description="their port; 0 picks a free one and logs it; children of `stack`: the next"
        ),
    ] = 0
    http_token: Annotated[
        str,
        Meta(description="secret that every HTTP endpoint asks for; a must where others reach it"),
    ] = ""
    webhook_urls: Annotated[
        str, Meta(description="alert receivers: https://host/path#whsec_… separated by spaces")
    ] = ""
    webhook_allow_private: Annotated[
        str, Meta(description="hosts that webhooks may reach though private, comma separated")
    ] = ""
    alert_rules: Annotated[
        str,
        Meta(description="TOML file: who is told what, in which hours; empty: every event to all"),
    ] = ""
    alert_max_age_s: Annotated[
        float,
        Meta(
            description="alerts written longer after their second are marked replayed, and told to"
            " nobody whose rule does not ask for them; 0: none is",
            ge=0,
        ),
    ] = 900.0
    flush_s: Annotated[
        float,
        Meta(description="longest time a record waits for its batch, seconds", ge=0.01, le=60),
    ] = 0.5
    batch_rows: Annotated[
        int, Meta(description="rows of one ClickHouse insert at most", ge=1, le=100_000)
    ] = 100_000
    trade_scanner: Annotated[
        str,
        Meta(
            description="on, or off: trades are decoded one by one, exactly and slowly",
            pattern=r"^(on|off)\Z",
        ),
    ] = "on"
    checkpoint_s: Annotated[
        float,
        Meta(
            description="seconds between the points that a stopped or killed `run` goes on from",
            ge=0.01,
            le=3600,
        ),
    ] = 5.0
    dead_letter_limit: Annotated[
        float,
        Meta(
            description="share unreadable of a partition's messages above which a stage stops",
            gt=0,
            le=1,
        ),
    ] = 0.9
    log_level: Annotated[
        str,
        Meta(description="debug, info, warning or error", pattern=r"^(debug|info|warning|error)\Z"),
    ] = "info"
    log_format: Annotated[
        str, Meta(description="text, or json: one object a line", pattern=r"^(text|json)\Z")
    ] = "text"

    def __post_init__(self) -> None:
        _keep_secrets(msgspec.structs.asdict(self))

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in masked(self).items())})"

    # rich prints fields through this, and would print the secrets.
    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(masked(self).items())


#: What each setting means.
TABLE: dict[str, str] = {
    name: " ".join(meta.description for meta in hint.__metadata__ if meta.description)
    for name, hint in get_type_hints(Settings, include_extras=True).items()
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
    # Before anything is checked, and perhaps quoted.
    _keep_secrets(values)
    try:
        return _consistent(msgspec.convert(values, Settings, strict=False))
    except msgspec.ValidationError as problem:
        what, _, where = str(problem).partition(" - at `$.")
        raise SettingsError(f"setting {where.rstrip('`') or '?'}: {what}") from None


def _consistent(settings: Settings) -> Settings:
    """Return the settings, or raise SettingsError naming those that do not go together."""
    _urls(settings)
    if not re.fullmatch("[!-~]*", settings.http_token):
        raise SettingsError("http_token: visible ASCII characters, without spaces or line breaks")
    security = settings.kafka_security
    logs_in = bool(settings.kafka_username or settings.kafka_password)
    if security.startswith("sasl") and not (settings.kafka_username and settings.kafka_password):
        raise SettingsError(f"kafka_security {security} needs kafka_username and kafka_password")
    if logs_in and not security.startswith("sasl"):
        raise SettingsError(
            f"kafka_username and kafka_password need kafka_security sasl_…, not {security}"
        )
    kafka_tls, https = security.endswith("ssl"), settings.clickhouse_url.startswith("https:")
    _tls_files(settings, "kafka", None if kafka_tls else "kafka_security ssl or sasl_ssl")
    _tls_files(settings, "clickhouse", None if https else "an https:// clickhouse_url")
    return settings


def _urls(settings: Settings) -> None:
    if "://" in settings.kafka_url:
        raise SettingsError(
            "kafka_url is host:port[,host:port] without a scheme; TLS is kafka_security ssl"
        )
    if "@" in settings.kafka_url:
        raise SettingsError(
            "kafka_url is host:port[,host:port]; who we are goes into kafka_username and"
            " kafka_password"
        )
    url = settings.clickhouse_url
    if url == "chdb" or url.startswith("chdb://"):
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        # A slash in the password ends the host early, and leaves the @ behind it.
        usable &= "@" not in parts.path + parts.query + parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(
            "clickhouse_url is chdb, chdb:///path or http(s)://user:password@host:port/database;"
            " in a password, / ? # @ : are written %2F %3F %23 %40 %3A"
        )


def _tls_files(settings: Settings, server: str, lacks: str | None) -> None:
    files = {n: getattr(settings, n) for n in (f"{server}_{k}_file" for k in ("ca", "cert", "key"))}
    for name, path in files.items():
        if path and lacks:
            raise SettingsError(f"{name} needs {lacks}")
        if path and not os.access(path, os.R_OK):
            raise SettingsError(f"{name}: cannot read {path}")
    _, cert, key = files.values()
    if bool(cert) != bool(key):
        raise SettingsError(f"{server}_cert_file and {server}_key_file need each other")


def clickhouse_tls(settings: Settings) -> dict[str, str]:
    """Return the TLS files of ClickHouse under the names that clickhouse-connect gives them."""
    files = {
        "ca_cert": settings.clickhouse_ca_file,
        "client_cert": settings.clickhouse_cert_file,
        "client_cert_key": settings.clickhouse_key_file,
    }
    return {name: path for name, path in files.items() if path}


def masked(settings: Settings) -> dict[str, Any]:
    """Return the settings as they may be printed: no password, no webhook secret."""
    shown: dict[str, Any] = msgspec.to_builtins(settings)
    for name in _SECRET:
        shown[name] = MASK if shown[name] else ""
    for name in ("kafka_url", "clickhouse_url"):
        shown[name] = mask_url(shown[name])
    return shown


def mask_url(url: str) -> str:
    """Replace the password of a URL, well formed or not."""
    scheme, _, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return redacted(f"{scheme}://{user}:{MASK}@{host}" if at and colon else url)


def _keep_secrets(values: Mapping[str, Any]) -> None:
    """Have no value of `values` that is a secret, or holds one, printed by this process."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    for name in _SECRET:
        if name != "webhook_urls":
            keep_secret(texts.get(name, ""))
    for name in ("kafka_url", "clickhouse_url"):
        keep_login(texts.get(name, ""))
    for key in re.findall(r"[/=]([A-Za-z0-9_-]{20,})", texts.get("venue_urls", "")):
        keep_secret(key)  # hosted nodes have their customer's key in the path
    for url in re.split(r"[,\s]+", texts.get("webhook_urls", "")):
        keep_login(url)
        if "smtp" not in url.partition("://")[0]:
            keep_path(url)


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for key, value in environ.items():
        if key.startswith(PREFIX) and key != PREFIX + "CONFIG":
            values[_known(key.removeprefix(PREFIX).lower(), key)] = value
    return values


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
