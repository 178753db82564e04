"""Anyone can bring a labelled night: topics as NDJSON, and a truth file beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from schemas.codec import encode
from schemas.market import Liquidation
from schemas.words import SECOND
from streams.cli import main

START = 1_763_683_200
T0 = START + 5 * 3600


def order(number: int, second: int, usd: float) -> Liquidation:
    return Liquidation(
        event_id=f"t:{number}", venue="okx", instrument="SOL-USDT-PERP", venue_symbol="SOLUSDT",
        asset="SOL", position_side="long", order_side="sell", price=140.0,
        price_kind="bankruptcy", quantity=usd / 140, notional_usd=usd, coverage="full",
        stream="t", ts_event=second * SECOND, ts_recv=second * SECOND + 50_000,
    )  # fmt: skip


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Six hours with an order a minute and, at T0, forty a second for a minute."""
    rng = np.random.default_rng(1)
    seconds = np.sort(np.concatenate(
        [START + rng.integers(0, 6 * 3600, 360), np.repeat(np.arange(T0, T0 + 60), 40)]
    )).tolist()  # fmt: skip
    usd = np.exp(8 + rng.normal(size=len(seconds))).tolist()
    rows = [order(n, *pair) for n, pair in enumerate(zip(seconds, usd, strict=True))]
    (tmp_path / "liquidations.ndjson").write_bytes(b"\n".join(map(encode, rows)))
    truth = {"kind": "cascade", "asset": "SOL", "position_side": "long",
             "t0": T0 * SECOND, "t95": (T0 + 57) * SECOND, "end": (T0 + 60) * SECOND}  # fmt: skip
    (tmp_path / "truth.ndjson").write_text(json.dumps(truth) + '\n{"kind": "giant"}\n')
    return tmp_path


def test_a_labelled_night_is_judged_by_what_the_product_called(night: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["evaluate", "--input", str(night), "--out", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads((out / "evaluate.json").read_text())
    assert result["recall"] == 1
    assert result["false_alarms_per_week"] == 0
    assert 0 < result["damage_to_come"] < 1
    assert 0 < result["delay_s"]["p50"] < 30
    assert result["thresholds_are_default"]
    assert {"undertow", "Z30", "fixed-$"} <= result["rivals"].keys()
    page = (out / "evaluate.html").read_text()
    assert "SOL long" in page
    assert "<svg" in page


def test_a_night_without_cascades_still_counts_false_alarms(night: Path, tmp_path: Path) -> None:
    (night / "truth.ndjson").write_text("")
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["evaluate", "--input", str(night), "--out", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads((out / "evaluate.json").read_text())
    assert result["recall"] is None
    assert result["false_alarms_per_week"] > 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"kind": "cascade", "asset": "SOL"}', "line 1: Object missing required field"),
        ("{", "line 1: Input data was truncated"),
    ],
)
def test_a_truth_file_that_cannot_be_read_is_refused_by_line(
    night: Path, line: str, reason: str
) -> None:
    (night / "truth.ndjson").write_text(line + "\n")
    done = CliRunner().invoke(main, ["evaluate", "--input", str(night)])
    assert done.exit_code == 2
    assert reason in done.output


def test_seeds_are_never_both_fitted_on_and_judged() -> None:
    done = CliRunner().invoke(main, ["evaluate", "--seeds", "5,6", "--calibrate-on", "6"])
    assert done.exit_code == 2
    assert "cannot be judged too" in done.output
