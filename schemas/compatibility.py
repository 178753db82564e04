"""What a change of a JSON Schema breaks, for who writes such records and for who reads them.

A field may be added where it need not be written, a record or a word may be added, a bound may be
widened. A field that goes, is renamed or must newly be written, another kind of value, a narrower
bound, a word or record that goes, another default: each breaks somebody.
"""

from collections.abc import Iterator
from typing import Any

#: Bounds by whether a larger number admits more.
_BOUNDS = {
    "maximum": True, "exclusiveMaximum": True, "maxLength": True, "maxItems": True,
    "minimum": False, "exclusiveMinimum": False, "minLength": False, "minItems": False,
}  # fmt: skip


def breaks(released: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """Return what `current` breaks of `released`: JSON Schemas of one topic, as we write them.

    One line a break, `Record.field: what`; empty when everything that was written can be read.
    """
    return sorted({*_of_topic(released, current)})


def _of_topic(released: dict[str, Any], current: dict[str, Any]) -> Iterator[str]:
    gone = _forms(released) - _forms(current)
    yield from (f"{name}: no longer on the topic" for name in gone)
    for name, record in released["$defs"].items():
        if name in current["$defs"]:
            yield from _of_record(name, record, current["$defs"][name])


def _forms(schema: dict[str, Any]) -> set[str]:
    """Return what a message may be: a record, or an array of them."""
    options = schema.get("anyOf", [schema])
    return {
        _record_of(one["$ref"]) if "$ref" in one else f"array of {_record_of(one['items']['$ref'])}"
        for one in options
    }


def _record_of(reference: str) -> str:
    """Return the record that a `$ref` of ours names."""
    return reference.rpartition("/")[2]


def _of_record(record: str, released: dict[str, Any], current: dict[str, Any]) -> Iterator[str]:
    before, after = released["properties"], current["properties"]
    must_before, must_after = {*released.get("required", [])}, {*current.get("required", [])}
    yield from (f"{record}.{field}: gone" for field in before.keys() - after.keys())
    yield from (f"{record}.{field}: must newly be written" for field in must_after - must_before)
    for field in before.keys() & after.keys():
        if field in must_before - must_after:
            yield f"{record}.{field}: may newly be missing"
        if before[field].get("default") != after[field].get("default"):
            yield f"{record}.{field}: another default"
        for what in _of_value(before[field], after[field]):
            yield f"{record}.{field}: {what}"


def _of_value(released: dict[str, Any], current: dict[str, Any]) -> Iterator[str]:
    before, after = _by_kind(released), _by_kind(current)
    yield from (f"{kind} is gone" for kind in before.keys() - after.keys())
    yield from (f"{kind} is new" for kind in after.keys() - before.keys())
    for kind in before.keys() & after.keys():
        yield from _of_kind(before[kind], after[kind])


def _by_kind(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each kind that a value may be of, with its bounds."""
    kinds: dict[str, dict[str, Any]] = {}
    for one in value.get("anyOf", [value]):
        kind = _record_of(one["$ref"]) if "$ref" in one else one.get("type", "words")
        kinds[kind] = one
    return kinds


def _of_kind(released: dict[str, Any], current: dict[str, Any]) -> Iterator[str]:
    words = {*released.get("enum", [])} - {*current.get("enum", [])}
    yield from (f"the word {word} is gone" for word in words if "enum" in current)
    if ("enum" in released) != ("enum" in current):
        yield "words for free text, or the reverse"
    if released.get("pattern") != current.get("pattern"):
        yield "another pattern"
    for bound, larger_admits_more in _BOUNDS.items():
        before, after = released.get(bound), current.get(bound)
        if after is None or before == after:
            continue
        if before is None or (after < before) == larger_admits_more:
            yield f"{bound} is narrower"
    if "items" in released and "items" in current:
        yield from _of_value(released["items"], current["items"])
