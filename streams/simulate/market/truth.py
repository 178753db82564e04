"""The truth of a run, for scoring alone: one JSON object a line in truth.ndjson.

    {"kind": "cascade" | "grey" | "exo", "asset", "position_side", "t0", "t50", "t95", "end",
     "usd", "endogenous_usd", "endogenous_share", "drop"}       bursts, detection.md 2.1
    {"kind": "whale", "asset", "venue", "event_id", "ts_event", "usd", "sells", "sold_usd",
     "sell_start", "sell_end"}                                  sell times null for a hoarder
    {"kind": "giant", "asset", "position_side", "venue", "t0", "usd"}
    {"kind": "outage", "venue", "from", "to"}
    {"kind": "total", "asset", "position_side", "usd", "adl_usd", "fund_loss_usd"}

Times are microseconds UTC, `drop` a log price, USD true sums over all venues.
"""

from typing import Any

import numpy as np

from schemas.onchain import WhaleTransfer
from schemas.words import SECOND
from streams.simulate.market import labels
from streams.simulate.market.emit import SIDES, START_US, Outage
from streams.simulate.market.feeds import Orders
from streams.simulate.market.params import VENUES, Market
from streams.simulate.market.state import Tape

Line = dict[str, Any]


def lines(
    market: Market,
    tape: Tape,
    true_orders: dict[tuple[int, int], Orders],
    tellings: list[WhaleTransfer],
    dark: list[Outage],
    start_us: int = START_US,
) -> list[Line]:
    """Return every line of truth.ndjson."""
    return [
        *(_burst(market, e, start_us) for e in labels.truth(market, tape)),
        *_whales(tape, tellings, start_us),
        *_giants(market, true_orders, start_us),
        *(
            {"kind": "outage", "venue": VENUES[o.venue], "from": start_us + o.start * SECOND,
             "to": start_us + o.stop * SECOND}
            for o in dark
        ),
        *_totals(market, tape),
    ]  # fmt: skip


def _burst(market: Market, e: labels.Episode, start_us: int) -> Line:
    return {
        "kind": e.kind,
        "asset": market.assets[e.asset].asset,
        "position_side": SIDES[e.side],
        "t0": start_us + e.t0 * SECOND,
        "t50": start_us + e.t50 * SECOND,
        "t95": start_us + e.t95 * SECOND,
        "end": start_us + e.end * SECOND,
        "usd": e.usd,
        "endogenous_usd": e.endo_usd,
        "endogenous_share": e.endo_usd / max(e.usd, 1.0),
        "drop": e.drop,
    }


def _whales(tape: Tape, tellings: list[WhaleTransfer], start_us: int) -> list[Line]:
    first = {t.event_id.rsplit(":", 1)[1]: t for t in tellings if t.version == 1}
    lines = []
    for number, row in enumerate(tape.whales.tolist()):
        t, sells = first[str(number)], row[4] > 0
        sale = start_us + int(row[6] * SECOND)
        lines.append(
            {
                "kind": "whale", "asset": t.asset, "venue": t.to_owner, "event_id": t.event_id,
                "ts_event": t.ts_event, "usd": row[2], "sells": sells, "sold_usd": row[5],
                "sell_start": sale if sells else None,
                "sell_end": sale + int(row[7] * SECOND) if sells else None,
            }
        )  # fmt: skip
    return lines


def _giants(
    market: Market, true_orders: dict[tuple[int, int], Orders], start_us: int
) -> list[Line]:
    return [
        {"kind": "giant", "asset": market.assets[asset].asset, "position_side": SIDES[side],
         "venue": VENUES[int(o.venue[i])], "t0": start_us + int(o.at[i]) * SECOND,
         "usd": float(o.usd[i])}
        for (asset, side), o in true_orders.items()
        for i in np.flatnonzero(o.giant)
    ]  # fmt: skip


def _totals(market: Market, tape: Tape) -> list[Line]:
    return [
        {"kind": "total", "asset": row.asset, "position_side": SIDES[side],
         "usd": float(tape.forced[asset, side].sum(dtype=np.float64)),
         "adl_usd": float(tape.adl[asset, side]),
         "fund_loss_usd": float(tape.fund_loss[asset]) if side == 0 else 0.0}
        for asset, row in enumerate(market.assets)
        for side in (0, 1)
    ]  # fmt: skip
