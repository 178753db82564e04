"""A part of a form that is uploaded (multipart/form-data)."""

from typing import NamedTuple

#: What an uploaded picture is called.
PNG = "episode.png"


class Part(NamedTuple):
    """One field; `filename` is empty where it is no file."""

    name: str
    content: bytes
    content_type: str
    filename: str = ""
