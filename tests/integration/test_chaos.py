"""The short form of `make chaos`: a few blows of each kind, judged as the long form is."""

import json
import os
import random
from pathlib import Path

import pytest
from chaos.__main__ import run
from chaos.outcome import Outcome
from chaos.payloads import MAKERS, is_bad
from chaos.recording import Recording, record

from streams.stack import local_kafka

SEED = 1


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A short night and what an undisturbed run makes of it."""
    try:
        local_kafka.find_java()
        local_kafka.fetch_jars()
    except local_kafka.CannotStart as reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(reason))
    return record(tmp_path_factory.mktemp("chaos") / "recording", short=True)


def why_not_held(outcome: Outcome) -> str:
    return "\n".join([outcome.failed, *outcome.notes]) if outcome.failed else ""


def test_stages_and_kafka_killed_amid_hostile_records_cost_nothing(
    recording: Recording, tmp_path: Path
) -> None:
    outcome = run("everything", SEED, 4, recording, tmp_path)
    assert not why_not_held(outcome)
    assert outcome.rounds == 4


def test_a_killed_run_ends_as_if_nothing_had_been(recording: Recording, tmp_path: Path) -> None:
    outcome = run("kill-embedded", SEED, 2, recording, tmp_path)
    assert not why_not_held(outcome)
    assert outcome.rounds


def test_clients_that_take_and_do_not_give_back_cost_a_run_nothing(
    recording: Recording, tmp_path: Path
) -> None:
    outcome = run("slow-clients", SEED, 3, recording, tmp_path)
    assert not why_not_held(outcome)
    assert outcome.rounds == 3


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_most_of_every_kind_of_hostile_payload_is_refused(make: object) -> None:
    draw = random.Random(SEED)
    good = {
        "type": "trade", "event_id": "a", "venue": "bybit", "instrument": "BTC-USDT-PERP",
        "venue_symbol": "BTCUSDT", "asset": "BTC", "aggressor_side": "buy", "price": 1.0,
        "quantity": 1.0, "notional_usd": 1.0, "ts_event": 1_763_683_200_000_000,
        "ts_recv": 1_763_683_200_000_000,
    }  # fmt: skip
    assert not is_bad("trades", json.dumps(good).encode())
    assert sum(is_bad("trades", make(draw, good)) for _ in range(100)) > 60
