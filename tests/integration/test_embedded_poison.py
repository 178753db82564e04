"""What chDB refuses of a run goes to dead_letters; the run goes on to its end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from runs import report_of, run, start, write_recording

_REFUSE = """
import sys
from sinks.clickhouse import client as clickhouse, migrate
client = clickhouse.open_client("chdb", sys.argv[1])
migrate.migrate(client, "undertow")
client.command("ALTER TABLE liquidations ADD CONSTRAINT c CHECK cityHash64(event_id) % 10 != 3")
client.command("ALTER TABLE trades ADD CONSTRAINT c CHECK cityHash64(event_id) % 500 != 3")
"""
#: No refusal says which row it is about: a batch is halved until every second trade is alone.
_THROW = """
import sys
from sinks.clickhouse import client as clickhouse, migrate
client = clickhouse.open_client("chdb", sys.argv[1])
migrate.migrate(client, "undertow")
of_half = "throwIf(cityHash64(event_id) % 2 = 0)"
client.command(f"ALTER TABLE trades ADD CONSTRAINT c CHECK {of_half} = 0")
"""
_COUNT = """
import json, sys
from sinks.clickhouse import client as clickhouse
client = clickhouse.open_client("chdb", sys.argv[1])
one = lambda sql: client.query(sql).result_rows
kept = {t: [n for (n,) in one(f"SELECT event_id FROM {t}")] for t in ("trades", "liquidations")}
print(json.dumps([kept, one("SELECT topic, offset, reason, raw FROM dead_letters FINAL")]))
"""


def python(code: str, data_dir: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, str(data_dir)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_rows_that_chdb_refuses_are_letters_and_all_others_rows(tmp_path: Path) -> None:
    environ = write_recording(tmp_path / "recording")
    source = ("--source", str(tmp_path / "recording"))
    assert run(tmp_path / "whole", environ, *source)[0] == 0
    whole, before = json.loads(python(_COUNT, tmp_path / "whole"))

    python(_REFUSE, tmp_path / "refusing")
    code, output = run(tmp_path / "refusing", environ, *source)
    assert code == 0, output
    kept, letters = json.loads(python(_COUNT, tmp_path / "refusing"))
    refused = [json.loads(raw)["event_id"] for _, _, reason, raw in letters if "469" in reason]
    assert len(letters) - len(before) == len(refused) > 10
    everything = sorted(whole["trades"] + whole["liquidations"])
    assert sorted(kept["trades"] + kept["liquidations"] + refused) == everything
    assert {topic.partition("/")[2] for topic, _, reason, _ in letters if "469" in reason} == {
        "trades", "liquidations",
    }  # fmt: skip
    report = report_of(tmp_path / "refusing")
    assert report["episodes"] == report_of(tmp_path / "whole")["episodes"]


def test_a_stop_is_heard_while_a_batch_is_taken_apart_and_the_run_goes_on_later(
    tmp_path: Path,
) -> None:
    environ = write_recording(tmp_path / "recording") | {"UNDERTOW_BATCH_ROWS": "20000"}
    source = ("--source", str(tmp_path / "recording"))
    python(_THROW, tmp_path / "data")
    process = start(tmp_path / "data", environ, *source)
    assert process.stderr is not None
    for line in process.stderr:
        if "rows of trades are refused together and taken apart" in line:
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "the same command goes on from" in process.communicate()[1]
