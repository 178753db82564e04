"""What a run found, read back from ClickHouse: the same answers anyone can query."""

from datetime import UTC, datetime
from typing import Any

#: Above this share of USD without a known side, a long share would be a guess.
UNKNOWN_SIDE_MAX = 0.05
#: Counted as stored; a record told twice is one row.
RAW = ("trades", "liquidations", "whale_transfers", "bars")


def iso(moment: datetime | None) -> str | None:
    """Write a naive-UTC or aware moment as ISO-8601 with Z, None as None."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def report(client: Any, epoch: str) -> dict[str, Any]:
    """Return totals, episodes and verdicts of the rows whose `kafka_topic` is `epoch`.

    Sums are of what was seen: a lower bound wherever a feed's coverage is not full.
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
        " FROM liquidations AS t FINAL WHERE kafka_topic = {epoch:String} AND NOT t.removed"
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
        "share_by_asset": _shares(ask, "asset", totals["usd"]),
        "share_by_venue": _shares(ask, "venue", totals["usd"]),
        "busiest_hours": _busiest_hours(ask),
        "episodes": _episodes(ask),
        "market_episodes": _market(ask),
        "watches": _watches(ask),
        "whale_verdicts": _verdicts(ask),
        "dead_letter_reasons": _reasons(ask),
    }


class _Asker:
    """Queries of one run."""

    def __init__(self, client: Any, epoch: str) -> None:
        self._client = client
        self._epoch = {"epoch": epoch}

    def rows(self, sql: str) -> list[dict[str, Any]]:
        result = self._client.query(sql, parameters=self._epoch)
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def one(self, sql: str) -> dict[str, Any]:
        return self.rows(sql)[0]

    def count(self, table: str) -> int:
        where = "WHERE kafka_topic = {epoch:String}"
        return int(self.one(f"SELECT count() AS n FROM {table} FINAL {where}")["n"])


def _last_24h(ask: _Asker) -> dict[str, Any]:
    found = ask.one(
        "WITH (SELECT max(ts_event) FROM liquidations WHERE kafka_topic = {epoch:String}) AS last"
        " SELECT sum(t.orders) AS orders, sum(t.notional_usd) AS notional_usd,"
        " sumIf(t.notional_usd, t.position_side = 'long') AS long_usd,"
        " sumIf(t.notional_usd, t.position_side = 'short') AS short_usd,"
        " maxOrNullIf(t.notional_usd, t.orders = 1) AS largest_order_usd,"
        " min(t.ts_event) AS since, last AS until"
        " FROM liquidations AS t FINAL"
        " WHERE kafka_topic = {epoch:String} AND NOT t.removed"
        " AND t.ts_event > last - toIntervalHour(24)"
    )
    sided = found.pop("long_usd"), found.pop("short_usd")
    found["long_share"] = _long_share(*sided, found["notional_usd"])
    found["notional_usd"] = round(found["notional_usd"] or 0.0, 2)
    found["since"], found["until"] = iso(found["since"]), iso(found["until"])
    return found


def _totals_24h(ask: _Asker) -> list[dict[str, Any]]:
    """What each venue showed in the last 24 h and what that was in all; None where not known.

    As the view totals_24h, of this run alone. Streams of a venue add with errors held for one.
    """
    rows = ask.rows(
        "WITH (SELECT max(ts_event) FROM liquidations WHERE kafka_topic = {epoch:String}) AS last"
        " SELECT s.venue AS venue, sum(s.seen) AS notional_usd,"
        " countIf(s.hidden IS NULL) > 0 AS unknown,"
        " sum(s.seen + s.hidden * m.middle) AS estimate_usd,"
        " sum(s.seen + s.hidden * m.low) AS estimate_low_usd,"
        " sum(s.seen + s.hidden * m.high) AS estimate_high_usd"
        " FROM (SELECT asset, venue, coverage, sum(usd) AS seen,"
        " if(countIf(hidden_usd IS NULL) > 0, NULL, sum(hidden_usd)) AS hidden,"
        " toFloat64(ifNull(hidden / nullIf(seen, 0), 0)) AS share FROM shown_and_hidden"
        " WHERE kafka_topic = {epoch:String} AND ts > last - toIntervalHour(24)"
        " GROUP BY asset, venue, coverage, instrument) AS s"
        " ASOF LEFT JOIN hidden_multipliers AS m"
        " ON s.coverage = m.coverage AND s.share >= m.from_share"
        " GROUP BY venue ORDER BY notional_usd DESC, venue"
    )
    figures = ("estimate_usd", "estimate_low_usd", "estimate_high_usd")
    for row in rows:
        hidden = row.pop("unknown")
        row["notional_usd"] = round(row["notional_usd"] or 0.0, 2)
        row |= {f: None if hidden or row[f] is None else round(row[f], 2) for f in figures}
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


def _shares(ask: _Asker, by: str, total: float | None) -> dict[str, Any]:
    rows = ask.rows(
        f"SELECT t.{by} AS name, sum(t.notional_usd) AS usd FROM liquidations AS t FINAL"
        " WHERE kafka_topic = {epoch:String} AND NOT t.removed"
        " GROUP BY name ORDER BY usd DESC, name"
    )
    return {row["name"]: _share(row["usd"], total) for row in rows} if total else {}


def _busiest_hours(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT toStartOfHour(t.ts_event) AS hour, sum(t.notional_usd) AS notional_usd,"
        " sum(t.orders) AS orders, uniqExact(t.asset) AS assets FROM liquidations AS t FINAL"
        " WHERE kafka_topic = {epoch:String} AND NOT t.removed"
        " GROUP BY hour ORDER BY notional_usd DESC, hour LIMIT 5"
    )
    return [
        row | {"hour": iso(row["hour"]), "notional_usd": round(row["notional_usd"] or 0.0, 2)}
        for row in rows
    ]


def _episodes(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT episode_id, any(t.asset) AS asset,"
        " argMax(t.position_side, (t.position_side != 'unknown', t.ts_event)) AS position_side,"
        " min(t.ts_onset) AS onset, minOrNullIf(t.ts_detect, t.phase = 'onset') AS detected,"
        " argMax(t.ts_peak, (t.ts_event, t.ts_detect, t.kafka_offset)) AS peak,"
        " maxOrNullIf(t.ts_event, t.phase = 'closed') AS end,"
        " max(t.orders) AS orders, max(t.notional_usd) AS notional_usd,"
        " max(t.drawdown_bps) AS drawdown_bps, max(t.wave) AS waves,"
        " countIf(t.phase = 'reignited') AS reignitions,"
        " max(t.threshold_is_default) AS threshold_is_default,"
        " argMax(t.coverage, (t.ts_event, t.ts_detect, t.kafka_offset)) AS coverage,"
        " argMax(tuple(t.estimate_usd), (t.ts_event, t.notional_usd)).1 AS estimate_usd,"
        " argMax(tuple(t.estimate_low_usd), (t.ts_event, t.notional_usd)).1 AS estimate_low_usd,"
        " argMax(tuple(t.estimate_high_usd), (t.ts_event, t.notional_usd)).1 AS estimate_high_usd"
        " FROM cascades AS t FINAL WHERE kafka_topic = {epoch:String}"
        " GROUP BY episode_id HAVING detected IS NOT NULL ORDER BY detected, asset"
    )
    times = ("onset", "detected", "peak", "end")
    return [row | {name: iso(row[name]) for name in times} for row in rows]


def _market(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT episode_id, min(t.ts_onset) AS onset, min(t.ts_detect) AS detected,"
        " maxOrNullIf(t.ts_event, t.phase = 'closed') AS end, any(t.assets) AS assets"
        " FROM market_cascades AS t FINAL WHERE kafka_topic = {epoch:String}"
        " GROUP BY episode_id ORDER BY onset"
    )
    return [row | {n: iso(row[n]) for n in ("onset", "detected", "end")} for row in rows]


def _watches(ask: _Asker) -> int:
    return int(
        ask.one(
            "SELECT count() AS n FROM (SELECT episode_id FROM cascades AS t FINAL"
            " WHERE kafka_topic = {epoch:String}"
            " GROUP BY episode_id HAVING countIf(t.phase = 'onset') = 0)"
        )["n"]
    )


def _verdicts(ask: _Asker) -> list[dict[str, Any]]:
    rows = ask.rows(
        "SELECT event_id, asset, venue, verdict, reason, notional_usd, excess_selling_usd,"
        " p_value, placebos, shared, onset_followed, onset_placebo_rate, ts_event,"
        " credit, posterior, address_e"
        " FROM (SELECT * FROM whale_selling FINAL WHERE kafka_topic = {epoch:String}"
        # As the view whale_verdicts: what was told of the latest version.
        " ORDER BY version DESC, verdict = 'retracted', ts_detect DESC, finding_id"
        " LIMIT 1 BY event_id, venue) ORDER BY ts_event, event_id, venue"
    )
    return [row | {"ts_event": iso(row["ts_event"])} for row in rows]


def _reasons(ask: _Asker) -> list[dict[str, Any]]:
    return ask.rows(
        "SELECT topic, splitByString(', first seen', t.reason)[1] AS reason,"
        " count() AS records, min(t.offset) AS first FROM dead_letters AS t FINAL"
        " WHERE kafka_topic = {epoch:String}"
        " GROUP BY topic, reason ORDER BY records DESC, topic, reason LIMIT 10"
    )
