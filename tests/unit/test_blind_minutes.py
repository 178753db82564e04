"""Days of outages, restarts and joins: every blind minute is told, and no quiet feed is."""

from streams.evaluate import blind_minutes
from streams.evaluate.blind_minutes import BOUND_S, Report, Spell, Told, feeds, judge


def test_every_blind_spell_of_some_days_is_told_in_time_at_both_ends() -> None:
    report = blind_minutes.report_of(5, [3])
    assert report.untold == []
    assert report.spells == report.begun_in_time == report.ended_in_time > 5
    assert report.false_silences == 0
    assert report.quiet_feeds == 1
    assert max(report.worst_begin_s, report.worst_end_s) <= BOUND_S


def test_the_judge_sees_what_is_told_late_never_or_of_a_feed_that_speaks() -> None:
    made = [feed._replace(spells=()) for feed in feeds(1, 4)]
    made[0] = made[0]._replace(spells=(Spell(1_000, 2_000, False), Spell(9_000, 9_500, True)))
    name = made[0].producer
    notices = [
        Told(1_095, name, "silent"),
        Told(2_003, name, "recovered"),
        Told(50_000, "quiet", "silent"),
    ]
    report = Report(4, 1)
    judge(report, made, notices)
    assert (report.spells, report.begun_in_time, report.ended_in_time) == (2, 0, 1)
    assert report.false_silences == 1
    assert len(report.untold) == 2
