"""Answers and questions, compressed in the two ways ClickHouse's clients know.

compress=1, decompress=1   ClickHouse's own frames, each with a CityHash128 before it
Accept-Encoding            HTTP's: lz4 frames, zstd, gzip, deflate

[16 bytes of checksum][1 method][4 size with these 9][4 plain size][data]
"""

import struct
import zlib
from collections.abc import Iterator

import lz4.block
import lz4.frame
from backports import zstd
from clickhouse_cityhash.cityhash import CityHash128

#: ClickHouse's own.
FRAMES = "frames"
#: What an answer may be encoded in, the cheapest first.
ENCODINGS = ("lz4", "zstd", "gzip", "deflate")
#: Below this an answer goes as it is, bytes; ClickHouse's own frames go always.
WORTH_BYTES = 1024
#: Plain bytes of one frame, as a server makes them.
_FRAME_BYTES = 1 << 20
_HEAD = struct.Struct("<BII")
_LZ4, _ZSTD, _NONE = 0x82, 0x90, 0x02
_HALVES = struct.Struct("<QQ")
_CHECKSUM_BYTES = _HALVES.size


class Torn(ValueError):
    """What came is not what it says it is."""


def accepted(header: str) -> str:
    """Choose an encoding from an Accept-Encoding header, '' for none."""
    offered = {}
    for part in header.lower().split(","):
        name, _, weight = part.strip().partition(";")
        offered[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((name for name in ENCODINGS if offered.get(name)), "")


def compressed(body: bytes, encoding: str) -> bytes:
    """Return `body` in `encoding`, which is FRAMES or one of ENCODINGS."""
    if encoding == FRAMES:
        return b"".join(_frames(body))
    if encoding == "lz4":
        return bytes(lz4.frame.compress(body))
    if encoding == "zstd":
        return zstd.compress(body, 1)
    packer = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    return packer.compress(body) + packer.flush()


def _frames(body: bytes) -> Iterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), _FRAME_BYTES):
        plain = view[start : start + _FRAME_BYTES]
        data = lz4.block.compress(plain, store_size=False)
        frame = _HEAD.pack(_LZ4, _HEAD.size + len(data), len(plain)) + data
        yield _checksum(frame) + frame


def plain_from_frames(body: bytes, at_most: int) -> bytes:
    """Undo ClickHouse's own frames, up to one byte more than `at_most`; raises Torn."""
    plain, at = b"", 0
    while at < len(body) and len(plain) <= at_most:
        start = at + _CHECKSUM_BYTES
        if len(body) < start + _HEAD.size:
            raise Torn("a frame is cut short")
        method, size, plain_size = _HEAD.unpack_from(body, start)
        frame = body[start : start + size]
        if len(frame) != size or size < _HEAD.size or _checksum(frame) != body[at:start]:
            raise Torn("a frame's checksum is not its own")
        if plain_size > at_most - len(plain) + 1:
            return plain + b" " * (at_most + 1 - len(plain))
        plain += _plain(method, frame[_HEAD.size :], plain_size)
        at = start + size
    return plain


def _plain(method: int, data: bytes, size: int) -> bytes:
    try:
        if method == _LZ4:
            return bytes(lz4.block.decompress(data, uncompressed_size=size))
        if method == _ZSTD:
            return zstd.ZstdDecompressor().decompress(data, size)
    except (lz4.block.LZ4BlockError, zstd.ZstdError) as problem:
        raise Torn(str(problem)) from None
    if method == _NONE:
        return data
    raise Torn(f"method {method:#x} is not known")


def _checksum(frame: bytes) -> bytes:
    """Return a frame's CityHash128 as a server writes it: the library's high half first."""
    both = int(CityHash128(frame))
    return _HALVES.pack(both >> 64, both & (2**64 - 1))
