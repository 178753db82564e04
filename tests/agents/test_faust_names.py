"""The private names of Faust and aiokafka that we rest on are there, and no others are used."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest

import streams.detect

THEIRS = ("faust", "mode", "aiokafka")
DRIVER = "faust.transport.drivers.aiokafka"
#: Private by their name only: documented.
PUBLIC = {"_exit", "_PARTITION_EOF"}
ROW = re.compile(r"^ {4}((?:\w+\.)*)(\w+)\.(_\w+)(?:\((.*?)\))?(?: |$)", re.M)
TABLE = [
    (where.rstrip(".") or DRIVER, owner, name, parameters)
    for where, owner, name, parameters in ROW.findall(streams.detect.__doc__ or "")
]


@pytest.mark.parametrize(("where", "owner", "name", "parameters"), TABLE)
def test_a_private_name_that_we_rest_on_is_still_there(where, owner, name, parameters) -> None:
    kind = getattr(importlib.import_module(where), owner)
    assert has(kind, name), f"{where}.{owner} of this release has no {name}: see streams.detect"
    if callable(attribute := getattr(kind, name, None)):
        given = [one for one in inspect.signature(attribute).parameters if one != "self"]
        wanted = [one.strip() for one in parameters.split(",") if one.strip()]
        assert given == wanted, f"{where}.{owner}.{name} takes {given} in this release"


def test_every_private_name_of_theirs_that_we_use_is_in_the_table() -> None:
    used = {name for module in modules() for name in private_names(module)}
    assert used == {name for _, _, name, _ in TABLE}


def has(kind: type, name: str) -> bool:
    """Return whether their class, or one that it is made of, has or sets the name."""
    sets = re.compile(rf"self\.{name}\b|^    {name}\b", re.M)
    theirs = [one for one in kind.__mro__ if one.__module__.partition(".")[0] in THEIRS]
    return hasattr(kind, name) or any(sets.search(inspect.getsource(one)) for one in theirs)


def modules() -> Iterator[object]:
    for module in pkgutil.iter_modules(streams.detect.__path__, "streams.detect."):
        yield importlib.import_module(module.name)


def private_names(module: object) -> Iterator[str]:
    """Yield what a module asks of others' objects, and of theirs by its own classes."""
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from names_of_class(getattr(module, node.name), node)
        elif (
            isinstance(node, ast.Attribute)
            and is_private(node.attr)
            and not (isinstance(node.value, ast.Name) and node.value.id == "self")
        ):
            yield node.attr


def names_of_class(kind: type, tree: ast.ClassDef) -> Iterator[str]:
    """Yield what a class of ours uses of a base of theirs: asked of `self`, or defined anew."""
    for base in kind.__mro__[1:]:
        if base.__module__.partition(".")[0] not in THEIRS:
            continue
        for node in ast.walk(tree):
            name = getattr(node, "attr", None) or getattr(node, "name", None)
            if isinstance(name, str) and is_private(name) and has(base, name):
                yield name
        return


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC
