"""What others build on: the JSON Schemas in the tree, and that a release breaks nobody."""

import copy
import json
from typing import Any

import pytest

from schemas.compatibility import breaks
from schemas.json_schema import FOLDER, RELEASED, schemas
from schemas.topics import TOPICS

RELEASE = {path.stem: json.loads(path.read_bytes()) for path in RELEASED.glob("*.json")}


def test_json_schemas_in_the_tree_are_current() -> None:
    for name, text in schemas().items():
        path = FOLDER / f"{name}.json"
        assert path.read_bytes() == text, "run `python -m schemas.json_schema`"


def test_every_topic_that_there_was_at_the_last_release_is_there() -> None:
    assert RELEASE.keys() <= TOPICS.keys()
    assert len(RELEASE) >= 10


@pytest.mark.parametrize("topic", RELEASE)
def test_no_record_breaks_who_writes_or_reads_it_as_released(topic: str) -> None:
    assert breaks(RELEASE[topic], json.loads(schemas()[topic])) == []


def changed(topic: str, record: str, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The released schema, and one where fields of `record` are others, or None: gone."""
    schema = copy.deepcopy(RELEASE[topic])
    properties = schema["$defs"][record]["properties"]
    for field, value in fields.items():
        properties[field] = {**properties.get(field, {}), **(value or {})}
        if value is None:
            del properties[field]
    return RELEASE[topic], schema


TEXT = {"type": "string", "maxLength": 10}


@pytest.mark.parametrize(
    ("before_and_after", "lines"),
    [
        (changed("trades", "Trade", price=None), ["Trade.price: gone"]),
        (changed("trades", "Trade", ts_event={"type": "string"}), ["Trade.ts_event: integer is gone", "Trade.ts_event: string is new"]),
        (changed("trades", "Trade", price={"maximum": 10.0}), ["Trade.price: maximum is narrower"]),
        (changed("bars", "Bar", width={"minimum": 5_000_000}), ["Bar.width: minimum is narrower"]),
        (changed("alerts", "Alert", severity={"enum": ["critical", "info"]}), ["Alert.severity: the word warning is gone"]),
        (changed("alerts", "Alert", asset={"pattern": "^x$"}), ["Alert.asset: another pattern"]),
        (changed("cascades", "CascadeFinding", reignition_is_default={"default": False}), ["CascadeFinding.reignition_is_default: another default"]),
        (changed("alerts", "Alert", venues={"items": {"type": "integer"}}), ["Alert.venues: integer is new", "Alert.venues: string is gone"]),
    ],
)  # fmt: skip
def test_a_breaking_change_of_a_field_is_named(
    before_and_after: tuple[dict[str, Any], dict[str, Any]], lines: list[str]
) -> None:
    assert breaks(*before_and_after) == lines


def test_a_field_that_must_newly_be_written_breaks_and_one_that_need_not_does_not() -> None:
    released, schema = changed("alerts", "Alert", mood=TEXT)
    assert breaks(released, schema) == []
    schema["$defs"]["Alert"]["required"].append("mood")
    assert breaks(released, schema) == ["Alert.mood: must newly be written"]


def test_a_field_that_may_newly_be_missing_breaks_its_readers() -> None:
    released, schema = changed("alerts", "Alert")
    schema["$defs"]["Alert"]["required"].remove("title")
    assert breaks(released, schema) == ["Alert.title: may newly be missing"]


def test_a_record_that_leaves_its_topic_breaks_it_and_one_that_joins_does_not() -> None:
    released, schema = changed("cascades", "CascadeFinding")
    schema["anyOf"] = [one for one in schema["anyOf"] if "MarketFinding" not in one["$ref"]]
    assert breaks(released, schema) == ["MarketFinding: no longer on the topic"]
    assert breaks(schema, released) == []


def test_wider_bounds_and_new_words_break_nobody() -> None:
    released, schema = changed("trades", "Trade", price={"maximum": 1e20})
    assert breaks(released, schema) == []
    released, schema = changed("alerts", "Alert", severity={"enum": ["critical", "fatal", "info", "warning"]})  # fmt: skip
    assert breaks(released, schema) == []
