"""Messages of `trades` that a decoder may trip over: whole ones, strange values, damage."""

import json
import random
import re
from collections.abc import Callable

T = 1_763_683_200_000_000

#: Numbers, and what is none: signs, points, exponents, every power at which an integer wraps.
NUMBERS = """
    0 -0 0.0 -0.0 0e0 0e5 0.0e10 0e400 0E-0 00 01 00.5 1 -1 --1 +1 1- 1. .5 0. 1.0 1..5 1.5.5
    1.e5 0x10 1e5 1E5 1e+5 1e-5 1e 1e+ 1e- 1e0005 1e005 1e1000 1e400 1e-400 1e5.5 1e5e5 1_0
    5e-1 2.5e-8 1e9 1e10 1e15 1e16 1e-22 1e22 1e23 8.5e15 4.9e-324 1.7976931348623157e308
    1.7976931348623159e308 0.1 0.10 0.100000000000000000000000000001 1000000000.0000001
    10000000000.000001 0.00000000000000000001 123456789012345678901234567890 9007199254740993
    9007199254740992.9 9007199254740993.0 9007199254740993.1 4503599627370497.5
    1.00000000000000011 2147483648 4294967296 1000000000000000000 9223372036854775807
    9223372036854775808 9999999999999999999 10000000000000000000 18446744073709551615
    18446744073709551616 18446744073709551617 36893488147419103232 99999999999999999999
    340282366920938463463374607431768211456 18446744073709551616000 184467.44073709551616
    1.8446744073709551616e5 0.18446744073709551616 92233.720368547758080 NaN nan Infinity
    -Infinity null true false Null nul nulll {} [] [1] "" "1" "null" 1/**/ \u0661 1e\u0661
""".split()  # noqa: SIM905 - a hundred read better without quotes
WRAPS = [str(k * 2**64 + d) for k in (1, 2, 3, 5, 10, 54) for d in (-1, 0, 1)]
# fmt: off
TIMES = (
    f"{T} {T + 1} {T}.0 {T}e0 {T}0 {T // 10} 0{T // 10} -{T} 00{T} \"{T}\" 1420070400000000 1420069999999999 "
    f"4102444800000000 4102444800000001 1e16 1.7e15 1763683200000000.0 1.7636832E15 null 0 "
    f"{'9' * 15} {'9' * 16} {'9' * 17} {'9' * 19} {'0' * 16} {T + 300_000_000} {T + 300_000_001}"
).split()
# fmt: on
#: Inside quotes, as they stand in the text: escapes, surrogates, controls, letters of the world.
# fmt: off
STRINGS = [
    "", "x", " ", "  x", "binance", "BTC", "BTC-USDT-PERP", "buy", "sell", "Buy", "trade", "trades",
    *("a" * n for n in (7, 8, 9, 39, 40, 41, 199, 200, 201)), "A" * 20, "A" * 21,
    "\\u0041", "\\u12", "\\x41", "\\n", '\\"', "\\\\", "\\/", "\\b", "\\u0000", "\\ud800", "\\udc00",
    "\\ud83d\\ude00", "\\ud83d", "\\u00e9", "BTC\\n", "BTC-USDT-PERP\\n", "binance\\u000a", "binance\n",
    "é", "e\u0301", "日本", "币安人生", "币安人生USDT", "币安人生-USDT-PERP", "币" * 20, "币" * 21, "币" * 67,
    "\U0001d7d9", "😀", "\x00", "\x1f", "\t", "\x1b[2J", "\x7f", "\x80", "\x9b", "\xa0", "\xad",
    "\u200b", "\u202e", "\u2028", "\u2066", "\u3164", "\ufeff", "\ufe0f", "\uffff", "'", "<b>", "a b",
    "-x", ".x", "9x", "binance-x", "ETH-USDT-SPOT", "BTC-EUR-SPOT", "BTC-USDT-251226",
    "BTC-USDT-25122", "BTCX-USDT-PERP", "btc",
]
SPACES = ["", " ", "\t", "\n", "\r", " \t\n\r ", " " * 9, "\x0b", "\x0c", "\xa0", "\u2003", "\x00", "//x\n"]
EXTRA_KEYS = ["extra", "prices", "pric", "event_id2", "TYPE", "ts_even", "ts_recv ", "", "price\\u0000"]
# fmt: on
EXTRA_VALUES = ["1", "{}", "[]", '"x"', '{"a":[1,{"type":"trade"}]}', "null", "[" * 9 + "]" * 9]
OTHERS = [b"", b"[]", b"{}", b"null", b"[null]", b" ", b"\x00", b"[[]]", b"[{}]", b"true", b"[" * 2000,
          b'{"type":"feed_status","producer":"x","state":"alive","ts_event":%d}' % T]  # fmt: skip
_DAMAGE = b'0123456789.,:"{}[]e-+ \\\n\x00\x7f\xff\xe5\xb8\x81'
_VALUE = re.compile(rb'(?<=:)(?:"[^"]*"|[^,}"]+)(?=[,}])')

Fields = list[tuple[str, str]]


def whole(draw: random.Random) -> Fields:
    """Return the fields of a trade, as JSON texts, that mostly is sound."""
    price = draw.choice([90000.5, 0.1, 1e-8, 123456.789, draw.random() * 10 ** draw.randint(-6, 6)])
    quantity = draw.choice([0.25, 1, 1e6, draw.random() * 10 ** draw.randint(-4, 4) + 1e-9])
    worth = price * quantity * draw.choice([1, 1, 1, 0.5, 2, 1.0000001, 2.0000001, 0.4999999])
    asset = draw.choice(["BTC", "BTC", "ETH", "币安人生", "1000PEPE"])
    quote, kind = draw.choice(["USDT", "USD", "EUR"]), draw.choice(["PERP", "SPOT", "251226"])
    event = T + draw.randint(-(10**9), 10**9)
    return [
        ("type", '"trade"'),
        ("event_id", f'"{draw.randint(0, 10**9)}"'),
        ("venue", f'"{draw.choice(["binance", "bybit", "okx", "hl.x", "a_b-c"])}"'),
        ("instrument", f'"{asset}-{quote}-{kind}"'),
        ("venue_symbol", f'"{asset}{quote}"'),
        ("asset", f'"{asset}"'),
        ("aggressor_side", draw.choice(['"buy"', '"sell"'])),
        ("price", repr(price)),
        ("quantity", repr(quantity)),
        ("notional_usd", draw.choice(["null", repr(worth), repr(worth), "0"])),
        ("ts_event", str(event)),
        ("ts_recv", str(event + draw.randint(0, 10**6))),
    ]


def number(draw: random.Random) -> str:
    """Return a number's text: one of the known traps, or digits with a point and an exponent."""
    if draw.random() < 0.25:
        return draw.choice(draw.choice([NUMBERS, NUMBERS, WRAPS]))
    if draw.random() < 0.1:
        digits = str(draw.randrange(1, 200) * 2**64)
    else:
        digits = "".join(draw.choices("0123456789", k=draw.randint(1, 22)))
    if draw.random() < 0.6:
        at = draw.randint(0, len(digits))
        digits = f"{digits[:at]}.{digits[at:]}"
    if draw.random() < 0.8:  # as JSON has it
        whole_part, point, rest = digits.partition(".")
        digits = (whole_part.lstrip("0") or "0") + (point and f".{rest or 0}")
    if draw.random() < 0.4:
        digits += f"{draw.choice('eE')}{draw.choice(['', '+', '-'])}{draw.randint(0, 45)}"
    return f"-{digits}" if draw.random() < 0.05 else digits


def value(draw: random.Random, key: str) -> str:
    """Return a strange value for a field."""
    fitting = draw.random() < 0.9
    if key.startswith("ts_") and fitting:
        return draw.choice(TIMES)
    if key in ("price", "quantity", "notional_usd") or key.startswith("ts_"):
        return number(draw) if fitting else f'"{draw.choice(STRINGS)}"'
    return f'"{draw.choice(STRINGS)}"' if fitting else number(draw)


def object_text(draw: random.Random) -> str:
    """Return a trade with strange values, keys and spaces, or none of them."""
    fields = whole(draw)
    if draw.random() < 0.25:
        draw.shuffle(fields)
    for _ in range(draw.choice([0, 0, 1, 1, 1, 2, 3])):
        at = draw.randrange(len(fields))
        fields[at] = (fields[at][0], value(draw, fields[at][0]))
    _keys_changed(draw, fields)
    often = draw.choice([0, 0, 0, 0.3, 1])

    def space() -> str:
        if draw.random() >= often:
            return ""
        return draw.choice(SPACES if draw.random() < 0.05 else SPACES[:7])

    body = ",".join(f'{space()}"{key}"{space()}:{space()}{text}{space()}' for key, text in fields)
    return _braces_changed(draw, "{" + body + "}")


def _keys_changed(draw: random.Random, fields: Fields) -> None:
    at, what = draw.randrange(len(fields)), draw.random()
    key, text = fields[at]
    if what < 0.06:
        fields.insert(draw.randrange(len(fields) + 1), (key, draw.choice([text, value(draw, key)])))
    elif what < 0.10:
        extra = draw.choice(EXTRA_KEYS), draw.choice(EXTRA_VALUES)
        fields.insert(draw.randrange(len(fields) + 1), extra)
    elif what < 0.14:
        del fields[at]
    elif what < 0.16:
        fields[at] = (f"{key[:1]}\\u{ord(key[1]):04x}{key[2:]}", text)
    elif what < 0.17:
        fields[at] = (key + draw.choice([" ", "\x00", "\\n"]), text)


def _braces_changed(draw: random.Random, text: str) -> str:
    what = draw.random()
    if what < 0.02:
        return text[:-1] + ",}"
    if what < 0.03:
        return text.replace(",", ",,", 1)
    if what < 0.04:
        return text[: draw.randrange(len(text))]
    if what < 0.05:
        return text + draw.choice(["}", "]", "x", "\x00", ",", "{}", " 1", "\ufeff", text])
    if what < 0.06:
        return draw.choice(["\ufeff", "x", "\x00", "[", "{"]) + text
    return text.replace('"', "'", draw.choice([1, 2, 50])) if what < 0.065 else text


def payload(draw: random.Random) -> bytes:
    """Return one message: an object, an array of some, or neither."""
    what = draw.random()
    if what > 0.98:
        return draw.choice(OTHERS)
    text = object_text(draw)
    if what > 0.85:
        text = f"[{','.join(object_text(draw) for _ in range(draw.randint(0, 4)))}]"
        ends = draw.random()
        if ends < 0.15:
            text = draw.choice([text[:-1], f"[{text}", f"{text}]", text[:-1] + ",]", f"[{text}]"])
    if draw.random() < 0.2:
        text = draw.choice(SPACES[:7]) + text + draw.choice(SPACES)
    if any("\x80" <= letter < "\u0100" for letter in text) and draw.random() < 0.5:
        return text.encode("latin-1", "replace")  # no UTF-8
    return text.encode("utf-8", "surrogatepass")


def damaged(draw: random.Random, text: bytes, times: int) -> bytes:
    """Return a message with some bytes replaced, dropped, added, swapped, doubled or cut off."""
    body = bytearray(text or b"{")
    for _ in range(times):
        at, what = draw.randrange(len(body)), draw.randrange(8)
        if what < 2:
            body[at] = draw.randrange(256)
        elif what == 2:
            del body[at]
        elif what == 3:
            body.insert(at, draw.choice(_DAMAGE))
        elif what == 4:
            body[at] ^= 1 << draw.randrange(8)
        elif what == 5:
            other = draw.randrange(len(body))
            body[at], body[other] = body[other], body[at]
        elif what == 6:
            del body[at:]
        else:
            body[at:at] = body[at : at + draw.randint(1, 16)]
        body = body or bytearray(b"{")
    return bytes(body)


def stream(seed: int) -> Callable[[], bytes]:
    """Return what gives message after message, quickly: spliced and damaged out of pools."""
    draw = random.Random(seed)
    pool = [payload(draw) for _ in range(20_000)]
    plain = [json_text(whole(draw)) for _ in range(4_000)]
    spans = [[scalar.span() for scalar in _VALUE.finditer(text)] for text in plain]
    pools = [
        [value(draw, key).encode("utf-8", "surrogatepass") for _ in range(2_000)]
        for key, _ in whole(draw)
    ]

    def one() -> bytes:
        what = draw.random()
        if what < 0.1:
            return draw.choice(pool)
        at = draw.randrange(len(plain))
        text = plain[at]
        if what < 0.65:  # more than half of it numbers, where most can go wrong
            field = draw.choice((7, 8, 9, 7, 8, 9, 10, 11, draw.randrange(12)))
            begin, end = spans[at][field]
            text = text[:begin] + draw.choice(pools[field]) + text[end:]
        if 0.6 <= what < 0.85:
            text = damaged(draw, text, draw.randint(1, 2))
        around = draw.random()
        if around < 0.08:
            return b"[" + text + b"," + draw.choice(plain) + b"]"
        if around < 0.12:
            return draw.choice([text + b" \n", b"\t " + text, b"[" + text + b"]", text + b"\x00"])
        return text

    return one


def json_text(fields: Fields) -> bytes:
    """Return fields as one object, in their order."""
    return ("{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in fields) + "}").encode()
