"""The verdict on one attack: what is in the tables against what was sent and what is true."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from chaos.outcome import Outcome
from chaos.recording import FINDINGS, RAW, finding_rows, rows
from chaos.rig import Rig, audited
from schemas import codec
from schemas.status import FeedStatus

#: Rows of one answer, about: `undertow sql` gives no more than a million.
ASKED_AT_ONCE = 400_000
#: What the README promises of SIGTERM.
ENDS_WITHIN_S = 20.0


def judge(
    rig: Rig,
    outcome: Outcome,
    extra: Mapping[str, Counter[str]] | None = None,
    refused: Mapping[str, Counter[Any]] | None = None,
    bars_by_offset: bool = True,
    earned: str = "",
) -> None:
    """Fill in what was lost, doubled or different; the stages have stopped.

    `extra` are ids that were sent beside the recording, by table; `refused` what stands in dead
    letters instead of the table, by id, of bars by partition and offset. Where the topic of bars
    was made anew their offsets say nothing, but the trades in them do. `earned` begins the titles
    of alerts that the attack itself gives reason for.
    """
    letters: Mapping[str, Counter[Any]] = refused or {}
    outcome.records += rig.recording.records
    outcome.lost, outcome.doubled = 0, 0
    ids: set[str] = set()
    for table in RAW:
        _raw_rows(
            rig,
            outcome,
            table,
            (extra or {}).get(table, Counter()),
            letters.get(table, Counter()),
        )
    _bars(rig, outcome, letters.get("bars", Counter()), bars_by_offset)
    if rig.of("detect"):
        stored = {table: Counter(finding_rows(table, **rig.sink_environ)) for table in FINDINGS}
        ours = {row for row in stored["alerts"] if earned and _title(row).startswith(earned)}
        for row in ours - set(rig.recording.findings["alerts"]):
            outcome.notes.append(f"earned: {_title(row)}")
            del stored["alerts"][row]
        outcome.findings_differ = sum(_findings(rig, outcome, *pair) for pair in stored.items())
        ids = {json.loads(row)["alert_id"] for row in ours}
    if rig.of("notify"):
        _deliveries(rig, outcome, ids)
    if bars_by_offset:
        outcome.audit = audited(rig.sink_environ, rig.folder / "audit.log")
    condemn(outcome)


def measure(rig: Rig, outcome: Outcome) -> None:
    """Note resumption, memory, ends that nobody asked for, and tracebacks."""
    outcome.resumed(rig.resumed)
    sizes = [size for stage in rig.stages for _, size in stage.rss_mb]
    outcome.rss_mb_max = round(max(sizes), 1) if sizes else None
    ends = [took for stage in rig.stages for took in stage.ended_s]
    outcome.ended_s_max = round(max(ends), 1) if ends else None
    outcome.ended_unasked = sum(len(stage.unasked) for stage in rig.stages)
    for stage in rig.stages:
        if stage.ended_s and max(stage.ended_s) > ENDS_WITHIN_S:
            outcome.blame(f"{stage.name} took {max(stage.ended_s):.0f} s to end on SIGTERM")
        if stage.unasked:
            outcome.notes.append(f"{stage.name} ended by itself: exit codes {stage.unasked}")
        if any(code < 0 for code in stage.unasked):
            outcome.blame(f"{stage.name} ended without a word: exit codes {stage.unasked}")
        for line, count in Counter(stage.tracebacks()).most_common(3):
            outcome.notes.append(f"{stage.name} traceback x{count}: {line}")


def condemn(outcome: Outcome) -> None:
    """Turn every measure that should be zero and is not into a reason for failure."""
    for name in ("lost", "doubled", "findings_differ", "deliveries_differ"):
        if value := getattr(outcome, name):
            outcome.blame(f"{name} = {value}")
    if outcome.audit.startswith(("exit", "no answer")):
        outcome.blame(f"audit {outcome.audit}")


def _raw_rows(
    rig: Rig, outcome: Outcome, table: str, extra: Counter[str], refused: Counter[str]
) -> None:
    parts = 1 + len(rig.recording.ids[table]) // ASKED_AT_ONCE
    stored = Counter(refused)  # what is both is one too many
    for part in range(parts):
        asked = f"SELECT event_id FROM {table} WHERE cityHash64(event_id) % {parts} = {part}"
        stored.update(json.loads(row)["event_id"] for row in rows(asked, **rig.sink_environ))
    sent = Counter(rig.recording.ids[table]) + extra
    missing = sent.keys() - stored.keys()
    # Merges may have made one row of what was sent twice, never more rows than were sent.
    again = (stored - sent).total()
    if missing or again:
        some = [*sorted(missing)[:2], *sorted(stored - sent)[:2]]
        outcome.notes.append(f"{table}: {len(missing)} missing, {again} too many, as {some}")
    outcome.lost += len(missing)
    outcome.doubled += again


def _bars(rig: Rig, outcome: Outcome, refused: Counter[tuple[int, int]], by_offset: bool) -> None:
    """Bars are partial sums that nothing collapses: by offset, and by the trades in them."""
    if not rig.of("rollup"):
        return
    deliveries = [
        ((place[1], offset), record.trades)
        for place, offset, value in rig.watcher.read_all("bars")
        for record in codec.decode_many("bars", value)[0]
        if not isinstance(record, FeedStatus)
    ]
    asked = rows(
        "SELECT kafka_partition AS p, kafka_offset AS o, count() AS n, sum(trades) AS counted"
        " FROM bars GROUP BY p, o",
        **rig.sink_environ,
    )
    bar_rows = [json.loads(row) for row in asked]
    stored = Counter({(int(row["p"]), int(row["o"])): int(row["n"]) for row in bar_rows}) + refused
    sent = Counter(at for at, _ in deliveries)
    missing = (sent - stored).total() if by_offset else 0
    again = (stored - sent).total() if by_offset else 0
    trades = sum(int(row["counted"]) for row in bar_rows)
    trades += sum(counted for at, counted in deliveries if at in refused)
    if missing or again or trades != rig.recording.trades_in_bars:
        outcome.notes.append(
            f"bars: {missing} missing, {again} told twice, {trades} trades"
            f" instead of {rig.recording.trades_in_bars}"
        )
    outcome.lost += missing + max(0, rig.recording.trades_in_bars - trades)
    outcome.doubled += again + max(0, trades - rig.recording.trades_in_bars)


def _title(alert: str) -> str:
    return str(json.loads(alert)["title"])


def _findings(rig: Rig, outcome: Outcome, table: str, here: Counter[str]) -> int:
    truth = Counter(rig.recording.findings[table])
    missing, extra = truth - here, here - truth
    for what, some in (("missing", missing), ("not in the undisturbed run", extra)):
        for row in list(some)[:3]:
            outcome.notes.append(f"{table}, {what}: {row[:400]}")
    # One that differs in a column is one difference, not two.
    return max(missing.total(), extra.total())


def _deliveries(rig: Rig, outcome: Outcome, earned: set[str]) -> None:
    wanted = rig.recording.alert_ids
    outcome.deliveries_differ, outcome.sent_again = rig.receiver.forged, 0
    for path, taken in rig.receiver.taken.items():
        differ = (wanted ^ set(taken)) - (earned - wanted)
        outcome.deliveries_differ += len(differ)
        outcome.sent_again += sum(rig.receiver.came[path].values()) - len(rig.receiver.came[path])
        for some in list(differ)[:3]:
            outcome.notes.append(f"{path}: alert {some} {'missing' if some in wanted else 'extra'}")
    if rig.receiver.strays:
        outcome.blame(f"stray requests: {rig.receiver.strays[:3]}")
