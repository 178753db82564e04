"""Another market for the whale test: repeatable, as loud as it is said to be, with planted sales."""

import numpy as np
import pytest

from streams.core.params import WhaleParams
from streams.evaluate import whale_foreign, whale_paths
from streams.evaluate.whale_foreign import ForeignMarket

PARAMS = WhaleParams()


def test_the_same_seed_gives_the_same_market_and_another_one_another() -> None:
    one, same, other = (whale_foreign.path(ForeignMarket(), seed, 5) for seed in (1, 1, 2))
    assert np.array_equal(one.laid[0].here, same.laid[0].here)
    assert not np.array_equal(one.laid[0].here, other.laid[0].here)
    assert np.array_equal(one.deposits.usd, same.deposits.usd)


def test_the_louder_its_venues_the_more_a_sale_drowns() -> None:
    quiet, loud = (
        whale_foreign.noise(ForeignMarket(own=own), 1, 20, PARAMS) for own in (0.35, 1.4)
    )
    assert 0.1 < quiet < loud < 2


def test_what_is_sold_is_missing_on_its_venue_and_nowhere_else_but_for_the_echo() -> None:
    market = ForeignMarket(echo=0.0, sells=1.0)
    sold = whale_foreign.path(market, 3, 5)
    kept = whale_foreign.path(ForeignMarket(echo=0.0, sells=0.0), 3, 5)
    differs = [np.sum(b.here - a.here) for a, b in zip(sold.laid, kept.laid, strict=True)]
    by_venue = np.bincount(sold.sales.venue, sold.sold_usd, len(market.shares))
    assert differs == pytest.approx(by_venue, rel=1e-6)
    assert (kept.deposits.sale == -1).all()


def test_in_a_quiet_market_most_large_sales_are_found() -> None:
    market = ForeignMarket(own=0.2, median=0.4, wait_min=5.0, lasts_min=(5.0, 20.0))
    made = whale_foreign.path(market, 4, 12)
    of = made.deposits
    sold, kept = (
        np.flatnonzero((of.at > 5 * 1_440) & (of.at < 12 * 1_440 - 60) & sells)
        for sells in (of.sale >= 0, of.sale < 0)
    )
    found, mistaken = (
        np.mean(
            [
                (
                    whale_paths.weighed(PARAMS, made.laid[of.venue[n]], int(of.at[n]), []).p_value
                    or 1
                )
                <= 0.05
                for n in rows
            ]
        )
        for rows in (sold, kept)
    )
    assert len(sold) > 5
    assert found > 0.5
    assert mistaken < 0.2
