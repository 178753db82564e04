"""Files that hold no record that is used here: what they are, by the columns that tell."""

import re
from pathlib import Path

from streams.sources.tables import cells_of, column_names

#: Columns that all stand in a header, and what such a file is.
_COLUMNS: tuple[tuple[frozenset[str], str], ...] = tuple(
    (frozenset(columns.split()), why)
    for columns, why in (
        ("calc_time last_funding_rate", "funding rates: no order and no position"),
        ("funding_time funding_rate", "funding rates: no order and no position"),
        ("liquidated_ntl_pos liquidated_account_value", "liquidations that name no coin"),
        ("user delta_usd", "deposits and withdrawals of users, no liquidation"),
        ("second liquidations adls", "counts of fills, without coin or worth"),
        ("adl_usd adl_events", "auto-deleveraging: no forced order"),
        ("adl_notional num_events", "auto-deleveraging by coin: no forced order"),
        ("num_adl_events net_notional_usd", "auto-deleveraging by coin: no forced order"),
        ("cluster_id deficit_usd", "figures of a study of auto-deleveraging: no order"),
        ("user_address position_size", "positions of users at one instant: no order"),
        ("long_usd short_usd liq_count", "sums of liquidations that name no venue"),
        ("timestamp venue coin o h l c v", "candles without the takers' split"),
        ("opentime open high low close volume", "candles without the takers' split"),
        ("unix date symbol open high low close", "candles without the takers' split"),
        ("entity address", "labels of addresses, no transfer"),
        ("address name_tag", "labels of addresses, no transfer"),
        ("exchange_netflow_usd", "sums of flows by block or hour, no single transfer"),
        ("btc_exchange_netflow_usd", "sums of flows by block or hour, no single transfer"),
        ("exchange_depositing_count", "counts of depositors, no transfer"),
        ("wallet_to_exchange_usd", "sums of flows by block or hour, no single transfer"),
        ("whale_net_usd", "sums of transfers by the hour, no single transfer"),
        ("date symbol price_usd", "daily prices: no trade"),
        ("date btc_price_usd", "daily prices: no trade"),
        ("update_id best_bid_price", "the book's best prices: no trade"),
        ("bids_0__price asks_0__price", "order books: no trade"),
        ("is_snapshot side price amount", "order books: no trade"),
        ("ask_amount ask_price bid_price bid_amount", "quotes: no trade"),
        ("percentage depth notional", "the book's depth: no trade"),
        ("t oi oi_usd", "open interest that names no venue"),
        ("aggregate_trade_id time_utc buyer_is_maker", "trades that name no symbol and no venue"),
        ("unix utc text", "a channel's messages as prose, without chain and transaction"),
    )
)
_WIDE_CANDLES = re.compile(r"[a-z0-9]+(?:_perp)?_[a-z0-9]_(?:close|volume)")
_NAMED = (
    (re.compile(r"long-short-ratio"), "ratios of accounts: no order"),
    (re.compile(r"_ohlcv-history"), "candles of an hour: wider than is used here"),
    (re.compile(r"fundingRate|funding"), "funding rates: no order and no position"),
    (re.compile(r"-(?:[35]m|15m|30m|[1-9]\d?h|1d|3d|1w|1mo)-"), "candles wider than a minute"),
    (re.compile(r"(?:mark|index)Price|premiumIndex"), "marks and indices: no trade"),
    (re.compile(r"book(?:Depth|Ticker)|(?:incremental_)?book_|_quotes_"), "order books: no trade"),
    (re.compile(r"CHECKSUM$"), "a checksum"),
)
#: Folders of Gate's archive.
_FOLDERS = (
    (re.compile(r"^(?:mark|index)_prices$"), "marks and indices: no trade"),
    (re.compile(r"^funding_(?:applies|updates)$"), "funding rates: no order and no position"),
    (re.compile(r"^candlesticks_\w+$"), "candles without the takers' split"),
    (re.compile(r"^orderbooks$"), "order books: no trade"),
)
_BEGINS = (
    (
        re.compile(r"1\d{12} \S+ \S+ (?:[01]|buy|sell)(?: 1)?$"),
        "rows of aggr-server, whose sides changed with its versions: not read",
    ),
    (re.compile(r"7z\S|Rar!"), "packed as 7z or rar: unpack it"),
    (re.compile(r"ARROW1"), "an Arrow or Feather file: save it as Parquet or CSV"),
    (re.compile(r".NUMPY"), "a NumPy file: save it as Parquet or CSV"),
    (re.compile(r"SQLite format 3"), "an SQLite database: export its tables as CSV"),
    (
        re.compile(r"\s*<(?:!doctype|html)", re.IGNORECASE),
        "a web page, not what was to be downloaded",
    ),
    (
        re.compile(r"\s*<\?xml.*<Error>", re.IGNORECASE),
        "an answer of a store that has no such file",
    ),
)
_EXPONENT = re.compile(r"[0-9][.,]?[0-9]*E\+[0-9]{2}")
_JSON = (
    ("cascade_timing", "figures of a study: no order"),
    ('"eventCount"', "auto-deleveraging flows for a chart: no forced order"),
    ('"event_start"', "figures of a study: no order"),
    (
        '"emoticons"',
        "public alerts that name no transaction",
    ),
    ('"labels"', "labels of addresses, no transfer"),
)


def why(path: Path, first: list[str]) -> str:
    """Return why a file of no form that is read holds no record; empty where that is not known."""
    if not first or not any(line.strip() for line in first):
        return ""
    for line in first[:3]:
        names = column_names(line)
        for columns, reason in _COLUMNS:
            if columns <= set(names):
                return reason
        if any(map(_WIDE_CANDLES.fullmatch, names)):
            return "candles of a day: wider than is used here"
    for pattern, reason in _NAMED:
        if pattern.search(path.name):
            return reason
    for pattern, reason in _FOLDERS:
        if any(pattern.search(parent.name) for parent in list(path.parents)[:3]):
            return reason
    start = "".join(first)[:4000]
    if start.lstrip()[:1] in ("{", "["):
        return next((reason for mark, reason in _JSON if mark in start), "")
    return ""


def seen(path: Path, first: list[str]) -> str:
    """Describe what stands in a file of no known form: its columns, or how it begins."""
    line = next((line for line in first if line.strip()), "")
    for pattern, what in _BEGINS:
        if pattern.match(line):
            return what
    names = cells_of(line)
    if line.lstrip()[:1] in ("{", "["):
        return f"JSON of no known form: {line[:60]}"
    if len(names) > 1:
        columns = f"columns {', '.join(names[:8])[:120]}{', …' if len(names) > 8 else ''}"
        rounded = next((name for name in names if _EXPONENT.fullmatch(name)), "")
        return f"{columns}; {rounded} has lost its last digits" if rounded else columns
    return f"begins {line[:40]!r}"


def rows_in(first: list[str]) -> bool:
    """Return whether lines look like rows of a table or like JSON, and not like prose."""
    lines = [line for line in first if line.strip()]
    rows = sum(len(cells_of(line)) > 2 or line.lstrip()[:1] in ("{", "[") for line in lines)
    return len(lines) > 1 and rows > len(lines) / 2
