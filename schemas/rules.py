"""What is wrong with a record: its texts by the rules of `schemas.texts`, its fields together.

Which text must obey which rule is read off the annotations.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from schemas.texts import plain

Rule = Callable[[str], str | None]
_AT = re.compile(r" - at `\$\.?([^`]*)`")
#: What `words.check_words` looks at in `check`, of records that have one.
_BY_CHECK = frozenset({"venue", "provider", "asset", "instrument"})


class RuledField(NamedTuple):
    """A field, how to read it, and its rule; `many`: the field is a list."""

    name: str
    get: Callable[[Any], Any]
    rule: Rule
    many: bool


def field_and_reason(problem: Exception) -> tuple[str, str]:
    """Split a complaint into the field it names and the reason, fit for a dead letter."""
    text = str(problem)
    at = _AT.search(text)
    return (plain(at.group(1), 200) if at else "", plain(_AT.sub("", text), 500))


def fault(record: Any) -> tuple[str, str] | None:
    """Return the first field that contradicts another or breaks its text's rule, and how.

    None where none does. That each is of its type and range, the decoder sees.
    """
    kind: type[msgspec.Struct] = type(record)
    if _has_check(kind):
        try:
            record.check()
        except ValueError as contradiction:
            return field_and_reason(contradiction)
    for name, get, rule, many in ruled_fields(kind):
        value = get(record)
        if value is None:
            continue
        if many:
            for place, element in enumerate(value):
                if problem := rule(element):
                    return f"{name}[{place}]", problem
        elif problem := rule(value):
            return name, problem
    return None


@lru_cache
def _has_check(kind: type[msgspec.Struct]) -> bool:
    return "check" in vars(kind)


@lru_cache
def ruled_fields(kind: type[msgspec.Struct]) -> tuple[RuledField, ...]:
    """Return the fields of a type of record whose texts have rules that `check` does not apply."""
    fields = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        rules = list(_rules(hint))
        if rules and not (_has_check(kind) and name in _BY_CHECK):
            rule, many = rules[0]
            fields.append(RuledField(name, attrgetter(name), rule, many))
    return tuple(fields)


def _rules(hint: Any, many: bool = False) -> list[tuple[Rule, bool]]:
    """Return the rules within an annotation, and whether each is of a list's elements."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        return [(note, many) for note in notes if callable(note)] or _rules(inner, many)
    many = many or get_origin(hint) is list
    return [rule for part in get_args(hint) for rule in _rules(part, many)]
