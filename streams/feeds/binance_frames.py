"""What Binance wraps around its events: a stream's name on `/stream`, nothing on `/ws`."""

from typing import Any, Generic, TypeVar

import msgspec

from streams.feeds.checks import Stream
from streams.feeds.frames import NOT_A_FRAME, Refusal, control, unreadable

Event = TypeVar("Event")

_NOTHING = msgspec.Raw()


class _Envelope(msgspec.Struct, gc=False):
    stream: Stream = ""
    data: msgspec.Raw = msgspec.Raw()
    id: int | str | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Wrapped(msgspec.Struct, Generic[Event], gc=False):
    stream: Stream
    data: Event


_ENVELOPE = msgspec.json.Decoder(_Envelope, strict=False)


class Framed:
    """How one kind of event is read: at once where it stands as usual, else by its envelope."""

    def __init__(self, event: Any) -> None:
        self._wrapped = msgspec.json.Decoder(_Wrapped[event], strict=False)
        self._bare = msgspec.json.Decoder(event, strict=False)

    def read(self, frame: bytes) -> tuple[str, Any]:
        """Return the stream's name and the event; Parsed in its place for a reply of control.

        Raises UnreadableFrame.
        """
        try:
            if frame.startswith(b'{"stream":'):
                message = self._wrapped.decode(frame)
                return message.stream, message.data
            if frame.startswith(b'{"e":'):
                return "", self._bare.decode(frame)
        except NOT_A_FRAME:
            pass  # told again below, with the event's own field
        return self._read(frame)

    def _read(self, frame: bytes) -> tuple[str, Any]:
        try:
            envelope = _ENVELOPE.decode(frame)
            if envelope.data != _NOTHING:
                return envelope.stream, self._bare.decode(envelope.data)
            if envelope.error != _NOTHING:
                error = bytes(envelope.error).decode(errors="replace")
                return "", control(Refusal("error", error[:200]))
            if envelope.id is not None:
                return "", control()
            return "", self._bare.decode(frame)
        except NOT_A_FRAME as problem:
            raise unreadable(problem) from None


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
