"""Who is told what: rules in TOML, and what holds without any.

    board = "https://board.example/board/?episode={episode}&asset={asset}&at={time}"
    picture = "https://board.example/board/picture/{episode}.png?pass={pass}"   # Slack, PagerDuty
    pictures = true                     # uploaded to Discord and Telegram, in mail

    [[rule]]
    to = ["slack", "relay.example"]     # forms, hosts or names of endpoints; all where not given
    kinds = ["cascade.", "market."]     # how a kind may begin
    assets = ["BTC", "ETH"]
    sides = ["long"]
    venues = ["binance"]                # one of them shows it
    least_severity = "critical"
    least_usd = 1e6                     # forced so far, or a minute at that pace
    least_confidence = "medium"         # low, medium or high: fitted threshold, every order seen
    fitted_thresholds_only = true
    replayed = true                     # also what was concluded long after it happened
    quiet = "22:00-07:00 UTC"           # in these hours what is not critical waits for their end
    escalate_to = ["pagerduty"]         # told of what is critical and still open, and taken by
    escalate_after_min = 10             # nobody (`undertow alerts ack`), after this
    digest = "08:00 UTC"                # all of it once a day, but what another rule tells at once

An endpoint is told what any of the rules that name it lets pass; one that no rule names is told
what DEFAULT does. Every key but `to` narrows a rule.
"""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from schemas.findings import Alert
from schemas.words import Asset, Name, PositionSide, Severity

Confidence = Literal["low", "medium", "high"]
_RANK: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
_SURE: dict[Confidence, int] = {"low": 0, "medium": 1, "high": 2}
_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d) UTC")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d) UTC")
_PLACE = re.compile(r"\{(\w*)\}")
_PLACES = ("episode", "asset", "time")
#: Kinds of alerts of which one opens an event, and of which each needs an open one.
BEGINNINGS = (
    "cascade.watch", "cascade.onset", "cascade.reignited", "market.onset", "stress.onset",
    "feed.silent", "feed.late", "feed.doubted", "feed.misplaced",
    "whale.consistent_with_selling", "whale.retracted",
)  # fmt: skip
ENDINGS = (
    "cascade.exhausted", "cascade.closed", "market.closed", "stress.closed", "feed.recovered",
)  # fmt: skip
_MINUTE_US = 60_000_000
_DAY_MIN = 1_440


class RulesError(ValueError):
    """Rules that cannot be used; the message names the file and the key."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may pass to the endpoints in `to`; an empty list is no condition."""

    to: list[str] = []
    kinds: list[str] = []
    assets: list[Asset] = []
    sides: list[PositionSide] = []
    venues: list[Name] = []
    least_severity: Severity = "info"
    least_usd: Annotated[float, Meta(ge=0)] = 0.0
    least_confidence: Confidence = "low"
    fitted_thresholds_only: bool = False
    replayed: bool = False
    quiet: str = ""
    escalate_to: list[str] = []
    escalate_after_min: Annotated[float, Meta(ge=0, le=1_440)] = 10.0
    digest: str = ""

    def __post_init__(self) -> None:
        quiet = _QUIET.fullmatch(self.quiet)
        if self.quiet and not quiet:
            raise ValueError('quiet is not like "22:00-07:00 UTC"')
        if quiet and quiet.groups()[:2] == quiet.groups()[2:]:
            raise ValueError(f"quiet {self.quiet} begins when it ends: it is no time at all")
        if self.digest and not _TIME.fullmatch(self.digest):
            raise ValueError('digest is not like "08:00 UTC"')

    def passes(self, alert: Alert) -> bool:
        """Say whether `alert` may pass. A size asks only of what begins: an end has to follow."""
        begins = alert.kind.endswith((".onset", ".reignited", ".watch"))
        return (
            (not self.kinds or alert.kind.startswith(tuple(self.kinds)))
            and (not self.assets or alert.asset in self.assets)
            and (not self.sides or alert.position_side in (None, *self.sides))
            and (not self.venues or not alert.venues or bool({*alert.venues} & {*self.venues}))
            and (not begins or _RANK[alert.severity] >= _RANK[self.least_severity])
            and (not begins or _size_usd(alert) >= self.least_usd)
            and (not begins or _SURE[confidence(alert)] >= _SURE[self.least_confidence])
            and not (self.fitted_thresholds_only and alert.threshold_is_default)
            and (self.replayed or not alert.replayed)
        )

    @property
    def digest_min(self) -> int | None:
        """Return the minute of the UTC day at which all is told at once; None: as it comes."""
        time = _TIME.fullmatch(self.digest)
        return int(time[1]) * 60 + int(time[2]) if time else None

    def wait_us(self, severity: Severity, ts_event: int) -> int:
        """Return how long what is told at `ts_event` waits for the end of the quiet hours."""
        hours = _QUIET.fullmatch(self.quiet)
        if severity == "critical" or not hours:
            return 0
        begin, end = (int(hours[i]) * 60 + int(hours[i + 1]) for i in (1, 3))
        into_us = ts_event % (_DAY_MIN * _MINUTE_US)
        since_begin = (into_us - begin * _MINUTE_US) % (_DAY_MIN * _MINUTE_US)
        length_us = (end - begin) % _DAY_MIN * _MINUTE_US
        return length_us - since_begin if since_begin < length_us else 0


def confidence(alert: Alert) -> Confidence:
    """Return how sure an alert is: every forced order was seen, its threshold was fitted, or both.

    What has no threshold, a feed or a deposit, is as sure as what was seen.
    """
    sure = (alert.coverage in (None, "full")) + (not alert.threshold_is_default)
    return ("low", "medium", "high")[sure]


def _size_usd(alert: Alert) -> float:
    return max(alert.notional_usd or 0.0, alert.pace_usd_per_min or 0.0)


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules; `board` and `picture` are links that may hold {episode}, {asset} and {time}.

    `picture` also {pass}. `pictures`: of what begins and of what is over, one is drawn and sent
    after the words, where a channel takes it.
    """

    board: str = ""
    picture: str = ""
    pictures: bool = False
    rule: list[Rule] = []

    def __post_init__(self) -> None:
        for name, places in (("board", _PLACES), ("picture", (*_PLACES, "pass"))):
            for place in _PLACE.findall(getattr(self, name)):
                if place not in places:
                    known = ", ".join(f"{{{each}}}" for each in places)
                    raise ValueError(f"{name}: {{{place}}} is nothing; there are {known}")

    def of(self, names: Iterable[str]) -> list[Rule]:
        """Return the rules for an endpoint that is called all of `names`."""
        called = set(names)
        named = [rule for rule in self.rule if not rule.to or called & set(rule.to)]
        return named or [DEFAULT]


#: A watch is no cascade yet, stress no liquidation: nobody is woken for either.
DEFAULT = Rule(kinds=["cascade.onset", "cascade.reignited", "cascade.exhausted", "cascade.closed",
                      "market.", "whale.", "feed."])  # fmt: skip


def load_rules(path: str) -> Rules:
    """Return the rules of the TOML file at `path`, none where it is empty; raises RulesError."""
    if not path:
        return Rules()
    try:
        content: dict[str, Any] = tomllib.loads(Path(path).read_text())
        return msgspec.convert(content, Rules)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise RulesError(f"{path}: {problem}") from None
    except msgspec.ValidationError as problem:
        raise RulesError(f"{path}: {problem}") from None
