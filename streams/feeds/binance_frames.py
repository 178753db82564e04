"""What Binance wraps around its events: a stream's name on `/stream`, nothing on `/ws`."""

from typing import Any, Generic, TypeVar

import msgspec

from streams.feeds.checks import Stream
from streams.feeds.frames import NOT_A_FRAME, Refusal, UnreadableFrame, control, unreadable

Event = TypeVar("Event")

#: How a frame begins that is not wrapped.
EVENT = b'{"e":'

_NOTHING = msgspec.Raw()


class _Envelope(msgspec.Struct, gc=False):
    stream: Stream = ""
    data: msgspec.Raw = msgspec.Raw()
    id: int | str | None = None
    error: msgspec.Raw = msgspec.Raw()
    e: str = ""
    code: msgspec.Raw = msgspec.Raw()
    msg: str = ""


class _Wrapped(msgspec.Struct, Generic[Event], gc=False):
    stream: Stream
    data: Event


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ENVELOPE = msgspec.json.Decoder(_Envelope, strict=False)


class Framed:
    """How one kind of event is read: `bare` and `wrapped` decode it where it stands as usual.

    They raise what is in NOT_A_FRAME.
    """

    def __init__(self, event: Any) -> None:
        self.wrapped = msgspec.json.Decoder(_Wrapped[event], strict=False).decode
        self.bare = msgspec.json.Decoder(event, strict=False).decode

    def read(self, frame: bytes) -> tuple[str, Any]:
        """Return the stream's name and the event; Parsed in its place for a reply of control.

        Raises UnreadableFrame.
        """
        try:
            envelope = _ENVELOPE.decode(frame)
            if envelope.data != _NOTHING:
                return envelope.stream, self.bare(envelope.data)
            if envelope.error != _NOTHING:
                error = bytes(envelope.error).decode(errors="replace")
                return "", control(Refusal("error", error[:200]))
            if envelope.code != _NOTHING and not envelope.e:  # without an id of ours
                code = bytes(envelope.code).decode(errors="replace")
                return "", control(Refusal("code", f"refused: {code[:20]} {envelope.msg[:200]}"))
            if envelope.id is not None:
                return "", control()
            return "", self.bare(frame)
        except NOT_A_FRAME as problem:
            raise unreadable(problem) from None


def each_in(array: bytes, frame: bytes) -> list[bytes]:
    """Return the messages of a frame's array, each wrapped as the frame is.

    Raises UnreadableFrame.
    """
    try:
        items = _ITEMS.decode(array)
        stream = b"" if array is frame else msgspec.json.encode(_ENVELOPE.decode(frame).stream)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if not items:
        raise UnreadableFrame("e", "an array in which no event is named")
    whole = [bytes(item) if bytes(item)[:1] == b"{" else b"null" for item in items]
    return [b'{"stream":%s,"data":%s}' % (stream, one) if stream else one for one in whole]


def array_in(frame: bytes) -> bytes | None:
    """Return the array that a frame is, or that its `data` is; None for any other."""
    if frame.lstrip()[:1] == b"[":
        return frame
    if b'"data"' not in frame:
        return None
    try:
        data = bytes(_ENVELOPE.decode(frame).data)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    return data if data[:1] == b"[" else None
