"""`undertow parse` says what we make of a venue's raw frames."""

import json

from click.testing import CliRunner

from streams.cli import main

ITEM = {"T": 1_791_565_600_992, "s": "BTCUSDT", "S": "Buy", "v": "0.006", "p": "82396.90"}
FRAME = json.dumps({"topic": "allLiquidation.BTCUSDT", "data": [ITEM, ITEM | {"v": "NaN"}]})


def run(*arguments, given):
    return CliRunner().invoke(main, ["parse", *arguments], input=given)


def test_each_line_gives_one_object_of_records_refusals_and_control():
    pong = '{"success":true,"ret_msg":"pong","op":"ping"}'
    result = run("bybit", "--channel", "allLiquidation", given=f"{FRAME}\n{pong}\nnoise\n")
    assert result.exit_code == 0
    both, control, noise = map(json.loads, result.stdout.splitlines())
    assert [r["position_side"] for r in both["records"]] == ["long"]
    assert [r["field"] for r in both["refusals"]] == ["data[1].v"]
    assert control == {"records": [], "refusals": [], "control": True}
    assert (noise["records"], noise["control"], len(noise["refusals"])) == ([], False, 1)


def test_a_frame_tells_its_own_channel_and_a_subscriptions_name_tells_it_too():
    for arguments in ((), ("--channel", "allLiquidation.BTCUSDT")):
        (line,) = run("bybit", *arguments, given=FRAME).stdout.splitlines()
        assert len(json.loads(line)["records"]) == 1


def test_a_channel_that_the_venue_lacks_is_refused_with_those_that_it_has():
    result = run("bybit", "--channel", "kline", given="")
    assert result.exit_code == 2
    assert "publicTrade" in result.stderr


def test_help_lists_venues_and_channels():
    shown = run("--help", given="").stdout
    assert "forceOrder, aggTrade" in shown
    assert "allLiquidation" in shown


def test_the_venues_metadata_says_what_a_contract_is(tmp_path):
    path = tmp_path / "metadata.json"
    order = {
        "s": "ABCUSD_PERP",
        "S": "SELL",
        "q": "5",
        "p": "2",
        "ap": "2",
        "z": "5",
        "T": 1_791_565_600_992,
    }
    row = {"symbol": "ABCUSD_PERP", "contractSize": 50, "baseAsset": "ABC", "quoteAsset": "USD"}
    frame = json.dumps({"e": "forceOrder", "o": order})
    for document in (
        {"symbols": [row]},
        {"ABCUSD_PERP": row},
        {"ABCUSD_PERP": {"contractSize": 50}},
    ):
        path.write_text(json.dumps(document))
        result = run("binance", "--instruments", str(path), given=frame)
        (record,) = json.loads(result.stdout)["records"]
        assert (record["notional_usd"], record["quantity"]) == (250.0, 125.0)


def test_metadata_that_says_nothing_is_refused_with_its_path(tmp_path):
    path = tmp_path / "metadata.json"
    for text in ("[1]", "{", '{"BTCUSD_PERP": 7}', '[{"contractSize": 1}]'):
        path.write_text(text)
        result = run("binance", "--instruments", str(path), given="")
        assert result.exit_code == 2
        assert str(path) in result.stderr


def test_a_venue_and_a_channel_are_known_by_the_names_that_others_use():
    frame = '{"time":1790000000,"channel":"futures.public_liquidates","event":"update","result":{"contract":"BTC_USDT","price":"1","time":1790000000123,"size":5}}'
    for venue, channel in (
        ("gate", "futures.public_liquidates"),
        ("gateio", "public_liquidates"),
        ("GATE", "public_liquidates.BTC_USDT"),
    ):
        (line,) = run(venue, "--channel", channel, given=frame).stdout.splitlines()
        assert len(json.loads(line)["records"]) == 1
    assert run("binance-coinm", "--channel", "btcusd_perp@aggTrade", given="").exit_code == 0
    for venue, channel in (
        ("bybit", "tickers.BTCUSDT"),
        ("htx", "market.BTC-USDT.trade.detail"),
        ("htx", "public.*.liquidation_orders"),
        ("deribit", "trades.BTC-PERPETUAL.100ms"),
        ("bitmex", "trade:XBTUSD"),
        ("bitfinex", "liq:global"),
        ("whale_alert", "alert"),
        ("whale-alert", "alert"),
    ):
        assert run(venue, "--channel", channel, given="").exit_code == 0


def test_an_unknown_venue_is_refused_with_those_that_are_known():
    result = run("mtgox", given="")
    assert result.exit_code == 2
    assert "hyperliquid" in result.stderr


def test_the_date_of_bundled_contract_sizes_is_told():
    assert "contracts of okx as of 20" in run("okx", given="").stderr
    assert run("bybit", given="").stderr == ""


def test_frames_that_do_not_say_what_they_are_of_take_the_subscriptions_symbol():
    trade, status = '[7,"te",[45,1790000000123,-0.5,80000]]', [1_790_000_000_123] + [None] * 17
    status[14], status[17] = 80_000, 100
    for channel, frame, kinds in (
        ("trades:tBTCF0:USTF0", trade, ["trade"]),
        ("status:deriv:tBTCF0:USTF0", json.dumps([7, status]), ["open_interest", "mark_price"]),
    ):
        (line,) = run("bitfinex", "--channel", channel, given=frame).stdout.splitlines()
        records = json.loads(line)["records"]
        assert [record["type"] for record in records] == kinds
        assert {record["venue_symbol"] for record in records} == {"tBTCF0:USTF0"}
