"""Whatever bytes come, a parser gives sound records and refusals with reasons; it never raises."""

from fuzz_frames import run, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from venue_table import TABLE
from venues import RECV

from streams.feeds import registry

KINDS = sorted({(row.venue, row.channel) for row in TABLE})


def test_thousands_of_broken_frames_become_all_that_a_frame_can_become_and_nothing_is_raised():
    counts = run(20_000, seed=20_261_127)
    assert sum(counts.values()) == 20_000
    assert set(counts) == {"records", "refusals", "records and refusals", "nothing", "control"}


def test_every_channel_has_a_frame_to_be_broken():
    assert {(s.row.venue, s.row.channel) for s in seeds()} == set(KINDS)


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
