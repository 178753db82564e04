"""Whale Alert's transfers, one record for each asset an alert moves."""

import json

import pytest
from venues import FIXTURES, parsed, records, refused

from streams.feeds.whale_alert_owners import owner_slug

RECV = 1_686_582_740_000_000


def alert(**changes):
    message = {
        "type": "alert", "channel_id": "c", "timestamp": 1_686_582_731, "blockchain": "ethereum",
        "transaction_type": "transfer", "from": "unknown wallet", "to": "Binance",
        "amounts": [{"symbol": "usdt", "amount": 5_000_000, "value_usd": 5_001_000.5}],
        "text": "…", "transaction": {"height": 1, "hash": "0xab", "sub_transactions": []},
    }  # fmt: skip
    return json.dumps(message | changes).encode()


def legs(frame, ts_recv=RECV):
    return records("whale_alert", None, frame, ts_recv=ts_recv)


def one(**changes):
    (record,) = legs(alert(**changes))
    return record


def test_the_alerts_time_is_in_seconds():
    assert one().ts_event == 1_686_582_731_000_000


def test_milliseconds_are_not_taken_for_seconds():
    assert refused("whale_alert", None, alert(timestamp=1_686_582_731_000)) == ["timestamp"]


def test_an_exchange_owner_is_written_like_the_venue():
    record = one()
    assert (record.to_owner, record.to_kind) == ("binance", "exchange")
    assert (record.from_owner, record.from_kind) == ("unknown", "unknown")
    assert owner_slug("#Binance") == "binance"
    assert owner_slug("OKEx") == "okx"
    assert owner_slug("Coinbase Institutional") == "coinbase-institutional"


def test_several_assets_in_one_alert_are_several_legs_with_stable_keys():
    amounts = [{"symbol": s, "amount": 10, "value_usd": 1e6} for s in ("ETH", "USDT", "WBTC")]
    first = legs(alert(amounts=amounts))
    assert [(r.asset, r.leg) for r in first] == [("ETH", 0), ("USDT", 1), ("WBTC", 2)]
    assert len({r.event_id for r in first}) == 3
    again = legs(alert(amounts=amounts, text="corrected"), RECV + 5)
    assert [r.event_id for r in again] == [r.event_id for r in first]


def test_the_providers_owner_type_decides_over_the_table():
    parties = [{"owner": "Sygnia.io", "owner_type": "fund", "amount": "1", "address": "x"}]
    transaction = {"hash": "0xab", "sub_transactions": [{"inputs": [], "outputs": parties}]}
    record = one(to="sygnia.io", transaction=transaction)
    assert (record.to_owner, record.to_kind) == ("sygnia.io", "fund")


def test_owners_outside_the_table_are_other_and_treasuries_issuers():
    assert one(to="Some Custodian").to_kind == "other"
    record = one(**{"from": "Tether Treasury", "transaction_type": "mint"})
    assert (record.from_owner, record.from_kind) == ("tether-treasury", "issuer")
    assert record.transfer_kind == "mint"


@pytest.mark.parametrize("label", ["unknown wallet", "unknown new wallet", "", None])
def test_unlabelled_owners_are_unknown(label):
    assert one(to=label).to_kind == "unknown"


def moved(inputs, outputs, symbol="usdt", **changes):
    """A transfer whose parties are given as (address, owner) as in the recorded REST samples."""
    sides = [
        [{"address": a, "amount": "1", **({"owner": o, "owner_type": "exchange"} if o else {"owner_type": "unknown"})}
         for a, o in side]
        for side in (inputs, outputs)
    ]  # fmt: skip
    sub = {"symbol": symbol, "inputs": sides[0], "outputs": sides[1]}
    return one(transaction={"hash": "0xab", "sub_transactions": [sub]}, **changes)


HEX = "387ad93bfe9957a4eeba0cb2ff9303f6ec0833d0"
OLD, SEGWIT = "3CkE8MqPv6aLuqkaBgpgmNQYkDU9wSMuNH", "bc1q259zdp6y3twa0ecjgtm034km3ckcgghtyj52753"


def test_the_one_address_of_each_owner_is_kept():
    record = moved([(OLD, None)], [("1JJ1ea6rHMrqtHw3oMVWgbenQWxNnqJTSX", "binance")])
    assert record.from_address == OLD
    assert record.to_address == "1JJ1ea6rHMrqtHw3oMVWgbenQWxNnqJTSX"


@pytest.mark.parametrize("written", [HEX, "0x" + HEX, "0x" + HEX.upper()])
def test_a_hexadecimal_address_is_one_however_it_is_written(written):
    assert moved([(written, None)], [(written, "binance")]).from_address == "0x" + HEX


def test_change_is_not_the_receivers_address():
    record = moved([(OLD, None)], [(SEGWIT, "Binance"), (OLD, None)])
    assert (record.from_address, record.to_address) == (OLD, SEGWIT)


@pytest.mark.parametrize(
    "inputs", [[], [(OLD, None), (SEGWIT, None)], [("Multiple Addresses", None)], [("", None)]]
)
def test_no_address_or_several_are_none(inputs):
    assert moved(inputs, [(OLD, "binance")]).from_address is None


def test_each_leg_has_the_addresses_of_its_own_asset():
    subs = [
        {"symbol": s, "inputs": [{"address": a}], "outputs": []}
        for s, a in (("ETH", "0x" + HEX), ("usdt", OLD))
    ]
    amounts = [{"symbol": s, "amount": 10} for s in ("eth", "USDT", "WBTC")]
    body = alert(amounts=amounts, transaction={"hash": "0xab", "sub_transactions": subs})
    assert [r.from_address for r in legs(body)] == ["0x" + HEX, OLD, None]


def test_a_transfer_without_a_dollar_worth_keeps_none():
    assert one(amounts=[{"symbol": "BTC", "amount": "12.5"}]).notional_usd is None


def test_acknowledgements_hold_no_records():
    result = parsed("whale_alert", None, {"type": "subscribed_alerts", "id": "x"})
    assert (result.records, result.refusals, result.control) == ([], [], True)
    result = parsed("whale_alert", "alert", {"type": "error", "error": "bad key"})
    assert result.control
    assert "bad key" in result.refusals[0].reason


def test_one_bad_amount_costs_its_own_leg():
    amounts = [
        {"symbol": "ETH", "amount": 1},
        {"symbol": "BTC", "amount": "NaN"},
        {"symbol": "USDT", "amount": 3},
    ]
    result = parsed("whale_alert", None, alert(amounts=amounts), ts_recv=RECV)
    assert [(r.asset, r.leg) for r in result.records] == [("ETH", 0), ("USDT", 2)]
    assert [r.field for r in result.refusals] == ["amounts[1].amount"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"amounts": []}, "amounts"), ({"amounts": [{"symbol": "BTC", "amount": "NaN"}]}, "amounts[0].amount"),
     ({"amounts": [{"symbol": "BTC", "amount": -1}]}, "amounts[0].amount"),
     ({"amounts": [{"symbol": "BTC", "amount": 1, "value_usd": 1e12}]}, "amounts[0].value_usd"),
     ({"amounts": [{"symbol": "B C", "amount": 1}]}, "amounts[0].asset"),
     ({"transaction": {}}, "transaction"), ({"transaction_type": "gift"}, "transaction_type"),
     ({"type": "news"}, "type"), ({"timestamp": 1_786_582_731}, "amounts[0].ts_event")],
)  # fmt: skip
def test_a_bad_alert_names_its_field(changes, field):
    assert refused("whale_alert", "alert", alert(**changes), ts_recv=RECV) == [field]


SAMPLE = FIXTURES.parent / "whale_alert_samples" / "whale_alert_rest_v1_2019-06-18_subset.json"


@pytest.mark.skipif(not SAMPLE.exists(), reason=f"no recorded answer at {SAMPLE}")
def test_a_recorded_answer_of_rest_is_read_whole():
    result = parsed("whale_alert", None, SAMPLE.read_bytes())
    assert result.refusals == []
    assert len(result.records) == 7
    assert [(r.from_owner, r.to_owner, r.to_kind) for r in result.records[1:4]] == [
        ("unknown", "bitfinex", "exchange"),
        ("binance", "sygnia.io", "other"),
        ("poloniex", "unknown", "unknown"),
    ]
    assert result.records[1].from_address == "3CkE8MqPv6aLuqkaBgpgmNQYkDU9wSMuNH"
    assert result.records[2].from_address is None
