"""Recorded and published frames of the channels that we read become records, all but those listed."""

import gzip
import json

import pytest
from venues import FIXTURES, NO_FIXTURES, parsed

pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
#: Tests of a public mapper whose messages are of products that we follow.
SETS = {
    "map binance futures messages": "binance",
    "map binance delivery messages": "binance",
    "map bybit messages": "bybit",
    "map okex-futures messages": "okx",
    "map okex-swap messages": "okx",
    "map hyperliquid messages": "hyperliquid",
    "map bitmex messages": "bitmex",
    "map deribit messages": "deribit",
    "map gate-io-futures messages": "gate",
    "map bitget-futures v3 messages": "bitget",
}
#: What is refused, and why that is right.
REFUSED = {
    "binance": ["a"],  # a trade of 2019, when they had no ids
    "deribit": ["symbol"] * 7 + ["params.data.mark_price"],  # options and combos
    "gate": ["result[0].symbol", "result[1].symbol", "result[0].symbol"],  # a quanto, delisted
}


def frames_of(name):
    with gzip.open(FIXTURES / "tardis_node_mapper_all_raw.jsonl.gz", "rt") as lines:
        return [row["raw"] for row in map(json.loads, lines) if row["test"] == name]


@pytest.mark.parametrize(("name", "venue"), SETS.items(), ids=list(SETS))
def test_published_frames_are_read(name, venue):
    record_count, refusals = 0, []
    for frame in frames_of(name):
        result = parsed(venue, None, frame)
        if any(r.field in ("channel", "e", "arg.channel", "topic") for r in result.refusals):
            continue  # a channel that we do not read
        record_count += len(result.records)
        if not result.control:
            refusals += [r.field or r.reason.split("`")[1] for r in result.refusals]
    assert record_count > 0
    assert sorted(refusals) == sorted(REFUSED.get(venue, []) if "delivery" not in name else [])


@pytest.mark.parametrize("name", ["OKX", "BINANCE_FUTURES", "BINANCE_DELIVERY", "BITMEX"])
def test_a_recorded_session_is_read_but_for_what_we_do_not_follow(name):
    path = next((FIXTURES / "cryptofeed").glob(f"{name}.*"))
    lines = [line for line in path.read_text().splitlines()[1:] if "<-" not in line]
    venue = {"OKX": "okx", "BITMEX": "bitmex"}.get(name, "binance")
    results = [parsed(venue, None, line.split(": ", 1)[1].encode()) for line in lines]
    read = [r for r in results if not any(x.field in ("channel", "e") for x in r.refusals)]
    assert sum(len(r.records) for r in read) > 10
    assert [x for r in read if not r.control for x in r.refusals] == []
