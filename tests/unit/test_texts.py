"""Names that venues list pass everywhere; what hides, moves or breaks a line passes nowhere."""

import re

import pytest

from schemas import texts

LISTED = [
    "BTC",
    "1000PEPE",
    "4",
    "币安人生",
    "雪球",
    "哈基米",
    "ピカチュウ",
    "도지",
    "ΔΩ",
    "A" * 20,
    "币" * 20,
]
HOSTILE = ["\n", "\r\n", "\x00", "\x1b[31m", "\x7f", "\x85", "\x9b2J", "\xa0", "\xad", "\u200b", "\u200d", "\u200e",
           "\u202e", "\u2028", "\u2029", "\u2066", "\u061c", "\u180e", "\u3164", "\uffa0", "\u115f", "\ufeff",
           "\ufe0f", "\u034f", "\U000e0041", "\U000e0101", "\ue000", "\uffff", "\ud800", "\U0001bca0"]  # fmt: skip
RULES = {
    "name": (texts.name_problem, texts.NAME_PATTERN, "binance"),
    "asset": (texts.asset_problem, texts.ASSET_PATTERN, "BTC"),
    "instrument": (texts.instrument_problem, texts.INSTRUMENT_PATTERN, "BTC-USDT-PERP"),
    "identity": (texts.identity_problem, texts.IDENTITY_PATTERN, "币安人生USDT"),
    "digits": (texts.digits_problem, texts.DIGITS_PATTERN, "123"),
}


@pytest.mark.parametrize("asset", LISTED)
def test_what_venues_list_is_an_asset_and_its_instrument_one(asset) -> None:
    assert texts.asset_problem(asset) is None
    assert texts.instrument_problem(f"{asset}-USDT-PERP") is None
    assert texts.identity_problem(f"{asset}USDT") is None


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("hidden", HOSTILE, ids=ascii)
def test_nothing_unseen_passes_in_any_name(rule, hidden) -> None:
    problem, _, good = RULES[rule]
    assert problem(good) is None
    for text in (good + hidden, hidden + good, good[:1] + hidden + good[1:], hidden):
        assert problem(text)
        assert problem(text).isprintable()


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("name", ""), ("name", "Binance"), ("name", "-x"), ("name", "a" * 41), ("name", "a b"), ("name", "<b>"),
        ("name", "币安"), ("asset", ""), ("asset", "btc"), ("asset", "A" * 21), ("asset", "币" * 21), ("asset", "B-C"),
        ("asset", "币安 人生"), ("asset", "\u017f"), ("asset", "é"), ("asset", "🐋"), ("asset", "<B>"), ("asset", "BTC'"),
        ("asset", "E\u0301"), ("asset", "\u212a"), ("instrument", "BTCUSDT"), ("instrument", "BTC-USDT"),
        ("instrument", "BTC-USDT-PERPS"), ("instrument", "BTC-USDT-25122"), ("instrument", "BTC-usdt-PERP"),
        ("instrument", "-USDT-PERP"), ("instrument", "BTC-USDT-PERP-PERP"), ("instrument", "BTC-USDT-\u0661" * 6),
        ("identity", ""), ("identity", "   "), ("identity", "e\u0301"), ("digits", ""), ("digits", "1" * 79),
        ("digits", "-1"), ("digits", "1.0"), ("digits", "\u0661"), ("digits", "0x1"),
    ],
)  # fmt: skip
def test_what_is_not_formed_as_its_rule_says_is_refused(rule, text) -> None:
    assert RULES[rule][0](text)


def test_256_bits_fit_and_more_do_not() -> None:
    assert texts.digits_problem(str(2**256 - 1)) is None
    assert texts.digits_problem(str(10**78))


def test_patterns_take_every_character_that_their_rules_take() -> None:
    asset, identity, text = (
        re.compile(p) for p in (texts.ASSET_PATTERN, texts.IDENTITY_PATTERN, texts.TEXT_PATTERN)
    )
    for code in range(0x34000):  # no letter lies beyond
        letter = chr(code)
        if texts.is_letters(letter):
            assert asset.search(letter), hex(code)
        if texts.identity_problem(letter) is None:
            assert identity.search(letter), hex(code)
        if texts.text_problem(letter) is None:
            assert text.search(letter), hex(code)


@pytest.mark.parametrize("rule", RULES)
def test_patterns_are_what_their_rules_are_in_ascii(rule) -> None:
    problem, pattern, good = RULES[rule]
    for code in range(128):
        for text in (
            chr(code),
            good + chr(code),
            chr(code) + good,
            good[:1] + chr(code) + good[1:],
        ):
            assert bool(re.search(pattern, text)) == (problem(text) is None), text


def test_prose_keeps_what_can_be_read_and_escapes_the_rest() -> None:
    assert texts.plain("币安 🐋\ufe0f é\u0301", 100) == "币安 🐋\ufe0f é\u0301"
    assert texts.plain("a\n\x1b[2J\u202eb\ud800", 100) == r"a\n\x1b[2J\u202eb\ud800"
    assert texts.plain("x" * 3000, 2000) == "x" * 1999 + "…"
    for hidden in HOSTILE:
        made = texts.plain(hidden * 700, 2000)
        assert len(made) <= 2000
        assert texts.text_problem(made) is None
