"""A picture of an episode behind the words: a delivery of its own, so that no word waits for it.

    words ──at once──> receiver
    picture ──a moment later, once the store has the episode──> drawn ──> receiver
                 └── not drawn, or not taken: twice more, then no more; the end of the event ends it

It wakes nobody, and lies in the outbox as the message that it shows.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import aiohttp
import msgspec

from schemas.identity import natural_id
from sinks.alerts import targets
from sinks.alerts.message import Message
from sinks.alerts.routing import Notification
from sinks.alerts.targets.part import Part
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.writing import Writing

#: Draws an episode by its id, as PNG; it may raise whatever it likes, and last.
Draw = Callable[[str], bytes]
#: How long the store has to get what is to be drawn, microseconds; how long drawing may take.
LATER_US, DRAWN_WITHIN_S = 10_000_000, 60.0
#: Waits after the first and the second failed attempt, seconds; there is no fourth.
RETRY_WAITS_S = (20, 60)
_SHOWN = ("trigger", "resolve")


class NotDrawn(Exception):
    """There is no picture; the message says why."""


def put(
    writing: Writing, endpoint: Endpoint, notification: Notification, message: Message, drawn: bool
) -> None:
    """Let a picture of what begins or is over follow, where `endpoint` takes one.

    `drawn`: pictures are drawn for those that take uploads; a link does for others.
    """
    is_linked = endpoint.target in targets.LINKED and 0 < len(message.picture) <= targets.LINK
    is_drawn = endpoint.target in targets.UPLOADED and drawn
    if notification.action not in _SHOWN or not message.episode or not (is_linked or is_drawn):
        return
    picture_id = natural_id(notification.notification_id, "picture")
    kept = msgspec.structs.replace(message, notification_id=picture_id, lines=[], data={})
    body = targets.slack.picture(kept) if is_linked else msgspec.json.encode(kept)
    follows = msgspec.structs.replace(
        notification,
        notification_id=picture_id,
        action="picture",
        why="shows",
        wait_us=notification.wait_us + LATER_US,
        alert_ids=[],
    )
    writing.tell(follows, endpoint.name, body, message.title, endpoint.target)


def words(endpoint: Endpoint, message: Message, drawn: bool) -> Message:
    """Return `message` without the link to what will be uploaded."""
    if drawn and endpoint.target in targets.UPLOADED:
        return msgspec.structs.replace(message, picture="")
    return message


class Drawing:
    """Draws one picture at a time, each in a thread that nobody waits for at the end."""

    def __init__(self, draw: Draw | None) -> None:
        self._draw = draw
        self._lock = asyncio.Lock()
        self._latest = ("", b"")

    async def content(self, endpoint: Endpoint, body: bytes) -> bytes | list[Part]:
        """Return what `endpoint` is sent of a kept picture; raises NotDrawn."""
        if endpoint.target not in targets.UPLOADED:
            return body
        message = msgspec.json.decode(body, type=Message)
        async with self._lock:
            # Of one notification several receivers get the same.
            if self._latest[0] != message.notification_id:
                self._latest = (message.notification_id, await self._drawn(message.episode))
            return targets.picture(endpoint.target, message, endpoint.parameter, self._latest[1])

    async def _drawn(self, episode: str) -> bytes:
        draw, loop = self._draw, asyncio.get_running_loop()
        if draw is None:
            raise NotDrawn("pictures are not drawn here")
        drawn: asyncio.Future[bytes | Exception] = loop.create_future()

        def work() -> None:
            try:
                made: bytes | Exception = draw(episode)
            except Exception as problem:
                made = problem
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_set, drawn, made)

        threading.Thread(target=work, name="picture", daemon=True).start()
        try:
            made = await asyncio.wait_for(drawn, DRAWN_WITHIN_S)
        except TimeoutError:
            raise NotDrawn(f"not drawn within {DRAWN_WITHIN_S:.0f} s") from None
        if isinstance(made, Exception):
            raise NotDrawn(f"not drawn: {made}")
        return made


def _set(drawn: "asyncio.Future[bytes | Exception]", made: bytes | Exception) -> None:
    if not drawn.done():
        drawn.set_result(made)


def form(parts: list[Part]) -> aiohttp.MultipartWriter:
    """Return what is uploaded."""
    writer = aiohttp.MultipartWriter("form-data")
    for part in parts:
        payload = writer.append(part.content, {"Content-Type": part.content_type})
        named = {"filename": part.filename} if part.filename else {}
        payload.set_content_disposition("form-data", quote_fields=False, name=part.name, **named)
    return writer
