"""Whatever is written can be read: every type of record, and all that detectors make of extremes."""

import contextlib
import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nights import deposit
from records import TOPIC_OF, legal, wild

from schemas import codec, fitting
from schemas.codec import InvalidRecord
from schemas.findings import (
    CascadeFinding,
    FeedFinding,
    MarketFinding,
    StressFinding,
    ThresholdFinding,
    WhaleFinding,
)
from schemas.market import Trade
from schemas.status import DeadLetter, letter
from streams.core.alerts import alert_of

T = 1_763_683_200_000_000
SLOW = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
]
#: Shrinking such records takes minutes; what failed is printed whole.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
EVERY = pytest.mark.parametrize("kind", TOPIC_OF, ids=lambda kind: kind.__name__)
CASCADE = CascadeFinding(
    finding_id="f", episode_id="e", asset="BTC", position_side="long", phase="onset", wave=0, ts_onset=T, ts_event=T,
    ts_detect=T, log_rate=9.0, threshold=5.0, threshold_is_default=True, feed_class="full", coverage="full",
    orders=1, notional_usd=1e8, peak_usd_per_s=1e7, ts_peak=None, drawdown_bps=None, price_onset=None,
    venues=["binance"], params_version="x",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "undertow.records")


def now() -> int:
    return T


def sent(topic: str, record: msgspec.Struct) -> list[tuple[str, msgspec.Struct]]:
    """What comes out at the other end of Kafka; raises InvalidRecord where anything is refused."""
    return [(m.topic, codec.decode(m.topic, m.value)) for m in fitting.sendable(topic, record, now)]


@EVERY
@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_a_legal_record_is_read_back_as_it_was(kind, data) -> None:
    record = data.draw(legal(kind))
    assert codec.decode(TOPIC_OF[kind], codec.encode(record)) == record
    assert sent(TOPIC_OF[kind], record) == [(TOPIC_OF[kind], record)]


@EVERY
@settings(max_examples=40, deadline=None, suppress_health_check=SLOW, phases=UNSHRUNK)
@given(st.data())
def test_any_record_is_read_back_or_comes_shortened_beside_a_dead_letter(kind, data) -> None:
    record, topic = data.draw(wild(kind)), TOPIC_OF[kind]
    if kind is Trade:  # sent as it is, for whoever read it has checked it
        with contextlib.suppress(InvalidRecord):
            assert type(codec.decode(topic, codec.encode(record))) is Trade
        return
    arrived = sent(topic, record)
    try:
        payload = codec.encode(record)
    except InvalidRecord:
        *shortened, (to, letter) = arrived
        assert to == "dead_letters"
        assert isinstance(letter, DeadLetter)
        assert letter.topic == topic
        assert [type(one) for _, one in shortened] in ([], [kind])
    else:
        assert arrived == [(topic, codec.decode(topic, payload))]


@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(
    st.sampled_from(
        [CascadeFinding, MarketFinding, StressFinding, ThresholdFinding, WhaleFinding, FeedFinding]
    ),
    st.data(),
)
def test_the_alert_of_any_finding_arrives(kind, data) -> None:
    finding = data.draw(legal(kind))
    if (alert := alert_of(finding)) is not None:
        assert sent("alerts", alert) == [("alerts", alert)]


@pytest.mark.parametrize(
    "kind", [CascadeFinding, MarketFinding, StressFinding, ThresholdFinding, WhaleFinding]
)
@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_no_finding_is_left_out_because_of_its_numbers(kind, data) -> None:
    good = data.draw(legal(kind))
    numbers = {n: data.draw(st.floats()) for n, v in msgspec.structs.asdict(good).items() if isinstance(v, float)}  # fmt: skip
    arrived = sent(TOPIC_OF[kind], msgspec.structs.replace(good, **numbers))
    assert arrived[0][0] == TOPIC_OF[kind]
    assert arrived[0][1].finding_id == good.finding_id


def test_numbers_are_bounded_what_is_no_number_is_unknown_and_the_letter_says_so() -> None:
    finding = msgspec.structs.replace(
        CASCADE, log_rate=float("inf"), notional_usd=1e23, drawdown_bps=float("nan"),
        side_reason="r\n" * 2_000, venue_usd=[float("nan"), 1e300], silent=["x\x1b"] * 2_000,
    )  # fmt: skip
    (_, shortened), (to, letter) = sent("cascades", finding)
    assert shortened.log_rate == 1e15
    assert shortened.notional_usd == 1e22
    assert shortened.drawdown_bps is None
    assert shortened.venue_usd == [0.0, 1e22]
    assert len(shortened.silent) == 1_000
    assert shortened.side_reason.endswith("…")
    assert to == "dead_letters"
    assert (letter.topic, letter.field) == ("cascades", "log_rate")
    assert "made readable" in letter.reason
    assert "5 fields" in letter.reason


def test_the_same_unreadable_record_gives_the_same_letter_and_another_another() -> None:
    bad = msgspec.structs.replace(CASCADE, log_rate=float("nan"))
    other = msgspec.structs.replace(bad, finding_id="g")
    places = [sent("cascades", one)[-1][1].offset for one in (bad, bad, other)]
    assert places[0] == places[1] != places[2]


def test_what_is_no_number_is_unknown_where_a_text_may_be_too() -> None:
    values = {"quantity_raw": math.inf, "from_address": math.nan, "to_address": -math.inf}
    (_, read), *letters = sent("whale_transfers", deposit(1_763_683_200, **values))
    assert (read.quantity_raw, read.from_address, read.to_address) == (None, None, None)
    assert not letters


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    finding = msgspec.structs.replace(CASCADE, log_rate=np.float64(2.5), orders=np.int64(3))
    shortened = sent("cascades", finding)[0][1]
    assert (shortened.log_rate, shortened.orders) == (2.5, 3)


def test_a_dead_letter_of_anything_can_be_read() -> None:
    base = {
        "type": "trade",
        "event_id": "x",
        "venue": "a",
        "instrument": "BTC-USDT-PERP",
        "venue_symbol": "x",
    }
    for payload in (
        json.dumps(base | {"asset": "\x1b[2J" * 900}).encode(),
        json.dumps(base | {"type": "B\n" * 5_000}).encode(),
        json.dumps(base | {"aggressor_side": "\u202eA" * 5_000}).encode(),
        b"\xff" * 3_000, b"\x00" * 3_000, "币".encode() * 1_000, b"",
    ):  # fmt: skip
        with pytest.raises(InvalidRecord) as problem:
            codec.decode("trades", payload, 3, 7)
        assert len(problem.value.reason) <= 500
        dead_letter = letter(
            ("trades", 3, 7), problem.value.field, problem.value.reason, payload, T
        )
        assert sent("dead_letters", dead_letter) == [("dead_letters", dead_letter)]
    strange = letter(
        ("a file\n\u200b\ud800" * 90, 2**40, 2**60), "f" * 900, "r\x00" * 9_000, b"\xe5" * 9_000, 0
    )
    assert sent("dead_letters", strange) == [("dead_letters", strange)]
