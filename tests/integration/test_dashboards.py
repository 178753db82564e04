"""Dashboards and alert rules: every query runs, and every number is one that our processes tell."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nights import night
from prometheus_client.parser import text_string_to_metric_families
from runs import run, write_recording
from stages import running, undertow, until

from sinks.sql.endpoint import Endpoint, serve

DOCKER = Path(__file__).resolve().parents[2] / "docker"
DASHBOARDS = sorted((DOCKER / "grafana" / "dashboards").glob("*.json"))
RULES = DOCKER / "prometheus" / "alerts.yml"
#: What Grafana's ClickHouse plugin puts in place of its macros and variables.
FROM, TO = "toDateTime('2025-11-20 12:00:00')", "toDateTime('2025-11-22 00:00:00')"


def parts(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from board["panels"]
    yield from board["annotations"]["list"]


def targets(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in parts(board):
        yield from part.get("targets", []) or [part["target"]]


def boards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in DASHBOARDS]


def queries() -> list[tuple[str, bool]]:
    """Each SQL of a dashboard, and whether a time axis is drawn from it."""
    queries = [
        (target["rawSql"], target["format"] == 0)
        for board in boards()
        for target in targets(board)
        if "rawSql" in target
    ]
    variables = [
        (one["query"], False)
        for board in boards()
        for one in board["templating"]["list"]
        if one["type"] == "query"
    ]
    return queries + variables


def expressions() -> list[str]:
    rules = re.findall(r"^\s+expr: (.+)$", RULES.read_text(), re.M)
    asked = [t["expr"] for board in boards() for t in targets(board) if "expr" in t]
    return rules + asked


def expanded(sql: str, size: str = "0") -> str:
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"(\1 >= {FROM} AND \1 <= {TO})", sql)
    sql = re.sub(
        r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", sql
    )
    sql = sql.replace("${asset:singlequote}", "'BTC','ETH'").replace("${size}", size)
    assert "$" not in sql, "a macro or variable that the test does not know"
    return sql


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("night")
    environ = write_recording(folder / "recording")
    code, said = run(folder / "data", environ, "--no-serve", "--source", str(folder / "recording"))
    assert code == 0, said
    endpoint = serve(folder / "data" / "clickhouse")
    yield endpoint
    endpoint.stop()


def ask(endpoint: Endpoint, sql: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{endpoint.url}/?default_format=JSONCompact", sql.encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer_rows: dict[str, Any] = json.loads(answer.read())
        return answer_rows


def test_every_dashboard_is_one_that_grafana_provisions() -> None:
    assert [path.stem for path in DASHBOARDS] == ["market", "pipeline"]
    for board in boards():
        assert "__inputs" not in board
        assert board["uid"].startswith("undertow-")
        sources = {v["name"] for v in board["templating"]["list"] if v["type"] == "datasource"}
        assert "datasource" in sources
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
        for part in parts(board):
            assert part["datasource"]["uid"] in {f"${{{name}}}" for name in sources}
        for panel in board["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
    provider = (DOCKER / "grafana/provisioning/dashboards/undertow.yaml").read_text()
    assert "/var/lib/grafana/dashboards" in provider
    assert (
        "./grafana/dashboards:/var/lib/grafana/dashboards:ro" in (DOCKER / "watch.yaml").read_text()
    )


def test_no_two_panels_lie_on_each_other() -> None:
    for board in boards():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells


@pytest.mark.parametrize(("sql", "is_series"), queries())
def test_every_query_runs(endpoint: Endpoint, sql: str, is_series: bool) -> None:
    answer = ask(endpoint, expanded(sql))
    kinds = {column["name"]: column["type"] for column in answer["meta"]}
    if is_series:
        assert kinds["time"].startswith("DateTime")
        assert any("Float" in kind or "Int" in kind for kind in kinds.values())
    # Nothing in this night is open interest, before or after it.
    if not re.search("open_interest|leverage_rebuild|feed_gaps|dead_letters|market_cascades", sql):
        assert answer["data"], "a query that cannot show anything shows nothing"


def test_the_size_filter_leaves_smaller_orders_out(endpoint: Endpoint) -> None:
    [sql] = [sql for sql, _ in queries() if "${size}" in sql]
    every, large = (ask(endpoint, expanded(sql, size))["data"] for size in ("0", "1e5"))
    usd = sum(row[2] for row in every), sum(row[2] for row in large)
    orders = [r.notional_usd or 0 for _, topic, r in night() if topic == "liquidations"]
    assert usd[0] == pytest.approx(sum(orders))
    assert usd[1] == pytest.approx(sum(one for one in orders if one >= 1e5))
    assert 0 < usd[1] < usd[0]


def exposed(url: str) -> set[str]:
    """The names of every series that a process tells, those without a value yet too."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    names = {sample.name for f in text_string_to_metric_families(text) for sample in f.samples}
    for family in text_string_to_metric_families(text):
        more = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("_total",)
        names |= {
            family.name + (end if family.type in ("histogram", "counter") else "") for end in more
        }
    return names


@pytest.mark.parametrize("stage", ["rollup", "detect", "sink", "notify"])
def test_every_number_that_is_asked_for_is_told_by_each_stage(
    clean_topics: str, tmp_path: Path, stage: str
) -> None:
    environ = {"UNDERTOW_KAFKA_URL": clean_topics, "UNDERTOW_DATA_DIR": str(tmp_path)}
    if stage == "sink":
        assert undertow(environ, "migrate").returncode == 0
    log = tmp_path / "log"
    with running(environ, stage, log=log):
        until(lambda: re.search(r"(http://127\.0\.0\.1:\d+)", log.read_text()), "its address")
        address = re.search(r"health\S* .*?(http://127\.0\.0\.1:\d+)", log.read_text())
        assert address
        metrics = exposed(address[1])
    asked = {name for e in expressions() for name in re.findall(r"\b(?:undertow|process)_\w+", e)}
    assert len(asked) > 15
    assert asked <= metrics


def test_every_rule_says_what_is_wrong_and_what_to_look_at() -> None:
    text = RULES.read_text()
    rules = text.split("- alert: ")[1:]
    assert len(rules) == len(set(rules)) >= 10
    for rule in rules:
        assert re.search(r"^\s+expr: .+$", rule, re.M)
        assert re.search(r"labels: \{severity: (critical|warning)\}", rule)
        assert "summary: " in rule
        assert "description: " in rule


def promtool(*words: Any) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool not installed (Debian: prometheus)")
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_rules_configuration_and_every_expression_of_a_dashboard(
    tmp_path: Path,
) -> None:
    promtool("check", "rules", RULES)
    promtool("check", "config", "--syntax-only", RULES.parent / "prometheus.yml")
    rules = [{"record": f"a:n{n}", "expr": e} for n, e in enumerate(expressions())]
    asked = tmp_path / "asked.yml"
    asked.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    promtool("check", "rules", asked)


#: What is told over ten minutes, and who is alarmed at their end; the stages are up and at work.
CALM = {
    f'up{{job="undertow", stage="{s}"}}': "1x20" for s in ("rollup", "detect", "sink", "notify")
}
ALARMS: list[tuple[dict[str, str], set[str]]] = [
    ({}, set()),
    ({'up{job="undertow", stage="sink"}': "0x20"}, {"UndertowProcessDown"}),
    ({'undertow_ready{job="undertow", stage="detect"}': "0x20"}, {"UndertowNotAtWork"}),
    ({'undertow_ready{job="undertow", stage="detect"}': "1x20"}, set()),
    ({'undertow_behind_seconds{job="undertow", stage="rollup"}': "90x20"}, {"UndertowBehind"}),
    ({'undertow_last_round_seconds{job="undertow", stage="sink"}': "1x20"}, {"UndertowLoopStuck"}),
    ({'undertow_watermark_age_seconds{job="undertow", stage="detect", topic="bars"}': "400x20"}, {"UndertowBlind"}),
    ({'undertow_dead_letters_total{job="undertow", topic="trades"}': "0+60x20"}, {"UndertowUnreadable"}),
    ({'undertow_dead_letters_total{job="undertow", topic="trades"}': "0+1x20"}, set()),
    ({'undertow_dead_letters_total{job="undertow", topic="trades"}': "_x15 500x5"}, {"UndertowUnreadable"}),
    ({'undertow_webhook_attempts_total{job="undertow", endpoint="e", outcome="dead"}': "_x10 1x10"}, {"UndertowNobodyTold"}),
    ({'undertow_webhook_attempts_total{job="undertow", endpoint="e", outcome="failed"}': "0+1x20"}, set()),
    ({'undertow_outbox_pending{job="undertow", endpoint="e"}': "3x20"}, {"UndertowDeliveriesWait"}),
    ({'undertow_retries_total{job="undertow", what="clickhouse"}': "0+2x20",
      'undertow_rows_total{job="undertow", stage="sink", table="trades"}': "9x20",
      'undertow_records_total{job="undertow", stage="sink", topic="trades"}': "0+50x20"},
     {"UndertowStoreRefuses", "UndertowNothingStored"}),
    ({'undertow_topics_changed_total{job="undertow", topic="bars"}': "_x10 1x10"}, {"UndertowTopicsChanged"}),
]  # fmt: skip


@pytest.mark.parametrize(("metrics", "alarmed"), ALARMS)
def test_an_alarm_goes_off_when_it_should_and_no_other(
    metrics: dict[str, str], alarmed: set[str], tmp_path: Path
) -> None:
    series = [{"series": name, "values": values} for name, values in (CALM | metrics).items()]
    names = re.findall(r"- alert: (\w+)", RULES.read_text())
    expected = [
        # Of those that go off the labels are not compared: only that they do.
        {"expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)',
         "eval_time": "20m",
         "exp_samples": [{"labels": "{}", "value": int(name in alarmed)}]}
        for name in names
    ]  # fmt: skip
    test = {
        "rule_files": [str(RULES)],
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": expected}],
    }
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(test))
    promtool("test", "rules", path)
