"""Z30 of whole histories in which venues fall silent is the detector's own."""

import numpy as np
import pytest

from streams.core.detectors import log_rate, rate_state
from streams.core.detectors.prior import PriorParams
from streams.core.detectors.rate_state import Absence
from streams.core.detectors.venue_rates import VenueSecond
from streams.core.params import OnsetParams
from streams.evaluate import product, scores, venue_scores
from streams.evaluate.protocol import CONTENDERS, PRODUCT, Seen
from streams.evaluate.venue_scores import Silence

VENUES = ("a", "b", "c")
SECONDS = 16_000
BUSY = slice(8_000, 8_300)
SILENCES = [
    Silence((0,), 2_000, 2_400),
    Silence((1, 2), 7_900, 8_500),
    Silence((1,), 12_000, 12_900),
]


def feed(seed: int, coverage: tuple[str, ...], gone: list[Silence]) -> scores.Shown:
    """Quiet orders, a busy stretch, and nothing of a venue while it is silent."""
    rate = np.full((3, SECONDS), 0.03)
    rate[:, BUSY] = 3.0
    counts = np.random.default_rng(seed).poisson(rate)
    for venues, start, stop in gone:
        counts[list(venues), start:stop] = 0
    for v, rule in enumerate(coverage):
        counts[v] = counts[v] if rule == "full" else np.minimum(counts[v], 1)
    venue, at = (np.repeat(x.ravel(), counts.ravel()) for x in np.indices(counts.shape))
    usd = np.exp(8 + 1.8 * np.random.default_rng(seed + 1).normal(size=len(at)))
    return scores.shown(at.astype(np.int32), venue.astype(np.int8), usd, coverage, SECONDS)  # type: ignore[arg-type]


def stepped(shown: scores.Shown, coverage: tuple[str, ...], silences_said: list[Silence], priors):  # type: ignore[no-untyped-def]
    state, series, i = rate_state.RateState(), [], 0
    missed = np.zeros(3, int)
    for second in range(shown.seconds):
        seen: dict[str, VenueSecond] = {}
        while i < len(shown.at) and shown.at[i] == second:
            v = int(shown.venue[i])
            entry = seen.setdefault(VENUES[v], VenueSecond(coverage=coverage[v]))  # type: ignore[arg-type]
            entry.entries.append((1, float(shown.usd[i])))
            i += 1
        gone = {
            v for venues, start, stop in silences_said if start <= second < stop for v in venues
        }
        missed[list(gone)] += 1
        away = {VENUES[v]: Absence(1, True) for v in gone}
        for v in range(3):
            if VENUES[v] not in state.usual and v not in gone and missed[v]:
                away[VENUES[v]] = Absence(int(missed[v]), False)
        log_rate.step(OnsetParams(), state, second, 1, seen, away, priors)
        said = rate_state.feed_class(state), rate_state.only_latest(state)
        series.append((state.score, *said, state.expected_orders))
    return series


@pytest.mark.parametrize(
    "coverage", [("full",) * 3, ("latest_per_second", "full", "full"), ("latest_per_second",) * 3]
)
@pytest.mark.parametrize(
    ("silences_said", "asset"), [(True, None), (False, "BTC"), (True, "SMALL")]
)
def test_the_batch_form_under_silences_is_the_detector_stepped_second_by_second(
    coverage: tuple[str, ...], silences_said: bool, asset: str | None
) -> None:
    shown = feed(5, coverage, SILENCES)
    priors = PriorParams().of(asset) if asset else {}
    batch = venue_scores.z30(shown, SILENCES, silences_said, np.float64, priors)
    by_second = stepped(shown, coverage, SILENCES if silences_said else [], priors)
    first = int(shown.at[0])
    score = np.array([row[0] for row in by_second])
    assert np.abs(batch.score - score)[first:].max() < 1e-9
    assert batch.score[BUSY].max() > 3
    classes = [venue_scores.CLASSES[c] for c in batch.feed_class[first:]]
    assert classes == [row[1] for row in by_second[first:]]
    assert batch.latest[first:].tolist() == [row[2] for row in by_second[first:]]
    usual = np.array([row[3] for row in by_second[first:]])
    assert batch.usual_orders[first:] == pytest.approx(usual, rel=1e-6)


def test_without_a_silence_it_is_z30_over_all_venues() -> None:
    shown = feed(6, ("full", "full", "largest_per_second"), [])
    both = scores.halves(shown, 30, 10, kind=np.float64)
    batch = venue_scores.z30(shown, [], True, np.float64)
    first = int(shown.at[0])
    assert np.abs(batch.score - (both.orders + both.usd) / 2)[first:].max() < 1e-9


def test_the_product_is_judged_with_what_it_expects_of_an_asset_that_it_hardly_knows() -> None:
    shown, nothing = feed(5, ("full",) * 3, []), np.zeros(SECONDS, np.float32)
    with_prior = product.undertow(shown, nothing, nothing, PriorParams().of("BTC"))
    without = product.undertow(shown, nothing, nothing)
    # The tape is ten times as busy as the prior.
    assert (with_prior - without)[BUSY].min() > 0.3


def test_what_evaluate_judges_is_the_product_with_price_and_taker_flow_each_in_its_place() -> None:
    shown = feed(5, ("latest_per_second",) * 3, [])
    draw = np.random.default_rng(3)
    price = np.cumsum(draw.normal(0, 1e-4, SECONDS)).astype(np.float32)
    taker = draw.normal(0, 1e4, SECONDS).astype(np.float32)
    priors = PriorParams().of("BTC")
    judged = CONTENDERS[PRODUCT].parts[0](Seen(shown, price, taker, priors))
    assert np.array_equal(judged, product.undertow(shown, taker, price, priors))
    assert np.isfinite(judged).all()
