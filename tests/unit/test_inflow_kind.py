"""Which transfers are deposits that could be sold, and why the others are not."""

import pytest
from nights import START, deposit

from streams.core.detectors.inflow_kind import inflow_kind, sender
from streams.core.params import WhaleParams

PARAMS = WhaleParams()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "deposit"),
        ({"from_owner": "aave", "from_kind": "defi"}, "deposit"),
        ({"transfer_kind": "mint", "from_kind": "issuer"}, "supply"),
        ({"transfer_kind": "burn"}, "supply"),
        ({"transfer_kind": "freeze"}, "frozen"),
        ({"transfer_kind": "unlock"}, "frozen"),
        ({"from_owner": "bybit", "from_kind": "exchange"}, "change"),
        ({"from_owner": "bybit", "from_kind": "exchange", "chain": "ethereum"}, "internal"),
        ({"from_address": "bc1qxyz0", "to_address": "bc1qxyz0"}, "change"),
        ({"from_owner": "okx", "from_kind": "exchange"}, "between_exchanges"),
        ({"to_owner": "uniswap", "to_kind": "defi"}, "swap"),
        ({"to_owner": "unknown", "to_kind": "unknown"}, "elsewhere"),
        ({"to_owner": "copper", "to_kind": "fund"}, "elsewhere"),
        ({"to_confidence": 0.49}, "unsure"),
        ({"to_confidence": 0.0}, "unsure"),
        ({"to_confidence": 0.67}, "deposit"),
        ({"asset": "USDT", "chain": "tron"}, "stablecoin"),
        ({"notional_usd": None}, "unknown_worth"),
        ({"notional_usd": 0.0}, "dust"),
        ({"notional_usd": 9.99}, "dust"),
        ({"notional_usd": 1e6}, "small"),
    ],
)
def test_each_transfer_has_one_kind(changes: dict[str, object], kind: str) -> None:
    assert inflow_kind(PARAMS, deposit(START, **changes)) == kind


def test_two_that_nobody_knows_are_not_taken_for_one_owner() -> None:
    transfer = deposit(START, to_owner="unknown", to_kind="unknown")
    assert inflow_kind(PARAMS, transfer) == "elsewhere"


def test_a_sender_is_a_label_or_else_an_address_or_else_nobody() -> None:
    assert sender(deposit(START, from_owner="fund-a", from_address="0xab")) == "fund-a"
    assert sender(deposit(START, from_address="0xab")) == "0xab"
    assert sender(deposit(START, from_owner="multiple-addresses")) == ""
    assert sender(deposit(START)) == ""
