"""By the batch or one by one: the same bars, clocks, ids and dead letters, bit for bit."""

import json
from typing import Any

import msgspec
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import InvalidRecord
from schemas.scan import columns, trades
from schemas.status import FeedStatus
from schemas.words import SECOND, not_after_message
from streams.core import fold, refusals
from streams.core.params import Params
from streams.kafka.batches import of_messages
from streams.rollup.take import Partition, take

START = 1_763_683_200
STAMP_MS = (START + 600) * 1_000
PARAMS = Params()

trade = st.builds(
    lambda asset, venue, side, price, quantity, worth, at, lag, number: {
        "type": "trade",
        "event_id": f"t{number}",
        "venue": venue,
        "instrument": f"{asset}-USDT-PERP",
        "venue_symbol": f"{asset}USDT",
        "asset": asset,
        "aggressor_side": side,
        "price": price,
        "quantity": quantity,
        "notional_usd": None if worth is None else price * quantity * worth,
        "ts_event": START * SECOND + at,
        "ts_recv": START * SECOND + at + lag,
    },
    st.sampled_from(["BTC", "ETH", "SOL"]),
    st.sampled_from(["binance", "bybit"]),
    st.sampled_from(["buy", "sell"]),
    st.floats(0.01, 1e5),
    st.floats(1e-6, 1e4),
    st.sampled_from([1.0, 0.9, None, 3.0]),
    # Many at one time: then the order says which came first and last.
    st.one_of(st.integers(0, 4 * SECOND), st.sampled_from([0, 7, SECOND])),
    st.sampled_from([0, 40_000, -400 * SECOND]),
    st.integers(0, 5_000),
)
alive = st.integers(0, 4).map(
    lambda second: codec.encode(
        FeedStatus(producer="feed", state="alive", ts_event=(START + second) * SECOND)
    )
)
broken = st.one_of(
    st.sampled_from(
        [None, b"", b"[]", b"{", b"\xff", b'{"type":"unheard of"}', b"[1]", b'[{"a":1}']
    ),
    st.builds(
        lambda record, change: json.dumps(record | change).encode(),
        trade,
        st.sampled_from(
            [
                {"price": -1.0},
                {"asset": "btc"},
                {"instrument": "ETH-USDT-PERP"},
                {"venue": "?"},
                {"ts_event": (START + 10**6) * SECOND, "ts_recv": (START + 10**6) * SECOND},
                {"notional_usd": "1"},
            ]
        ),
    ),
)
one = trade.map(lambda record: json.dumps(record).encode())
array = st.lists(one | broken.filter(bool), min_size=1, max_size=5).map(
    lambda parts: b"[" + b",".join(p for p in parts if p and _is_json(p)) + b"]"
)
payloads = st.lists(st.one_of(one, one, one, one, alive, broken, array), max_size=80)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def message(offset: int, payload: bytes | None) -> Message:
    return Message(
        topic="trades", partition=3, offset=offset, value=payload, timestamp=(1, STAMP_MS)
    )


def by_the_batch(given: list[bytes | None], sizes: list[int]) -> Partition:
    part = Partition(3, fold.FoldState(), 0, 0)
    words = columns.Words()
    messages = [message(offset, payload) for offset, payload in enumerate(given)]
    while messages:
        size = sizes.pop(0) if sizes else len(messages)
        take(PARAMS, words, part, of_messages(messages[:size]))
        messages = messages[size:]
    return part


def one_by_one(
    given: list[bytes | None],
) -> tuple[fold.FoldState, list[tuple[int, str, str]], int]:
    """The contract in its plainest form: each record decoded and folded as it comes."""
    state, letters, repeats = fold.FoldState(), [], 0
    not_after = not_after_message(STAMP_MS)
    for offset, payload in enumerate(given):
        pieces = (None if payload is None else codec.elements(payload)) or [payload]
        whole = payload is None or not codec.elements(payload)
        dead_letters: list[tuple[str, str]] = []
        for place, piece in enumerate(pieces):
            refused = None
            try:
                record: Any = codec.decode("trades", piece, 3, offset, not_after)
                if isinstance(record, FeedStatus):
                    refused = fold.tell_time(state, record, PARAMS)
                else:
                    refused = fold.fold(state, record)
            except InvalidRecord as problem:
                dead_letters.append((_at(whole, place, problem.field), problem.reason))
            repeats += refused == "duplicate"
            if refused in refusals.LETTERS:
                field, reason = refusals.LETTERS[refused]
                dead_letters.append((_at(whole, place, field), reason))
        if dead_letters:
            field, reason = dead_letters[0]
            more = (
                f"; also refused of this message: {len(dead_letters) - 1}"
                if dead_letters[1:]
                else ""
            )
            letters.append((offset, field, reason + more))
    return state, letters, repeats


def _at(whole: bool, place: int, field: str) -> str:
    return field if whole else f"[{place}].{field}".rstrip(".")


@settings(max_examples=200, deadline=None)
@given(payloads, st.lists(st.integers(1, 60), max_size=5))
def test_trades_by_the_batch_give_what_they_give_one_by_one(given, sizes) -> None:
    state, letters, repeats = one_by_one(given)
    part = by_the_batch(given, sizes)
    assert sorted((x.offset, x.field, x.reason) for x in part.letters) == letters
    assert part.repeats == repeats
    assert {k: v for k, v in part.state.ids.items() if v} == {
        k: v for k, v in state.ids.items() if v
    }
    assert part.state.late == state.late
    assert part.state.frontier == state.frontier
    assert part.state.clock == state.clock
    bars = {msgspec.json.encode(bar) for bar in fold.drain(part.state)}
    assert bars == {msgspec.json.encode(bar) for bar in fold.drain(state)}


@settings(max_examples=25, deadline=None)
@given(payloads, st.lists(st.integers(1, 60), max_size=5))
def test_without_the_scanner_trades_give_what_they_give_with_it(given, sizes) -> None:
    with_it = by_the_batch(given, list(sizes))
    trades.SCANNER.on = False
    try:
        without = by_the_batch(given, list(sizes))
    finally:
        trades.SCANNER.on = True
    assert without.state.ids == with_it.state.ids
    bars = {msgspec.json.encode(bar) for bar in fold.drain(without.state)}
    assert bars == {msgspec.json.encode(bar) for bar in fold.drain(with_it.state)}
    assert [(x.offset, x.reason) for x in without.letters] == [
        (x.offset, x.reason) for x in with_it.letters
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(trade, min_size=1, max_size=60))
def test_many_trades_in_a_message_give_the_bars_of_one_a_message(given) -> None:
    alone = by_the_batch([json.dumps(record).encode() for record in given], [])
    together = by_the_batch([json.dumps(given).encode()], [])
    assert fold.drain(together.state) == fold.drain(alone.state)
    assert together.state.ids == alone.state.ids


#: Prices and quantities at both ends of what a trade may have, worth as much as one may be.
extreme = st.builds(
    lambda record, price, quantity: (
        record
        | {
            "price": price,
            "quantity": quantity,
            "notional_usd": min(1e10, price * quantity) if price * quantity <= 2e10 else None,
        }
    ),
    trade,
    st.sampled_from([5e-324, 1e-300, 1e-9, 1.0, 1e9]),
    st.sampled_from([5e-324, 1e-300, 1e-9, 1.0, 10.0, 20.0, 1e15]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(trade | extreme, min_size=1, max_size=60), st.lists(st.integers(1, 60), max_size=5))
def test_what_can_be_folded_can_be_read_so_that_rollup_need_not_read_it_back(given, sizes) -> None:
    bars = fold.drain(by_the_batch([json.dumps(record).encode() for record in given], sizes).state)
    if bars:
        assert codec.decode_many("bars", codec.encode_many(bars, is_checked=True)) == (bars, None)
