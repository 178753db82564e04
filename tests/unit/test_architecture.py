"""What the folder listing promises, checked."""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "pyproject.toml", "streams", "schemas", "sinks", "docker", "tests",
    "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
}  # fmt: skip
VAGUE = ("told", "held", "found", "own", "word")


def test_the_top_level_holds_only_what_was_agreed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    names = {Path(name).parts[0] for name in listed}
    assert {name for name in names if not name.startswith(".")} <= ALLOWED


#: Imports all of the core and prints what must not be there: what numpy and msgspec load for
#: themselves (time, random) is judged by who asks for it, the rest by being loaded at all.
TWIN = """
import builtins, importlib, pkgutil, sys
import streams.core
ask, asked = builtins.__import__, set()
def noted(name, globals=None, *rest, **named):
    importer = (globals or {}).get("__name__", "")
    if importer.startswith(("streams.", "schemas.")):
        asked.add((name.partition(".")[0], importer))
    return ask(name, globals, *rest, **named)
builtins.__import__ = noted
for module in pkgutil.walk_packages(streams.core.__path__, "streams.core."):
    importlib.import_module(module.name)
loaded = {"faust", "asyncio", "confluent_kafka", "aiohttp", "socket", "logging"} & set(sys.modules)
clocks = {pair for pair in asked if pair[0] in ("time", "datetime", "random", "secrets", "uuid")}
print(len([name for name in sys.modules if name.startswith("streams.core.")]))
sys.exit(str(sorted(loaded | clocks)) if loaded or clocks else 0)
"""


def test_importing_the_core_loads_no_shell_no_clock_and_no_network() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWIN], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    modules = [p for p in (ROOT / "streams/core").rglob("*.py") if p.name != "__init__.py"]
    assert int(done.stdout) == len(modules) + 1  # and the package of the detectors


def test_streams_holds_folders_only_and_each_says_what_may_live_there() -> None:
    [loose] = [path.name for path in (ROOT / "streams").iterdir() if path.suffix == ".py"]
    assert loose == "__init__.py"
    for package in ("schemas", "streams", "sinks"):
        for door in (ROOT / package).rglob("__init__.py"):
            first = ast.get_docstring(ast.parse(door.read_text())) or ""
            assert first.partition("\n")[0].endswith("."), f"{door} does not say what it is for"


def test_names_that_say_nothing_stay_rare() -> None:
    """`told`, `held`, `found`, `own`, `word` had a dozen meanings each."""
    named: Counter[str] = Counter()
    for package in ("schemas", "streams", "sinks"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.arg):
                    named[node.arg] += 1
                elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                    named[node.id if isinstance(node, ast.Name) else node.attr] += 1
    assert {name: named[name] for name in VAGUE if named[name] >= 10} == {}


def test_every_dependency_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    extras = [d for group in project["optional-dependencies"].values() for d in group]
    for dependency in [*project["dependencies"], *extras]:
        [line] = [line for line in text.splitlines() if f'"{dependency}"' in line]
        assert "#" in line, f"{dependency} has no reason"
    assert "Private :: Do Not Upload" in project["classifiers"]


def test_files_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("schemas", "streams", "sinks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 420
    }
    assert not long
