"""Whatever arrives, a parser gives valid records or UnreadableFrame, never another error."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import validated
from streams.sources.generated import parse

RECV = 1_791_565_605_000_000
CASES = [
    (("binance", "forceOrder"), {"stream": "!forceOrder@arr", "data": {"e": "forceOrder", "E": 1791565603055, "o": {"s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.190", "p": "82338.30", "ap": "82651.90", "X": "FILLED", "l": "0.155", "z": "0.190", "T": 1791565602120, "ps": "BTCUSDT", "st": 1}}}),
    (("binance", "aggTrade"), {"stream": "ctkusdt@aggTrade", "data": {"e": "aggTrade", "E": 1626992741575, "a": 16599292, "s": "CTKUSDT", "p": "1.01100", "q": "10", "f": 23961322, "l": 23961322, "T": 1626992741421, "m": False}}),
    (("bybit", "allLiquidation"), {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": 1791565601482, "data": [{"T": 1791565600992, "s": "BTCUSDT", "S": "Buy", "v": "0.006", "p": "82396.90"}]}),
    (("bybit", "publicTrade"), {"topic": "publicTrade.BTCUSD", "type": "snapshot", "ts": 1680673823566, "data": [{"T": 1680673823564, "s": "BTCUSD", "S": "Buy", "v": "5823", "p": "28560.50", "L": "PlusTick", "i": "0cbf2330", "BT": False}]}),
    (("whale_alert", "alert"), {"type": "alert", "timestamp": 1686582731, "blockchain": "ethereum", "transaction_type": "transfer", "from": "unknown wallet", "to": "binance", "amounts": [{"symbol": "USDT", "amount": 5000000, "value_usd": 5001000.1}], "transaction": {"hash": "0xab", "sub_transactions": [{"inputs": [{"owner": "", "owner_type": "unknown"}], "outputs": [{"owner": "binance", "owner_type": "exchange"}]}]}}),
]  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
    | st.sampled_from(["NaN", "inf", "-1", "1e999", "0", "", "9" * 400, "BTCUSD_PERP", "\ud7ff", 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def fed(kind, frame):
    result = parse(*kind, frame, RECV)
    assert all(refusal.reason for refusal in result.refusals)
    for record in result.records:
        assert validated(record) == record


def places(node, path=()):
    """Every path to a value inside a JSON document."""
    pairs = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize(("kind", "message"), CASES)
def test_the_real_frame_itself_is_read(kind, message):
    assert len(parse(*kind, json.dumps(message).encode(), RECV).records) == 1


@pytest.mark.parametrize(("kind", "message"), CASES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_frame_with_a_value_changed_or_gone_never_breaks_a_parser(kind, message, data):
    changed = json.loads(json.dumps(message))
    path = data.draw(st.sampled_from(list(places(message))))
    node = changed
    for key in path[:-1]:
        node = node[key]
    if data.draw(st.booleans()):
        node[path[-1]] = data.draw(ANYTHING)
    else:
        del node[path[-1]]
    fed(kind, json.dumps(changed).encode())


@pytest.mark.parametrize(("kind", "message"), CASES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_frame_with_bytes_cut_or_changed_never_breaks_a_parser(kind, message, data):
    frame = bytearray(json.dumps(message).encode())
    start = data.draw(st.integers(0, len(frame)))
    stop = data.draw(st.integers(start, min(len(frame), start + 12)))
    frame[start:stop] = data.draw(st.binary(max_size=6))
    fed(kind, bytes(frame))


@pytest.mark.parametrize("kind", [case[0] for case in CASES])
@given(frame=st.binary(max_size=60))
def test_noise_never_breaks_a_parser(kind, frame):
    fed(kind, frame)


@pytest.mark.parametrize("kind", [case[0] for case in CASES])
def test_nesting_beyond_reason_never_breaks_a_parser(kind):
    fed(kind, b"[" * 100_000)
    fed(kind, b'{"data":' * 50_000)
