"""Which of a record's texts must obey which rule of `schemas.texts`, read off its annotations."""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

Rule = Callable[[str], str | None]
#: What `words.check_words` has looked at when a record is made, where it looks at all.
_CHECKED_WHEN_MADE = frozenset({"venue", "provider", "asset", "instrument"})


class RuledField(NamedTuple):
    """A field, how to read it, and its rule; `many`: the field is a list."""

    name: str
    get: Callable[[Any], Any]
    rule: Rule
    many: bool


def text_fault(record: msgspec.Struct) -> tuple[str, str] | None:
    """Return the first field whose text breaks its rule, and how; None where none does."""
    for name, get, rule, many in ruled_fields(type(record)):
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
def ruled_fields(kind: type[msgspec.Struct]) -> tuple[RuledField, ...]:
    """Return the fields of a type of record whose texts have rules."""
    made = "__post_init__" in vars(kind)
    fields = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        rules = list(_rules(hint))
        if rules and not (made and name in _CHECKED_WHEN_MADE):
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
