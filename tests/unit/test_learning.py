"""What venues do not say is learnt from what they sent, and not before there is enough of it."""

import json

import pytest
from click.testing import CliRunner
from venues import RECV, records

from streams.cli import main
from streams.feeds import learning, registry
from streams.process import learnt_file
from streams.sources.raw_frames import FrameWriter, RawFrame

T = RECV // 1_000_000


def streamed(sign, count=30, wrong=0):
    """Frames of Gate's WebSocket whose sign is the order's (1) or the position's (-1)."""
    frames = []
    for n in range(count):
        order = -1 if n % 3 else 1
        size = order * sign * (10 + n) * (-1 if n < wrong else 1)
        item = {
            "contract": "BTC_USDT",
            "price": "80000",
            "size": size,
            "time_ms": (T - 3600 + n) * 1000,
        }
        frames.append(
            {"time": T, "channel": "futures.public_liquidates", "event": "update", "result": [item]}
        )
    return frames


def answered(count=30):
    return [
        {"time": T - 3600 + n, "contract": "BTC_USDT", "size": 999, "order_size": (-1 if n % 3 else 1) * (10 + n),
         "order_price": "80000", "fill_price": "79990", "left": 0}
        for n in range(count)
    ]  # fmt: skip


def record_frames(folder, frames):
    writer = FrameWriter(folder)
    for n, frame in enumerate(frames):
        venue, text = frame
        writer.write(RawFrame(RECV + n, venue, f"{venue}/1", "", json.dumps(text).encode()))
    writer.close()


def learn(tmp_path, frames, orders=None):
    record_frames(tmp_path / "frames", frames)
    extra = []
    if orders is not None:
        (tmp_path / "orders.json").write_text(json.dumps(orders))
        extra = ["--orders", str(tmp_path / "orders.json")]
    arguments = ["feed", "learn", str(tmp_path / "frames"), *extra, "--data-dir", str(tmp_path)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), learnt_file.load(learnt_file.file_of(str(tmp_path)))


@pytest.mark.parametrize(
    ("sign", "learnt", "sides"),
    [(1, "order", ("short", "buy")), (-1, "position", ("short", "buy"))],
)
def test_gates_sign_is_learnt_from_orders_that_rest_tells_too(tmp_path, sign, learnt, sides):
    said, kept = learn(tmp_path, [("gate", f) for f in streamed(sign)], answered())
    assert said["gate"]["sign"] == learnt
    assert (kept.gate.cases, kept.gate.sign, kept.source) == (30, learnt, str(tmp_path / "frames"))
    known = registry.bundled("gate").of_connection()
    learnt_file.apply(kept, "gate", known)
    frame = json.dumps(streamed(sign)[0]).encode()  # REST: order_size 10, it bought
    [record] = registry.parse("gate", None, frame, known, RECV).records
    assert (record.position_side, record.order_side) == sides


@pytest.mark.parametrize(
    ("frames", "orders"),
    [
        (streamed(1, count=19), answered()),
        (streamed(1, wrong=3), answered()),
        (streamed(1), []),
        (streamed(1), None),
    ],
    ids=["too few", "contradicted", "REST tells none", "no answers"],
)
def test_nothing_is_learnt_from_too_little_or_from_what_contradicts_itself(
    tmp_path, frames, orders
):
    said, kept = learn(tmp_path, [("gate", f) for f in frames], orders)
    assert said["gate"]["sign"] is None
    assert kept.gate is None
    assert not learnt_file.file_of(str(tmp_path)).exists()


def test_an_order_that_two_answers_could_be_is_no_case():
    twice = [*answered(), *answered()]
    streamed_ = [r for f in streamed(1) for r in records("gate", None, f)]
    rest = [r for row in twice for r in records("gate", "liq_orders", [row])]
    assert learning.gate_sign(streamed_, rest).cases == 0


def forced(stream, second, quantity, at_ms):
    order = {"s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": quantity, "p": "80000", "ap": "80000",
             "X": "FILLED", "l": quantity, "z": quantity, "T": (T - 3600 + second) * 1000 + at_ms}  # fmt: skip
    return {
        "stream": stream,
        "data": {"e": "forceOrder", "E": (T - 3599 + second) * 1000, "o": order},
    }


@pytest.mark.parametrize(
    ("symbols_own", "all_market", "coverage"),
    [
        # The symbol's own stream tells the larger, which is the later every other time.
        (lambda n: ("5.0", 100 if n % 2 else 900), lambda n: ("1.0", 500), "largest_per_second"),
        # It tells the later, which is the larger every other time.
        (lambda n: ("5.0" if n % 2 else "0.1", 900), lambda n: ("1.0", 500), "latest_per_second"),
        # Neither: both by chance.
        (
            lambda n: ("5.0" if n % 2 else "0.1", 900 if n % 3 else 100),
            lambda n: ("1.0", 500),
            None,
        ),
    ],
)
def test_what_binances_stream_of_a_symbol_samples_is_learnt_where_the_two_streams_differ(
    tmp_path, symbols_own, all_market, coverage
):
    frames = []
    for second in range(30):
        frames.append(("binance", forced("btcusdt@forceOrder", second, *symbols_own(second))))
        frames.append(("binance", forced("!forceOrder@arr", second, *all_market(second))))
    said, kept = learn(tmp_path, frames)
    assert (said["binance"]["cases"], said["binance"]["coverage"]) == (30, coverage)
    known = registry.bundled("binance").of_connection()
    learnt_file.apply(kept, "binance", known)
    frame = json.dumps(forced("btcusdt@forceOrder", 1, "1", 5)).encode()
    [record] = registry.parse("binance", None, frame, known, RECV).records
    assert record.coverage == (coverage or "largest_per_second")


def test_seconds_in_which_both_streams_tell_the_same_order_are_no_cases(tmp_path):
    frames = [
        ("binance", forced(stream, second, "1.0", 100))
        for second in range(30)
        for stream in ("btcusdt@forceOrder", "!forceOrder@arr")
    ]
    said, _ = learn(tmp_path, frames)
    assert said["binance"]["cases"] == 0
