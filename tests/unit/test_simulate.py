"""The generated night shows what a night like it showed, read by a parser of its own."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import islice

import orjson
import pytest

from streams.simulate.night.night import Night, generate

HOUR = 3_600_000_000


@dataclass
class Seen:
    """What an observer of the frames alone can tell."""

    night: Night
    liquidations: list[tuple[int, str, str, str, float]] = field(default_factory=list)
    trades: Counter[str] = field(default_factory=Counter)
    prices: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    flow: dict[tuple[str, str], Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    sold: dict[tuple[str, str], Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    agg_ids: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    trade_ids: list[str] = field(default_factory=list)
    alerts: list[dict] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    several: Counter[str] = field(default_factory=Counter)
    throttled: Counter[tuple[str, int]] = field(default_factory=Counter)

    def trade(self, venue: str, symbol: str, t: int, price: float, qty: float, sell: bool) -> None:
        self.trades[symbol] += 1
        self.prices[symbol].append((t, price))
        usd = price * qty
        self.flow[symbol, venue][t // 60_000] += -usd if sell else usd
        if sell:
            self.sold[symbol, venue][t // 60_000] += usd

    def read(self, recv: int, kind: str, m: dict) -> None:
        if kind == "forceOrder":
            o = m["o"]
            self.problems["pushed early"] += not o["T"] <= m["E"] <= recv // 1000
            self.throttled[o["s"], m["E"]] += 1
            side = {"SELL": "long", "BUY": "short"}[o["S"]]
            usd = float(o["z"]) * float(o["ap"])
            self.liquidations.append((o["T"], "binance", o["s"], side, usd))
        elif kind == "aggTrade":
            self.problems["pushed early"] += not m["T"] <= m["E"] <= recv // 1000
            self.agg_ids[m["s"]].append(m["a"])
            self.trade("binance", m["s"], m["T"], float(m["p"]), float(m["q"]), m["m"])
        elif kind in ("allLiquidation", "publicTrade"):
            self.several[kind] += len(m["data"]) > 1
            self.problems["foreign symbol"] += m["topic"] != f"{kind}.{m['data'][0]['s']}"
            for d in m["data"]:
                self.problems["pushed early"] += not d["T"] <= m["ts"] <= recv // 1000
                self.item(kind, d)
        else:
            self.alerts.append(m)

    def item(self, kind: str, d: dict) -> None:
        price, qty = float(d["p"]), float(d["v"])
        if kind == "publicTrade":
            self.trade_ids.append(d["i"])
            self.trade("bybit", d["s"], d["T"], price, qty, d["S"] == "Sell")
        else:
            side = {"Buy": "long", "Sell": "short"}[d["S"]]
            self.liquidations.append((d["T"], "bybit", d["s"], side, price * qty))


@pytest.fixture(scope="module")
def seen() -> Seen:
    night = Seen(generate())
    last = 0
    for recv, _venue, kind, frame in night.night.frames:
        night.problems["out of order"] += recv < last
        last = recv
        night.read(recv, kind, orjson.loads(frame))
    return night


def usd(night: Seen, keep=lambda row: True) -> float:
    return sum(row[4] for row in night.liquidations if keep(row))


def cascades(night: Night) -> list[dict]:
    return [d for d in night.planted if d["kind"] == "cascade"]


def deposits(night: Night) -> list[dict]:
    return [d for d in night.planted if d["kind"] == "whale"]


def test_frames_come_in_order_of_receipt_and_never_before_what_they_tell(seen):
    assert +seen.problems == Counter()


def test_forced_selling_totals_what_the_press_counted(seen):
    assert 860e6 <= usd(seen) <= 960e6
    assert 190_000 <= len(seen.liquidations) <= 230_000
    assert 15e6 <= max(row[4] for row in seen.liquidations) <= 37e6


def test_longs_and_the_two_majors_carry_their_usual_share(seen):
    total = usd(seen)
    assert 0.86 <= usd(seen, lambda r: r[3] == "long") / total <= 0.93
    assert 0.68 <= usd(seen, lambda r: r[2] in ("BTCUSDT", "ETHUSDT")) / total <= 0.75
    assert len({r[2] for r in seen.liquidations}) == 12


def test_about_a_quarter_of_the_dollars_falls_outside_the_planted_cascades(seen):
    spans = [(d["onset_us"] // 1000, d["end_us"] // 1000) for d in cascades(seen.night)]
    calm = usd(seen, lambda r: not any(a <= r[0] <= b for a, b in spans))
    assert 0.22 <= calm / usd(seen) <= 0.33


def test_binance_shows_one_forced_order_a_second_and_bybit_several_a_message(seen):
    assert max(seen.throttled.values()) == 1
    assert seen.several["allLiquidation"] > 1000
    assert seen.several["publicTrade"] > 1000


def test_trade_counts_are_skewed_to_btc(seen):
    total = seen.trades.total()
    assert 450_000 <= total <= 550_000
    assert 0.28 <= seen.trades["BTCUSDT"] / total <= 0.38


def test_venue_ids_run_on_without_gap_or_repeat(seen):
    for ids in seen.agg_ids.values():
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert len(set(seen.trade_ids)) == len(seen.trade_ids)
    hashes = [m["transaction"]["hash"] for m in seen.alerts]
    assert len(set(hashes)) == len(hashes)
    assert all(bytes.fromhex(h) for h in hashes)


def test_btc_falls_as_much_as_such_a_day_did(seen):
    prices = [p for _, p in sorted(seen.prices["BTCUSDT"])]
    assert 91_000 <= prices[0] <= 93_000
    assert -0.11 <= min(prices) / prices[0] - 1 <= -0.06


def test_two_cascades_are_planted_and_btc_leads_each(seen):
    planted = cascades(seen.night)
    start = seen.night.span[0]
    firsts = sorted(d["onset_us"] for d in planted if d["asset"] == "BTC")
    assert len(firsts) == 2
    assert firsts[0] >= start + 5 * HOUR
    for first in firsts:
        same = [d for d in planted if abs(d["onset_us"] - first) < HOUR]
        assert len(same) >= 8
        delays = sorted((d["onset_us"] - first) / 1e6 for d in same)
        assert delays[0] == 0
        assert delays[1] >= 2
        assert delays[-1] <= 90
    assert [len(d["waves"]) for d in planted if d["asset"] == "BTC"] == [1, 2]


def test_each_planted_wave_lasts_minutes_and_is_far_above_calm(seen):
    for d in cascades(seen.night):
        assert d["times_calm"] >= 60
        assert d["onset_us"] < d["peak_us"] < d["end_us"]
        for onset, _peak, end in d["waves"]:
            assert 280e6 <= end - onset <= 620e6


def test_a_planted_cascade_is_visible_in_the_orders_of_its_asset(seen):
    times = sorted(r[0] * 1000 for r in seen.liquidations if r[2] == "BTCUSDT" and r[3] == "long")
    start, waves = (
        seen.night.span[0],
        [w for d in cascades(seen.night) if d["asset"] == "BTC" for w in d["waves"]],
    )
    calm = sum(t < start + 7 * HOUR for t in times) / (7 * 3600)
    for onset, _, end in waves:
        rate = sum(onset <= t <= end for t in times) / ((end - onset) / 1e6)
        assert 80 <= rate / calm <= 600


def test_forced_sells_are_takers_sells_on_the_tape(seen):
    forced: Counter[tuple[str, int]] = Counter()
    for t, venue, symbol, side, worth in seen.liquidations:
        # One giant account is reported at one instant but filled over a minute.
        if side == "long" and symbol == "BTCUSDT" and worth < 6e6:
            forced[venue, t // 60_000] += worth
    for (venue, minute), worth in forced.items():
        if worth > 2e6:
            assert seen.sold["BTCUSDT", venue][minute] >= worth


def test_the_two_venues_share_most_of_their_taker_flow(seen):
    for symbol in ("BTCUSDT", "ETHUSDT"):
        a, b = seen.flow[symbol, "binance"], seen.flow[symbol, "bybit"]
        pairs = [(a[m], b[m]) for m in a]
        cross = sum(x * y for x, y in pairs)
        assert cross / (sum(x * x for x, _ in pairs) * sum(y * y for _, y in pairs)) ** 0.5 > 0.6


def test_a_quarter_of_the_coin_deposits_are_sold_and_stablecoins_never(seen):
    planted = deposits(seen.night)
    coins = [d for d in planted if d["asset"] in ("BTC", "ETH", "SOL")]
    assert 30 <= len(seen.alerts) <= 40
    assert 20 <= len(planted) <= 24
    assert 0.2 <= sum(d["sells"] for d in coins) / len(coins) <= 0.3
    assert not any(d["sells"] for d in planted if d not in coins)


def test_alerts_tell_seconds_labels_and_the_worth_that_was_planted(seen):
    by_hash = {m["transaction"]["hash"]: m for m in seen.alerts}
    for d in deposits(seen.night):
        m = by_hash[d["tx_hash"]]
        assert m["timestamp"] * 1_000_000 == d["ts_us"]
        assert m["from"] == "unknown wallet"
        assert m["to"].lower() == d["venue"]
        assert m["amounts"][0]["value_usd"] == pytest.approx(d["notional_usd"])


def test_three_late_sellers_outweigh_their_venues_usual_45_minutes(seen):
    late = [d for d in deposits(seen.night)
            if d["sells"] and d["ts_us"] > seen.night.span[0] + 10 * HOUR]  # fmt: skip
    clear = 0
    for d in late:
        other = "bybit" if d["venue"] == "binance" else "binance"
        venue_flow, others = (seen.flow[d["asset"] + "USDT", v] for v in (d["venue"], other))
        end = d["ts_us"] // 60_000_000
        past = range(seen.night.span[0] // 60_000_000, end)
        b = sum(venue_flow[m] * others[m] for m in past) / sum(others[m] ** 2 for m in past)

        def net(m, venue_flow=venue_flow, others=others, b=b):
            return sum(b * others[i] - venue_flow[i] for i in range(m + 1, m + 46))

        placebos = [net(m) for m in list(past)[:-45:3]]
        worst = sorted(placebos)[int(0.99 * len(placebos))]
        clear += net(end) > worst and len(placebos) >= 150
    assert clear >= 3


def digest(seed: int) -> str:
    hashed = hashlib.blake2b()
    for recv, venue, kind, frame in generate(seed, hours=0.3).frames:
        hashed.update(b"%d %s %s " % (recv, venue.encode(), kind.encode()) + frame)
    return hashed.hexdigest()


def test_the_same_seed_is_the_same_night_and_another_is_not():
    assert digest(7) == digest(7) != digest(8)


def test_a_shorter_night_is_the_beginning_of_the_longer_one():
    short = list(generate(5, hours=0.25).frames)
    # The last messages differ only in what a later block may have put before them.
    assert short[:-50] == list(islice(generate(5, hours=0.5).frames, len(short) - 50))


@pytest.mark.parametrize("hours", [0, -1, 25, float("nan")])
def test_a_night_has_at_most_24_hours(hours):
    with pytest.raises(ValueError, match="above 0 and at most 24"):
        generate(hours=hours)
