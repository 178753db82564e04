"""What the doctor says of producers that hold others back."""

from streams.core.attendance import Attendance
from streams.doctor import waits

T = 1_763_683_200_000_000


def row(**given: object) -> Attendance:
    usual = {"topic": "liquidations", "partition": 0, "producer": "bybit", "standing": "alive"}
    return Attendance(**(usual | {"ts_last": T} | given))  # type: ignore[arg-type]


def test_who_holds_others_back_is_named_once_with_whom_and_how_far_it_has_come() -> None:
    rows = [
        row(partition=partition, holds_back=["bars", "whale_transfers"], ts_last=T + partition)
        for partition in range(4)
    ]
    [verdict] = waits.checks([*rows, row(producer="okx")])
    assert (verdict.check, verdict.state) == ("waits", "look")
    assert verdict.what == (
        "bars, whale_transfers wait for bybit on liquidations, which is at 2025-11-21 00:00:00 UTC"
    )
    assert verdict.next_step == "start bybit again, or look why it is behind"


def test_an_input_on_which_nobody_speaks_is_no_producer_called_nobody() -> None:
    unheard = row(producer="nobody", standing="never", ts_last=None, holds_back=["bars"])
    [verdict] = waits.checks([unheard])
    assert verdict.what.startswith("bars wait for whoever should speak on liquidations, which has")
    [verdict] = waits.checks([row(left_out=True)])
    assert "gone on without" in verdict.what


def test_that_nobody_is_waited_for_is_said_only_where_somebody_is_heard() -> None:
    assert [v.state for v in waits.checks([row()])] == ["well"]
    assert list(waits.checks([row(standing="unread")])) == []
    assert list(waits.checks([])) == []
