"""The market's equations, one second at a time (numba); detection.md section 3."""

import math

import numba as nb
import numpy as np

from streams.simulate.market.params import LEVERAGE, LEVERAGE_WEIGHT, VENUE_SHARES, Market
from streams.simulate.market.state import (
    BINS,
    DAY,
    MAX_NEWS,
    MAX_SALES,
    WHALE_COLUMNS,
    Floats,
    Numbers,
    Rng,
    State,
    Tape,
    fresh,
    numbers,
)

BIN = 2e-4
#: Seconds thrown away at the start, so that the book of positions is in its steady state.
WARM_UP = 2 * DAY
_LEV = np.array(LEVERAGE)
_WEIGHT = np.array(LEVERAGE_WEIGHT)
_SHARES = np.array(VENUE_SHARES)


def draw_news(market: Market, rng: Rng, seconds: int) -> Floats:
    """Return (n, 4) news in time order: asset, second, log size, seconds; planned included.

    Common news moves BTC (asset 0), which moves the rest by beta.
    """
    rows = []
    for asset in range(-1, len(market.assets)):
        rate = market.news_rate if asset < 0 else market.own_news_rate
        count = rng.poisson(rate * seconds / DAY)
        size = market.news_size * (1 - rng.random(count)) ** (-1 / market.news_pareto)
        size = np.minimum(size, market.news_cap)
        size *= np.where(rng.random(count) < market.news_down, -1, 1)
        spread = np.exp(
            np.log(market.news_seconds) + market.news_seconds_sd * rng.normal(size=count)
        )
        at = rng.integers(0, seconds, count)
        rows += [
            (max(asset, 0), t, z, max(5, round(w)))
            for t, z, w in zip(at, size, spread, strict=True)
        ]
    rows += [(n.asset, n.at + WARM_UP, n.size, n.seconds) for n in market.planned]
    return np.array(sorted(rows, key=lambda r: r[1]), dtype=np.float64).reshape(-1, 4)


def run(market: Market, seed: int, days: float) -> Tape:
    """Simulate `days` after the warm-up; the same seed gives the same tape."""
    seconds = round(days * DAY)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1])))
    news = draw_news(market, rng, seconds + WARM_UP)
    p, n = numbers(market), len(market.assets)
    tape = Tape(
        forced=np.zeros((n, 2, seconds), np.float32),
        endo=np.zeros((n, 2, seconds), np.float32),
        price=np.zeros((n, seconds), np.float32),
        bankrupt=np.zeros((n, 2, seconds), np.float32),
        taker=np.zeros((n, seconds), np.float32),
        flow=np.zeros((n, len(VENUE_SHARES), seconds // 60 + 1)),
        whales=np.zeros((round(200 * n * days) + 100, len(WHALE_COLUMNS))),
        fund=np.zeros(n),
        fund_loss=np.zeros(n),
        adl=np.zeros((n, 2)),
    )
    whales = _loop(rng, p, fresh(p, rng), news, tape, seconds)
    return tape._replace(whales=tape.whales[:whales].copy())


@nb.njit(cache=True, nogil=True)
def time_of_day(t: int) -> float:
    """Activity relative to its daily mean at second `t`."""
    d = (t % 86_400) / 86_400
    return 1 + 0.35 * math.sin(2 * math.pi * (d - 0.35)) + 0.15 * math.sin(4 * math.pi * (d - 0.1))


@nb.njit(cache=True, nogil=True)
def _loop(rng: Rng, p: Numbers, s: State, news: Floats, tape: Tape, seconds: int) -> int:
    whales, next_news = 0, 0
    n = len(p.beta)
    for t in range(-WARM_UP, seconds):
        if t == 0:
            s.adl[:] = 0
            s.fund_loss[:] = 0
        while next_news < len(news) and news[next_news, 1] <= t + WARM_UP:
            _take_news(s, news[next_news])
            next_news += 1
        if t % 60 == 0:
            busy = time_of_day(t)
            _each_minute(rng, p, s, busy, t)
            whales = _whales(rng, p, s, busy, t, tape.whales, whales)
        if t % 10 == 0:
            _open_positions(rng, p, s, time_of_day(t))
        btc_move = btc_push = 0.0
        for k in range(n):
            noise = s.sigma[k] * rng.standard_normal()
            exo = noise + _news_move(s, k) + p.beta[k] * btc_move
            sale = _whale_sale(p, s, k, t, tape.flow)
            sold, endo, bank = _engine(p, s, k, 0)
            bought, endo_s, bank_s = _engine(p, s, k, 1)
            lam0 = 0.01 / p.depth[k]
            push = lam0 * s.stress[k] * (bought - sold)
            pressed = p.whale_impact * lam0 * sale
            forced = push - pressed
            back = s.passing[k] / p.revert_tau
            s.passing[k] += p.transient * forced - back
            move = exo + forced - back
            s.x[k] += move
            heard = p.contagion_endogenous * p.beta[k] * btc_push
            _causes(p, s, k, lam0 * s.stress[k], sold, bought, exo - pressed, heard)
            if sold > 0 or bought > 0:
                _settle(p, s, k, sold, bank, bought, bank_s)
            _mark_and_trigger(p, s, k)
            _stress(p, s, k, t)
            if k == 0:
                btc_move, btc_push = move, push
            if t >= 0:
                _write(tape, k, t, sold, endo, bank, bought, endo_s, bank_s, s.x[k])
                usd = bought - sold + p.flow_per_move * exo / lam0
                usd += p.flow_noise * p.depth[k] * rng.standard_t(4.0)
                _common_flow(tape, k, t, usd, sale)
        if t >= 0 and t % 60 == 59:
            _venue_noise(rng, p, tape.flow, t // 60)
    tape.fund[:] = s.fund
    tape.fund_loss[:] = s.fund_loss
    tape.adl[:] = s.adl
    return whales


@nb.njit(cache=True, nogil=True, forceinline=True)
def _write(tape: Tape, k: int, t: int, sold: float, endo: float, bank: float, bought: float,
           endo_s: float, bank_s: float, x: float) -> None:  # fmt: skip
    tape.forced[k, 0, t], tape.forced[k, 1, t] = sold, bought
    tape.endo[k, 0, t], tape.endo[k, 1, t] = endo, endo_s
    tape.bankrupt[k, 0, t], tape.bankrupt[k, 1, t] = bank, bank_s
    tape.price[k, t] = x


@nb.njit(cache=True, nogil=True, forceinline=True)
def _common_flow(tape: Tape, k: int, t: int, usd: float, whale: float) -> None:
    tape.taker[k, t] = usd - whale
    for v in range(len(_SHARES)):
        tape.flow[k, v, t // 60] += _SHARES[v] * usd


@nb.njit(cache=True, nogil=True)
def _venue_noise(rng: Rng, p: Numbers, flow: Floats, minute: int) -> None:
    for k in range(flow.shape[0]):
        for v in range(len(_SHARES)):
            flow[k, v, minute] += _SHARES[v] * p.venue_noise * p.depth[k] * rng.standard_t(4.0)


@nb.njit(cache=True, nogil=True)
def _each_minute(rng: Rng, p: Numbers, s: State, busy: float, t: int) -> None:
    n = len(p.beta)
    for k in range(n + 1):
        tau, sd = (p.own_vol_tau, p.own_vol_sd) if k < n else (p.vol_tau, p.vol_sd)
        keep = np.exp(-60 / tau)
        s.vol[k] = keep * s.vol[k] + sd * np.sqrt(1 - keep * keep) * rng.standard_normal()
    for k in range(n):
        keep = np.exp(-60 / p.appetite_tau)
        s.appetite[k] = (
            keep * s.appetite[k] + p.appetite_sd * np.sqrt(1 - keep * keep) * rng.standard_normal()
        )
        loud = np.exp(s.vol[k] + s.vol[n]) * p.vol_level
        s.sigma[k] = p.s_day[k] / np.sqrt(86_400.0) * np.sqrt(busy) * loud
        s.quarter_ago[k, (t // 60) % 15] = s.x[k]
    s.scale[0] *= np.exp(-60 / p.hold_tau)
    if s.scale[0] < 1e-6:
        s.levels[:] *= s.scale[0]
        s.scale[0] = 1.0


@nb.njit(cache=True, nogil=True)
def _open_positions(rng: Rng, p: Numbers, s: State, busy: float) -> None:
    for k in range(len(p.beta)):
        usd = p.omega[k] * 10 * np.exp(s.appetite[k] + p.appetite_level - 0.15) * busy / s.scale[0]
        for lev in range(len(_LEV)):
            distance = 1 / _LEV[lev] - p.margin
            low = s.mark[k] - distance * (0.75 + 0.5 * rng.random())
            s.levels[k, 0, lev, int(np.floor(low / BIN)) & (BINS - 1)] += usd * _WEIGHT[lev]
            high = s.mark[k] + distance * (0.75 + 0.5 * rng.random())
            at = int(np.floor(high / BIN)) & (BINS - 1)
            s.levels[k, 1, lev, at] += usd * _WEIGHT[lev] * p.short[k]


@nb.njit(cache=True, nogil=True)
def _take_news(s: State, row: Floats) -> None:
    for i in range(MAX_NEWS):
        if s.news[i, 1] <= 0:
            s.news[i, 0], s.news[i, 1], s.news[i, 2] = row[0], row[3], row[2] / row[3]
            s.active[0] = max(s.active[0], i + 1.0)
            return


@nb.njit(cache=True, nogil=True, forceinline=True)
def _news_move(s: State, k: int) -> float:
    total = 0.0
    for i in range(int(s.active[0])):
        if s.news[i, 1] > 0 and s.news[i, 0] == k:
            total += s.news[i, 2]
            s.news[i, 1] -= 1
    while s.active[0] > 0 and s.news[int(s.active[0]) - 1, 1] <= 0:
        s.active[0] -= 1
    return total


@nb.njit(cache=True, nogil=True, forceinline=True)
def _engine(p: Numbers, s: State, k: int, side: int) -> tuple[float, float, float]:
    """Close from the queue: USD closed, the endogenous part of it, log bankruptcy price."""
    queue = s.queue[k, side]
    if queue < 1.0:
        return 0.0, 0.0, 0.0
    usd = min(queue * (1 - np.exp(-1 / p.engine_tau)), p.engine_cap * p.depth[k])
    part = usd / queue
    endo, bank = s.queue_endo[k, side] * part, s.queue_bankrupt[k, side] / queue
    s.queue[k, side] -= usd
    s.queue_endo[k, side] -= endo
    s.queue_bankrupt[k, side] -= bank * usd
    return usd, endo, bank


@nb.njit(cache=True, nogil=True, forceinline=True)
def _causes(p: Numbers, s: State, k: int, lam: float, sold: float, bought: float, exo: float,
            heard: float) -> None:  # fmt: skip
    s.pushed[k, 0] += (lam * sold + max(0.0, -heard) - s.pushed[k, 0]) / p.cause_tau
    s.pushed[k, 1] += (lam * bought + max(0.0, heard) - s.pushed[k, 1]) / p.cause_tau
    s.drifted[k] += (-exo + heard - s.drifted[k]) / p.cause_tau


@nb.njit(cache=True, nogil=True, forceinline=True)
def _mark_and_trigger(p: Numbers, s: State, k: int) -> None:
    old = int(np.floor(s.mark[k] / BIN))
    s.mark[k] += (s.x[k] - s.mark[k]) / p.mark_tau
    new = int(np.floor(s.mark[k] / BIN))
    if new == old:
        return
    side = 0 if new < old else 1
    first, last = (new + 1, old) if side == 0 else (old, new - 1)
    drift = -s.drifted[k] if side else s.drifted[k]
    pushed = s.pushed[k, side]
    total = pushed + max(0.0, drift)
    share = pushed / total if total > 0 else 0.0
    gap = -p.margin if side == 0 else p.margin
    for b in range(first, last + 1):
        usd = 0.0
        for lev in range(len(_LEV)):
            usd += s.levels[k, side, lev, b & (BINS - 1)]
            s.levels[k, side, lev, b & (BINS - 1)] = 0.0
        usd *= s.scale[0]
        s.queue[k, side] += usd
        s.queue_endo[k, side] += usd * share
        s.queue_bankrupt[k, side] += usd * ((b + 0.5) * BIN + gap)


@nb.njit(cache=True, nogil=True, forceinline=True)
def _stress(p: Numbers, s: State, k: int, t: int) -> None:
    ago = s.minute_ago[k, t % 60]
    s.minute_ago[k, t % 60] = s.x[k]
    # A usual minute is what this hour's volatility gives, BTC's part included.
    sigma, btc = s.sigma[k], p.beta[k] * s.sigma[0]
    usual = np.sqrt(60 * (sigma * sigma + btc * btc))
    aim = min(max(np.sqrt(abs(s.x[k] - ago) / usual), 1.0), p.stress_cap)
    tau = p.stress_up if aim > s.stress[k] else p.stress_down
    s.stress[k] += (aim - s.stress[k]) / tau


@nb.njit(cache=True, nogil=True)
def _settle(p: Numbers, s: State, k: int, sold: float, bank: float, bought: float,
            bank_s: float) -> None:  # fmt: skip
    """Charge the fund for fills beyond bankruptcy; an empty fund hands the queue to ADL."""
    gain = sold * (np.exp(s.x[k] - bank) - 1) if sold > 0 else 0.0
    gain += bought * (1 - np.exp(s.x[k] - bank_s)) if bought > 0 else 0.0
    s.fund_loss[k] += max(0.0, -gain)
    s.fund[k] = min(s.fund[k] + gain, p.fund_depths * p.depth[k])
    if s.fund[k] >= 0:
        return
    s.fund[k] = 0.0
    side = 0 if s.queue[k, 0] >= s.queue[k, 1] else 1
    closed = _deleverage(p, s, k, 1 - side, s.queue[k, side])
    if closed > 0:
        keep = 1 - closed / s.queue[k, side]
        s.queue[k, side] *= keep
        s.queue_endo[k, side] *= keep
        s.queue_bankrupt[k, side] *= keep


@nb.njit(cache=True, nogil=True)
def _deleverage(p: Numbers, s: State, k: int, side: int, usd: float) -> float:
    """Close up to `usd` of `side`'s winners, the largest PnL x leverage first; return how much."""
    sign = 1.0 if side else -1.0
    at = s.mark[k] + sign * 0.3
    place = np.empty(len(_LEV))
    place[:] = at
    left = usd
    while left > 1.0:
        best, best_rank = -1, 0.0
        for lev in range(len(_LEV)):
            entry = place[lev] - sign * (1 / _LEV[lev] - p.margin)
            rank = sign * (entry - s.mark[k]) * _LEV[lev]
            if rank > best_rank:
                best, best_rank = lev, rank
        if best < 0:
            break
        b = int(np.floor(place[best] / BIN)) & (BINS - 1)
        here = s.levels[k, side, best, b] * s.scale[0]
        took = min(here, left)
        s.levels[k, side, best, b] -= took / s.scale[0]
        left -= took
        place[best] -= sign * BIN
    s.adl[k, side] += usd - left
    return usd - left


@nb.njit(cache=True, nogil=True)
def _whales(rng: Rng, p: Numbers, s: State, busy: float, t: int, out: Floats, count: int) -> int:
    for k in range(len(p.beta)):
        usual = np.sqrt(p.s_day[k] ** 2 + (p.beta[k] * p.s_day[0]) ** 2) * np.sqrt(900 / 86_400)
        fell = (s.quarter_ago[k, (t // 60 + 1) % 15] - s.x[k]) / usual
        rate = p.whale_rate / 1440 * busy * (1 + 3 * min(fell - 1, 3.0) if fell > 1 else 1.0)
        if rng.random() >= rate:
            continue
        usd = p.whale_size * p.depth[k] * (1 - rng.random()) ** (-1 / p.whale_pareto)
        usd = min(usd, p.whale_cap * p.depth[k])
        u = rng.random()
        venue = 0 if u < _SHARES[0] else (1 if u < _SHARES[0] + _SHARES[1] else 2)
        sells = rng.random() < p.whale_sells
        share = 0.4 + 0.6 * rng.random()
        delay = np.exp(np.log(p.whale_delay) + p.whale_delay_sd * rng.standard_normal())
        spread = 300 + 900 * rng.random()
        if sells:
            _plan_sale(s, k, venue, delay, spread, usd * share)
        if t >= 0 and count < len(out):
            out[count, 0], out[count, 1], out[count, 2], out[count, 3] = k, t, usd, venue
            if sells:
                out[count, 4], out[count, 5] = 1.0, usd * share
                out[count, 6], out[count, 7] = t + delay, spread
            count += 1
    return count


@nb.njit(cache=True, nogil=True)
def _plan_sale(s: State, k: int, venue: int, delay: float, spread: float, usd: float) -> None:
    for i in range(MAX_SALES):
        if s.sales[i, 3] <= 0:
            s.sales[i, 0], s.sales[i, 1], s.sales[i, 2] = k, venue, delay
            s.sales[i, 3], s.sales[i, 4] = np.ceil(spread), usd / np.ceil(spread)
            s.active[1] = max(s.active[1], i + 1.0)
            return


@nb.njit(cache=True, nogil=True, forceinline=True)
def _whale_sale(p: Numbers, s: State, k: int, t: int, flow: Floats) -> float:
    """Let whales sell for a second: all on their venue, an echo on the others; return USD."""
    total = 0.0
    while s.active[1] > 0 and s.sales[int(s.active[1]) - 1, 3] <= 0:
        s.active[1] -= 1
    for i in range(int(s.active[1])):
        if s.sales[i, 3] <= 0 or s.sales[i, 0] != k:
            continue
        if s.sales[i, 2] > 0:
            s.sales[i, 2] -= 1
            continue
        s.sales[i, 3] -= 1
        usd, venue = s.sales[i, 4], int(s.sales[i, 1])
        total += usd
        for v in range(len(_SHARES)):
            if v != venue:
                s.echoes[k, v] += p.echo * usd * _SHARES[v] / (1 - _SHARES[venue])
        if t >= 0:
            flow[k, venue, t // 60] -= usd
    for v in range(len(_SHARES)):
        usd = s.echoes[k, v] / p.echo_tau
        s.echoes[k, v] -= usd
        if t >= 0:
            flow[k, v, t // 60] -= usd
    return total
