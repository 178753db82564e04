"""What a stranger's statement may say, looked at as the engine wrote it out again.

The engine's readonly=1 alone lets through more than reading tables (measured on chDB
26.9): `SELECT file('/etc/passwd')` reads any file, `INTO OUTFILE` writes one, DESCRIBE
opens urls, SYSTEM STOP MERGES and KILL QUERY run. So a query is first parsed by the
engine's own parser and written out again in canonical form, with names that came as
parameters in their place; that text is checked, and only that text is run, so what was
checked is what runs.
"""

import re
from collections.abc import Mapping

from sinks.sql.protocol import refuse

_TOKEN = re.compile(
    r"""
      (?P<string> '(?:[^'\\]|\\.)*' )
    | (?P<quoted> `(?:[^`\\]|\\.)*` )
    | (?P<word> [^\W\d]\w* )
    | (?P<number> \d\w* )
    | (?P<sign> \S )
    """,
    re.VERBOSE | re.DOTALL,
)
_STATEMENTS = frozenset({"select", "with", "show", "describe", "explain", "exists", "use", "("})
#: Table functions that touch nothing but tables here and numbers; every other is refused.
TABLE_FUNCTIONS = frozenset(
    {"generaterandom", "generateseries", "generate_series", "merge", "null", "numbers"}
    | {"numbers_mt", "primes", "sqlstandardvalues", "values", "view", "zeros", "zeros_mt"}
)
#: Functions that read files or call out, by whatever syntax they are named.
_FUNCTIONS = frozenset({"file", "eval", "hascolumnintable", "catboostevaluate"})
#: Scalar functions that share a harmful table function's name and are harmless.
HARMLESS = frozenset({"format"})
#: Where SETTINGS is a name: after these it cannot begin a clause.
_BEFORE_A_NAME = frozenset({",", "(", ".", "SELECT", "BY", "AS", "=", "SHOW", "CHANGED"})


def check(canonical: str, banned: frozenset[str]) -> str:
    """Refuse what does more than read tables; return the format the query names, or ''.

    `canonical` is the engine's own rendering. Raises QueryError with code 164.
    """
    tokens = _texts(canonical)
    if not tokens or tokens[0].lower() not in _STATEMENTS:
        raise refuse(f"{tokens[0] if tokens else 'nothing'} is refused")
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        name = token.strip("`").lower()
        if token.startswith("'"):
            continue
        if name == "outfile" and before.lower() == "into":
            raise refuse("INTO OUTFILE is refused")
        called = after == "(" or before.lower() == "apply"
        if name in _FUNCTIONS or (called and name in banned):
            raise refuse(f"{name}() is refused")
        clause = after not in ("", ",", ")", "FROM", "=") and before not in _BEFORE_A_NAME
        if token == "SETTINGS" and clause:
            raise refuse("SETTINGS within a statement is refused; they go to its end")
        # chDB's own `default` database shows the file system as tables.
        if name == "default" and after == ".":
            raise refuse("database default is refused")
    named = tokens[-2:-1] == ["FORMAT"]
    return tokens[-1].strip("`") if named else ""


def with_names(canonical: str, params: Mapping[str, str]) -> str:
    """Put names in the place of `{x:Identifier}`; each is one name, whatever is in it."""
    pieces, end = [], 0
    tokens = list(_TOKEN.finditer(canonical))
    for at, token in enumerate(tokens[:-4]):
        parts = [match.group() for match in tokens[at : at + 5]]
        if token.group() == "{" and parts[2:] == [":", "Identifier", "}"] and parts[1] in params:
            pieces += [canonical[end : token.start()], quoted(params[parts[1]])]
            end = tokens[at + 4].end()
    return "".join([*pieces, canonical[end:]])


def without_settings(canonical: str) -> tuple[str, dict[str, str]]:
    """Take the SETTINGS that a statement ends with, before or behind its FORMAT, out of it."""
    settings: dict[str, str] = {}
    text, fmt = _cut_settings(canonical, settings), ""
    tokens = list(_TOKEN.finditer(text))
    if len(tokens) > 2 and tokens[-2].group() == "FORMAT":
        text, fmt = text[: tokens[-2].start()].rstrip(), text[tokens[-2].start() :]
    return f"{_cut_settings(text, settings)} {fmt}".rstrip(), settings


def _cut_settings(text: str, into: dict[str, str]) -> str:
    tokens = list(_TOKEN.finditer(text))
    starts = [at for at, token in enumerate(tokens) if token.group() == "SETTINGS"]
    if not starts or starts[-1] == 0 or tokens[starts[-1] - 1].group() in _BEFORE_A_NAME:
        return text
    begin = tokens[starts[-1]]
    listed = _listed_settings(text[begin.end() :])
    if listed is None:
        return text
    into |= {name: value for name, value in listed.items() if name not in into}
    return text[: begin.start()].rstrip()


def _listed_settings(text: str) -> dict[str, str] | None:
    """Read `a = 1, b = 'x'`; None for anything else."""
    one = r"\s*(\w+) = ('(?:[^'\\]|\\.)*'|[-\w.]+)\s*"
    if not re.fullmatch(f"{one}(?:,{one})*", text):
        return None
    return {name: value.strip("'") for name, value in re.findall(one, text)}


def quoted(name: str) -> str:
    """Write a name so that it is one name."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _texts(canonical: str) -> list[str]:
    return [token.group() for token in _TOKEN.finditer(canonical)]
