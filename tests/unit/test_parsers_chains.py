"""Chains tell of transfers in integers, twice, and take back what a reorganisation undid."""

import pytest
from venues import parsed, records, refused

from streams.feeds.ethereum import LIQUIDATION_CALL, TRANSFER

USDT, WETH = (
    "0xdac17f958d2ee523a2206206994597c13d831ec7",
    "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2",
)
POOL = "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2"
A, B, NOBODY = "aa" * 20, "bb" * 20, "00" * 20


def evm_word(digits):
    return digits.rjust(64, "0")


def log(topics=(A, B), value=10**12, **changes):
    made = {
        "address": USDT, "topics": [TRANSFER, *(f"0x{evm_word(t)}" for t in topics)],
        "data": f"0x{evm_word(f'{value:x}')}", "blockNumber": "0x1", "blockHash": f"0x{evm_word('ab')}",
        "transactionHash": f"0x{evm_word('cd')}", "transactionIndex": "0x3", "logIndex": "0x5", "removed": False,
    }  # fmt: skip
    return made | changes


def reasons(result):
    return {
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": "0x1", "result": result},
    }


def test_amounts_have_each_tokens_own_decimals():
    (record,) = records("ethereum", None, reasons(log()))
    assert (record.asset, record.quantity, record.quantity_raw) == (
        "USDT",
        1_000_000.0,
        "1000000000000",
    )
    (record,) = records("ethereum", None, reasons(log(address=WETH, value=15 * 10**17)))
    assert (record.asset, record.quantity) == ("WETH", 1.5)


def test_tokens_are_known_by_address_however_it_is_written_and_the_list_may_be_the_callers():
    assert len(records("ethereum", None, reasons(log(address="0x" + USDT[2:].upper())))) == 1
    mine = {"0x" + "Ab" * 20: {"symbol": "ABC", "decimals": 2}}
    for address in ("0x" + "ab" * 20, "0x" + "Ab" * 20):
        (record,) = records("ethereum", None, reasons(log(address=address, value=12345)), mine)
        assert (record.asset, record.quantity) == ("ABC", 123.45)


@pytest.mark.parametrize("field", ["address", "blockHash", "transactionHash", "data"])
def test_a_listed_log_that_is_not_written_in_hexadecimal_is_refused(field):
    broken = log()[field][:-1] + "g"
    result = parsed("ethereum", None, reasons(log(**{field: broken})))
    assert not result.records
    assert "hexadecimal" in result.refusals[0].reason


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_listed_log_whose_topics_are_not_written_in_hexadecimal_is_refused(place):
    made = log()
    made["topics"][place] = made["topics"][place][:-1] + "g"
    assert "hexadecimal" in parsed("ethereum", None, reasons(made)).refusals[0].reason


@pytest.mark.parametrize(
    "changes", [{"address": "0x" + "12" * 20}, {"value": 0}, {"topics": (A, B, "01")}]
)
def test_counterfeits_nothings_and_nfts_tell_nothing(changes):
    assert records("ethereum", None, reasons(log(**changes))) == []


def test_minting_and_burning_have_no_owner_on_one_side():
    (minted,) = records("ethereum", None, reasons(log(topics=(NOBODY, B))))
    (burnt,) = records("ethereum", None, reasons(log(topics=(A, NOBODY))))
    assert (minted.transfer_kind, minted.from_address, minted.to_address) == (
        "mint",
        None,
        "0x" + B,
    )
    assert (burnt.transfer_kind, burnt.to_address) == ("burn", None)


def test_a_log_is_known_by_its_block_and_index_and_taken_back_by_the_same():
    (first,) = records("ethereum", None, reasons(log()))
    (undone,) = records("ethereum", None, reasons(log(removed=True)))
    (again,) = records("ethereum", None, reasons(log(blockHash=f"0x{evm_word('ac')}")))
    assert undone.event_id == first.event_id != again.event_id
    assert (first.removed, undone.removed, undone.version) == (False, True, 2)


def test_several_transfers_of_one_transaction_are_several():
    answer = {"jsonrpc": "2.0", "id": 7, "result": [log(), log(logIndex="0x6"), log(data="0x1")]}
    result = parsed("ethereum", None, answer)
    assert len({r.event_id for r in result.records}) == 2
    assert [r.field for r in result.refusals] == ["result[2].data"]


def call(keeps=0, **changes):
    seized, debt = f"{25 * 10**17:x}", f"{5000 * 10**6:x}"
    data = "0x" + "".join(map(evm_word, (debt, seized, B, f"{keeps:x}")))
    topics = [LIQUIDATION_CALL, *(f"0x{evm_word(t)}" for t in (WETH[2:], USDT[2:], A))]
    return reasons(log(address=POOL, topics=(), data=data) | {"topics": topics} | changes)


def test_a_liquidation_call_sells_the_collateral_unless_it_is_kept():
    (record,) = records("ethereum", None, call())
    assert (record.asset, record.position_side, record.order_side) == ("ETH", "long", "sell")
    assert (record.quantity, record.price, record.notional_usd) == (2.5, None, None)
    (record,) = records("ethereum", None, call(keeps=1))
    assert record.order_side is None


def test_a_liquidation_call_that_a_reorganisation_undid_is_taken_back():
    (record,) = records("ethereum", None, call(removed=True, blockTimestamp="0x6ab13780"))
    assert (record.removed, record.version) == (True, 2)


@pytest.mark.parametrize("chain", ["ethereum", "base"])
def test_a_liquidation_call_is_of_a_known_pool_or_refused(chain):
    tokens = {USDT: {"symbol": "USDT", "decimals": 6}, WETH: {"symbol": "WETH", "decimals": 18}}
    address = "0x" + "87" * 20 if chain == "ethereum" else POOL  # a pool of another chain
    result = parsed(chain, None, call(address=address), tokens)
    assert (result.records, [one.field for one in result.refusals]) == ([], ["result[0].address"])
    assert f"{address} is no pool of Aave v3" in result.refusals[0].reason
    listed = {**tokens, address: {"pool": "aave"}}
    assert len(records(chain, None, call(address=address), listed)) == 1


def test_a_pool_is_known_however_its_address_is_written():
    written = "0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2"
    assert len(records("ethereum", None, call(address=written))) == 1


def test_a_call_on_an_unlisted_token_is_refused_with_a_hint():
    result = parsed("ethereum", None, call(), {USDT: {"symbol": "USDT", "decimals": 6}})
    assert "--instruments" in result.refusals[0].reason


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        ({"jsonrpc": "2.0", "id": 1, "result": "0xhead"}, 0),
        ({"jsonrpc": "2.0", "id": 1, "result": None}, 0),
        (
            {
                "jsonrpc": "2.0",
                "id": 1,
                "error": {"code": -32005, "message": "query returned more than 10000 results"},
            },
            1,
        ),
    ],
)
def test_replies_of_a_node_are_control(frame, reasons):
    for channel in (None, "logs", "block", "heads"):
        result = parsed("ethereum", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


PAYMENT = {
    "txid": "ab" * 32, "fee": 1, "status": {"confirmed": True, "block_height": 1, "block_time": 1_790_000_000},
    "vin": [{"txid": "cd" * 32, "vout": 0, "prevout": {"scriptpubkey_address": "bc1qpayer00000", "value": 5}}],
    "vout": [{"scriptpubkey_address": "bc1qpayee00000", "value": 150_000_000}, {"scriptpubkey_address": "bc1qpayer00000", "value": 7}, {"value": 0}],
}  # fmt: skip


def test_change_is_no_transfer():
    (record,) = records("bitcoin", None, {"block-transactions": [PAYMENT]})
    assert (record.to_address, record.quantity, record.leg) == ("bc1qpayee00000", 1.5, 0)


def test_a_payment_is_one_once_it_is_in_a_block_and_the_same_wherever_it_is_told():
    waiting = PAYMENT | {"status": {"confirmed": False}}
    assert records("bitcoin", None, {"address-transactions": [waiting]}) == []
    both = {
        "multi-address-transactions": {
            "bc1qpayee00000": {"mempool": [waiting], "confirmed": [PAYMENT], "removed": []}
        }
    }
    (told_by_address,) = records("bitcoin", None, both)
    (told_by_rest,) = records("bitcoin", None, PAYMENT)
    assert told_by_address.event_id == told_by_rest.event_id


def test_several_payers_are_no_single_one_and_what_is_mined_is_minted():
    other = {"prevout": {"scriptpubkey_address": "bc1qother00000", "value": 5}}
    (record,) = records("bitcoin", None, PAYMENT | {"vin": [*PAYMENT["vin"], other]})
    assert record.from_address is None
    mined = records("bitcoin", None, PAYMENT | {"vin": [{"is_coinbase": True, "prevout": None}]})
    assert {r.transfer_kind for r in mined} == {"mint"}


def test_one_bad_transaction_costs_itself():
    result = parsed("bitcoin", None, {"block-transactions": [PAYMENT | {"txid": "x"}, PAYMENT]})
    assert len(result.records) == 1
    assert [r.field for r in result.refusals] == ["[0].txid"]


def test_what_a_server_tells_beside_is_control_and_noise_is_refused():
    for frame in ({"pong": True}, {"block": {}}, {"mempoolInfo": {}}):
        assert parsed("bitcoin", None, frame).control
    assert refused("bitcoin", None, {"x": 1}) == [""]


def test_what_is_moved_to_oneself_is_no_transfer():
    assert records("ethereum", None, reasons(log(topics=(A, A)))) == []
    moved = {
        "hash": f"0x{evm_word('cd')}",
        "from": "0x" + A,
        "value": "0x1",
        "transactionIndex": "0x3",
    }
    block = {"hash": f"0x{evm_word('ab')}", "timestamp": "0x6ab13b80"}
    block["transactions"] = [moved | {"to": "0x" + A.upper()}, moved | {"to": "0x" + B}]
    assert len(records("ethereum", None, {"jsonrpc": "2.0", "id": 9, "result": block})) == 1


def test_an_empty_block_holds_nothing_and_is_no_fault():
    block = {"hash": f"0x{evm_word('ab')}", "timestamp": "0x6ab13b80", "transactions": []}
    for channel in (None, "block"):
        assert records("ethereum", channel, {"jsonrpc": "2.0", "id": 9, "result": block}) == []


def test_decimals_may_be_written_as_text():
    listed = {USDT: {"symbol": "USDT", "decimals": "6"}}
    (record,) = records("ethereum", None, reasons(log()), listed)
    assert record.quantity == 1_000_000.0


def test_a_payment_that_does_not_say_who_paid_is_refused_as_its_change_is_not_known():
    unsaid = PAYMENT | {"vin": [{"txid": "cd" * 32, "vout": 0, "prevout": None}]}
    assert refused("bitcoin", None, unsaid) == ["[0].vin[0].prevout"]


def test_a_watched_transaction_is_read_and_what_else_a_server_tells_is_control():
    assert len(records("bitcoin", None, {"tx": PAYMENT, "txPosition": {}})) == 1
    for name in ("mempool-blocks", "live-2h-chart", "fees", "da", "txReplaced", "rbfLatest"):
        assert parsed("bitcoin", None, {name: []}).control
