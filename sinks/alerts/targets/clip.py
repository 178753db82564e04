"""Text within a target's limits, and without meaning to its markup."""

import re


def units(text: str) -> int:
    """Return the length of `text` in UTF-16 units, as Telegram, Slack and Discord may count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def clip(text: str, most: int) -> str:
    """Return `text`, cut to at most `most` UTF-16 units; what is cut ends in an ellipsis."""
    if units(text) <= most:
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * (most - 1)]
    # Half of a character outside the basic plane is no character.
    return kept.decode("utf-16-le", "ignore") + "…"


def clip_escaped(text: str, most: int, special: re.Pattern[str], by: dict[str, str]) -> str:
    """Return `text` with each `special` character replaced, cut before it would be too long.

    No replacement is cut in the middle, which would be markup after all.
    """
    parts: list[str] = []
    left = most - 1
    for character in text:
        part = by[character] if special.match(character) else character
        left -= units(part)
        if left < 0:
            return "".join(parts) + "…"
        parts.append(part)
    return "".join(parts)
