"""What a run found, read back from ClickHouse: the same answers anyone can query, by the views."""

from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.binding import format_str

#: Above this share of USD without a known side, a long share would be a guess.
UNKNOWN_SIDE_MAX = 0.05
#: Counted as stored; a record told twice is one row.
RAW = ("trades", "liquidations", "open_interest", "whale_transfers", "bars")
CONCLUDED = ("cascades", "market_cascades", "stress", "whale_selling", "alerts", "dead_letters")
#: Episodes that were watched and never called: so many of the largest.
WATCHED = 10
_LAST_24H = "t.ts_event > (SELECT max(ts_event) FROM liquidations) - toIntervalHour(24)"


def iso(moment: datetime | None) -> str | None:
    """Write a naive-UTC or aware moment as ISO-8601 with Z, None as None."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def report(client: Any, epoch: str) -> dict[str, Any]:
    """Return totals, episodes and verdicts of the rows whose `kafka_topic` is `epoch`.

    Sums are of what was seen: a lower bound wherever a feed's coverage is not full. Shares and
    hours are of the last 24 h, as `last_24h` and `totals_24h` are; the other sums are of all.
    """
    ask = _Asker(client, epoch)
    totals = ask.one(
        "SELECT sum(t.orders) AS orders, sum(t.notional_usd) AS usd,"
        " sumIf(t.notional_usd, t.position_side = 'long') AS long_usd,"
        " sumIf(t.notional_usd, t.position_side = 'short') AS short_usd,"
        " sumIf(t.orders, t.position_side = 'unknown') AS orders_unknown_side,"
        " maxOrNullIf(t.notional_usd, t.orders = 1) AS largest,"
        " min(t.ts_event) AS since, max(t.ts_event) AS until,"
        " groupUniqArray(t.coverage) AS coverages"
        " FROM liquidations AS t FINAL WHERE NOT t.removed"
    )
    counted = totals["orders"] > 0
    return {
        "records": {table: ask.count(table) for table in RAW},
        "dead_letters": ask.count("dead_letters"),
        "orders": totals["orders"],
        "orders_of_unknown_side": totals["orders_unknown_side"],
        # To the cent: SQL adds floats in whatever order its blocks come.
        "liquidated_usd": round(totals["usd"] or 0.0, 2),
        "lower_bound": sorted(totals["coverages"]) != ["full"],
        "coverages": sorted(totals["coverages"]),
        "long_share": _long_share(totals["long_usd"], totals["short_usd"], totals["usd"]),
        "largest_order_usd": totals["largest"],
        "covered_since": iso(totals["since"]) if counted else None,
        "covered_until": iso(totals["until"]) if counted else None,
        "last_24h": _last_24h(ask) if counted else None,
        "totals_24h": _totals_24h(ask) if counted else [],
        "share_by_asset": _shares(ask, "asset"),
        "share_by_venue": _shares(ask, "venue"),
        "busiest_hours": _busiest_hours(ask),
        "episodes": _episodes(ask),
        "market_episodes": _market(ask),
        "watches": _watches(ask),
        "watched": _watched(ask),
        "stress": _stress(ask),
        "whale_verdicts": _verdicts(ask),
        "replayed_alerts": ask.one("SELECT countIf(replayed) AS n FROM alerts FINAL")["n"],
        "dead_letter_reasons": _reasons(ask),
    }


class _Asker:
    """Queries over the rows of one run: every table is filtered, also where a view reads it."""

    def __init__(self, client: Any, epoch: str) -> None:
        self._client = client
        only = format_str(f"kafka_topic = {format_str(epoch)}")
        filters = ", ".join(f"'{table}': {only}" for table in (*RAW, *CONCLUDED))
        self._settings = {"additional_table_filters": f"{{{filters}}}"}

    def rows(self, sql: str) -> list[dict[str, Any]]:
        result = self._client.query(sql, settings=self._settings)
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def one(self, sql: str) -> dict[str, Any]:
        return self.rows(sql)[0]

    def count(self, table: str) -> int:
        return int(self.one(f"SELECT count() AS n FROM {table} FINAL")["n"])


def _last_24h(ask: _Asker) -> dict[str, Any]:
    day = ask.one(
        "WITH (SELECT max(ts_event) FROM liquidations) AS last"
        " SELECT sum(t.orders) AS orders, sum(t.notional_usd) AS notional_usd,"
        " sumIf(t.notional_usd, t.position_side = 'long') AS long_usd,"
        " sumIf(t.notional_usd, t.position_side = 'short') AS short_usd,"
        " maxOrNullIf(t.notional_usd, t.orders = 1) AS largest_order_usd,"
        " min(t.ts_event) AS since, last AS until, groupUniqArray(t.coverage) AS coverages"
        " FROM liquidations AS t FINAL"
        " WHERE NOT t.removed"
        " AND t.ts_event > last - toIntervalHour(24)"
    )
    day["coverages"] = sorted(day["coverages"])
    sided = day.pop("long_usd"), day.pop("short_usd")
    day["long_share"] = _long_share(*sided, day["notional_usd"])
    day["notional_usd"] = round(day["notional_usd"] or 0.0, 2)
    day["since"], day["until"] = iso(day["since"]), iso(day["until"])
    return day


def _totals_24h(ask: _Asker) -> list[dict[str, Any]]:
    """What each venue showed in the last 24 h and what that was in all; None where not known.

    Streams of a venue add with errors held for one.
    """
    figures = ("estimate_usd", "estimate_low_usd", "estimate_high_usd")
    summed = (f"if(countIf(t.{f} IS NULL) > 0, NULL, sum(t.{f})) AS {f}" for f in figures)
    rows = ask.rows(
        f"SELECT t.venue AS venue, sum(t.notional_usd) AS notional_usd, {', '.join(summed)}"
        " FROM totals_24h AS t GROUP BY venue ORDER BY notional_usd DESC, venue"
    )
    for row in rows:
        row["notional_usd"] = round(row["notional_usd"] or 0.0, 2)
        row |= {f: None if row[f] is None else round(row[f], 2) for f in figures}
    return rows


def _long_share(
    long_usd: float | None, short_usd: float | None, total: float | None
) -> float | None:
    """Longs' share of the USD whose side is known; None where too much of it is not."""
    known = (long_usd or 0.0) + (short_usd or 0.0)
    if not known or known < (1 - UNKNOWN_SIDE_MAX) * (total or 0.0):
        return None
    return _share(long_usd or 0.0, known)


def _share(part: float, whole: float) -> float:
    # As far as the order in which SQL added does not show.
    return round(part / whole, 9)


def _shares(ask: _Asker, by: str) -> dict[str, Any]:
    rows = ask.rows(
        f"SELECT t.{by} AS name, sum(t.notional_usd) AS usd FROM liquidations AS t FINAL"
        f" WHERE NOT t.removed AND {_LAST_24H}"
        " GROUP BY name ORDER BY usd DESC, name"
    )
    total = ask.one(
        "SELECT sum(t.notional_usd) AS usd FROM liquidations AS t FINAL"
        f" WHERE NOT t.removed AND {_LAST_24H}"
    )["usd"]
    return {row["name"]: _share(row["usd"], total) for row in rows} if total else {}


def _busiest_hours(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT toStartOfHour(t.ts_event) AS hour, sum(t.notional_usd) AS notional_usd,"
        " sum(t.orders) AS orders, uniqExact(t.asset) AS assets FROM liquidations AS t FINAL"
        f" WHERE NOT t.removed AND {_LAST_24H}"
        " GROUP BY hour ORDER BY notional_usd DESC, hour LIMIT 5"
    )
    return [
        row | {"hour": iso(row["hour"]), "notional_usd": round(row["notional_usd"] or 0.0, 2)}
        for row in rows
    ]


def _episodes(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT episode_id, e.asset AS asset, e.position_side AS position_side,"
        " e.ts_onset AS onset, e.ts_detect AS detected, e.ts_peak AS peak, e.ts_end AS end,"
        " e.orders AS orders, e.notional_usd AS notional_usd, e.drawdown_bps AS drawdown_bps,"
        " e.waves AS waves, c.reignitions AS reignitions, c.calls AS calls,"
        " c.is_default AS threshold_is_default, e.coverage AS coverage,"
        " e.estimate_usd AS estimate_usd, e.estimate_low_usd AS estimate_low_usd,"
        " e.estimate_high_usd AS estimate_high_usd FROM episodes AS e INNER JOIN"
        " (SELECT episode_id, countIf(phase = 'reignited') AS reignitions,"
        " arraySort(groupArrayIf(ts_detect, phase IN ('onset', 'reignited'))) AS calls,"
        " max(threshold_is_default) AS is_default FROM cascades FINAL GROUP BY episode_id) AS c"
        " USING episode_id WHERE e.ts_detect IS NOT NULL ORDER BY detected, asset"
    )
    times = ("onset", "detected", "peak", "end")
    for row in rows:
        row["calls"] = [iso(call) for call in row["calls"]]
    return [row | {name: iso(row[name]) for name in times} for row in rows]


def _market(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT episode_id, min(t.ts_onset) AS onset, min(t.ts_detect) AS detected,"
        " maxOrNullIf(t.ts_event, t.phase = 'closed') AS end,"
        " argMax(t.assets, (length(t.assets), t.ts_event)) AS assets"
        " FROM market_cascades AS t FINAL"
        " GROUP BY episode_id ORDER BY onset"
    )
    return [row | {n: iso(row[n]) for n in ("onset", "detected", "end")} for row in rows]


def _watches(ask: _Asker) -> int:
    return int(ask.one("SELECT countIf(ts_detect IS NULL) AS n FROM episodes")["n"])


def _watched(ask: _Asker) -> list[dict[str, Any]]:
    """Return the largest episodes that came near a threshold and were never called."""
    rows = ask.rows(
        "SELECT e.asset AS asset, e.position_side AS position_side, e.ts_onset AS onset,"
        " e.ts_end AS end, e.notional_usd AS notional_usd, e.coverage AS coverage"
        " FROM episodes AS e WHERE e.ts_detected IS NULL"
        f" ORDER BY notional_usd DESC, onset, asset LIMIT {WATCHED}"
    )
    return [row | {name: iso(row[name]) for name in ("onset", "end")} for row in rows]


def _stress(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT any(t.asset) AS asset, min(t.ts_onset) AS onset,"
        " maxOrNullIf(t.ts_event, t.phase = 'closed') AS end,"
        " argMin(t.stress, t.ts_event) AS stress, any(t.threshold) AS threshold,"
        " argMin(t.cvd_usd, t.ts_event) AS cvd_usd, argMin(t.move_bps, t.ts_event) AS move_bps"
        " FROM stress AS t FINAL GROUP BY t.episode_id ORDER BY onset, asset"
    )
    return [row | {name: iso(row[name]) for name in ("onset", "end")} for row in rows]


def _verdicts(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT event_id, asset, venue, verdict, reason, notional_usd, excess_selling_usd,"
        " p_value, placebos, shared, onset_followed, onset_placebo_rate, ts_event,"
        " credit, posterior, address_e FROM whale_verdicts ORDER BY ts_event, event_id, venue"
    )
    return [row | {"ts_event": iso(row["ts_event"])} for row in rows]


def _reasons(ask: _Asker) -> list[dict[str, Any]]:
    return ask.rows(
        "SELECT topic, t.field AS field, splitByString(', first seen', t.reason)[1] AS reason,"
        " count() AS records, min(t.offset) AS first FROM dead_letters AS t FINAL"
        " GROUP BY topic, field, reason ORDER BY records DESC, topic, field, reason LIMIT 10"
    )
