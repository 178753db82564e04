"""`undertow calibrate` reads the same history from ClickHouse as from the recording."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

START_US = 1_763_683_200_000_000


def undertow(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *args],
        env=os.environ | {"UNDERTOW_SQL_PORT": "0"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def eight_days(path: Path) -> None:
    rng = np.random.default_rng(7)
    at = np.sort(np.concatenate([rng.integers(0, 192 * 3600, 6_000), 180 * 3600 + np.arange(60)]))
    usd = np.round(np.exp(8 + rng.normal(size=len(at))), 2)
    path.write_bytes(
        b"\n".join(
            msgspec.json.encode(
                {"type": "liquidation", "event_id": f"t:{n}", "venue": "okx",
                 "instrument": "SOL-USDT-PERP", "venue_symbol": "SOLUSDT", "asset": "SOL",
                 "position_side": "long", "order_side": "sell", "price": None, "price_kind": None,
                 "quantity": None, "notional_usd": worth, "coverage": "latest_per_second",
                 "stream": "t", "ts_event": START_US + second * 1_000_000,
                 "ts_recv": START_US + second * 1_000_000 + 50_000}
            )
            for n, (second, worth) in enumerate(zip(at.tolist(), usd.tolist(), strict=True))
        )
    )  # fmt: skip


def test_a_history_in_clickhouse_gives_the_thresholds_of_its_recording(tmp_path: Path) -> None:
    topic, data = tmp_path / "liquidations.ndjson", tmp_path / "data"
    eight_days(topic)
    ran = undertow("run", "--source", str(topic), "--data-dir", str(data), "--no-serve")
    assert ran.returncode == 0, ran.stderr
    made = []
    for name, history in (("file", ["--source", str(topic)]), ("store", ["--data-dir", str(data)])):
        out = tmp_path / f"{name}.json"
        done = undertow("calibrate", *history, "--budget", "40", "--out", str(out))
        assert done.returncode == 0, done.stderr
        made.append(out.read_text())
    assert made[0] == made[1]
    assert "SOL" in made[0]
