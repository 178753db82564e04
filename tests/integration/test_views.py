"""Views under plain names, against sums made here; what each says of itself."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest

from schemas.bars import Bar
from schemas.findings import CascadeFinding
from schemas.market import Liquidation, OpenInterest
from schemas.status import FeedStatus
from schemas.words import MINUTE, SECOND
from sinks.clickhouse import comments
from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.rows import table_of

T = 1_763_683_200_000_000  # 2025-11-21 00:00:00 UTC
HOUR = 60 * MINUTE
_databases = count()
_batches = count()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = open_client("chdb", tmp_path_factory.mktemp("data"))
    yield client
    client.close()


@pytest.fixture
def client(engine: Any) -> Any:
    """A fresh, migrated database."""
    migrate(engine, f"views_{next(_databases)}")
    return engine


def insert(client: Any, records: list[Any]) -> None:
    by_table = defaultdict(list)
    for record in records:
        by_table[table_of(record)].append(record)
    for table, some in by_table.items():
        lo = 10_000 * next(_batches)
        offsets = range(lo, lo + len(some))
        Writer(client).insert(Batch(table, table, 0, lo, offsets[-1], some, offsets))


def rows(client: Any, sql: str) -> list[dict[str, Any]]:
    result = client.query(sql)
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def liquidation(number: int, **more: Any) -> Liquidation:
    values = {
        "event_id": f"l{number}", "venue": "okx", "instrument": "BTC-USDT-PERP",
        "venue_symbol": "BTCUSDT", "asset": "BTC", "position_side": "long", "order_side": None,
        "price": None, "price_kind": None, "quantity": None, "notional_usd": 1e6,
        "coverage": "full", "stream": "s", "ts_event": T + number * SECOND,
        "ts_recv": T + number * SECOND + 40_000,
    }  # fmt: skip
    return Liquidation(**(values | more))


def step(phase: str, second: int, **more: Any) -> CascadeFinding:
    values = {
        "finding_id": f"{phase}{second}", "episode_id": "e1", "asset": "BTC",
        "position_side": "long", "phase": phase, "wave": 0, "ts_onset": T,
        "ts_event": T + second * SECOND, "ts_detect": T + (second + 1) * SECOND, "log_rate": 2.0,
        "threshold": 1.0, "threshold_is_default": True, "feed_class": "full", "coverage": "full",
        "orders": second, "notional_usd": second * 10.0, "peak_usd_per_s": 5.0, "ts_peak": None,
        "drawdown_bps": None, "price_onset": 1.0, "venues": ["okx"], "params_version": "v",
    }  # fmt: skip
    return CascadeFinding(**(values | more))


def minute(at: int, price: float, asset: str = "BTC") -> Bar:
    return Bar(
        venue="okx", instrument=f"{asset}-USDT-PERP", asset=asset, ts_open=T + at * MINUTE,
        width=MINUTE, high=price, low=price, quantity=2.0, buy_usd=price, sell_usd=price, trades=2,
    )  # fmt: skip


def opened(at_min: float, quantity: float | None, **more: Any) -> OpenInterest:
    values = {
        "event_id": f"o{at_min}{more.get('venue')}", "venue": "okx",
        "instrument": "BTC-USDT-PERP", "venue_symbol": "BTCUSDT", "asset": "BTC",
        "quantity": quantity, "notional_usd": None, "ts_event": T + int(at_min * MINUTE),
        "ts_recv": T + int(at_min * MINUTE),
    }  # fmt: skip
    return OpenInterest(**(values | more))


# ---- what each says of itself


def test_every_table_view_and_column_has_a_comment(client: Any) -> None:
    query = "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = ''"
    assert rows(client, query) == []
    query = (
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = ''"
    )
    assert rows(client, query) == []


def test_no_comment_is_of_what_is_not_there(client: Any) -> None:
    said = comments.comments()
    query = "SELECT table, name FROM system.columns WHERE database = currentDatabase()"
    there = client.query(query).result_rows
    assert set(said.tables) == {table for table, _ in there}
    assert set(said.columns) <= {name for _, name in there}
    assert set(said.only) <= {f"{table}.{name}" for table, name in there}


def test_comments_come_back_after_somebody_changed_them(client: Any) -> None:
    client.command("ALTER TABLE trades COMMENT COLUMN price 'it''s mine', MODIFY COMMENT ''")
    assert len(comments.statements(client)) == 1
    migrate(client, client.database)
    assert comments.statements(client) == []


def test_every_view_answers_where_nothing_is_stored(client: Any) -> None:
    query = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'"
    views = {name for (name,) in client.query(query).result_rows}
    with_rows = {view for view in views if client.query(f"SELECT * FROM {view}").result_rows}
    assert with_rows == {"known_nights", "compare_nights", "hidden_multipliers"}


# ---- episodes and their waves


LIFE = [
    step("watch", 1),
    step("onset", 3),
    step("peak", 9, drawdown_bps=120.0),
    step("wave", 20, wave=1, drawdown_bps=150.0),
    step("reignited", 50, wave=2, notional_usd=700.0),
    step("closed", 60, wave=2, notional_usd=800.0, drawdown_bps=200.0, missing_share=0.25),
]


def test_a_wave_has_what_was_forced_until_the_next_one(client: Any) -> None:
    corrected = step("corrected", 70, wave=2, notional_usd=9e9)
    insert(client, [*LIFE, corrected, step("watch", 5, episode_id="e2", finding_id="x")])
    waves = rows(client, "SELECT * FROM waves ORDER BY episode_id, wave")
    seen = [
        (w["episode_id"], w["wave"], w["began_as"], w["orders"], w["notional_usd"], w["is_over"])
        for w in waves
    ]
    assert seen == [
        ("e1", 0, "watch", 20, 200.0, True),
        ("e1", 1, "wave", 30, 500.0, True),
        ("e1", 2, "reignited", 10, 100.0, True),
        ("e2", 0, "watch", 5, 50.0, False),
    ]
    assert [w["drawdown_bps"] for w in waves] == [120.0, 150.0, 200.0, None]
    assert [w["ts_end"] for w in waves[:2]] == [w["ts_begin"] for w in waves[1:3]]
    total = rows(client, "SELECT notional_usd FROM episodes WHERE episode_id = 'e1'")
    assert sum(w["notional_usd"] for w in waves[:3]) == 800.0
    assert total[0]["notional_usd"] == 9e9  # a correction is not a wave's


def test_an_episode_says_its_tier_and_when_it_was_called_under_both_names(client: Any) -> None:
    insert(client, [*LIFE, step("watch", 5, episode_id="e2", finding_id="x")])
    query = "SELECT tier, ts_detect, ts_detected, missing_share FROM episodes ORDER BY episode_id"
    called, watched = rows(client, query)
    assert (called["tier"], called["missing_share"]) == ("cascade", 0.25)
    assert called["ts_detect"] == called["ts_detected"] is not None
    assert (watched["tier"], watched["ts_detect"], watched["ts_detected"]) == ("watch", None, None)


def test_the_old_name_of_inflows_before_shows_the_same(client: Any) -> None:
    insert(client, LIFE)
    new, old = (
        client.query(f"SELECT * FROM {view}") for view in ("inflows_before", "what_triggered")
    )
    assert (old.column_names, old.result_rows) == (new.column_names, new.result_rows)
    assert len(new.result_rows) == 1


# ---- feeds


def test_a_gap_lasts_from_a_feeds_silence_to_its_next_word(client: Any) -> None:
    def status(state: str, second: int, **more: Any) -> FeedStatus:
        return FeedStatus(producer="okx", state=state, ts_event=T + second * SECOND, **more)

    insert(client, [
        status("silent", 10, reason="socket closed"), status("silent", 12), status("recovered", 70),
        status("gap", 10), status("connected", 69),
        status("alive", 71), status("silent", 100), status("silent", 5, part=1, parts=2),
        status("recovered", 9, part=1, parts=2),
    ])  # fmt: skip
    gaps = rows(client, "SELECT * FROM feed_gaps ORDER BY part, ts_from")
    assert [(g["part"], g["seconds"], g["reason"]) for g in gaps] == [
        (0, 60.0, "socket closed"),
        (0, None, ""),
        (1, 4.0, ""),
    ]
    assert gaps[1]["ts_to"] is None


def test_venue_coverage_counts_the_last_24_h_of_each_stream(client: Any) -> None:
    insert(client, [
        *(liquidation(n, venue="binance", coverage="latest_per_second") for n in range(30)),
        *(liquidation(100 + n % 3, event_id=f"x{n}", notional_usd=None) for n in range(6)),
        liquidation(999, removed=True, version=2),
        liquidation(-25 * 3600),
    ])  # fmt: skip
    throttled, complete = rows(client, "SELECT * FROM venue_coverage ORDER BY venue")
    assert (throttled["coverage"], throttled["seconds_with_orders"]) == ("latest_per_second", 30)
    assert (throttled["notional_usd"], throttled["median_delay_ms"]) == (30e6, 40)
    assert (complete["orders"], complete["rows_without_usd"]) == (6, 6)
    assert (complete["seconds_with_orders"], complete["notional_usd"]) == (3, None)
    # The removed order is the data's last word on time all the same.
    assert (throttled["quiet_s"], complete["quiet_s"]) == (970, 897)


def test_levels_are_ten_basis_points_apart_and_keep_every_priced_dollar(client: Any) -> None:
    prices = [60_000.0 + 7 * n for n in range(200)]
    insert(client, [
        *(liquidation(n, price=p, price_kind="bankruptcy", quantity=1e6 / p)
          for n, p in enumerate(prices)),
        liquidation(500), liquidation(501, position_side="short", price=61_000.0, price_kind="fill"),
    ])  # fmt: skip
    levels = rows(client, "SELECT * FROM levels WHERE position_side = 'long' ORDER BY price_from")
    wanted: dict[int, int] = defaultdict(int)
    for price in prices:
        wanted[math.floor(math.log(price) * 1000)] += 1
    assert [row["orders"] for row in levels] == [wanted[level] for level in sorted(wanted)]
    assert sum(row["notional_usd"] for row in levels) == 200e6
    for row, level in zip(levels, sorted(wanted), strict=True):
        assert row["price_from"] == pytest.approx(math.exp(level / 1000))
        assert row["price_to"] / row["price_from"] == pytest.approx(math.exp(0.001))
        assert (row["quote"], row["price_kinds"]) == ("USDT", ["bankruptcy"])


def test_leverage_is_rebuilt_where_open_interest_outruns_the_price(client: Any) -> None:
    ended = [
        step("onset", 3),
        step("closed", 3600, open_interest_drop=0.2),
        step("onset", 4, episode_id="e2", finding_id="a", asset="ETH"),
        step("closed", 3600, episode_id="e2", finding_id="b", asset="ETH"),
    ]
    eth = {"instrument": "ETH-USDT-PERP", "asset": "ETH"}
    insert(client, [
        *ended,
        opened(50, 800.0), opened(59, 900.0, venue="gate"), opened(300, 950.0),
        opened(299, 900.0, venue="gate"), opened(70, 5.0, venue="htx"), opened(55, None, venue="bitmex"),
        opened(61 + 24 * 60, 9e9), opened(58, 100.0, venue="kraken", **eth), opened(90, 101.0, venue="kraken", **eth),
        *(minute(at, price) for at, price in ((59, 100.0), (60, 100.0), (61, 101.0), (299, 102.0))),
        *(minute(at, price, "ETH") for at, price in ((59, 100.0), (90, 105.0))),
    ])  # fmt: skip
    btc, other = rows(client, "SELECT * FROM leverage_rebuild ORDER BY episode_id")
    assert (btc["quantity_end"], btc["quantity_last"]) == (1_700.0, 1_850.0)
    assert btc["open_interest_change"] == pytest.approx(150 / 1700)
    assert btc["rebuilt_share"] == pytest.approx(150 / 1700 * 0.8 / 0.2)
    assert (btc["price_end"], btc["price_last"]) == (100.0, 102.0)
    assert btc["is_faster_than_price"]
    assert (other["rebuilt_share"], other["is_faster_than_price"]) == (None, False)


# ---- the press's night


def test_the_press_s_sentence_has_the_sums_of_the_last_24_h(client: Any) -> None:
    insert(client, [
        liquidation(0, notional_usd=5e6), liquidation(1, position_side="short"),
        liquidation(2, position_side="unknown", notional_usd=2e6, orders=7),
        liquidation(60, asset="ETH", instrument="ETH-USDT-PERP", notional_usd=3e6, venue="gate",
                    coverage="latest_per_second"),
        liquidation(30, asset="SOL", instrument="SOL-USDT-PERP", notional_usd=1.5e6),
        liquidation(-25 * 3600, notional_usd=9e9), liquidation(5, removed=True, version=2),
    ])  # fmt: skip
    [row] = rows(client, "SELECT * FROM press_24h")
    assert row["sentence"] == (
        "In the 24 h to 2025-11-21 00:01 UTC at least $12.5M of positions were liquidated, 90.5 %"
        " of what has a known side were longs; most in BTC ($8M) and ETH ($3M)."
        " The largest single order: $5M of BTC-USDT-PERP on okx."
    )
    assert (row["orders"], row["notional_usd"], row["long_usd"]) == (11, 12.5e6, 9.5e6)


def test_a_complete_feed_is_no_lower_bound_and_no_data_is_no_sentence(client: Any) -> None:
    assert rows(client, "SELECT * FROM press_24h") == []
    insert(client, [liquidation(0, position_side="unknown")])
    [row] = rows(client, "SELECT * FROM press_24h")
    assert row["sentence"].startswith(
        "In the 24 h to 2025-11-21 00:00 UTC $1M of positions were liq"
    )
    assert (row["long_share"], row["is_lower_bound"]) == (None, False)


def test_this_night_stands_beside_the_ones_that_people_name(client: Any) -> None:
    known = rows(client, "SELECT * FROM compare_nights ORDER BY day")
    assert [str(row["day"]) for row in known] == [
        "2020-03-12", "2021-05-19", "2022-05-12", "2025-10-10",
    ]  # fmt: skip
    for row in known:
        assert row["notional_usd"] > 1e9
        assert row["scope"]
        assert all(re.match(r"https://\S+\.\S+/", source) for source in row["source"].split())
    insert(client, [liquidation(0), minute(0, 100.0), minute(-60, 110.0), minute(-1500, 999.0)])
    [this] = rows(client, "SELECT * FROM compare_nights WHERE night = 'this data'")
    assert (this["notional_usd"], this["estimate_low_usd"]) == (1e6, 1e6)
    assert (this["price_high"], this["price_low"]) == (110.0, 100.0)
    assert this["fall_bps"] == pytest.approx(10 / 110 * 1e4)


def test_an_order_counted_again_and_one_taken_back_change_the_views(client: Any) -> None:
    one = liquidation(0, price=100.0, price_kind="fill", quantity=1e4)
    insert(client, [one, liquidation(1)])
    again = msgspec.structs.replace(one, notional_usd=4e5, quantity=4e3, version=2)
    insert(client, [again])
    assert rows(client, "SELECT notional_usd FROM press_24h") == [{"notional_usd": 1.4e6}]
    assert rows(client, "SELECT notional_usd FROM levels") == [{"notional_usd": 4e5}]
    insert(client, [msgspec.structs.replace(again, removed=True, version=3)])
    assert rows(client, "SELECT orders, notional_usd FROM press_24h") == [
        {"orders": 1, "notional_usd": 1e6}
    ]
    assert rows(client, "SELECT * FROM levels") == []
