"""Whether a connection lives: by data, not by pings alone."""

from streams.feed.liveness import FIRST_S, LEAST_S, SILENCE_S, Liveness, Paces


def busy(until: float) -> Liveness:
    liveness = Liveness(0.0, has_trades=True)
    for tenth in range(int(until * 10) + 1):
        liveness.frame(tenth / 10)
        liveness.trades(tenth / 10)
    return liveness


def test_a_liquid_market_that_goes_quiet_is_a_fault_though_pings_are_answered() -> None:
    liveness = busy(60)
    for second in range(60, 60 + int(LEAST_S)):
        liveness.frame(second)
        assert liveness.is_stale(second) == ""
    liveness.frame(60 + LEAST_S)
    assert "pings answered" in liveness.is_stale(60 + LEAST_S)


def test_a_market_that_trades_once_a_minute_may_pause_for_minutes() -> None:
    liveness = Liveness(0.0, has_trades=True)
    for second in range(0, 6_000, 60):
        liveness.frame(second)
        liveness.trades(second)
    liveness.frame(6_150)
    assert liveness.is_stale(6_150) == ""


def test_an_acknowledged_subscription_without_a_trade_is_a_fault() -> None:
    liveness = Liveness(0.0, has_trades=True)
    liveness.frame(FIRST_S)
    assert "acknowledged" in liveness.is_stale(FIRST_S)


def test_forced_orders_alone_live_by_any_frame() -> None:
    liveness = Liveness(0.0, has_trades=False)
    for second in range(0, 3_600, 20):
        liveness.frame(second)
        assert liveness.is_half_open(second) == ""


def test_forced_orders_beside_readings_live_by_these_where_enough_came() -> None:
    liveness = Liveness(0.0, has_trades=False)
    for second in range(9):
        liveness.reading(3.0 * second)
    assert liveness.is_stale(500.0) == ""  # how often they come is not known yet
    liveness.reading(27.0)
    assert liveness.is_stale(86.0) == ""
    assert liveness.is_stale(88.0) == "no reading for 61 s, pings answered"


def test_forced_orders_that_come_show_that_a_link_without_readings_gives() -> None:
    liveness = Liveness(0.0, has_trades=False)
    for second in range(10):
        liveness.reading(3.0 * second)
    for second in (50.0, 100.0):
        liveness.forced_orders(second)
        assert liveness.is_stale(second + 59.0) == ""
    assert liveness.is_stale(161.0) == "no reading for 134 s, pings answered"


def test_a_connection_that_does_not_answer_our_ping_is_half_open() -> None:
    liveness = Liveness(0.0, has_trades=False)
    assert liveness.wants_ping(13.0)
    assert not liveness.wants_ping(14.0)
    assert "half-open" in liveness.is_half_open(SILENCE_S)


def test_an_instrument_that_stops_while_it_usually_trades_is_quiet_once_until_it_trades() -> None:
    paces = Paces()
    for second in range(100):
        assert paces.note("BTCUSDT", second, second * 1_000_000) is None
    assert paces.quiet(150.0) == []
    assert paces.quiet(99.0 + 61.0) == ["BTCUSDT"]
    assert paces.quiet(170.0) == []
    assert paces.note("BTCUSDT", 171.0, 171_000_000) == 99_000_000


def test_an_instrument_of_which_little_is_known_is_never_quiet() -> None:
    paces = Paces()
    for second in range(10):
        paces.note("RAREUSDT", second, second * 1_000_000)
    assert paces.quiet(3_600.0) == []
