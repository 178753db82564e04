"""Labels: what public sets say, which of several holds, and whose transfers are by them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from nights import START, deposit

from schemas.words import SECOND
from streams.cli import main
from streams.core.detectors.inflow_kind import inflow_kind
from streams.core.params import WhaleParams
from streams.feeds import deposits, registry
from streams.feeds.deposits import MOST, Owners
from streams.feeds.label_sets import About, SetProblem, read
from streams.feeds.labels import Label, Labels, classified, family_of, owner_of
from streams.process import label_file

HOT = "0x" + "28c6" * 10
MINE, YOURS, THEIRS = ("0x" + digit * 40 for digit in "123")
TOLD = About("set", None, "2023-10-01")
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
PARAMS = WhaleParams()


def label(address=HOT, owner="binance", kind="exchange", source="a", confidence=0.9):
    return Label(
        family=family_of(address), address=address, owner=owner, kind=kind, source=source,
        confidence=confidence, date="2023-10-01",
    )  # fmt: skip


def moved(event_id, sender, receiver, quantity=5_000.0, at=0, **changes):
    unknown = {
        "from_owner": "unknown",
        "from_kind": "unknown",
        "to_owner": "unknown",
        "to_kind": "unknown",
    }
    return deposit(
        START + at, event_id=event_id, asset="ETH", chain="ethereum", quantity=quantity,
        from_address=sender, to_address=receiver, **(unknown | changes),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "tags", "owner"),
    [
        ("Binance 14", (), ("binance", "exchange")),
        ("Gemini: Cold Wallet", (), ("gemini", "exchange")),
        ("", ("huobi",), ("htx", "exchange")),
        ("okex", (), ("okx", "exchange")),
        ("coinbase-btc", (), ("coinbase", "exchange")),
        ("bitkub-cex", (), ("bitkub", "exchange")),
        ("Alameda Research 12", (), ("alameda-research", "other")),
    ],
)
def test_an_owner_is_named_as_its_venue_is_whatever_numbers_its_addresses(name, tags, owner):
    assert owner_of(name, *tags) == owner


def test_each_public_shape_is_read():
    page = f",Address,Name Tag,Balance,Txn Count,label_page\n0,{HOT.upper().replace('X', 'x')},Binance 14,1 ETH,3,binance\n"
    combined = json.dumps(
        {
            HOT: {"name": "Binance 14", "labels": ["binance"]},
            MINE: {"name": "Pool", "labels": ["balancer"]},
        }
    )
    adapter = "chain_family,entity,address,source_path\nbitcoin,okex,bc1qw2vw7j8x3l4u7g4nk9hvgg5ulu8akgrswkdpa6,x.js\nbitcoin,chakra,bc1qw2vw7j8x3l4u7g4nk9hvgg5ulu8akgrswkdpa7,x.js\n"
    plain = f"address,owner,kind,confidence\n{HOT},Huobi,,0.6\n"
    said = [
        [(x.owner, x.kind, x.confidence, x.family) for x in read(text, TOLD)[0]]
        for text in (page, combined, adapter, plain)
    ]
    assert said == [
        [("binance", "exchange", 0.9, "evm")],
        [("binance", "exchange", 0.9, "evm"), ("pool", "defi", 0.9, "evm")],
        [("okx", "exchange", 0.7, "bitcoin")],
        [("htx", "exchange", 0.6, "evm")],
    ]
    assert {x.address for x in read(page, TOLD)[0]} == {HOT}


def test_a_token_that_bears_an_exchanges_tag_is_no_address_of_the_exchange():
    page = f",Address,Name Tag,Balance,Txn Count,label_page\n0,{HOT},InsurAce: INSUR Token,0 ETH,3,binance\n"
    [one] = read(page, TOLD)[0]
    assert one.kind == "other"


def test_a_bad_row_costs_itself_and_a_text_that_is_no_set_is_refused():
    labels, problems = read(f"address,owner,kind\n{HOT},binance,bank\n{MINE},okx,exchange\n", TOLD)
    assert ([x.owner for x in labels], len(problems)) == (["okx"], 1)
    for text in ("a,b\n1,2\n", "{", "[]", ""):
        with pytest.raises(SetProblem):
            read(text, TOLD)


def test_the_surest_label_holds_and_one_that_contradicts_it_takes_half_its_confidence():
    labels = Labels([label(), label(source="b", owner="okx", confidence=0.6)])
    assert labels.owner(HOT).owner == "binance"
    assert labels.owner(HOT).confidence == 0.9
    labels.add(label(source="b", owner="okx", confidence=0.8))
    assert labels.owner(HOT) is None  # 0.45: nobody is named
    labels.add(label(source="b", confidence=0.8))
    assert labels.owner(HOT.upper().replace("X", "x")).confidence == 0.9


def test_a_transfer_gets_the_owners_of_its_addresses_and_keeps_what_its_provider_says():
    labels = Labels([label()])
    transfer = classified(moved("t", MINE, HOT), labels)
    assert (transfer.to_owner, transfer.to_kind, transfer.to_confidence) == (
        "binance",
        "exchange",
        0.9,
    )
    assert transfer.from_owner == "unknown"
    assert inflow_kind(PARAMS, transfer) == "deposit"
    said = moved("t", MINE, HOT, to_owner="kraken", to_kind="exchange")
    assert classified(said, labels) == said


def test_what_an_unlabelled_address_passes_on_whole_was_a_deposit_and_its_pass_is_internal():
    state, labels = Owners(), Labels([label()])
    [first] = deposits.step(state, labels, moved("in", MINE, YOURS))
    assert first.to_owner == "unknown"
    passed, again = deposits.step(state, labels, moved("out", YOURS, HOT, 4_999.0, 600))
    assert (again.event_id, again.version, again.to_owner) == ("in", 2, "binance")
    assert again.to_confidence == pytest.approx(2 / 3, abs=1e-4)
    assert again.ts_recv == passed.ts_recv
    assert inflow_kind(PARAMS, again) == "deposit"
    assert (passed.from_owner, inflow_kind(PARAMS, passed)) == ("binance", "internal")


def test_the_next_deposit_is_known_at_once_and_each_pass_makes_it_surer():
    state, labels = Owners(), Labels([label()])
    sure = []
    for number in range(4):
        classified = deposits.step(
            state, labels, moved(f"in{number}", MINE, YOURS, at=number * 3600)
        )
        sure.append(classified[0].to_confidence)
        classified = deposits.step(
            state, labels, moved(f"out{number}", YOURS, HOT, 5_000.0, number * 3600 + 60)
        )
        assert len(classified) == (2 if number == 0 else 1)
    assert sure == [None, 0.6667, 0.75, 0.8]


def test_an_address_that_sends_elsewhere_as_well_is_nobodys_deposit_address():
    state, labels = Owners(), Labels([label()])
    deposits.step(state, labels, moved("in", MINE, YOURS))
    deposits.step(state, labels, moved("away", YOURS, THEIRS, 10.0, 60))
    classified = deposits.step(state, labels, moved("out", YOURS, HOT, 4_900.0, 600))
    assert [t.event_id for t in classified] == ["out"]
    assert classified[0].from_owner == "unknown"


@pytest.mark.parametrize(
    ("quantity", "after_s"), [(2_500.0, 600), (5_001.0, 600), (5_000.0, 90_000)]
)
def test_a_part_more_than_came_or_a_day_later_is_no_pass(quantity, after_s):
    state, labels = Owners(), Labels([label()])
    deposits.step(state, labels, moved("in", MINE, YOURS))
    classified = deposits.step(state, labels, moved("out", YOURS, HOT, quantity, after_s))
    assert [t.event_id for t in classified] == ["out"]


def test_a_retraction_after_a_correction_still_has_the_higher_version():
    state, labels = Owners(), Labels([label()])
    deposits.step(state, labels, moved("in", MINE, YOURS))
    deposits.step(state, labels, moved("out", YOURS, HOT, 4_999.0, 600))
    gone = moved("in", MINE, YOURS, version=2, removed=True, ts_recv=START * SECOND + 700 * SECOND)
    [classified] = deposits.step(state, labels, gone)
    assert (classified.version, classified.removed, classified.to_owner) == (3, True, "binance")


def test_memory_is_bounded():
    state, labels = Owners(), Labels()
    for number in range(MOST + 100):
        deposits.step(state, labels, moved(f"t{number}", MINE, f"0x{number:040x}"))
    assert len(state.passings) == len(state.versions) == MOST


def run(tmp_path, *arguments):
    return CliRunner().invoke(main, ["labels", *arguments, "--data-dir", str(tmp_path / "data")])


def test_import_show_and_diff_at_the_command_line(tmp_path):
    ours = tmp_path / "ours.csv"
    ours.write_text(f"address,owner\n{HOT},Binance 14\n{MINE},Kraken\nx,\n")
    done = run(tmp_path, "import", str(ours), "--date", "2024-05-01", "--confidence", "0.75")
    assert done.exit_code == 0, done.output
    assert "2 exchange" in done.stderr
    [row] = json.loads(run(tmp_path, "show", HOT, "--json").stdout)
    assert (row["owner"], row["source"], row["confidence"], row["date"]) == (
        "binance",
        "ours",
        0.75,
        "2024-05-01",
    )
    theirs = tmp_path / "theirs.csv"
    theirs.write_text(f"address,owner\n{HOT},okx\n{YOURS},gate\n")
    rows = json.loads(run(tmp_path, "diff", str(theirs), "--source", "ours", "--json").stdout)
    assert [(r["change"], r["address"]) for r in rows] == [
        ("other owner", HOT), ("new", YOURS), ("gone", MINE),
    ]  # fmt: skip
    ours.write_text(f"address,owner\n{HOT},okx\n")
    run(tmp_path, "import", str(ours))
    kept = label_file.load(label_file.file_of(str(tmp_path / "data")))
    assert [(x.address, x.owner) for x in kept.all()] == [(HOT, "okx")]


def test_a_file_that_is_no_set_is_refused_in_one_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("nothing\n")
    done = run(tmp_path, "import", str(path))
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"recordings are not at {DATA}")
def test_the_public_sets_are_read_whole():
    for path, count in (
        ("labels_etherscan_brianleect/exchange_accounts.csv", 546),
        ("labels_etherscan_brianleect/combinedAccountLabels.json.gz", 23_288),
        ("labels_defillama_cex/cex_addresses.csv", 1_765),
    ):
        labels, problems = label_file.read_set(DATA / path, TOLD)
        assert (len(labels), problems) == (count, [])
        assert any(x.kind == "exchange" and x.owner == "okx" for x in labels)


def test_addresses_that_pay_together_are_one_owners_so_consolidating_is_internal():
    cold = "bc1qc4q0xpeyc6fn77y4nk9hvgg5ulu8akgrswkdpa677vttl4mrrj6sv7qznw"
    hot, other = "bc1qwn2dcq7jc9svum4kxz095jfrrq5ksyqmzjcv4f", "bc1qpayer00000"
    labels = Labels([label(cold), label(hot)])
    known = registry.bundled("bitcoin").of_connection()
    known.payer = labels.payer
    spent = [{"prevout": {"scriptpubkey_address": a, "value": 10**11}} for a in (other, hot)]
    frame = json.dumps([{
        "txid": "ab" * 32, "vin": spent, "vout": [{"scriptpubkey_address": cold, "value": 10**11}],
        "status": {"confirmed": True, "block_time": START},
    }]).encode()  # fmt: skip
    [transfer] = registry.parse("bitcoin", "transactions", frame, known, START * SECOND).records
    assert transfer.from_address == hot
    [classified] = deposits.step(Owners(), labels, transfer)
    assert (classified.from_owner, inflow_kind(PARAMS, classified)) == ("binance", "change")
    labels.add(label(other, owner="okx"))
    assert labels.payer([hot, other]) is None  # two owners: a mixed payment is nobody's
    assert labels.payer(["bc1qnobody00000", other]) == other
