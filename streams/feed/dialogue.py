"""One connection's conversation with a venue, without the connection. Pure: time is handed in.

    due(now)       what is to be sent: greeting, requests at the venue's pace, its pings
    hear(frame)    records and refusals, or what a control frame changed
    ended()        the connection is gone: whom to suspect, should it have died of a request

A request refused whole is asked for again in halves, until the bad stream stands alone and is set
aside. One that is not answered is asked for once more by itself, and then each minute: the others
live on. A connection that dies over an unanswered request is treated like a refusal.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol as Interface

import msgspec

from streams.feed.protocol import Answer, Protocol, Stream
from streams.feeds import registry
from streams.feeds.frames import NOT_A_FRAME, Parsed, Refusal
from streams.feeds.instruments import Instruments

#: A request without an answer for so long is asked once more by itself, seconds.
ANSWERED_WITHIN_S = 10.0
#: One that was not answered twice is asked for again so often, seconds.
ASKED_AGAIN_S = 60.0
#: What the venue refused is asked for again so often: it may be listed by then, seconds.
REFUSED_AGAIN_S = 600.0
#: Marks of frames remembered with their channels.
MOST_MARKS = 2_048
Group = tuple[Stream, ...]


class Heard(msgspec.Struct):
    """What a frame gave: records and complaints, what to send back, and a reason to leave.

    `missed`: by their numbers, messages before this one never came. `late`: a subscription came
    about so late that what it gave since the connection began is missing. `channel` says what the
    frame answers, where it does not say so itself: `logs:0x3f…` of a block.
    """

    records: list[msgspec.Struct] = []
    refusals: list[Refusal] = []
    reply: str | bytes | None = None
    leave: str = ""
    history: bool = False
    missed: str = ""
    late: str = ""
    channel: str = ""


class Dialogue(Interface):
    """What keeps a connection's side of a protocol; chains bring their own."""

    def due(self, now: float) -> list[str | bytes]:
        """Return what is to be sent now (steady seconds)."""

    def hear(self, frame: bytes, ts_recv: int, now: float) -> Heard:
        """Take in one frame, received at `ts_recv` microseconds; raises nothing."""

    def is_settled(self) -> bool:
        """Say whether every subscription was confirmed, or set aside."""

    def ended(self) -> None:
        """Take in that the connection is gone."""


class Plan:
    """What a route's connections are to subscribe to, kept from one connection to the next.

    `aside` has streams that the venue does not serve, with its reason; of these, `refused` are
    asked for again now and then, not those that kill a connection. `suspects` are groups over
    which a connection died, each to be asked for by itself. `back` are served after all.
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        self.streams = tuple(streams)
        self.aside: dict[Stream, str] = {}
        self.suspects: list[Group] = []
        self.news: list[tuple[Stream, str]] = []
        self.refused: set[Stream] = set()
        self.back: list[Stream] = []
        self._reported: set[Stream] = set()

    def set_aside(self, stream: Stream, reason: str) -> None:
        """Leave a stream out from now on."""
        self.aside[stream] = reason
        self.report(stream, reason)

    def refuse(self, stream: Stream, reason: str) -> None:
        """Leave a stream out that the venue refused, until it is asked for again."""
        self.refused.add(stream)
        self.set_aside(stream, reason)

    def serve(self, stream: Stream) -> None:
        """Take in that the venue serves a stream; who was told of the contrary is told again."""
        if stream in self._reported:
            self._reported.remove(stream)
            self.back.append(stream)

    def take_refused(self) -> list[Stream]:
        """Return the streams that were refused, no longer aside: they are asked for again."""
        again = [stream for stream in self.streams if stream in self.refused]
        for stream in again:
            self.refused.remove(stream)
            del self.aside[stream]
        return again

    def report(self, stream: Stream, reason: str) -> None:
        """Put what is wrong with a stream, once, into `news` for those who tell people."""
        if stream not in self._reported:
            self._reported.add(stream)
            self.news.append((stream, reason))

    def suspect(self, group: Group, reason: str) -> None:
        """Hold the halves of a group apart, or set its only stream aside."""
        if len(group) == 1:
            self.set_aside(group[0], reason)
            return
        half = len(group) // 2
        self.suspects += [group[:half], group[half:]]

    def groups(self, most: int) -> list[Group]:
        """Return what to ask for: what is known to be good, then the suspects."""
        suspected = {stream for group in self.suspects for stream in group}
        good = [s for s in self.streams if s not in self.aside and s not in suspected]
        by_channel: dict[str, list[Stream]] = {}
        for stream in good:
            by_channel.setdefault(stream.channel, []).append(stream)
        groups = [
            tuple(streams[n : n + most])
            for streams in by_channel.values()
            for n in range(0, len(streams), most)
        ]
        return groups + [tuple(s for s in group if s not in self.aside) for group in self.suspects]

    def live(self) -> list[Stream]:
        """Return the streams that are not set aside."""
        return [stream for stream in self.streams if stream not in self.aside]


class Asking(msgspec.Struct):
    """A request under way: its streams without an answer, since when, and how often."""

    streams: list[Stream]
    since: float
    again: bool = False


class VenueDialogue:
    """The conversation with a venue that is described by a Protocol."""

    def __init__(self, protocol: Protocol, plan: Plan, instruments: Instruments) -> None:
        self.plan = plan
        self._protocol = protocol
        self._instruments = instruments.of_connection()
        self._greeting = deque(protocol.greeting)
        self._waiting: deque[tuple[Group, bool]] = deque(
            (group, False) for group in plan.groups(protocol.streams_a_request) if group
        )
        self._asking: dict[int, Asking] = {}
        self._number = 0
        self._sent = float("-inf")
        self._pinged: float | None = None
        self._confirmed_any = False
        self._mute: dict[Stream, float] = {}
        self._last: int | None = None
        self._refused_at: float | None = None
        self._marked = slice(*protocol.marked)
        self._guesses: dict[bytes, str] = {}

    def due(self, now: float) -> list[str | bytes]:
        """Return what is to be sent now: at most one request in the venue's pace, and a ping."""
        sends: list[str | bytes] = []
        self._unanswered(now)
        for stream in [one for one, due_at in self._mute.items() if now >= due_at]:
            self._mute[stream] = now + 2 * ASKED_AGAIN_S
            self._waiting.append(((stream,), True))
        self._ask_refused(now)
        if now - self._sent >= self._protocol.pace_s:
            if self._greeting:
                sends.append(self._greeting.popleft())
                self._sent = now
            elif self._waiting and not self._holds_back():
                sends.append(self._ask(now))
                self._sent = now
        if self._protocol.pings:
            every_s, text = self._protocol.pings
            self._pinged = now if self._pinged is None else self._pinged
            if now - self._pinged >= every_s:
                sends.append(text)
                self._pinged = now
        return sends

    def hear(self, frame: bytes, ts_recv: int, now: float) -> Heard:
        """Take in one frame; whatever its bytes, nothing is raised."""
        parsed = self._parse(frame, ts_recv)
        heard = Heard(parsed.records, parsed.refusals, history=parsed.history)
        if parsed.control:
            heard.refusals = []  # of our own request: it is set aside, with a letter of its own
        if parsed.control or (parsed.history and self._asking):
            self._control(frame, heard)
        self._count(frame, heard)
        return heard

    def is_settled(self) -> bool:
        """Say whether every subscription was confirmed, set aside, or is not answered."""
        under_way = [group for group, _ in self._waiting]
        under_way += [tuple(asking.streams) for asking in self._asking.values()]
        return not self._greeting and all(s in self._mute for group in under_way for s in group)

    def ended(self) -> None:
        """Suspect what was asked for and not answered when the connection died."""
        for asking in self._asking.values():
            group = tuple(asking.streams)
            known = [g for g in self.plan.suspects if set(group) <= set(g)]
            for suspected in known:
                self.plan.suspects.remove(suspected)
            # Where it died alone, or it may have been any other of them; and one that is alone
            # is at fault only where the venue has served another on the same connection.
            divisible = len(self._asking) == 1 and (len(group) > 1 or self._confirmed_any)
            if divisible:
                self.plan.suspect(group, "the connection dies over this subscription")
            else:
                self.plan.suspects.append(group)

    def _parse(self, frame: bytes, ts_recv: int) -> Parsed:
        """Return what a frame holds, by the parser of the last one that was marked alike.

        A frame that is not that parser's is asked what it names, which decodes it once more.
        """
        venue, mark = self._protocol.venue, frame[self._marked]
        if (guess := self._guesses.get(mark)) is not None:
            parsed = registry.parse(venue, guess, frame, self._instruments, ts_recv)
            if not parsed.refusals and not parsed.control:
                return parsed
        channel = registry.channel_of(venue, frame)
        parsed = registry.parse(venue, channel, frame, self._instruments, ts_recv)
        if (
            channel
            and parsed.records
            and (mark in self._guesses or len(self._guesses) < MOST_MARKS)
        ):
            self._guesses[mark] = channel
        return parsed

    def _ask_refused(self, now: float) -> None:
        """Ask now and then for what was refused, each by itself."""
        if not self.plan.refused:
            self._refused_at = None
        elif self._refused_at is None:
            self._refused_at = now
        elif now - self._refused_at >= REFUSED_AGAIN_S:
            self._refused_at = None
            self._waiting.extend(((stream,), True) for stream in self.plan.take_refused())

    def _holds_back(self) -> bool:
        """Say whether a suspect is under way, or next: each is asked for alone."""
        next_group = self._waiting[0][0]
        suspects = self.plan.suspects
        alone = next_group in suspects or any(
            tuple(asking.streams) in suspects for asking in self._asking.values()
        )
        return alone and bool(self._asking)

    def _ask(self, now: float) -> str:
        group, again = self._waiting.popleft()
        self._number += 1
        self._asking[self._number] = Asking(list(group), now, again)
        return self._protocol.request(group, self._number)

    def _count(self, frame: bytes, heard: Heard) -> None:
        """Note a message's number, and whether one before it is missing."""
        if self._protocol.number_of is None:
            return
        try:
            number = self._protocol.number_of(frame)
        except NOT_A_FRAME:
            return
        if number is not None:
            if self._last is not None and number > self._last + 1:
                heard.missed = f"message {number} came after {self._last}"
            self._last = number

    def _control(self, frame: bytes, heard: Heard) -> None:
        asked = {number: tuple(one.streams) for number, one in self._asking.items()}
        try:
            answer = self._protocol.answer(frame, asked)
        except NOT_A_FRAME:  # the parser's judgement stands: it was control
            answer = Answer()
        if answer.refused_request is not None:
            self._refused_whole(answer)
        for name in answer.confirmed:
            stream = self._answered(name)
            if stream is not None:
                self.plan.serve(stream)
                if self._mute.pop(stream, None) is not None:
                    heard.late = f"{name} was answered late"
        for name, reason in answer.refused.items():
            if (stream := self._answered(name)) is not None:
                self.plan.refuse(stream, reason)
        heard.reply, heard.leave = answer.reply, answer.leave

    def _refused_whole(self, answer: Answer) -> None:
        asking = self._asking.pop(answer.refused_request or 0, None)
        if asking is None:
            return
        group = tuple(asking.streams)
        if len(group) == 1:
            self.plan.refuse(group[0], answer.reason)
            return
        half = len(group) // 2
        self._waiting.extendleft([(group[half:], False), (group[:half], False)])

    def _answered(self, name: str) -> Stream | None:
        for number, asking in self._asking.items():
            for stream in asking.streams:
                if stream.name == name:
                    asking.streams.remove(stream)
                    if not asking.streams:
                        del self._asking[number]
                    self._acquit(stream)
                    self._confirmed_any = True
                    return stream
        return None

    def _acquit(self, stream: Stream) -> None:
        suspects = (tuple(s for s in group if s != stream) for group in self.plan.suspects)
        self.plan.suspects = [group for group in suspects if group]

    def _unanswered(self, now: float) -> None:
        late = [n for n, one in self._asking.items() if now - one.since >= ANSWERED_WITHIN_S]
        for number in late:
            asking = self._asking.pop(number)
            for stream in asking.streams:
                if asking.again:
                    self.plan.report(stream, "the venue does not answer the subscription")
                    self._mute[stream] = now + ASKED_AGAIN_S
                else:
                    self._waiting.append(((stream,), True))
