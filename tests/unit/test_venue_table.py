"""Each venue's frames become the records that the table says."""

import json

import msgspec
import pytest
from venue_table import TABLE
from venues import parsed

from streams.feeds import registry
from streams.feeds.tokens import NATIVE

NAMED = [pytest.param(row, id=f"{row.venue} {row.what}") for row in TABLE]


def _parsed(row, channel, frame):
    return parsed(row.venue, channel, frame, row.metadata, symbol=row.symbol)


@pytest.mark.parametrize("row", NAMED)
def test_a_frame_becomes_the_records_of_the_table(row):
    result = _parsed(row, row.channel, row.frame.encode())
    assert (result.refusals, result.control) == ([], False)
    answer = msgspec.to_builtins(result.records)
    for record, expected in zip(answer, row.records, strict=True):
        shown = {name: record.get(name) for name in expected}
        assert shown == {
            name: pytest.approx(value, rel=1e-12, abs=2**-16) if type(value) is float else value
            for name, value in expected.items()
        }


@pytest.mark.parametrize("row", NAMED)
def test_the_frame_tells_its_channel_itself(row):
    named = _parsed(row, row.channel, row.frame.encode())
    answer = _parsed(row, None, row.frame.encode())
    assert answer == named


@pytest.mark.parametrize("row", NAMED)
def test_a_second_delivery_of_a_frame_has_the_same_identities(row):
    first, second = (_parsed(row, row.channel, row.frame.encode()).records for _ in range(2))
    ids = [record.event_id for record in first]
    assert ids == [record.event_id for record in second]
    assert len(set(ids)) == len(ids)


def test_every_channel_has_a_row():
    channels = {
        (name, channel)
        for name, venue in registry.VENUES.items()
        for channel in venue.channels
        if name == "ethereum" or name not in NATIVE  # the others speak as it does
    }
    assert channels == {(row.venue, row.channel) for row in TABLE}


@pytest.mark.parametrize("row", NAMED)
def test_a_frame_cut_anywhere_is_refused_whole_and_nothing_is_raised(row):
    frame = row.frame.encode()
    for end in range(0, len(frame) - 1, 7):
        result = _parsed(row, row.channel, frame[:end])
        assert result.records == []
        assert result.refusals or json.loads(frame[:end])
