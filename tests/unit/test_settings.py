"""One table of settings; nothing unknown, nothing undocumented, no secret printed."""

from pathlib import Path

import click
import msgspec
import pytest

from streams import cli
from streams.process import settings
from streams.process.settings import TABLE, Settings, SettingsError

README = Path(__file__).resolve().parents[2] / "docker" / "README.md"


def test_every_setting_is_in_the_table_and_the_readme() -> None:
    names = {field.name for field in msgspec.structs.fields(Settings)}
    assert names == set(TABLE)
    text = README.read_text()
    missing = [name for name in names if f"`{settings.PREFIX}{name.upper()}`" not in text]
    assert not missing


def test_every_option_of_a_setting_is_helped_by_the_table() -> None:
    for command in cli.main.commands.values():
        for option in command.params:
            if isinstance(option, click.Option) and option.name in TABLE:
                assert option.help is not None
                assert option.help.startswith(TABLE[option.name])


def test_an_unknown_setting_names_the_nearest_known_one() -> None:
    with pytest.raises(SettingsError, match="did you mean kafka_url"):
        settings.load({}, {"UNDERTOW_KAFKA_ULR": "x"})


def test_a_bad_value_names_its_setting() -> None:
    with pytest.raises(SettingsError, match="sql_port"):
        settings.load({}, {"UNDERTOW_SQL_PORT": "eighty"})
    with pytest.raises(SettingsError, match="partitions"):
        settings.load({"partitions": 0}, {})


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "undertow.toml"
    file.write_text('data_dir = "file"\ngroup = "file"\npartitions = 9\n')
    environ = {"UNDERTOW_CONFIG": str(file), "UNDERTOW_GROUP": "env", "UNDERTOW_DATA_DIR": "env"}
    loaded = settings.load({"data_dir": "given", "group": None}, environ)
    assert (loaded.data_dir, loaded.group, loaded.partitions) == ("given", "env", 9)


def test_the_urls_are_also_read_without_their_prefix() -> None:
    loaded = settings.load({}, {"KAFKA_URL": "a:1", "UNDERTOW_CLICKHOUSE_URL": "http://x"})
    assert (loaded.kafka_url, loaded.clickhouse_url) == ("a:1", "http://x")


def test_secrets_are_never_shown() -> None:
    loaded = Settings(
        clickhouse_url="https://me:hunter2@db:8443/undertow",
        webhook_urls="https://a/b#whsec_c2Vj",
        kafka_password="hunter2",
        http_token="hunter2",
    )
    shown = str(settings.masked(loaded))
    assert "hunter2" not in shown
    assert "whsec" not in shown
    assert "https://me:***@db:8443/undertow" in shown


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"kafka_security": "tls"}, "kafka_security"),
        ({"kafka_security": "sasl_ssl"}, "needs kafka_username and kafka_password"),
        ({"kafka_security": "sasl_ssl", "kafka_username": "me"}, "kafka_password"),
        ({"kafka_password": "x", "kafka_username": "me"}, "need kafka_security sasl_"),
        ({"kafka_sasl": "GSSAPI"}, "kafka_sasl"),
        ({"kafka_ca_file": "/dev/null"}, "kafka_ca_file needs kafka_security ssl or sasl_ssl"),
        ({"kafka_security": "ssl", "kafka_ca_file": "/none"}, "kafka_ca_file: cannot read /none"),
        ({"kafka_security": "ssl", "kafka_cert_file": "/dev/null"}, "kafka_key_file need each"),
        ({"clickhouse_ca_file": "/dev/null"}, "clickhouse_ca_file needs an https://"),
        ({"log_format": "xml"}, "log_format"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_by_name(
    given: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        settings.load(given, {})


def test_settings_that_go_together_are_taken() -> None:
    login = {"kafka_username": "me", "kafka_password": "secret"}
    for security in ("sasl_plaintext", "sasl_ssl"):
        settings.load({"kafka_security": security, **login}, {})
    settings.load({"kafka_security": "ssl", "kafka_ca_file": str(README)}, {})
    tls = {"clickhouse_cert_file": str(README), "clickhouse_key_file": str(README)}
    loaded = settings.load({"clickhouse_url": "https://db:8443", **tls}, {})
    assert set(settings.clickhouse_tls(loaded)) == {"client_cert", "client_cert_key"}
