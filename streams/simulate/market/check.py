"""A simulated day beside what the public record says of such days (detection.md 1 and 3)."""

from typing import NamedTuple

import numpy as np

from streams.simulate.market.params import Market, Preset
from streams.simulate.market.state import DAY, Tape


class Band(NamedTuple):
    """One figure of the public record: the least and most that counts as reproducing it."""

    low: float
    high: float
    public: str


#: detection.md section 1: 18 and 21 Nov 2025 and the seed article; 10 Oct 2025.
PUBLIC: dict[Preset, dict[str, Band]] = {
    "normal": {},
    "nov": {
        "total_usd": Band(0.9e9, 1.9e9, "$0.80-1.91B"),
        "long_share": Band(0.83, 0.93, "83-93 %"),
        "majors_share": Band(0.70, 0.75, "70-75 %"),
        "usd_an_order": Band(3.0e3, 6.5e3, "$4.5k a trader"),
    },
    "oct10": {
        "total_usd": Band(17e9, 21e9, "> $19B"),
        "long_share": Band(0.78, 0.90, "83.9 %"),
        "best_40_min_share": Band(0.25, 0.55, "$6.93B of $19B; of $9.89B covered: 70 %"),
        "best_60_min_share": Band(0.30, 0.60, "about 35 % in 40-60 min"),
        "minute_of_hour": Band(0.10, 0.40, "$3.2B of $6.93B seen by one source; up to a third"),
    },
}


def measured(market: Market, tape: Tape, orders: int) -> dict[str, float]:
    """Return a tape's totals in the terms of the public record, given its number of orders.

    USD and shares; totals a day. The largest single order of the record ($36.8M) is not
    reproduced: sizes are scaled to what a second sells. Planted giants stand for it.
    """
    by_asset = tape.forced.sum(axis=(1, 2), dtype=np.float64)
    total = float(by_asset.sum())
    majors = [a.asset in ("BTC", "ETH") for a in market.assets]
    minutes = tape.forced.sum(axis=(0, 1), dtype=np.float64)
    minutes = minutes[: len(minutes) // 60 * 60].reshape(-1, 60).sum(axis=1)
    grown = np.concatenate([[0.0], np.cumsum(minutes)])
    hour = grown[60:] - grown[:-60]
    best = int(hour.argmax())
    return {
        "total_usd": total / (tape.forced.shape[2] / DAY),
        "usd_an_order": total / max(orders, 1),
        "long_share": float(tape.forced[:, 0].sum(dtype=np.float64)) / total,
        "majors_share": float(by_asset[majors].sum()) / total,
        "best_40_min_share": float((grown[40:] - grown[:-40]).max()) / total,
        "best_60_min_share": float(hour[best]) / total,
        "minute_of_hour": float(minutes[best : best + 60].max() / hour[best]),
        "btc_fall": float(1 - np.exp(tape.price[0].min())),
        "adl_usd": float(tape.adl.sum()),
        "fund_loss_usd": float(tape.fund_loss.sum()),
    }
