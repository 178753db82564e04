"""Public sets of labels, in the shapes in which people have them. Pure: text in, labels out.

address,owner,kind,source,confidence,date            our own, as `undertow labels show --csv`
,Address,Name Tag,Balance,Txn Count,label_page       etherscan-labels, a page a table
{"0x…": {"name": "Binance 14", "labels": ["binance"]}}    etherscan-labels, combined
chain_family,entity,address,source_path              addresses in DefiLlama's adapters
"""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from schemas.texts import identity
from schemas.words import OwnerKind
from streams.feeds.labels import Label, family_of, normal, owner_of

#: How sure each public set is where nobody says otherwise: Etherscan's tags are set by hand and
#: checked by many; addresses in adapters are what exchanges declare, pulled from code by others.
TRUST = {"etherscan": 0.9, "defillama": 0.7, "csv": 0.8}
#: Entities of DefiLlama's adapters that hold others' coins: bridges and wrappers, no exchanges.
_NO_EXCHANGES = frozenset({"chakra", "wbtc", "sbtc"})

_KINDS: dict[str, OwnerKind] = dict.fromkeys(
    """
    0x-protocol 1inch aave across-protocol balancer bancor bridge compound convex-finance
    cream-finance curve-fi defi derivatives dex dydx hop-protocol instadapp kyberswap lido maker
    multichain pooltogether rari-capital ren sushiswap synthetix tokenlon uniswap vaults
    yearn-finance yield-farming zapper-fi
    """.split(),  # noqa: SIM905 - a list of names
    "defi",
)
_KINDS |= dict.fromkeys(("fund", "alameda-research", "celsius-network", "nexo"), "fund")


class About(NamedTuple):
    """What is said of a whole set where its rows do not: whose it is, how sure, since when."""

    source: str
    confidence: float | None
    date: str


class SetProblem(ValueError):
    """A text that is no set of labels; the message is one line."""


def read(text: str, about: About) -> tuple[list[Label], list[str]]:
    """Return a set's labels, and a complaint for each row that is none. Raises SetProblem."""
    rows, of_row, form = _form(text)
    trust = TRUST[form] if about.confidence is None else about.confidence
    labels: list[Label] = []
    problems: list[str] = []
    for number, row in enumerate(rows, 1):
        try:
            if (label := of_row(row, about, trust)) is not None:
                labels.append(msgspec.convert(msgspec.to_builtins(label), Label))
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            problems.append(f"row {number}: {type(problem).__name__} {problem}"[:200])
    return labels, problems


Row = Callable[[Any, About, float], Label | None]


def _form(text: str) -> tuple[Iterator[Any], Row, str]:
    if text.lstrip()[:1] == "{":
        try:
            return (
                iter(msgspec.json.decode(text, type=dict[str, Any]).items()),
                _combined,
                "etherscan",
            )
        except (msgspec.DecodeError, RecursionError) as problem:
            raise SetProblem(f"not JSON: {problem}") from None
    rows = csv.DictReader(io.StringIO(text))
    columns = set(rows.fieldnames or ())
    if {"Address", "Name Tag", "label_page"} <= columns:
        return rows, _page, "etherscan"
    if {"chain_family", "entity", "address"} <= columns:
        return rows, _adapter, "defillama"
    if {"address", "owner"} <= columns:
        return rows, _plain, "csv"
    raise SetProblem(f"no set of labels in a known form; its columns are {sorted(columns)[:8]}")


def _combined(row: tuple[str, Any], about: About, trust: float) -> Label | None:
    address, said = row
    tags = [str(tag) for tag in said["labels"]]
    return _label(address, *_tagged(str(said["name"]), tags), about, trust, str(said["name"]))


def _page(row: dict[str, str], about: About, trust: float) -> Label | None:
    name = row["Name Tag"].strip()
    return _label(row["Address"], *_tagged(name, [row["label_page"]]), about, trust, name)


def _tagged(name: str, tags: list[str]) -> tuple[str, OwnerKind]:
    """Return owner and kind of a name with the tags that it bears."""
    # A token that an exchange or fund has to do with bears its tag too, and is owned by nobody.
    if name.endswith("Token") or "token-contract" in tags:
        return owner_of(name)[0], "other"
    owner, kind = owner_of(name, *tags)
    if kind == "other":
        kind = next((_KINDS[tag] for tag in tags if tag in _KINDS), "other")
    return owner, kind


def _adapter(row: dict[str, str], about: About, trust: float) -> Label | None:
    if row["entity"] in _NO_EXCHANGES:
        return None
    owner, _ = owner_of(row["entity"])
    return _label(row["address"], owner, "exchange", about, trust, row["entity"])


def _plain(row: dict[str, str], about: About, trust: float) -> Label | None:
    if not (row["owner"] or "").strip():
        raise ValueError("no owner")
    owner, kind = owner_of(row["owner"])
    given = row.get("kind") or kind
    source = about._replace(
        source=row.get("source") or about.source, date=row.get("date") or about.date
    )
    confidence = float(row.get("confidence") or trust)
    return _label(row["address"], owner, given, source, confidence, row.get("name") or "")


def _label(
    address: str, owner: str, kind: Any, about: About, confidence: float, name: str
) -> Label | None:
    return Label(
        family=family_of(address.strip()),
        address=normal(address.strip()),
        owner=identity(owner),
        kind=kind,
        source=about.source,
        confidence=confidence,
        date=about.date,
        name=identity(name)[:100] if name else "",
    )
