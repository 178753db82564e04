"""What names and texts may be made of: a rule each, and the pattern that tells others of it.

    name         binance, okx-swap, liquidations-feed-7f9c6d5b4     ASCII, small letters
    asset        BTC, 1000PEPE, 币安人生                             letters without small ones
    instrument   BTC-USDT-PERP, 币安人生-USDT-SPOT, BTC-USD-251226
    identity     what a venue or provider calls its own: ids, symbols, labels
    text         prose for people, may be empty

A rule returns what is wrong, None where nothing is. Rules decide by Unicode category and NFC,
which no pattern can say in every dialect: beyond ASCII a pattern lets a little more pass, and
refuses nothing that its rule takes. Control, format (bidi, zero-width) and line-break characters
are in none.
"""

import re
from functools import lru_cache
from unicodedata import category, is_normalized, normalize

#: The end of a text. `$` lets one line break pass in Python, Java and .NET; this, nowhere.
_END = r"(?![\s\S])"
#: Ranges that hold every letter and digit of the rules, without what cannot be seen.
_LETTERS = (
    r"\u00aa\u00b5\u00ba\u00c0-\u02ff\u0370-\u061b\u061d-\u115e\u1161-\u17b3\u17b6-\u180a"
    r"\u1810-\u1fff\u2071-\u2fff\u3005-\u3163\u3165-\ud7ff\uf900-\ufdff\ufe70-\ufefc"
    r"\uff10-\uff9f\uffa1-\uffdc"
    "\U00010000-\U0003fffd"
)
#: What nobody sees, or what moves and hides what stands around it.
_UNSEEN = (
    r"\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ue000-\uf8ff\ufe00-\ufe0f\ufeff"
    r"\uffa0\ufff0-\uffff"
)
_UNSEEN_BEYOND = "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
#: A text may hold what makes an emoji one, and what stands for a byte that is no UTF-8.
_UNREADABLE = _UNSEEN.replace(r"\ufe00-\ufe0f", "").replace(r"\ufff0-", r"\ufff0-\ufffb\ufffe")
_QUOTE_AND_KIND = r"-[A-Z0-9]{2,10}-(PERP|SPOT|[0-9]{6})"

NAME_PATTERN = rf"^[a-z0-9][a-z0-9_.-]{{0,39}}{_END}"
ASSET_PATTERN = rf"^[A-Z0-9{_LETTERS}]{{1,20}}{_END}"
ASSET_OR_NONE_PATTERN = rf"^[A-Z0-9{_LETTERS}]{{0,20}}{_END}"
INSTRUMENT_PATTERN = rf"^[A-Z0-9{_LETTERS}]{{1,20}}{_QUOTE_AND_KIND}{_END}"
IDENTITY_PATTERN = rf"^(?=.*[^ ])[^{_UNSEEN}]*{_END}"
TEXT_PATTERN = rf"^[^{_UNREADABLE}]*{_END}"
DIGITS_PATTERN = rf"^[0-9]{{1,78}}{_END}"

_NAME = re.compile(NAME_PATTERN)
_UNSEEN_AT = re.compile(f"[{_UNSEEN}{_UNSEEN_BEYOND}]")
_UNREADABLE_AT = re.compile(f"[{_UNREADABLE}{_UNSEEN_BEYOND}]")
_ASCII_ASSET = re.compile(rf"[A-Z0-9]{{1,20}}{_END}")
_TAIL, _DIGITS = re.compile(_QUOTE_AND_KIND + _END), re.compile(DIGITS_PATTERN)
#: Categories of letters that names of assets are written in, and of digits.
_LETTER = frozenset({"Lu", "Lo", "Lm", "Nd"})


@lru_cache(maxsize=16_384)
def name_problem(text: str) -> str | None:
    """Return what keeps `text` from being the name of a venue, chain, provider or producer."""
    return None if _NAME.match(text) else f"{shown(text)} is not a name like 'binance'"


@lru_cache(maxsize=16_384)
def asset_problem(text: str) -> str | None:
    """Return what keeps `text` from being an asset."""
    if _ASCII_ASSET.match(text) or (len(text) <= 20 and is_letters(text)):
        return None
    return f"{shown(text)} is not an asset like 'BTC'"


def asset_or_none_problem(text: str) -> str | None:
    """Return what keeps `text` from being an asset, or empty for all of them."""
    return asset_problem(text) if text else None


@lru_cache(maxsize=16_384)
def instrument_problem(text: str) -> str | None:
    """Return what keeps `text` from being an instrument."""
    asset = text.split("-", 1)[0]
    if _TAIL.match(text, len(asset)) and asset_problem(asset) is None:
        return None
    return f"{shown(text)} is not like 'BTC-USDT-PERP'"


def identity_problem(text: str) -> str | None:
    """Return what keeps `text` from being an id, symbol or label; its length is not looked at."""
    if text.isascii():
        if text.isprintable() and text.strip():
            return None
    elif text.isprintable() and not _UNSEEN_AT.search(text):
        return None if is_normalized("NFC", text) else f"{shown(text)} is not in Unicode's form NFC"
    return f"{shown(text)} holds nothing, or what cannot be seen"


def text_problem(text: str) -> str | None:
    """Return what keeps `text` from being prose; its length is not looked at."""
    if text.isprintable() and (text.isascii() or not _UNREADABLE_AT.search(text)):
        return None
    at = next(at for at, letter in enumerate(text) if _unreadable(letter))
    return f"character {at + 1}, {text[at]!a}, cannot be seen"


def digits_problem(text: str) -> str | None:
    """Return what keeps `text` from being an integer that fits 256 bits."""
    return None if _DIGITS.match(text) else f"{shown(text)} is not up to 78 digits"


def is_letters(text: str) -> bool:
    """Return whether `text` is letters without small ones and digits, in NFC, and not empty."""
    return (
        bool(text)
        and all(category(letter) in _LETTER for letter in text)
        and not _UNSEEN_AT.search(text)
        and is_normalized("NFC", text)
    )


def shown(text: str) -> str:
    """Return the beginning of a text as a complaint quotes it, nothing in it left unseen."""
    return repr(text if len(text) <= 60 else text[:59] + "…")


def plain(text: str, most: int) -> str:
    """Return `text` as `text_problem` wants it: escapes for what cannot be seen, cut with …."""
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    if text_problem(text) is None:
        return text
    text = "".join(
        letter.encode("unicode_escape").decode() if _unreadable(letter) else letter
        for letter in text
    )
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _unreadable(letter: str) -> bool:
    return not letter.isprintable() or bool(_UNREADABLE_AT.match(letter))


def identity(text: str) -> str:
    """Return what is nearest to `text` among identities of 200 characters."""
    made = normalize("NFC", plain(text, 200))
    made = made if identity_problem(made) is None else ascii(made).strip("'\"")
    return made[:200] if made.strip() else "unnamed"


def name(text: str) -> str:
    """Return what is nearest to `text` among names."""
    made = re.sub(r"[^a-z0-9_.-]+", "-", text[:200].lower()).strip("_.-")
    return made[:40] or "unnamed"
