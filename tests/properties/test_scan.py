"""What the scanner takes is what the codec takes, to the bit; what it leaves, it leaves whole."""

import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from fuzz_scan.payloads import NUMBERS, STRINGS, TIMES, WRAPS
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import InvalidRecord
from schemas.market import Trade
from schemas.scan import columns
from schemas.scan import trades as scan
from schemas.scan.columns import Trades

T = 1_763_683_200_000_000
TRADE = Trade(
    event_id="6000000001", venue="binance", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT",
    asset="BTC", aggressor_side="sell", price=90_000.5, quantity=0.25, notional_usd=22_500.125,
    ts_event=T, ts_recv=T + 1,
)  # fmt: skip
NO_LIMIT = np.iinfo(np.int64).max


def taken(payloads: list[bytes | None]) -> tuple[list[tuple[int, int, Trade]], set[int]]:
    """Sound trades with their message and element, and the messages left alone."""
    words = columns.Words()
    columns_read = scan.scanned(words, payloads)
    good = columns.sound(words, columns_read.of, np.full(len(columns_read.message), NO_LIMIT))
    records = Trades(words, columns_read.of).records(good)
    places = zip(
        columns_read.message[good].tolist(), columns_read.element[good].tolist(), strict=True
    )
    left = set(columns_read.odd.tolist()) | set(columns_read.message[~good].tolist())
    return [(*place, record) for place, record in zip(places, records, strict=True)], left


def decoded(payload: bytes) -> Any:
    try:
        return codec.decode("trades", payload)
    except InvalidRecord:
        return None


def bits(record: Trade) -> tuple[Any, ...]:
    fields = msgspec.structs.astuple(record)
    return tuple(struct.pack("<d", x) if isinstance(x, float) else x for x in fields)


def agrees(payloads: list[bytes]) -> int:
    """Hold what is taken against the codec; return how many that were."""
    rows, left = taken(list(payloads))
    for number, element, record in rows:
        assert element == -1
        assert bits(decoded(payloads[number])) == bits(record), payloads[number]
    assert {number for number, *_ in rows} | left == set(range(len(payloads)))
    return len(rows)


@settings(max_examples=300, deadline=None)
@given(
    st.floats(1e-30, 1e9), st.floats(1e-12, 1e15), st.none() | st.floats(0, 1e10),
    st.sampled_from([None, (",", ":"), (" , ", " : ")]), st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_number_and_any_order_of_fields_reads_as_the_codec_reads_it(
    price, quantity, worth, separators, draw
) -> None:
    expected_fields = msgspec.to_builtins(TRADE) | {
        "price": price, "quantity": quantity, "notional_usd": worth,
    }  # fmt: skip
    fields = list(expected_fields.items())
    draw.shuffle(fields)
    agrees([json.dumps(dict(fields), separators=separators).encode(), codec.encode(TRADE)])


def test_decimals_of_every_length_are_rounded_as_python_rounds_them() -> None:
    draw = random.Random(7)
    payloads = []
    for _ in range(20_000):
        digits = str(draw.randrange(10 ** draw.randint(1, 19)))
        point = draw.randint(0, len(digits))
        number = f"{digits[:point] or 0}.{digits[point:] or 0}"
        number = number.lstrip("0") if not number.startswith("0.") else number
        number = f"{'0' if number.startswith('.') else ''}{number}"
        power = draw.choice(["", "", f"e{draw.randint(-30, 5)}", f"E+{draw.randint(0, 3)}"])
        payloads.append(codec.encode(TRADE).replace(b"90000.5", (number + power).encode()))
        payloads[-1] = payloads[-1].replace(b"22500.125", b"null")
    words = columns.Words()
    columns_read = scan.scanned(words, payloads)
    prices = [float(json.loads(payloads[n])["price"]) for n in columns_read.message.tolist()]
    assert columns_read.of.price.tolist() == prices
    assert len(prices) > 19_000


def test_halfway_decimals_round_to_even() -> None:
    # Between two neighbouring floats: the exact tie, and one digit to either side of it.
    numbers = ["9007199254740993", "9007199254740992.9", "9007199254740993.1",
               "4503599627370497.5", "1.00000000000000011", "8.0000000000000008882"]  # fmt: skip
    payloads = [
        codec.encode(TRADE).replace(b'"quantity":0.25', f'"quantity":{x}'.encode()) for x in numbers
    ]
    columns_read = scan.scanned(columns.Words(), payloads)
    quantities = dict(
        zip(columns_read.message.tolist(), columns_read.of.quantity.tolist(), strict=True)
    )
    assert quantities == {n: float(numbers[n]) for n in quantities}
    assert set(quantities) >= {0, 1, 2, 3, 4}


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_damaged_message_is_read_as_the_codec_reads_it_or_left(seed, damages) -> None:
    draw = random.Random(seed)
    payload = bytearray(codec.encode(TRADE))
    for _ in range(damages):
        place = draw.randrange(len(payload))
        what = draw.randrange(3)
        if what == 0:
            payload[place] = (
                draw.choice(b'0123456789.,:"{}[]e-+ \\\n\x00\xff')
                if draw.random() < 0.8
                else draw.randrange(256)
            )
        elif what == 1:
            del payload[place]
        else:
            payload.insert(place, draw.choice(b'0123456789.,:"{}[] \\'))
    agrees([codec.encode(TRADE), bytes(payload), codec.encode(TRADE)])


def test_no_message_borrows_from_the_next() -> None:
    whole = codec.encode(TRADE)
    for cut in range(1, len(whole)):
        rows, left = taken([whole[:cut], whole[cut:], b"[" + whole, b"]", whole])
        assert [number for number, *_ in rows] == [4]
        assert left == {0, 1, 2, 3}


def test_an_array_is_taken_whole_or_left_whole() -> None:
    one, bad = codec.encode(TRADE), b'{"type":"trade"}'
    rows, left = taken(
        [b"[" + one + b" , " + one + b"]", b"[" + one + b"," + bad + b"]", b"[]", None]
    )
    assert [place[:2] for place in rows] == [(0, 0), (0, 1)]
    assert left == {1, 2, 3}


def test_words_are_learnt_once_and_malformed_ones_never() -> None:
    words = columns.Words()
    payloads = [
        codec.encode(TRADE).replace(b'"binance"', f'"{venue}"'.encode())
        for venue in (["binance", "bybit", "?", "binance", "?", "bybit"])
    ]
    for _ in range(2):
        columns_read = scan.scanned(words, payloads)
        assert columns_read.of.label.tolist() == [0, 1, -1, 0, -1, 1]
        assert columns_read.of.word.tolist() == [0, 1, -1, 0, -1, 1]
    assert [label[0] for label in words.labels] == ["binance", "bybit"]


def test_too_many_words_are_forgotten_and_learnt_anew(monkeypatch) -> None:
    monkeypatch.setattr(columns, "WORDS", 50)
    words = columns.Words()
    for first in range(0, 200, 40):
        trades = [
            msgspec.structs.replace(TRADE, asset=f"A{n}", instrument=f"A{n}-USDT-PERP")
            for n in range(first, first + 40)
        ]
        columns_read = scan.scanned(words, [codec.encode(trade) for trade in trades])
        assert [words.known[number][1] for number in columns_read.of.word.tolist()] == [
            trade.asset for trade in trades
        ]
        assert len(words.labels) <= 90


TEXTS = [f'"{text}"' for text in STRINGS]


def with_field(field: str, text: str) -> bytes:
    """The trade with one field's JSON text replaced; quoted in euros, so that any worth goes."""
    fields = json.loads(codec.encode(TRADE)) | {"instrument": "BTC-EUR-SPOT", field: "@"}
    payload = json.dumps(fields, ensure_ascii=False).encode()
    return payload.replace(b'"@"', text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("field", msgspec.structs.asdict(TRADE))
def test_every_known_trap_in_every_field_reads_as_the_codec_reads_it(field) -> None:
    values = [*NUMBERS, *WRAPS, *TIMES, *TEXTS]
    agrees([codec.encode(TRADE), *(with_field(field, value) for value in values)])


def test_a_worth_of_two_to_the_64_is_no_worth_of_nothing() -> None:
    numbers = ["18446744073709551616", "36893488147419103232", "18446744073709551616000",
               "184467.44073709551616", "1.8446744073709551616e5", "92233.720368547758080"]  # fmt: skip
    rows, left = taken([with_field("notional_usd", number) for number in numbers])
    assert not rows
    assert left == set(range(len(numbers)))


def test_names_beyond_ascii_are_scanned_and_ids_beyond_ascii_are_left() -> None:
    listed = msgspec.structs.replace(
        TRADE, instrument="币安人生-USDT-PERP", venue_symbol="币安人生USDT", asset="币安人生"
    )
    strange_id = msgspec.structs.replace(listed, event_id="编号1")
    rows, left = taken([codec.encode(one) for one in (listed, strange_id, TRADE)])
    assert [record for *_, record in rows] == [listed, TRADE]
    assert left == {1}
    assert decoded(codec.encode(strange_id)) == strange_id


@pytest.mark.parametrize("hidden", ["\x7f", "\x80", "\xad", "\u200b", "\u202e", "\u3164", "e\u0301", "\U000e0041"])  # fmt: skip
@pytest.mark.parametrize("field", ["event_id", "venue", "instrument", "venue_symbol", "asset"])
def test_what_the_codec_refuses_in_a_name_is_not_scanned(field, hidden) -> None:
    payload = with_field(field, f'"{getattr(TRADE, field)}{hidden}"')
    assert decoded(payload) is None
    assert taken([payload]) == ([], {0})


def test_bytes_that_are_no_utf_8_are_left_to_the_codec_which_refuses_them() -> None:
    for name in (b"\xff", b"\xe5\xb8", b"\xc0\x80", b"\xed\xa0\x80", b"\x80"):
        payload = codec.encode(TRADE).replace(b'"BTCUSDT"', b'"BTC' + name + b'"')
        assert decoded(payload) is None
        assert taken([payload]) == ([], {0})


def test_messages_of_nothing_but_space_cost_no_more_than_their_length() -> None:
    # Each was looked through to the end of all that followed: minutes of work for these.
    rows, left = taken([b" " * 1_000] * 30_000 + [codec.encode(TRADE)])
    assert len(rows) == 1
    assert len(left) == 30_000


def fuzzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    tests = Path(__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-m", "fuzz_scan", *arguments],
        env=os.environ | {"PYTHONPATH": str(tests)},
        cwd=tests.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_short_fuzz_finds_no_difference_and_no_read_past_the_end() -> None:
    seed = random.randrange(10**6)
    done = fuzzed("--count", "100000", "--seed", str(seed))
    assert done.returncode == 0, f"--seed {seed}: {done.stdout}{done.stderr}"
    assert " 0 differences" in done.stdout


def test_a_read_past_the_end_would_be_noticed() -> None:
    done = fuzzed("--count", "1", "--past-the-end")
    assert done.returncode == 1
    assert "read past the end" in done.stderr
