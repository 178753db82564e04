"""The field's own words and the number ranges every record shares.

Units: prices in quote currency per base unit, quantities in base units, worth in
USD, times in integer microseconds UTC.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Meta

from schemas import texts

OrderSide = Literal["buy", "sell"]
PositionSide = Literal["long", "short", "unknown"]
PriceKind = Literal["fill", "average_fill", "bankruptcy", "mark", "order_limit"]
Coverage = Literal["full", "latest_per_second", "largest_per_second", "unknown"]
OpenInterestSides = Literal["one", "both", "unknown"]
FeedState = Literal["alive", "silent", "recovered", "connected", "gap"]
#: What people are told of a feed: `doubted`, its words contradict its records; `late`, many of its
#: records come after their second was judged; `misplaced`, they lie on another partition's keys.
FeedNews = Literal["silent", "recovered", "doubted", "late", "misplaced"]
FeedClass = Literal["full", "mixed", "throttled"]
#: Throttled feeds whose scores run otherwise: of a second's latest orders only; of rows of many.
Throttle = Literal["latest", "batched"]
ScoreName = Literal["Z30", "Z30+flow", "Z30-vol", "Z30+flow-vol", "Z60"]
Tier = Literal["watch", "cascade", "stress"]
StressPhase = Literal["onset", "closed"]
MarketScore = Literal["breadth", "majors"]
Phase = Literal["watch", "onset", "wave", "peak", "exhausted", "reignited", "closed", "corrected"]
Verdict = Literal["consistent_with_selling", "no_evidence", "not_testable", "retracted"]
Severity = Literal["info", "warning", "critical"]
OwnerKind = Literal["exchange", "unknown", "defi", "fund", "issuer", "other"]
TransferKind = Literal["transfer", "mint", "burn", "freeze", "unfreeze", "lock", "unlock"]

#: From most to least complete; a sum of feeds is as complete as its least complete one.
COMPLETENESS: tuple[Coverage, ...] = (
    "full",
    "largest_per_second",
    "latest_per_second",
    "unknown",
)
#: Coverages of feeds that show at most one order a second.
THROTTLED: frozenset[str] = frozenset({"latest_per_second", "largest_per_second"})

# Patterns go into the JSON Schema; the rule beside each decides (`schemas.texts`), as matching
# patterns on every message costs more than all the rest of decoding.
Name = Annotated[
    str,
    Meta(max_length=40, extra_json_schema={"pattern": texts.NAME_PATTERN}),
    texts.name_problem,
]
Asset = Annotated[
    str,
    Meta(max_length=20, extra_json_schema={"pattern": texts.ASSET_PATTERN}),
    texts.asset_problem,
]
#: Empty stands for all assets.
AssetOrNone = Annotated[
    str,
    Meta(max_length=20, extra_json_schema={"pattern": texts.ASSET_OR_NONE_PATTERN}),
    texts.asset_or_none_problem,
]
Instrument = Annotated[
    str,
    Meta(max_length=40, extra_json_schema={"pattern": texts.INSTRUMENT_PATTERN}),
    texts.instrument_problem,
]
Identity = Annotated[
    str,
    Meta(min_length=1, max_length=200, extra_json_schema={"pattern": texts.IDENTITY_PATTERN}),
    texts.identity_problem,
]
Text = Annotated[
    str,
    Meta(max_length=2000, extra_json_schema={"pattern": texts.TEXT_PATTERN}),
    texts.text_problem,
]
#: An integer of up to 256 bits.
Digits = Annotated[
    str,
    Meta(max_length=78, extra_json_schema={"pattern": texts.DIGITS_PATTERN}),
    texts.digits_problem,
]
#: 2015-01-01 .. 2100-01-01, microseconds UTC.
MIN_MICROS, MAX_MICROS = 1_420_070_400_000_000, 4_102_444_800_000_000
Micros = Annotated[int, Meta(ge=MIN_MICROS, le=MAX_MICROS)]
Price = Annotated[float, Meta(gt=0, le=1e9)]
Quantity = Annotated[float, Meta(gt=0, le=1e15)]
#: One order or transfer above $10 B is a unit mistake, not an event.
NotionalUsd = Annotated[float, Meta(ge=0, le=1e10)]
#: A sum over many of them, as findings add them up: whatever came in can be told.
SumUsd = Annotated[float, Meta(ge=0, le=1e22)]
#: What is open in an instrument; more is a mistake of units too.
TotalUsd = Annotated[float, Meta(ge=0, le=1e13)]
Count = Annotated[int, Meta(ge=0, le=10**12)]
Finite = Annotated[float, Meta(ge=-1e15, le=1e15)]
Probability = Annotated[float, Meta(ge=0, le=1)]
#: How often something was told anew: 1 is the first telling.
Version = Annotated[int, Meta(ge=1, le=1_000_000)]

SECOND = 1_000_000
#: How often a feed says how far it has come: a second can be judged this soon after its grace.
WORD_EVERY = SECOND // 10
MINUTE = 60 * SECOND
#: A record stamped further ahead of its own receipt than this is wrong, not early.
MAX_AHEAD = 5 * MINUTE

#: Parts of a dollar that sums of dollars are made of.
GRID = 65_536.0
#: Dollars between this and twice it lie on the grid: added and taken off again, it rounds fewer
#: dollars than itself to it, half to even.
ROUNDING_USD = 2.0**52 / GRID
#: Quotes worth about a dollar: price x quantity is then the worth.
_DOLLARS = frozenset(
    {"USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI", "USDE", "USDS", "PYUSD", "USD1"}
)
#: Worths that differ by less are roundings of small ones.
_SMALL_USD = 1.0


@lru_cache(maxsize=16_384)
def check_words(venue: str, asset: str, instrument: str | None) -> bool:
    """Return whether the instrument is quoted in dollars.

    Raises ValueError when a name is not formed as its pattern says, or they disagree.
    """
    if problem := texts.name_problem(venue):
        raise ValueError(f"{problem} - at `$.venue`")
    if problem := texts.asset_problem(asset):
        raise ValueError(f"{problem} - at `$.asset`")
    if instrument is None:
        return False
    if problem := texts.instrument_problem(instrument):
        raise ValueError(f"{problem} - at `$.instrument`")
    if not instrument.startswith(asset + "-"):
        raise ValueError(f"{instrument} is not an instrument of {asset} - at `$.instrument`")
    return instrument.split("-")[1] in _DOLLARS


def check_worth(notional_usd: float, product: float) -> None:
    """Raise ValueError when a worth is over twice or under half of price x quantity, USD."""
    if 0.5 * product <= notional_usd <= 2.0 * product:
        return
    if product < math.inf and abs(notional_usd - product) > _SMALL_USD:
        raise ValueError(
            f"{notional_usd:.12g} contradicts price x quantity = {product:.12g} USD"
            " - at `$.notional_usd`"
        )


def check_version(version: int, removed: bool) -> None:
    """Raise ValueError for a removal that does not supersede an earlier telling."""
    if removed and version == 1:
        raise ValueError("a removal needs a version above the one it removes - at `$.version`")


def check_times(ts_event: int, ts_recv: int) -> None:
    """Raise ValueError when `ts_event` lies more than MAX_AHEAD after `ts_recv`."""
    if ts_event > ts_recv + MAX_AHEAD:
        ahead = (ts_event - ts_recv) / 1e6
        raise ValueError(f"stamped {ahead:.0f} s after its receipt - at `$.ts_event`")


def least_complete(coverages: Iterable[Coverage]) -> Coverage:
    """Return the coverage of a sum of feeds: that of the least complete, unknown of none."""
    return max(coverages, key=COMPLETENESS.index, default="unknown")


def grid_usd(worth: float) -> float:
    """Round `worth` (USD) to the nearest 1/65536 dollar.

    Sums of such floats are exact up to $137 B, so they do not depend on the order
    or grouping of their terms: partial bars merge to the same bits in any shell.
    """
    if 0.0 <= worth < ROUNDING_USD:
        return worth + ROUNDING_USD - ROUNDING_USD
    return round(worth * GRID) / GRID


def not_after_message(millis: int | None) -> int | None:
    """Return the latest believable event time of a message by Kafka's stamp on it, microseconds.

    Not by this moment's clock: every stage, and every reading again, must decide alike.
    None where the message has no stamp.
    """
    return None if millis is None or millis < 0 else millis * 1_000 + MAX_AHEAD
