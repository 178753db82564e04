"""Forced orders that stay away while others tell many; identities that came already."""

from streams.feed.burning import LEAST, WINDOW_S, Burning
from streams.feed.recent import LEAST as LEAST_IDS
from streams.feed.recent import Recent


def test_a_venue_that_tells_nothing_lacks_its_share_of_what_the_others_tell() -> None:
    burning = Burning({"binance": 0.4, "bybit": 0.2, "okx": 0.2})
    for second in range(WINDOW_S):
        burning.note("bybit", 1, second)
        burning.note("okx", 1, second)
    assert burning.missing("binance", WINDOW_S - 1) == 60.0
    assert burning.missing("bybit", WINDOW_S - 1) == 0.0


def test_a_calm_market_makes_no_venue_suspect() -> None:
    burning = Burning({"binance": 0.4, "bybit": 0.2})
    burning.note("bybit", 2, 10.0)
    assert 0 < burning.missing("binance", 12.0) < LEAST
    assert burning.missing("binance", 12.0 + WINDOW_S) == 0.0


def test_a_venue_without_a_usual_share_is_never_missed() -> None:
    burning = Burning({"hyperliquid": 0.0, "bybit": 0.2})
    burning.note("bybit", 1_000, 1.0)
    assert burning.missing("hyperliquid", 1.0) == 0.0


def test_a_single_order_ends_the_suspicion() -> None:
    burning = Burning({"binance": 0.4, "bybit": 0.2})
    burning.note("bybit", 100, 1.0)
    assert burning.missing("binance", 2.0) > LEAST
    burning.note("binance", 1, 3.0)
    assert burning.missing("binance", 4.0) == 0.0


def test_identities_are_remembered_within_a_bound() -> None:
    recent = Recent(most=100)
    assert all(recent.is_new(f"id-{n}") for n in range(250))
    assert not any(recent.is_new(f"id-{n}") for n in range(150, 250))
    assert recent.is_new("id-0"), "what came long ago is forgotten"


def test_where_much_comes_what_is_old_is_forgotten_and_where_little_comes_nothing() -> None:
    busy, calm = Recent(), Recent()
    for minute in range(4):
        for recent, prints in ((busy, LEAST_IDS), (calm, 10)):
            assert all(recent.is_new(f"{minute}-{n}") for n in range(prints))
            recent.age(61.0 * minute)
    assert not calm.is_new("0-0")
    assert not busy.is_new("3-0")
    assert busy.is_new("0-0")
