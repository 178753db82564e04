"""A producer that obeys the published JSON Schema is understood: a validator of others decides alike."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from fuzz_scan.payloads import STRINGS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import TOPIC_OF, legal

from schemas import codec, json_schema
from schemas.codec import InvalidRecord
from schemas.rules import ruled_fields

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
EVERY = pytest.mark.parametrize("kind", TOPIC_OF, ids=lambda kind: kind.__name__)
VALIDATORS = {
    topic: jsonschema_rs.validator_for(json.loads(text))
    for topic, text in json_schema.schemas().items()
}
CONTRADICTION = re.compile(" is not an instrument of | contradicts price x quantity ")
#: As values, not as they stand in JSON text.
HOSTILE = ["BTC\n", "\n", "\r", "\x00", "\x1b[2J", "\x7f", "\x85", "\u202e", "\u2028", "\u200b", "\ufeff", "\u3164", "",
           " ", "a" * 41, "A" * 21, "x" * 201, "x" * 2_001, "<b>", "é", "币安人生", "1" * 79, "-1", "binance", "BTC"]  # fmt: skip


def refusal(topic: str, document: Any) -> InvalidRecord | None:
    try:
        codec.decode(topic, json.dumps(document).encode())
    except InvalidRecord as problem:
        return problem
    return None


@EVERY
@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_every_record_that_we_write_is_what_the_schema_says(kind, data) -> None:
    topic = TOPIC_OF[kind]
    payload = codec.encode(data.draw(legal(kind)))
    VALIDATORS[topic].validate(json.loads(payload))
    if topic == "trades" and kind.__name__ == "Trade":
        VALIDATORS[topic].validate(json.loads(b"[" + payload + b"," + payload + b"]"))


@EVERY
@settings(max_examples=2, deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_text_in_any_field_is_refused_by_both_or_by_neither(kind, data) -> None:
    topic = TOPIC_OF[kind]
    document = json.loads(codec.encode(data.draw(legal(kind))))
    fields = {field.name: field.many for field in ruled_fields(kind)}
    fields |= {n: False for n in ("venue", "asset", "instrument", "provider") if n in document}
    for name, many in fields.items():
        for text in [
            *HOSTILE,
            *(t for t in STRINGS if not any("\ud800" <= c <= "\udfff" for c in t)),
        ]:
            changed = document | {name: [text] if many else text}
            here, there = refusal(topic, changed), VALIDATORS[topic].is_valid(changed)
            if here is None:
                assert there, (name, text)
            elif there and text.isascii():
                # What no schema can say: that one field contradicts another.
                assert CONTRADICTION.search(here.reason), (name, text, here)


@pytest.mark.parametrize(
    "name",
    ["producer", "reason", "chain", "quantity_raw", "event_id", "asset", "instrument", "venue"],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\x1b", "\u2028", "\x85"], ids=ascii)
def test_no_pattern_lets_a_line_break_or_an_escape_pass_at_the_end(name, ending) -> None:
    seen = False
    for kind, topic in TOPIC_OF.items():
        if name not in kind.__struct_fields__:
            continue
        properties = json.loads(json_schema.schemas()[topic])["$defs"][kind.__name__]["properties"]
        schema = next(
            one for one in properties[name].get("anyOf", [properties[name]]) if "pattern" in one
        )
        seen = True
        assert not jsonschema_rs.is_valid(schema, "BTC-USDT-PERP" + ending)
        assert not jsonschema_rs.is_valid(schema, "123" + ending)
    assert seen


@EVERY
@settings(max_examples=2, deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_number_that_the_schema_refuses_is_refused(kind, data) -> None:
    topic = TOPIC_OF[kind]
    document = json.loads(codec.encode(data.draw(legal(kind))))
    for name, value in document.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            for number in (-1e300, 1e300, -1, 10**30):
                changed = document | {name: number}
                if not VALIDATORS[topic].is_valid(changed):
                    assert refusal(topic, changed), (name, number)
