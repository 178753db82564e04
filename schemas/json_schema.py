"""The public contract of each topic as JSON Schema.

`python -m schemas.json_schema` writes it; with `--release` also as the released one, which later
ones are compared with.
"""

import sys
from pathlib import Path
from typing import Union

import msgspec
import orjson

from schemas.topics import TOPICS

FOLDER = Path(__file__).parent / "json"
#: As of the last release: what others may have built on.
RELEASED = Path(__file__).parent / "released"


def schemas() -> dict[str, bytes]:
    """Return each topic's JSON Schema as indented, stable text."""
    made = {}
    for name, topic in TOPICS.items():
        schema = msgspec.json.schema(Union[topic.payload])  # noqa: UP007 - built at run time
        if topic.many:
            first = {"$ref": f"#/$defs/{topic.payload[0].__name__}"}
            schema["anyOf"].append({"type": "array", "items": first, "minItems": 1})
            del schema["discriminator"]  # an array has no `type`
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": name,
            "description": topic.what,
            **schema,
        }
        made[name] = orjson.dumps(schema, option=orjson.OPT_INDENT_2) + b"\n"
    return made


def main() -> None:
    """Write one file a topic."""
    for folder in (FOLDER, RELEASED) if "--release" in sys.argv[1:] else (FOLDER,):
        folder.mkdir(exist_ok=True)
        for name, text in schemas().items():
            (folder / f"{name}.json").write_bytes(text)


if __name__ == "__main__":
    main()
