"""What replies of several venues have in common: naming streams whose request has no number."""

from streams.feed.protocol import Answer, Asked, Stream


def all_asked(asked: Asked) -> list[Stream]:
    """Return every stream without an answer, oldest request first."""
    return [stream for number in sorted(asked) for stream in asked[number]]


def refused_by_text(asked: Asked, text: str, channel: str = "") -> Answer:
    """Return a refusal of the stream whose symbol a complaint mentions, else of a whole request.

    The oldest of `channel`, where one is named: venues answer in the order in which they are asked.
    """
    reason = text[:300]
    for stream in all_asked(asked):
        if stream.symbol and stream.symbol in text and channel in ("", stream.channel):
            return Answer(refused={stream.name: reason})
    for number in sorted(asked):
        if any(channel in ("", stream.channel) for stream in asked[number]):
            return Answer(refused_request=number, reason=reason)
    return Answer()
