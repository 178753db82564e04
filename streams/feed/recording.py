"""The loop of `undertow record`: venues connected, their raw frames in files, until a signal."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import msgspec

from schemas.status import DeadLetter
from streams.feed.connection import KeepFrame, LinkStatus, Time
from streams.feed.listing import Cached
from streams.feed.outages import Spoken
from streams.feed.wanted import feeds_of
from streams.feeds.tokens import NATIVE
from streams.process import health
from streams.process.settings import Settings
from streams.sources.raw_frames import METADATA, FrameWriter, RawFrame

LOOK_S = 0.2
Show = Callable[[list[LinkStatus], int], None]


class _Nowhere:
    """An outlet that keeps nothing: what is recorded are the frames."""

    def records(self, topic: str, records: Sequence[msgspec.Struct]) -> None:
        """Take records of a topic."""

    def say(self, spoken: Spoken) -> None:
        """Take a word."""

    def letter(self, letter: DeadLetter) -> None:
        """Take a dead letter."""

    async def room(self) -> None:
        """Wait for nothing."""


def run(settings: Settings, folder: Path, stopping: Callable[[], bool], show: Show) -> None:
    """Record the venues that settings name, until `stopping()`.

    Raises wanted.Unfit, listing.Nothing, and OSError where the folder takes no more.
    """
    writer = FrameWriter(folder)
    try:
        asyncio.run(_run(settings, writer, stopping, show))
    finally:
        writer.close()


async def _run(
    settings: Settings, writer: FrameWriter, stopping: Callable[[], bool], show: Show
) -> None:
    at = Time()
    failed: list[OSError] = []
    keep_frame = keeping(writer, Path(settings.data_dir) / "instruments", failed)
    feeds = feeds_of(settings, _Nowhere(), at, lambda producer: {}, keep_frame)
    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(feed.run(session)) for feed in feeds]
        rounds = 0
        try:
            while not stopping():
                for task in tasks:
                    if task.done():
                        task.result()
                if failed:
                    raise failed[0]
                writer.tick(at.micros())
                health.come_round()
                if rounds % 5 == 0:
                    show([one for feed in feeds for one in feed.statuses()], at.micros())
                rounds += 1
                await asyncio.sleep(LOOK_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def keeping(writer: FrameWriter, cache: Path, failed: list[OSError]) -> KeepFrame:
    """Return what writes frames, each venue's first behind what `cache` has of its contracts.

    `failed` is given what the writer raises: in a connection it would pass for a broken one.
    """
    described: set[str] = set()

    def keep_frame(socket: str, frame: bytes, ts_recv: int, channel: str) -> None:
        # Numbers that a venue gives its channels are each socket's own, and each process's.
        venue, connection = socket.partition("/")[0], f"{socket}@{os.getpid()}"
        frames = [RawFrame(ts_recv, venue, connection, channel, frame)]
        if venue not in described:
            described.add(venue)
            said = _listing(cache, venue)
            frames = [RawFrame(ts_recv, venue, connection, METADATA, one) for one in said] + frames
        try:
            for one in frames:
                writer.write(one)
        except OSError as problem:
            failed.append(problem)

    return keep_frame


def _listing(cache: Path, venue: str) -> list[bytes]:
    """Return what the venue's own endpoints said of its instruments, nothing where they did not."""
    path = cache / f"{venue}.json"
    if venue in NATIVE:  # its tokens, which the user lists
        return [path.read_bytes()] if path.exists() else []
    try:
        cached = msgspec.json.decode(path.read_bytes(), type=Cached)
    except (OSError, msgspec.DecodeError):
        return []
    return [msgspec.json.encode(document) for document in cached.documents]
