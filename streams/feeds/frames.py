"""What every parser shares: what became of a frame, and how a bad item costs only itself."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schemas.rules import field_and_reason

#: What msgspec raises for bytes that are not the frame that was asked for.
NOT_A_FRAME = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: What is raised for an item that gives no record; the second by sums beyond a float.
NO_RECORD = (ValueError, OverflowError, *NOT_A_FRAME)


class UnreadableFrame(ValueError):
    """A venue message that cannot become a record: `field` and `reason` say why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field or 'frame'}: {reason}")
        self.field = field
        self.reason = reason


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why one item of a frame, or the whole of it, is no record."""

    field: str
    reason: str


class Parsed(msgspec.Struct, gc=False):
    """What one frame held: its records, a refusal for each bad item, or a word of control.

    `control`: an acknowledgement, a pong, a notice; a request of ours that the venue refused
    is control with a refusal. All empty: nothing happened, as of an order without a fill.
    `history`: the venue marks the records as what was before the subscription.
    """

    records: list[Any]
    refusals: list[Refusal]
    control: bool = False
    history: bool = False


def control(refused: Refusal | None = None) -> Parsed:
    """Return what a frame of control means; `refused` where the venue refused our request."""
    return Parsed([], [] if refused is None else [refused], True)


def is_array(frame: bytes) -> bool:
    """Say whether a frame is an array, as answers of REST are where messages are objects."""
    return frame.lstrip()[:1] == b"["


def unreadable(problem: Exception) -> UnreadableFrame:
    """Turn a decoder's or a record's complaint into UnreadableFrame(field, reason)."""
    return UnreadableFrame(*field_and_reason(problem))


class Kind:
    """How one kind of message is decoded: whole, and where that fails item by item.

    `message` is a generic msgspec Struct whose parameter is the type of the list at `path`,
    a dotted name of one or two parts: `_Message[list[_Item]]` is decoded first. `decode` decodes
    what is whole alone, and raises what is in NOT_A_FRAME.
    """

    def __init__(self, message: Any, item: Any, path: str = "data") -> None:
        self.decode = msgspec.json.Decoder(message[list[item]], strict=False).decode
        self._loose = msgspec.json.Decoder(message[list[msgspec.Raw]], strict=False)
        self._item = msgspec.json.Decoder(item, strict=False)
        self._path = path

    def read(self, frame: bytes | msgspec.Raw) -> tuple[Any, dict[int, Refusal] | None]:
        """Decode `frame`; where items are bad, None stands for each, with its refusal by place.

        Raises UnreadableFrame when the frame is not of this kind at all.
        """
        try:
            return self.decode(frame), None
        except NOT_A_FRAME:
            return self._item_by_item(frame)

    def whole(self, frame: bytes) -> Any:
        """Decode `frame` if all of it is of this kind; None where anything is not."""
        try:
            return self.decode(frame)
        except NOT_A_FRAME:
            return None

    def _item_by_item(self, frame: bytes | msgspec.Raw) -> tuple[Any, dict[int, Refusal]]:
        try:
            message = self._loose.decode(frame)
        except NOT_A_FRAME as problem:
            raise unreadable(problem) from None
        holder = message
        *above, name = self._path.split(".")
        for part in above:
            holder = getattr(holder, part)
        refusals: dict[int, Refusal] = {}
        items: list[Any] = []
        for place, raw in enumerate(getattr(holder, name)):
            try:
                items.append(self._item.decode(raw))
            except NOT_A_FRAME as problem:
                items.append(None)
                refusals[place] = _at(self._path, place, unreadable(problem))
        setattr(holder, name, items)
        return message, refusals


def built(
    items: Sequence[Any],
    build: Callable[[Any], Any],
    refusals: dict[int, Refusal] | None = None,
    path: str = "data",
) -> Parsed:
    """Return the records that `build` makes of `items`, and why of each that gives none.

    `build` returns a record, a list of several, or None for an item that tells of nothing (no
    fill), and raises ValueError or OverflowError for one that is no record; it may be called
    twice for an item. `refusals` are
    those that could not be decoded, whose items are None: not None itself where there may be some.
    """
    if refusals is None:
        records: list[Any] = []
        try:
            for item in items:
                made = build(item)
                if type(made) is list:
                    records += made
                elif made is not None:
                    records.append(made)
            return Parsed(records, [])
        except NO_RECORD:
            pass  # below, each item in its place
    records = []
    for place, item in enumerate(items):
        if item is None:
            continue
        try:
            made = build(item)
            if type(made) is list:
                records += made
            elif made is not None:
                records.append(made)
        except NO_RECORD as problem:
            if not isinstance(problem, UnreadableFrame):
                problem = unreadable(problem)
            refusals = {} if refusals is None else refusals
            refusals[place] = _at(path, place, problem)
    return Parsed(records, [refusals[place] for place in sorted(refusals)] if refusals else [])


def one_by_one(
    items: Sequence[Any],
    build: Callable[..., list[Any]],
    context: tuple[Any, ...],
    refusals: dict[int, Refusal] | None,
    path: str = "data",
) -> Parsed:
    """Return what `built` does where `build(items, *context)` gives the records of all at once.

    A parser has no function of its own for that, as what such a function closes over would cost
    each sound message too.
    """
    if refusals is None:
        try:
            return Parsed(build(items, *context), [])
        except NO_RECORD:
            refusals = {}  # below, each item in its place
    return built(items, lambda item: build((item,), *context), refusals, path)


def _at(path: str, place: int, problem: UnreadableFrame) -> Refusal:
    dot = "." if problem.field else ""
    return Refusal(f"{path}[{place}]{dot}{problem.field}", problem.reason)
