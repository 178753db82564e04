"""What a report asks of the tables: each question is one query, which stands beside its answer.

Sums are rounded to the cent: SQL adds floats in whatever order its blocks come.
"""

from typing import NamedTuple

from clickhouse_connect.driver.binding import format_str

#: Assets and venues that a table names.
MOST = 12


class Window(NamedTuple):
    """A stretch of event time, `2025-11-21 07:20:00.000000` UTC, both ends in."""

    since: str
    until: str

    def holds(self, column: str) -> str:
        """Return the condition that a time lies in it."""
        return f"{column} >= {_time(self.since)} AND {column} <= {_time(self.until)}"


class Episode(NamedTuple):
    """The episode that a report looks at most closely, from its onset to its last step."""

    episode_id: str
    asset: str
    position_side: str
    ts_onset: str
    ts_last: str

    @property
    def window(self) -> Window:
        """Return its stretch of time."""
        return Window(self.ts_onset, self.ts_last)


def _time(iso: str) -> str:
    return f"toDateTime64({format_str(iso)}, 6, 'UTC')"


def last_day() -> str:
    """Ask for the last 24 h of the data, or all of it where it is less; NULLs of none."""
    return (
        "SELECT toString(greatest(minOrNull(ts_event), maxOrNull(ts_event) - toIntervalHour(24)))"
        " AS since, toString(maxOrNull(ts_event)) AS until FROM liquidations"
    )


def around(episode_id: str) -> str:
    """Ask for the time around an episode: a quarter of an hour before it to ten minutes after."""
    return (
        "SELECT toString(min(ts_onset) - toIntervalMinute(15)) AS since,"
        " toString(max(ts_event) + toIntervalMinute(10)) AS until"
        f" FROM cascades FINAL WHERE episode_id = {format_str(episode_id)} HAVING count() > 0"
    )


def largest_episode(window: Window, episode_id: str) -> str:
    """Ask for the episode to look at: the one that is named, else the largest of the window."""
    named = f"e.episode_id = {format_str(episode_id)}" if episode_id else window.holds("e.ts_onset")
    return (
        "SELECT episode_id, asset, position_side, toString(ts_onset) AS begin,"
        " toString(ts_last_step) AS last FROM (SELECT e.*, l.ts_last_step FROM episodes AS e"
        " INNER JOIN (SELECT episode_id, max(ts_event) AS ts_last_step FROM cascades FINAL"
        f" GROUP BY episode_id) AS l ON l.episode_id = e.episode_id WHERE {named})"
        " ORDER BY tier = 'cascade' DESC, notional_usd DESC, episode_id LIMIT 1"
    )


def totals(window: Window) -> str:
    """Ask what was forced in the window in all."""
    return (
        "SELECT sum(l.orders) AS orders, round(sum(l.notional_usd), 2) AS notional_usd,"
        " round(sumIf(l.notional_usd, position_side = 'long'), 2) AS long_usd,"
        " round(sumIf(l.notional_usd, position_side = 'short'), 2) AS short_usd,"
        " round(sumIf(l.notional_usd, position_side = 'unknown'), 2) AS unknown_usd,"
        " maxOrNullIf(l.notional_usd, l.orders = 1) AS largest_order_usd,"
        " countIf(l.notional_usd IS NULL) AS rows_without_usd,"
        " arrayStringConcat(arraySort(groupUniqArray(toString(l.coverage))), ', ') AS coverage,"
        " uniqExact(l.asset) AS assets, uniqExact(l.venue) AS venues"
        f" FROM liquidations AS l FINAL WHERE NOT removed AND {window.holds('ts_event')}"
    )


def by(column: str, window: Window) -> str:
    """Ask what was forced by asset or by venue."""
    return (
        f"SELECT {column}, sum(l.orders) AS orders, round(sum(l.notional_usd), 2) AS notional_usd,"
        " round(sumIf(l.notional_usd, position_side = 'long') / nullIf(sumIf(l.notional_usd,"
        " position_side IN ('long', 'short')), 0), 4) AS long_share,"
        " maxOrNullIf(l.notional_usd, l.orders = 1) AS largest_order_usd"
        f" FROM liquidations AS l FINAL WHERE NOT removed AND {window.holds('ts_event')}"
        f" GROUP BY {column} ORDER BY notional_usd DESC, {column} LIMIT {MOST}"
    )


def episodes(window: Window) -> str:
    """Ask which episodes there were, called or only watched."""
    return (
        "SELECT asset, position_side, tier, ts_onset, ts_detect,"
        " dateDiff('millisecond', ts_onset, ts_detect) / 1000 AS delay_s, ts_end, orders,"
        " round(notional_usd, 2) AS notional_usd, round(estimate_low_usd, 2) AS estimate_low_usd,"
        " round(estimate_high_usd, 2) AS estimate_high_usd, drawdown_bps, waves, coverage"
        f" FROM episodes WHERE {window.holds('ts_onset')}"
        " ORDER BY ts_onset, asset, position_side"
    )


def waves(episode: Episode) -> str:
    """Ask what each wave of an episode forced."""
    return (
        "SELECT wave, began_as, ts_begin, ts_end, orders, round(notional_usd, 2) AS notional_usd,"
        f" drawdown_bps FROM waves WHERE episode_id = {format_str(episode.episode_id)}"
        " ORDER BY wave"
    )


def waterfall(episode: Episode) -> str:
    """Ask at which price the market stood while orders were forced, ten basis points a level."""
    prices = (
        "SELECT 1 AS one, ts_open AS ts, sum(buy_usd + sell_usd) / sum(quantity) AS price"
        f" FROM bars FINAL WHERE asset = {format_str(episode.asset)} AND quantity > 0"
        f" AND ts_open >= {_time(episode.ts_onset)} - toIntervalMinute(15)"
        f" AND ts_open <= {_time(episode.ts_last)} GROUP BY ts_open"
    )
    orders = (
        "SELECT 1 AS one, ts_event AS ts, orders, notional_usd FROM liquidations FINAL"
        f" WHERE NOT removed AND asset = {format_str(episode.asset)}"
        f" AND position_side = {format_str(episode.position_side)}"
        f" AND {episode.window.holds('ts_event')}"
    )
    return (
        "SELECT round(exp(floor(log(p.price) * 1000) / 1000), 6) AS price_from,"
        " round(exp((floor(log(p.price) * 1000) + 1) / 1000), 6) AS price_to,"
        " sum(o.orders) AS orders, round(sum(o.notional_usd), 2) AS notional_usd,"
        " min(o.ts) AS ts_first, max(o.ts) AS ts_last"
        f" FROM ({orders}) AS o ASOF INNER JOIN ({prices}) AS p ON o.one = p.one AND o.ts >= p.ts"
        " GROUP BY price_from, price_to ORDER BY price_from DESC"
    )


def led(window: Window) -> str:
    """Ask which venues led in each cascade, where that can be told."""
    return (
        "SELECT asset, position_side, ts_onset, lead_venues, lead_p_value FROM episodes"
        f" WHERE tier = 'cascade' AND {window.holds('ts_onset')}"
        " AND lead_p_value IS NOT NULL ORDER BY lead_p_value, ts_onset, asset, position_side"
    )


def market(window: Window) -> str:
    """Ask which cascades were market-wide, and which assets led."""
    return (
        "SELECT min(m.ts_onset) AS ts_onset, min(m.ts_detect) AS ts_detect,"
        " maxOrNullIf(m.ts_event, m.phase = 'closed') AS ts_end,"
        " argMax(m.assets, (length(m.assets), m.ts_event)) AS assets,"
        " argMax(m.lead_assets, (length(m.lead_assets), m.ts_event)) AS lead_assets,"
        " max(m.lead_p_value) AS lead_p_value FROM market_cascades AS m FINAL"
        f" WHERE {window.holds('m.ts_onset')} GROUP BY m.episode_id"
        " ORDER BY ts_onset, m.episode_id"
    )


def first_orders(episode: Episode) -> str:
    """Ask when each venue's first order of an episode came, and what it forced."""
    return (
        "SELECT venue, min(ts_event) AS ts_first, dateDiff('millisecond',"
        f" {_time(episode.ts_onset)}, min(ts_event)) / 1000 AS after_onset_s,"
        " sum(l.orders) AS orders, round(sum(l.notional_usd), 2) AS notional_usd"
        f" FROM liquidations AS l FINAL WHERE NOT removed AND asset = {format_str(episode.asset)}"
        f" AND position_side = {format_str(episode.position_side)}"
        f" AND {episode.window.holds('ts_event')} GROUP BY venue ORDER BY ts_first, venue"
    )


def verdicts(window: Window) -> str:
    """Ask what became of the deposits."""
    return (
        "SELECT ts_event, asset, venue, from_owner, round(notional_usd, 2) AS notional_usd,"
        " verdict, reason, p_value, placebos, round(excess_selling_usd, 2) AS excess_selling_usd,"
        " onset_followed, ts_detect"
        f" FROM whale_verdicts WHERE {window.holds('ts_event')}"
        " ORDER BY ts_event, event_id, venue"
    )


def inflows(window: Window) -> str:
    """Ask which deposits came before an onset."""
    return (
        "SELECT asset, position_side, ts_onset, round(inflow_usd, 2) AS inflow_usd,"
        " round(minutes_before, 2) AS minutes_before, from_owner, to_owner, verdict"
        f" FROM inflows_before WHERE inflow_id IS NOT NULL AND {window.holds('ts_onset')}"
        " ORDER BY ts_onset, minutes_before, inflow_id, asset, position_side"
    )


def coverage(window: Window) -> str:
    """Ask how complete each venue's stream was."""
    return (
        "SELECT venue, coverage, sum(l.orders) AS orders, round(sum(l.notional_usd), 2) AS"
        " notional_usd, uniqExact(toUnixTimestamp(ts_event)) AS seconds_with_orders,"
        " countIf(l.notional_usd IS NULL) AS rows_without_usd,"
        " max(ts_event) AS ts_last, quantileExact(0.5)(dateDiff('millisecond', ts_event, ts_recv))"
        " / 1000 AS median_delay_s"
        f" FROM liquidations AS l FINAL WHERE NOT removed AND {window.holds('ts_event')}"
        " GROUP BY venue, coverage ORDER BY venue, coverage"
    )


def hidden(window: Window) -> str:
    """Ask what it was in all, with what throttled venues hid, as `totals_24h` does for a day.

    In whole half minutes: the window's first one counts from its beginning.
    """
    figures = ", ".join(
        f"if(countIf(t.hidden IS NULL) > 0, NULL, round(sum(t.usd + t.hidden * m.{name}), 2))"
        f" AS {column}"
        for name, column in (
            ("middle", "estimate_usd"), ("low", "estimate_low_usd"), ("high", "estimate_high_usd"),
        )
    )  # fmt: skip
    return (
        f"SELECT t.venue AS venue, round(sum(t.usd), 2) AS notional_usd, {figures}"
        " FROM (SELECT asset, venue, coverage, sum(usd) AS usd,"
        " if(countIf(hidden_usd IS NULL) > 0, NULL, sum(hidden_usd)) AS hidden,"
        " toFloat64(ifNull(hidden / nullIf(usd, 0), 0)) AS share FROM shown_and_hidden"
        f" WHERE ts >= toStartOfInterval({_time(window.since)}, INTERVAL 30 SECOND)"
        f" AND ts <= {_time(window.until)} GROUP BY asset, venue, coverage, instrument) AS t"
        " ASOF LEFT JOIN hidden_multipliers AS m"
        " ON t.coverage = m.coverage AND t.share >= m.from_share"
        " GROUP BY t.venue ORDER BY notional_usd DESC, venue"
    )


def gaps(window: Window) -> str:
    """Ask when feeds were silent."""
    return (
        "SELECT producer, ts_from, ts_to, seconds, reason FROM feed_gaps"
        f" WHERE ts_from <= {_time(window.until)}"
        f" AND (ts_to IS NULL OR ts_to >= {_time(window.since)}) ORDER BY ts_from, producer, part"
    )


def known_then(window: Window) -> str:
    """Ask what was known of each cascade when it was called, beside what was known in the end."""
    return (
        "SELECT e.asset AS asset, e.position_side AS position_side, e.ts_detect AS ts_detect,"
        " round(c.notional_usd, 2) AS usd_when_called, round(e.notional_usd, 2) AS usd_in_the_end,"
        " round(c.notional_usd / nullIf(e.notional_usd, 0), 4) AS known_share,"
        " c.drawdown_bps AS drawdown_bps_when_called, e.drawdown_bps AS drawdown_bps_in_the_end,"
        " e.estimate_usd IS NULL AS estimate_unknown, e.saturated AS saturated,"
        " e.silent AS silent, e.corrections AS corrections,"
        " e.threshold_is_default AS threshold_is_default"
        " FROM episodes AS e INNER JOIN (SELECT episode_id, argMin(notional_usd, ts_event) AS"
        " notional_usd, argMin(tuple(drawdown_bps), ts_event).1 AS drawdown_bps"
        " FROM cascades FINAL WHERE phase = 'onset' GROUP BY episode_id) AS c"
        " ON c.episode_id = e.episode_id"
        f" WHERE {window.holds('e.ts_onset')} ORDER BY e.ts_detect, e.asset, e.position_side"
    )


def told(window: Window) -> str:
    """Ask what people were told, in order."""
    return (
        "SELECT ts_detect, severity, kind, asset, title FROM alerts FINAL"
        f" WHERE {window.holds('ts_event')} AND severity != 'info'"
        " ORDER BY ts_detect, alert_id LIMIT 60"
    )


def letters(window: Window) -> str:
    """Ask what could not be read."""
    return (
        "SELECT topic, splitByString(', first seen', reason)[1] AS why, count() AS records"
        f" FROM dead_letters FINAL WHERE {window.holds('ts_recv')}"
        " GROUP BY topic, why ORDER BY records DESC, topic, why LIMIT 12"
    )


def prices(window: Window, asset: str, step_s: int) -> str:
    """Ask for the price of an asset, a point a step."""
    return (
        f"SELECT toUnixTimestamp(toStartOfInterval(ts_open, INTERVAL {step_s} SECOND)) AS second,"
        " round(sum(buy_usd + sell_usd) / sum(quantity), 8) AS price FROM bars FINAL"
        f" WHERE asset = {format_str(asset)} AND quantity > 0 AND {window.holds('ts_open')}"
        " GROUP BY second ORDER BY second"
    )


def forced(window: Window, asset: str, step_s: int) -> str:
    """Ask for the forced USD of an asset by side, a point a step."""
    return (
        f"SELECT toUnixTimestamp(toStartOfInterval(ts_event, INTERVAL {step_s} SECOND)) AS second,"
        " round(sumIf(l.notional_usd, position_side = 'long'), 2) AS long_usd,"
        " round(sumIf(l.notional_usd, position_side = 'short'), 2) AS short_usd,"
        " round(sumIf(l.notional_usd, position_side = 'unknown'), 2) AS unknown_usd"
        " FROM liquidations AS l FINAL"
        f" WHERE NOT removed AND asset = {format_str(asset)} AND {window.holds('ts_event')}"
        " GROUP BY second ORDER BY second"
    )


def by_venue_over_time(episode: Episode) -> str:
    """Ask for the forced USD of an episode by venue and second."""
    return (
        "SELECT venue, toUnixTimestamp(ts_event) AS second, round(sum(l.notional_usd), 2) AS usd"
        f" FROM liquidations AS l FINAL WHERE NOT removed AND asset = {format_str(episode.asset)}"
        f" AND position_side = {format_str(episode.position_side)}"
        f" AND {episode.window.holds('ts_event')} GROUP BY venue, second ORDER BY venue, second"
    )
