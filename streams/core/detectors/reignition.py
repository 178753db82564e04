"""How likely an exhausted episode is to flare up again.

    P = 1 / (1 + exp(-w.x))     x = 1, Z - h, its largest so far, ln(age / 600 s), ln(waves)

P is the chance that another fifth of all USD forced since onset follows within half an hour.
The weights are fitted by class of feed; without any, nothing is stated. An end is otherwise a
guess: one in six of them is wrong (detection.md section 1).
"""

import math
from collections.abc import Sequence

from schemas.words import FeedClass
from streams.core.detectors.episode import Episode, Second
from streams.core.params import ReignitionParams

FEATURES = ("intercept", "excess", "largest_excess", "log_age_600_s", "log_waves")
#: What the weights are of: so much of what was forced since onset, in so many seconds.
SHARE, WITHIN_S = 0.20, 1800


def known(episode: Episode, now: Second) -> list[float]:
    """Return FEATURES as they stand in a second of an episode."""
    age = max(now.second - episode.onset, 1) / 600
    excess = now.score - now.threshold
    return [1.0, excess, episode.largest_excess, math.log(age), math.log(episode.wave)]


def probability(weights: Sequence[float], features: Sequence[float]) -> float:
    """Return the probability that `weights` give to a row of FEATURES."""
    z = sum(w * x for w, x in zip(weights, features, strict=True))
    return 1 / (1 + math.exp(-min(max(z, -30.0), 30.0)))


def stated(
    params: ReignitionParams, feed_class: FeedClass, episode: Episode, now: Second
) -> float | None:
    """Return the probability told when `episode` is called exhausted; None without weights.

    None too where flow helped to decide: the weights are not of such an excess.
    """
    weights = params.weights.get(feed_class)
    if weights is None or "flow" in now.score_name:
        return None
    return round(probability(weights, known(episode, now)), 4)
