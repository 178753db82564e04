"""Whatever bytes come, a parser gives sound records and refusals with reasons; it never raises."""

import math
import random

from fuzz_frames import broken, run, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from venue_table import TABLE
from venues import RECV

from streams.feeds import bitfinex, bitget, bybit, deribit, gate, htx, kraken, registry, tape

KINDS = sorted({(row.venue, row.channel) for row in TABLE})


def test_thousands_of_broken_frames_become_all_that_a_frame_can_become_and_nothing_is_raised():
    counts = run(20_000, seed=20_261_127)
    assert sum(counts.values()) == 20_000
    assert set(counts) == {"records", "refusals", "records and refusals", "nothing", "control"}


def test_every_channel_has_a_frame_to_be_broken():
    assert {(s.row.venue, s.row.channel) for s in seeds()} == set(KINDS)


def test_what_a_quick_rule_lets_pass_is_what_the_exact_reading_makes_of_it(monkeypatch):
    """Each parser's loop says for itself what `tape` says; a bound that differs shows here."""
    modules = (bitget, bybit, deribit, gate, htx, kraken, tape)
    venues = {"bitfinex", "bitget", "bybit", "deribit", "gate", "htx", "kraken"}
    draw, tried = random.Random(20_261_128), [s for s in seeds() if s.row.venue in venues]
    frames = [(one, broken(draw, one, draw.choice(tried))) for one in tried * 1_000]
    frames += [(one, one.frame) for one in tried]

    def made():
        return [
            registry.parse(one.row.venue, one.row.channel, frame, one.instruments, RECV)
            for one, frame in frames
        ]

    quick = made()
    for module in modules:
        monkeypatch.setattr(module, "LEAST_USD", math.inf)
    monkeypatch.setattr(bitfinex, "_EXECUTED", int)  # of a frame: ValueError
    exact = made()
    assert sum(len(parsed.records) for parsed in quick) > 1_000
    for (one, frame), by_rule, by_reading in zip(frames, quick, exact, strict=True):
        assert by_rule == by_reading, (one.row.venue, one.row.channel, frame)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), frame=st.binary(max_size=60))
def test_noise_never_breaks_a_parser(kind, frame):
    venue, channel = kind
    for named in (channel, None):
        result = registry.parse(venue, named, frame, registry.bundled(venue), RECV)
        assert result.records == []


def test_nesting_beyond_reason_never_breaks_a_parser():
    for venue, channel in KINDS:
        for frame in (b"[" * 100_000, b'{"data":' * 50_000, b'{"result":[' * 50_000):
            for named in (channel, None):
                result = registry.parse(venue, named, frame, registry.bundled(venue), RECV)
                assert result.records == []
                assert len(result.refusals) == 1
