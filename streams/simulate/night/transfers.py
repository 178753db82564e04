"""Large on-chain transfers of the night, and which of them are followed by selling."""

from dataclasses import dataclass

import numpy as np
import orjson

from streams.simulate.night.setting import (
    BY_ASSET,
    DAY,
    START_US,
    VENUES,
    Floats,
    clock_second,
    generator,
)

CHAIN = {"BTC": "bitcoin", "ETH": "ethereum", "SOL": "solana", "USDT": "ethereum"}
OWNER = {"binance": "Binance", "bybit": "Bybit"}
UNKNOWN = "unknown wallet"
#: USD of one transfer, least and most.
SIZE = {"BTC": (20e6, 150e6), "ETH": (8e6, 60e6), "SOL": (5e6, 20e6), "USDT": (25e6, 120e6)}
#: From deposit to first sale: lognormal, seconds.
DELAY_MEDIAN_S, DELAY_SD = 300.0, 0.6

#: Sellers: asset, venue, earliest and latest deposit, least and most USD. The first three are
#: large against 45 minutes of their venue's noise and clear of the planted cascades.
SELLERS = (
    ("BTC", "binance", (10, 30), (12, 0), 105e6, 145e6),
    ("ETH", "bybit", (15, 30), (18, 30), 48e6, 60e6),
    ("BTC", "bybit", (19, 30), (22, 30), 90e6, 130e6),
    ("ETH", "binance", (3, 0), (6, 20), 12e6, 25e6),
    ("SOL", "bybit", (16, 0), (22, 30), 10e6, 18e6),
)
HOARDED = ("BTC",) * 7 + ("ETH",) * 5 + ("SOL",) * 2
#: Transfers that are no deposit: asset, kind, from, to.
OTHERS = (
    ("BTC", "transfer", "Binance", UNKNOWN),
    ("BTC", "transfer", "Coinbase", UNKNOWN),
    ("ETH", "transfer", "Binance", UNKNOWN),
    ("ETH", "transfer", "Bybit", UNKNOWN),
    ("SOL", "transfer", "Binance", UNKNOWN),
    ("USDT", "transfer", "Bybit", UNKNOWN),
    ("BTC", "transfer", "Coinbase", "Kraken"),
    ("ETH", "transfer", "Binance", "OKX"),
    ("SOL", "transfer", "Bybit", "Coinbase"),
    ("BTC", "transfer", "Binance", "Binance"),
    ("ETH", "transfer", "Bybit", "Bybit"),
    ("BTC", "transfer", UNKNOWN, UNKNOWN),
    ("BTC", "transfer", UNKNOWN, UNKNOWN),
    ("ETH", "transfer", UNKNOWN, UNKNOWN),
    ("SOL", "transfer", UNKNOWN, UNKNOWN),
    ("USDT", "mint", "", "Tether Treasury"),
    ("USDT", "mint", "", "Tether Treasury"),
)


@dataclass(frozen=True)
class Transfer:
    """One transfer at second `at`; a seller sells `sold_usd` evenly over [start, stop)."""

    at: int
    asset: str
    kind: str
    sender: str
    receiver: str
    notional_usd: float
    tx_hash: str
    venue: str | None = None
    sold_usd: float = 0.0
    start: int = 0
    stop: int = 0


def falls(log_price: Floats) -> Floats:
    """Return the chance of a deposit in each second, higher after falls.

    The confounder of detection.md, section 3: three times the rate for each further
    deviation of the past quarter of an hour below its usual range, up to three.
    """
    past = np.zeros(DAY)
    past[900:] = log_price[900:] - log_price[:-900]
    usual = float(np.quantile(np.abs(past), 0.68))
    weight: Floats = 1 + 3 * np.clip(-past / usual - 1, 0, 3)
    weight[:900] = 0
    weight[-600:] = 0
    weight /= weight.sum()
    return weight


def _hex(rng: np.random.Generator) -> str:
    return rng.bytes(32).hex()


def _one_of(rng: np.random.Generator, weight: Floats, least: int, most: int) -> int:
    """Draw a second in [least, most) by `weight`."""
    part = weight[least:most]
    return least + int(rng.choice(most - least, p=part / part.sum()))


Plan = tuple[str, str, tuple[int, int], tuple[int, int], float, float]


def _seller(rng: np.random.Generator, weight: Floats, plan: Plan) -> Transfer:
    """Draw a deposit that is sold on its venue."""
    asset, venue, earliest, latest, least, most = plan
    at = _one_of(rng, weight, clock_second(earliest), clock_second(latest))
    usd = float(rng.uniform(least, most))
    start = at + int(np.clip(DELAY_MEDIAN_S * np.exp(rng.normal(0, DELAY_SD)), 60, 900))
    stop = start + int(rng.integers(300, 1500))
    sold = usd * float(rng.uniform(0.6, 1.0))
    owner = OWNER[venue]
    return Transfer(at, asset, "transfer", UNKNOWN, owner, usd, _hex(rng), venue, sold, start, stop)


def _size(rng: np.random.Generator, asset: str) -> float:
    """Draw a transfer's USD: most are near the least size, few near the most."""
    least, most = SIZE[asset]
    return float(least * (most / least) ** rng.beta(1.2, 2.0))


def transfers(seed: int, btc_log_price: Floats) -> list[Transfer]:
    """Draw the night's transfers in time order."""
    rng = generator(seed, 30)
    weight = falls(btc_log_price)
    drawn = [_seller(rng, weight, plan) for plan in SELLERS]
    for asset in HOARDED + ("USDT",) * 3:
        at = _one_of(rng, weight, 0, DAY)
        venue = VENUES[int(rng.integers(0, 2))]
        usd = _size(rng, asset)
        deposit = Transfer(at, asset, "transfer", UNKNOWN, OWNER[venue], usd, _hex(rng), venue)
        drawn.append(deposit)
    for asset, kind, sender, receiver in OTHERS:
        at = int(rng.integers(900, DAY - 600))
        drawn.append(Transfer(at, asset, kind, sender, receiver, _size(rng, asset), _hex(rng)))
    return sorted(drawn, key=lambda t: t.at)


def sold(all_transfers: list[Transfer], asset: str, venue: str) -> Floats:
    """Return the USD that whales sell of `asset` on `venue`, each second."""
    usd = np.zeros(DAY)
    for t in all_transfers:
        if t.asset == asset and t.venue == venue and t.stop > t.start:
            usd[t.start : t.stop] += t.sold_usd / (t.stop - t.start)
    return usd


def truth(t: Transfer) -> dict[str, object]:
    """Return what only scoring may know of a deposit."""
    return {
        "kind": "whale",
        "tx_hash": t.tx_hash,
        "asset": t.asset,
        "venue": t.venue,
        "notional_usd": t.notional_usd,
        "ts_us": START_US + t.at * 1_000_000,
        "sells": t.sold_usd > 0,
    }


def _leg(t: Transfer, owner: str, quantity: float, address: str) -> dict[str, str]:
    """Return one input or output as Whale Alert writes it."""
    kind = "unknown" if owner == UNKNOWN else "other" if "Treasury" in owner else "exchange"
    return {
        "amount": f"{quantity:.6f}",
        "balance": f"{quantity * 0.1:.6f}",
        "owner": owner,
        "owner_type": kind,
        "address": address,
    }


def alert(t: Transfer, price: float) -> bytes:
    """Return the Whale Alert frame of a transfer (wire-formats.md, 3.13; times in SECONDS)."""
    quantity = round(t.notional_usd / price, 6)
    at = START_US // 1_000_000 + t.at
    native = "SOL" if t.asset == "SOL" else "BTC" if t.asset == "BTC" else "ETH"
    words = f"{quantity:,.0f} {t.asset} ({t.notional_usd:,.0f} USD)"
    legs = [_leg(t, t.receiver, quantity, t.tx_hash[24:64])]
    paid = [_leg(t, t.sender, quantity, t.tx_hash[:40])] if t.sender else []
    sub = {
        "symbol": t.asset,
        "unit_price_usd": f"{price:.6f}",
        "transaction_type": t.kind,
        "inputs": paid,
        "outputs": legs,
    }
    return orjson.dumps(
        {
            "type": "alert",
            "channel_id": "undertow",
            "timestamp": at,
            "blockchain": CHAIN[t.asset],
            "transaction_type": t.kind,
            "from": t.sender or "unknown",
            "to": t.receiver,
            "amounts": [
                {"symbol": t.asset, "amount": quantity, "value_usd": round(t.notional_usd, 2)}
            ],
            "text": f"{words} {t.kind} from {t.sender or 'unknown'} to {t.receiver}",
            "transaction": {
                "height": 900_000 + t.at // 12,
                "index_in_block": t.at % 97,
                "timestamp": at,
                "hash": t.tx_hash,
                "fee": "0.000200",
                "fee_symbol": native,
                "fee_symbol_price": f"{BY_ASSET[native].price:.2f}",
                "sub_transactions": [sub],
            },
        }
    )
