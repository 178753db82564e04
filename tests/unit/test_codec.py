"""Records and their bytes: what is encoded decodes, what is no record is refused by name."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, fitting, words
from schemas.bars import Bar
from schemas.codec import InvalidRecord
from schemas.market import Liquidation, Trade
from schemas.notifications import NotificationStep
from schemas.topics import TOPICS, key_of
from schemas.words import SECOND

NOW = 1_763_683_200_000_000
TRADE = Trade(
    event_id="1",
    venue="binance",
    instrument="BTC-USDT-PERP",
    venue_symbol="BTCUSDT",
    asset="BTC",
    aggressor_side="sell",
    price=91_234.5,
    quantity=0.25,
    notional_usd=22_808.625,
    ts_event=NOW,
    ts_recv=NOW + 1,
)
BAR = Bar(
    venue="okx", instrument="BTC-USDT-PERP", asset="BTC", ts_open=1_763_683_200_000_000,
    width=SECOND, high=2.0, low=1.0, quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=1,
)  # fmt: skip
LIQUIDATION = Liquidation(
    event_id="1",
    venue="bybit",
    instrument="ETH-USDT-PERP",
    venue_symbol="ETHUSDT",
    asset="ETH",
    position_side="long",
    order_side="sell",
    price=3000.0,
    price_kind="bankruptcy",
    quantity=1.0,
    notional_usd=3000.0,
    coverage="full",
    stream="allLiquidation",
    ts_event=NOW,
    ts_recv=NOW,
)


def broken(record: msgspec.Struct, **changes: object) -> bytes:
    return json.dumps(json.loads(codec.encode(record)) | changes).encode()


@given(
    price=st.floats(1e-9, 1e9),
    quantity=st.floats(1e-12, 1e15),
    lag=st.integers(-300_000_000, 10**9),
)
def test_what_is_encoded_decodes_to_the_same_record(
    price: float, quantity: float, lag: int
) -> None:
    trade = msgspec.structs.replace(
        TRADE, instrument="BTC-EUR-PERP", price=price, quantity=quantity, ts_recv=NOW + lag
    )
    assert codec.decode("trades", codec.encode(trade)) == trade


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"price": "91234.5"}, "price"),
        ({"price": -1.0}, "price"),
        ({"price": 0}, "price"),
        ({"quantity": 1e300}, "quantity"),
        ({"notional_usd": 2e10}, "notional_usd"),
        ({"aggressor_side": "BUY"}, "aggressor_side"),
        ({"aggressor_side": None}, "aggressor_side"),
        ({"venue": "Binance!"}, "venue"),
        ({"asset": "btc"}, "asset"),
        ({"instrument": "ETH-USDT-PERP"}, "instrument"),
        ({"instrument": "BTCUSDT"}, "instrument"),
        ({"ts_event": 1_763_683_200}, "ts_event"),
        ({"ts_event": NOW + 301_000_000}, "ts_event"),
        ({"ts_event": 1.5}, "ts_event"),
        ({"event_id": ""}, "event_id"),
        ({"notional_usd": 22_808_625.0}, "notional_usd"),
        ({"notional_usd": 0.0}, "notional_usd"),
    ],
)
def test_a_bad_field_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRecord) as problem:
        codec.decode("trades", broken(TRADE, **changes), 3, 17)
    assert problem.value.field == field
    assert "trades[3]@17" in str(problem.value)
    assert problem.value.reason


@pytest.mark.parametrize(
    "payload", [None, b"", b"{", b"NaN", b"[]", b"\xff", b'{"type":"unheard of"}', b"[" * 100_000]
)
def test_what_is_not_a_record_is_refused(payload: bytes | None) -> None:
    with pytest.raises(InvalidRecord):
        codec.decode("liquidations", payload)


def test_nan_and_infinity_are_refused_however_they_are_written() -> None:
    for text in (b"NaN", b"Infinity", b"1e999", b"null"):
        payload = codec.encode(TRADE).replace(b"91234.5", text)
        with pytest.raises(InvalidRecord):
            codec.decode("trades", payload)
    with pytest.raises(msgspec.ValidationError):
        codec.validated(msgspec.structs.replace(TRADE, price=math.inf))


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"notional_usd": 45_000.0}, False),
        ({"notional_usd": 46_000.0}, True),
        ({"notional_usd": 11_000.0}, True),
        ({"notional_usd": None}, False),
        ({"quantity": 1e-6, "notional_usd": 0.0}, False),
        ({"instrument": "BTC-EUR-PERP", "notional_usd": 60_000.0}, False),
        ({"instrument": "BTC-USD-PERP", "notional_usd": 60_000.0}, True),
    ],
)
def test_a_worth_is_that_of_price_and_quantity_where_the_quote_is_dollars(changes, refused) -> None:
    if not refused:
        codec.decode("trades", broken(TRADE, **changes))
        return
    with pytest.raises(InvalidRecord, match="contradicts price x quantity"):
        codec.decode("trades", broken(TRADE, **changes))


def test_a_bankruptcy_price_is_no_measure_of_worth() -> None:
    codec.decode("liquidations", broken(LIQUIDATION, notional_usd=9e3))
    with pytest.raises(InvalidRecord, match="notional_usd"):
        codec.decode("liquidations", broken(LIQUIDATION, notional_usd=9e3, price_kind="fill"))


def test_a_removal_supersedes_something() -> None:
    codec.decode("liquidations", broken(LIQUIDATION, removed=True, version=2))
    with pytest.raises(InvalidRecord, match="version"):
        codec.decode("liquidations", broken(LIQUIDATION, removed=True))


def test_closing_a_long_is_a_sell_and_nothing_else() -> None:
    with pytest.raises(InvalidRecord, match="closing a long is a sell"):
        codec.decode("liquidations", broken(LIQUIDATION, order_side="buy"))


def test_a_price_without_its_kind_is_refused() -> None:
    with pytest.raises(InvalidRecord, match="price_kind"):
        codec.decode("liquidations", broken(LIQUIDATION, price_kind=None))


def test_a_record_from_the_future_is_refused_by_the_shells_clock() -> None:
    with pytest.raises(InvalidRecord, match="future"):
        codec.decode("trades", codec.encode(TRADE), not_after=NOW - 1)


def test_a_record_without_an_event_time_is_read_beside_the_shells_clock() -> None:
    step = NotificationStep(notification_id="n", endpoint="e", state="delivered", ts_noted=NOW)
    assert codec.decode("notifications", codec.encode(step), not_after=NOW) == step


def test_everything_about_an_asset_has_one_key() -> None:
    keys = {key_of(TOPICS[t], LIQUIDATION) for t in ("liquidations", "bars", "cascades")}
    assert keys == {b"ETH"}
    assert key_of(TOPICS["trades"], TRADE) == b"binance:BTC-USDT-PERP"


def test_a_worth_is_rounded_to_the_nearest_part_of_a_dollar_halves_to_the_even_one() -> None:
    for parts in (0.0, 0.25, 0.5, 0.75, 1.5, 2.5, 2.0**50 + 0.5, 2.0**52 - 0.5, 2.0**53 + 2, -0.75):
        assert words.grid_usd(parts / words.GRID) == round(parts) / words.GRID


def test_a_message_of_many_bars_is_read_whole_and_a_bad_one_costs_only_itself() -> None:
    bars = [msgspec.structs.replace(BAR, ts_open=BAR.ts_open + n * SECOND) for n in range(3)]
    whole = codec.encode_many(bars)
    assert codec.decode_many("bars", whole) == (bars, None)
    assert codec.decode_many("bars", codec.encode(BAR)) == ([BAR], None)
    broken = whole.replace(b'"high":2.0', b'"high":-2.0', 2)
    records, problem = codec.decode_many("bars", broken, 1, 7)
    assert records == bars[2:]
    assert problem is not None
    assert (problem.offset, problem.field) == (7, "[0].high")
    assert problem.reason.endswith("also refused of this message: 1")


@pytest.mark.parametrize("wrong", [{"high": -2.0}, {"high": math.nan}, {"asset": "ETH"}])
def test_many_are_written_together_unless_one_could_not_be_read(wrong: dict[str, object]) -> None:
    later = msgspec.structs.replace(BAR, ts_open=BAR.ts_open + SECOND)
    odd = msgspec.structs.replace(later, **wrong)
    with pytest.raises(InvalidRecord):
        codec.encode_many([BAR, odd])
    [whole] = fitting.sendable_many("bars", [BAR, later], lambda: NOW)
    assert whole.value == b"[" + codec.encode(BAR) + b"," + codec.encode(later) + b"]"
    *letters, rest = fitting.sendable_many("bars", [odd, BAR], lambda: NOW)
    assert [message.topic for message in letters] == ["dead_letters"]
    assert BAR in codec.decode_many("bars", rest.value)[0]


@pytest.mark.parametrize("payload", [b"[]", b"[1", b"[[]]", b"", None, b"[null]"])
def test_a_message_of_many_that_holds_nothing_is_refused(payload: bytes | None) -> None:
    records, problem = codec.decode_many("bars", payload)
    assert records == []
    assert problem is not None


def test_only_topics_of_many_take_arrays() -> None:
    records, problem = codec.decode_many("liquidations", b"[" + codec.encode(LIQUIDATION) + b"]")
    assert (records, problem is None) == ([], False)


@pytest.mark.parametrize(
    ("record", "changes", "field"),
    [
        (TRADE, {"notional_usd": 1.0}, "notional_usd"),
        (TRADE, {"ts_event": NOW + 400 * SECOND}, "ts_event"),
        (TRADE, {"asset": "ETH"}, "instrument"),
        (LIQUIDATION, {"price": None}, "price_kind"),
        (LIQUIDATION, {"removed": True}, "version"),
        (BAR, {"asset": "ETH"}, "instrument"),
    ],
)
def test_what_contradicts_itself_can_be_made_but_is_neither_written_nor_validated(
    record, changes, field
) -> None:
    wrong = msgspec.structs.replace(record, **changes)
    with pytest.raises(InvalidRecord) as refused:
        codec.encode(wrong)
    assert refused.value.field == field
    with pytest.raises(msgspec.ValidationError, match=field):
        codec.validated(wrong)
