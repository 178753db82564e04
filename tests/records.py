"""Records of every type, drawn from their annotations: legal ones, and whatever else may come."""

import math
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect
from msgspec.structs import asdict

from schemas import texts
from schemas.rules import Rule, ruled_fields
from schemas.topics import TOPICS
from schemas.words import MAX_MICROS, MIN_MICROS

#: Every type of record, with a topic that carries it.
TOPIC_OF = {kind: name for name, topic in TOPICS.items() for kind in topic.payload}
FAR = 10**30
WILD_TEXTS = st.one_of(
    st.text(),
    st.text(min_size=190, max_size=210),
    st.sampled_from(["", " ", "x" * 41, "y" * 201, "z" * 2_001, "BTC\n", "\x1b[2J", "\ud800", "e\u0301", "\u202e", "币安人生"]),
)  # fmt: skip
WILD_NUMBERS = st.one_of(
    st.floats(),
    st.integers(-FAR, FAR),
    st.sampled_from([0, -1, -0.0, math.nan, math.inf, -math.inf, 1e16, 1e300, 5e-324, True, 2**63, 2**64]),
)  # fmt: skip
_TEXTS: dict[Rule, st.SearchStrategy[str]] = {
    texts.name_problem: st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,39}", fullmatch=True),
    texts.asset_problem: st.sampled_from(["BTC", "ETH", "1000PEPE", "币安人生", "A" * 20]),
    texts.asset_or_none_problem: st.sampled_from(["", "BTC", "币安人生"]),
    texts.instrument_problem: st.sampled_from(["BTC-USDT-PERP", "币安人生-USDT-SPOT", "BTC-EUR-251226"]),
    texts.identity_problem: st.sampled_from(["1", "币安人生USDT", "x" * 200, "Binance 14", "<b>'\"{}"]),
    texts.text_problem: st.sampled_from(["", "said so", "🐋\ufe0f", "x" * 2000, "币" * 2000]),
    texts.digits_problem: st.sampled_from(["0", str(2**256 - 1)]),
}  # fmt: skip


def legal(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Return records of `kind` whose fields are legal one by one; those that contradict themselves are dropped."""
    return _records(kind)


def wild(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Return records of `kind` of which some fields hold anything that Python lets them hold."""
    fields = {field.name: field.type for field in inspect.type_info(kind).fields}
    names = st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=4, unique=True)
    changes = names.flatmap(lambda some: st.fixed_dictionaries({n: _wild(fields[n]) for n in some}))
    made = st.builds(
        lambda record, given: _made(kind, asdict(record) | given), legal(kind), changes
    )
    return made.filter(lambda record: record is not None)


#: Rules that a record's `check` applies, so that they are not among `ruled_fields`.
_BY_CHECK: dict[str, Rule] = {
    "venue": texts.name_problem,
    "provider": texts.name_problem,
    "asset": texts.asset_problem,
    "instrument": texts.instrument_problem,
}


def _records(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    rules = _BY_CHECK | {field.name: field.rule for field in ruled_fields(kind)}
    fields = {
        field.name: _values(field.type, rules.get(field.name))
        for field in inspect.type_info(kind).fields
    }
    made = st.fixed_dictionaries(fields).map(lambda values: _made(kind, _agreeing(values)))
    return made.filter(lambda record: record is not None)


def _agreeing(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record with those that contradict each other put right."""
    if "instrument" in values:
        values["instrument"] = f"{values['asset']}-EUR-PERP"
    if "ts_recv" in values and "ts_event" in values:
        values["ts_recv"] = max(values["ts_recv"], values["ts_event"])
    if "removed" in values:
        values["removed"] = values["removed"] and values["version"] > 1
    if "price_kind" in values:
        closes = {"long": "sell", "short": "buy"}.get(values["position_side"])
        values["price_kind"] = None if values["price"] is None else "fill"
        values["order_side"] = closes or values["order_side"]
    return values


def _made(kind: type[msgspec.Struct], values: dict[str, Any]) -> msgspec.Struct | None:
    try:
        record = kind(**values)
        if hasattr(record, "check"):
            record.check()
        return record
    except (ValueError, TypeError, OverflowError):  # it contradicts itself
        return None


def _values(kind: inspect.Type, rule: Rule | None) -> st.SearchStrategy[Any]:
    if isinstance(kind, inspect.Metadata):
        return _values(kind.type, rule)
    if isinstance(kind, inspect.UnionType):
        return st.one_of([_values(one, rule) for one in kind.types])
    if isinstance(kind, inspect.ListType):
        return st.lists(_values(kind.item_type, rule), max_size=3)
    if isinstance(kind, inspect.StrType):
        return _TEXTS[rule] if rule else st.text(max_size=5)
    if isinstance(kind, inspect.FloatType):
        least = kind.ge if kind.ge is not None else kind.gt
        return st.floats(least, kind.le, exclude_min=kind.gt is not None)
    if isinstance(kind, inspect.IntType):
        if kind.ge == MIN_MICROS and kind.le == MAX_MICROS:
            return st.sampled_from([MIN_MICROS, 1_763_683_200_000_000, MAX_MICROS])
        return st.integers(kind.ge, kind.le)
    if isinstance(kind, inspect.LiteralType):
        return st.sampled_from(kind.values)
    return st.booleans() if isinstance(kind, inspect.BoolType) else st.none()


def _wild(kind: inspect.Type) -> st.SearchStrategy[Any]:
    if isinstance(kind, inspect.Metadata):
        return _wild(kind.type)
    if isinstance(kind, inspect.UnionType):
        return st.one_of(st.none(), *(_wild(one) for one in kind.types))
    if isinstance(kind, inspect.ListType):
        some = st.lists(_wild(kind.item_type), max_size=4)
        return st.one_of(some, some.map(lambda values: (values or ["x"]) * 1_000))
    if isinstance(kind, inspect.StrType | inspect.LiteralType):
        return WILD_TEXTS
    return WILD_NUMBERS
