"""An episode drawn as it was judged."""

import pytest
from nights import PARAMS, Item, play, with_feeds

from schemas.findings import CascadeFinding
from streams.evaluate import plots
from streams.evaluate.picture import largest, of_asset

NIGHT: list[Item] = with_feeds({}, {})


def test_the_picture_shows_the_findings_that_the_pipeline_gives() -> None:
    drawn = of_asset(PARAMS, NIGHT, "BTC")
    given = [f for f in play(NIGHT) if isinstance(f, CascadeFinding) and f.asset == "BTC"]
    shown = [(f.phase, f.ts_event, f.notional_usd, f.log_rate) for f in largest(drawn)]
    assert shown == [(f.phase, f.ts_event, f.notional_usd, f.log_rate) for f in given]
    onset = next(f for f in given if f.phase == "onset")
    assert drawn.excess[onset.ts_event // 1_000_000] == pytest.approx(
        onset.log_rate - onset.threshold
    )


def test_the_same_night_gives_the_same_picture() -> None:
    first, again = (
        plots.night(drawn, largest(drawn))
        for drawn in (of_asset(PARAMS, NIGHT, "BTC"), of_asset(PARAMS, NIGHT, "BTC"))
    )
    assert first == again
    assert all(f">{phase}<" in first for phase in ("watch", "onset", "peak", "exhausted"))


def test_where_no_cascade_was_called_nothing_is_drawn() -> None:
    with pytest.raises(ValueError, match="no cascade of DOGE was called"):
        largest(of_asset(PARAMS, NIGHT, "DOGE"))
