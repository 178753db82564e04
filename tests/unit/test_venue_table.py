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


def _items(document):
    """Return the innermost list of items of a message, None where it holds none."""
    if isinstance(document, list):
        first = document[0] if document else None
        return _items(first) or (document if isinstance(first, dict) else None)
    if isinstance(document, dict):
        inner = (
            _items(value) for name, value in document.items() if isinstance(value, dict | list)
        )
        return next((items for items in inner if items is not None), None)
    return None


LISTED = [
    row
    for row in TABLE
    if row.venue not in ("whale_alert", "bitcoin")
    and row.channel not in ("block", "tickers", "futures.tickers", "ticker", "instrument")
    and _items(json.loads(row.frame)) is not None
]


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.venue} {row.what}") for row in LISTED])
def test_what_stands_beside_a_bad_item_is_read_as_without_it(row):
    """A sound message is decoded whole, another item by item: both ways give the same."""
    document = json.loads(row.frame)
    whole = _parsed(row, row.channel, json.dumps(document).encode())
    for place in (0, -1):
        beside = json.loads(row.frame)
        items = _items(beside)
        items.insert(place % (len(items) + 1), {"bad": True})
        one_by_one = _parsed(row, row.channel, json.dumps(beside).encode())
        assert one_by_one.records == whole.records
        assert len(one_by_one.refusals) == 1
        assert one_by_one.history == whole.history
