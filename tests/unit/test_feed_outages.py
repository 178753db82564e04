"""What a producer says of itself while its links come and go."""

from schemas.words import SECOND
from streams.feed.outages import Outages, Spoken

START = 1_791_600_000 * SECOND


def said(outages: Outages, second: float) -> list[tuple[str, int, tuple[str, ...]]]:
    now = START + int(second * SECOND)
    return [brief(spoken) for spoken in outages.words_at(now, SECOND)]


def brief(spoken: Spoken) -> tuple[str, int, tuple[str, ...]]:
    return spoken.status.state, (spoken.status.ts_event - START) // SECOND, spoken.topics


def live() -> Outages:
    return Outages("binance", {"liquidations": {"a"}}, ["whale_transfers"])


BOTH = ("whale_transfers", "liquidations")


def test_a_live_producer_says_alive_behind_what_may_still_come() -> None:
    outages = live()
    assert said(outages, 10.2) == [("alive", 9, BOTH)]
    assert said(outages, 11.2) == [("alive", 10, BOTH)]


def test_while_a_link_is_away_for_a_moment_nothing_is_said_of_its_topic() -> None:
    outages = live()
    said(outages, 10)
    outages.lost("a", START + 10 * SECOND, "closed")
    assert said(outages, 12) == [("alive", 11, ("whale_transfers",))]


def test_a_link_that_stays_away_makes_its_topic_silent_since_it_was_lost() -> None:
    outages = live()
    said(outages, 10)
    outages.lost("a", START + 10 * SECOND, "closed")
    assert said(outages, 16)[0] == ("silent", 10, ("liquidations",))
    assert [state for state, _, _ in said(outages, 17)] == ["alive"]
    outages.back("a", START + 30 * SECOND)
    outages.close("a", "liquidations", "no history", START + 31 * SECOND)
    assert said(outages, 32) == [
        ("gap", 10, ()),
        ("recovered", 30, ("liquidations",)),
        ("alive", 31, BOTH),
    ]


def test_a_gap_names_its_bounds_and_alive_is_never_said_of_it() -> None:
    outages = live()
    said(outages, 10)
    outages.lost("a", START + 10 * SECOND, "closed")
    outages.back("a", START + 12 * SECOND)
    assert said(outages, 12.5) == [("alive", 11, ("whale_transfers",))]
    outages.close("a", "liquidations", "no history", START + 13 * SECOND)
    spoken = list(outages.words_at(START + 13 * SECOND, SECOND))
    states = [brief(one)[:2] for one in spoken if one.topics != ("whale_transfers",)]
    assert states == [("gap", 10), ("silent", 10), ("recovered", 12)]
    assert "2026-10-10T02:40:12.000000+00:00" in spoken[0].status.reason


def test_an_outage_whose_records_all_came_after_all_is_no_gap() -> None:
    outages = live()
    said(outages, 10)
    outages.lost("a", START + 10 * SECOND, "closed")
    outages.back("a", START + 12 * SECOND)
    outages.close("a", "liquidations", "", START + 14 * SECOND)
    assert said(outages, 14) == [("alive", 13, BOTH)]


def test_one_of_two_links_away_leaves_the_topic_alive_and_its_gap_told() -> None:
    outages = Outages("binance", {"trades": {"a", "b"}}, [])
    said(outages, 10)
    outages.lost("a", START + 10 * SECOND, "closed")
    assert said(outages, 12) == []
    assert said(outages, 16) == [("alive", 15, ("trades",))]
    outages.back("a", START + 20 * SECOND)
    outages.close("a", "trades", "no history", START + 20 * SECOND)
    assert [state for state, _, _ in said(outages, 21)] == ["gap", "alive"]


def test_a_topic_that_is_mute_while_others_tell_is_silent_until_it_tells() -> None:
    outages = live()
    said(outages, 10)
    outages.mute("liquidations", START + 5 * SECOND, "no forced order while the others told 80")
    assert said(outages, 11)[0] == ("silent", 9, ("liquidations",))
    outages.unmute("liquidations", START + 20 * SECOND)
    assert said(outages, 22)[0] == ("recovered", 20, ("liquidations",))


def test_a_producer_that_stops_says_so_on_every_topic() -> None:
    outages = live()
    said(outages, 10)
    states = [brief(spoken)[0::2] for spoken in outages.end(START + 12 * SECOND)]
    assert states == [("silent", ("liquidations",)), ("silent", ("whale_transfers",))]
