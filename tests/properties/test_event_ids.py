"""Ids seen in a second, alone or in columns, against a plain set of strings; and ids of one hash."""

from itertools import count

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.scan import event_ids
from schemas.scan.seen_ids import SeenIds, mark_of

IDS = st.text("01aé-", min_size=1, max_size=20) | st.integers(0, 4000).map(str)
#: Of a table here; this process's own nobody knows.
KEY = 0x3A7F_91C4_D25B_60E9
#: An id alone, or so many more in columns: of them some were there already.
NOTED = st.lists(IDS | st.tuples(st.lists(IDS), st.integers(0, 3000)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(NOTED)
def test_an_id_is_there_already_exactly_when_a_set_would_have_it(noted: list[object]) -> None:
    seen, known = SeenIds(), set[str]()
    for one in noted:
        if isinstance(one, str):
            assert seen.add(one) == (one in known)
            known.add(one)
        elif isinstance(one, tuple):
            ids = [*one[0], *map(str, range(one[1]))]
            expected = []
            for event_id in ids:
                expected.append(event_id in known)
                known.add(event_id)
            assert event_ids.of(ids).note(seen).tolist() == expected
        seen = msgspec.msgpack.decode(msgspec.msgpack.encode(seen), type=SeenIds)  # a checkpoint
        assert len(seen) == len(known)


def _two_of_one_hash() -> tuple[str, str]:
    """Return two printable ids of 16 letters whose hashes agree under KEY."""

    def after_eight(first: bytes) -> int:
        # The hash of eight bytes begins from 8, that of sixteen from 16.
        begun = int.from_bytes(first, "little") ^ 8 ^ 16
        return mark_of(begun.to_bytes(8, "little"), KEY)

    one, rest = b"%08d" % 0, int.from_bytes(b"00000000", "little")
    for number in count(1):
        other = b"%08d" % number
        twin = (rest ^ after_eight(one) ^ after_eight(other)).to_bytes(8, "little")
        if twin.isascii() and twin.decode().isprintable():
            return (one + b"00000000").decode(), (other + twin).decode()
    raise AssertionError


def test_two_ids_of_one_hash_are_two_ids() -> None:
    one, other = _two_of_one_hash()
    assert one != other
    assert mark_of(one.encode(), KEY) == mark_of(other.encode(), KEY)
    many = list(map(str, range(event_ids.FEW + 1)))
    seen = SeenIds(KEY)
    assert not event_ids.of([*many, one, other]).note(seen).any()
    assert event_ids.of([other, one, other]).note(seen).all()
    alone = SeenIds(KEY)
    event_ids.of([*many, one]).note(alone)
    assert alone.add(one)
    assert not alone.add(other)
    assert alone.add(other)


def test_ids_that_agree_under_one_key_do_not_under_that_of_this_process() -> None:
    one, other = _two_of_one_hash()
    assert mark_of(one.encode(), event_ids.KEY) != mark_of(other.encode(), event_ids.KEY)
    seen = SeenIds()
    event_ids.of(map(str, range(event_ids.FEW + 1))).note(seen)
    assert seen.key == event_ids.KEY


@pytest.mark.parametrize("before", ["", "trades:", "binance:ETHUSDT:"])
@pytest.mark.parametrize("digits", [7, 8, 9])
def test_ids_that_count_up_lie_near_where_they_are_looked_for(before: str, digits: int) -> None:
    seen = SeenIds()
    event_ids.of(f"{before}{10**digits // 2 + n}" for n in range(20_000)).note(seen)
    free = np.flatnonzero(np.frombuffer(seen.slots, np.int32) == 0)
    assert np.diff(free).max() < 100


def test_ids_are_copied_out_of_a_text_that_others_will_write_into() -> None:
    ids = [f"{number:08d}" for number in range(event_ids.FEW + 1)]
    lying = event_ids.of(ids)
    text = lying.text.copy()
    seen = SeenIds()
    event_ids.IdsInText(text, lying.spans).note(seen)
    text[:] = 0
    assert lying.note(seen).all()
    assert seen.add(ids[0])


def test_rows_of_a_column_are_strings_as_they_lie() -> None:
    column = event_ids.of(["a", "bb", "", "日本"])
    assert column.tolist() == ["a", "bb", "", "日本"]
    assert column[1:3].tolist() == ["bb", ""]
    assert column[np.array([True, False, False, True])].tolist() == ["a", "日本"]
    assert column[:0].tolist() == []
