"""What to expect of an asset of which little was seen yet.

    usual = (seen + w * expected) / (age + w)      w falls to nothing in the baseline's seven days

That is the mean of a gamma law of the rate after `age` seconds of orders (gamma-Poisson), where
the law weighs as much as `w` seconds of watching. Dollars, winsorised, are shrunk alike.
"""

import math

import msgspec

from schemas.words import FeedClass

DAY = 86_400.0


class Prior(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Forced orders and winsorised USD a day on one position side, and USD an order.

    They weigh as much as `weight_s` seconds of watching, and as `weight_orders` orders.
    """

    orders: float
    usd: float
    order_usd: float
    weight_s: float = 86_400.0
    weight_orders: int = 20


class PriorParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Priors by class of liquidity and of feed.

    `full` and `mixed` are geometric means over both sides of a simulated market (seed 171: BTC and
    ETH, SOL), `thin` of them SOL's by the recording's ratio; `throttled` are those of its 151
    assets, one venue in January 2023. Where neither is like what is watched, they are off by some
    factor: METHOD.md says what a factor of three costs.
    """

    #: Whose class is not told here is thin.
    deep: tuple[str, ...] = ("BTC", "ETH")
    liquid: tuple[str, ...] = (
        "ADA", "AVAX", "BCH", "BNB", "DOGE", "DOT", "LINK", "LTC", "SOL", "XRP",
    )  # fmt: skip
    rates: dict[str, dict[FeedClass, Prior]] = msgspec.field(default_factory=lambda: _SHIPPED)

    def of(self, asset: str) -> dict[FeedClass, Prior]:
        """Return an asset's priors by class of feed; empty: there are none."""
        return self.rates.get(self.liquidity(asset), {})

    def liquidity(self, asset: str) -> str:
        """Return an asset's class: deep, liquid or thin."""
        return "deep" if asset in self.deep else "liquid" if asset in self.liquid else "thin"


_COMPLETE = {
    "deep": Prior(790.0, 6.3e6, 8_000.0),
    "liquid": Prior(500.0, 1.5e6, 3_000.0),
    "thin": Prior(64.0, 6.3e4, 1_100.0),
}
_THROTTLED = {
    "deep": Prior(370.0, 2.8e6, 6_600.0),
    "liquid": Prior(59.0, 1.9e5, 2_500.0),
    "thin": Prior(7.6, 7.8e3, 940.0),
}
_SHIPPED: dict[str, dict[FeedClass, Prior]] = {
    liquidity: {"full": whole, "mixed": whole, "throttled": _THROTTLED[liquidity]}
    for liquidity, whole in _COMPLETE.items()
}


def shrunk(
    prior: Prior, learnt: tuple[float, float], shares: tuple[float, float], age_s: int,
    baseline_s: int,
) -> tuple[float, float]:  # fmt: skip
    """Return orders and USD a second learnt over `age_s`, drawn towards what is expected.

    `shares`: of what is usual, those of the venues that speak.
    """
    weight_s = _weight_s(prior, age_s, baseline_s)
    if not weight_s:
        return learnt
    expected = prior.orders / DAY * shares[0], prior.usd / DAY * shares[1]
    orders, usd = (
        (seen * age_s + usual * weight_s) / (age_s + weight_s)
        for seen, usual in zip(learnt, expected, strict=True)
    )
    return orders, usd


def drawn(prior: Prior, usual_orders: float, age_s: int, baseline_s: int) -> float:
    """Return usual orders a day, drawn by their logarithm towards what is expected.

    Thresholds rise with them. Its last bursts swell a young baseline, which lowers the score; were
    the threshold to rise as well, they would count twice.
    """
    weight_s = _weight_s(prior, age_s, baseline_s)
    if not weight_s or usual_orders <= 0.0:
        return usual_orders
    share = age_s / (age_s + weight_s)
    return math.exp(share * math.log(usual_orders) + (1.0 - share) * math.log(prior.orders))


def _weight_s(prior: Prior, age_s: int, baseline_s: int) -> float:
    return prior.weight_s * max(0.0, 1.0 - age_s / baseline_s)
