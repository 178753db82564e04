"""What Gate wraps around its rows: a channel and an event, `result`; replies and refusals."""

from typing import Any, Generic, TypeVar

import msgspec

from streams.feeds.checks import Millis, Seconds
from streams.feeds.frames import (
    NOT_A_FRAME,
    Kind,
    Parsed,
    Refusal,
    UnreadableFrame,
    control,
    unreadable,
)

Result = TypeVar("Result")


class Message(msgspec.Struct, Generic[Result], gc=False):
    result: Result
    channel: str = ""
    event: str = ""
    time: Seconds | None = None
    time_ms: Millis | None = None


class Routed(msgspec.Struct, gc=False):
    channel: str = ""
    event: str = ""
    label: str = ""
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


ROUTED = msgspec.json.Decoder(Routed)
_NO_ERROR = (b"", b"null")


def read(
    kind: Kind, frame: bytes, channel: str
) -> tuple[Any, dict[int, Refusal] | None, Parsed | None]:
    """Return (message, refusals, None), or in the last place what a reply means.

    A bare object stands for an array of one; an array within an array is opened.
    """
    message = kind.whole(frame)
    if message is not None and message.channel == channel and message.event == "update":
        return message, None, None
    try:
        routed = ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if routed.label and not routed.channel:
        return None, None, control(Refusal("label", f"refused: {routed.label[:200]}"))
    if bytes(routed.error) not in _NO_ERROR:
        text = bytes(routed.error).decode(errors="replace")
        return None, None, control(Refusal("error", f"refused: {text[:200]}"))
    if routed.event in ("subscribe", "unsubscribe") or routed.channel == "futures.pong":
        return None, None, control()
    if routed.channel != channel:
        raise UnreadableFrame("channel", f"{routed.channel[:60]!r} is not {channel}")
    result = bytes(routed.result)
    if result[:1] == b"{" or result[:2] == b"[[":
        at = frame.rindex(result)
        opened = b"[" + result + b"]" if result[:1] == b"{" else result[1:-1]
        frame = frame[:at] + opened + frame[at + len(result) :]
    return *kind.read(frame), None
