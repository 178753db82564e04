"""What no venue promised to send, and some send."""

GARBAGE: tuple[str | bytes, ...] = (
    '{"arg":{"channel":',
    b"\xff\xfe\x00\x01 binary where text is promised",
    "NaN",
    '{"price":1e999}',
    '"' + "x" * 1_000_000 + '"',
    b"\x1f\x8b\x08\x00 a gzip member that breaks off",
    "",
)
