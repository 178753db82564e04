"""Liquidations of lending protocols from tables: Aave, Compound, Liquity.

    id,version,timestamp,…,liquidator,liquidatee,collateral_asset_symbol,…_raw,…_usd     (Aave)
    timestamp,date,collateral_key,collateral_symbol,version,liquidatee,liquidator,amount_tokens,…
    contract_address,evt_tx_hash,evt_index,evt_block_time,…,collateralAsset,debtAsset,…  (Dune)
    chain,comet,date,timestamp,tx_hash,borrower,value_liquidated_usd,…            (Compound v3)
    timestamp,owner,collateral,debt,price,collateralRatio,mode,transaction            (Liquity)

A borrower was long the collateral. Nothing is told of where or when it is sold, so there is no
order side and mostly no price; Liquity's is its oracle's. Compound's rows do not name the
collateral: they stand under the coin that was lent, of unknown side.
"""

import re
from pathlib import Path

import msgspec

from schemas.identity import natural_id
from schemas.market import Liquidation
from schemas.words import PositionSide, PriceKind, grid_usd
from streams.feeds import registry
from streams.feeds.checks import PriceIn, SizeIn, SizeOrZero, Word, checked
from streams.feeds.frames import UnreadableFrame
from streams.feeds.tokens import Token
from streams.sources.tables import Build, Table, stamp

#: Coins that stand for another one.
_WRAPPED = {"WBTC": "BTC", "CBBTC": "BTC", "TBTC": "BTC", "WETH": "ETH", "STETH": "ETH"}
#: Of Aave's `collateral_amount_raw` in tables of BTC tokens: all of them have eight decimals.
_BTC_DECIMALS = 8
_COMET = re.compile(r"c([A-Za-z]+?)(?:v\d)?")
_TX = re.compile(r"0x[0-9a-fA-F]{64}")
_DAYS_S = 86_400.0


class _AaveEvent(msgspec.Struct, array_like=True, gc=False):
    id: Word
    version: str
    timestamp: str
    liquidator: Word
    liquidatee: Word
    collateral_asset_symbol: Word
    collateral_amount_raw: str
    collateral_amount_usd: str


class _AaveSum(msgspec.Struct, array_like=True, gc=False):
    timestamp: str
    collateral_symbol: Word
    version: str
    liquidatee: Word
    liquidator: Word
    amount_tokens: SizeIn
    amount_usd: str


class _Dune(msgspec.Struct, array_like=True, gc=False):
    evt_tx_hash: Word
    evt_index: int
    evt_block_time: str
    collateralasset: Word
    liquidatedcollateralamount: str


class _Compound(msgspec.Struct, array_like=True, gc=False):
    chain: Word
    comet: Word
    timestamp: str
    tx_hash: Word
    borrower: Word
    value_liquidated_usd: SizeOrZero


class _Liquity(msgspec.Struct, array_like=True, gc=False):
    timestamp: str
    owner: str
    collateral: SizeIn
    debt: str
    price: PriceIn
    collateralratio: str
    transaction: str


def _aave_event(path: Path) -> Build:
    def build(x: _AaveEvent) -> Liquidation:
        if not x.collateral_amount_raw.isdigit():
            raise UnreadableFrame("collateral_amount_raw", f"{x.collateral_amount_raw!r}")
        token = x.collateral_asset_symbol.upper()
        if _WRAPPED.get(token) != "BTC":
            raise UnreadableFrame("collateral_asset_symbol", f"decimals of {token!r} are not told")
        amount = int(x.collateral_amount_raw) / 10**_BTC_DECIMALS
        who = (x.version.upper(), x.liquidatee, x.liquidator)
        return _aave(token, amount, who, stamp(x.timestamp, "timestamp"), x.collateral_amount_usd)

    return build


def _aave_sum(path: Path) -> Build:
    def build(x: _AaveSum) -> Liquidation:
        token, at = x.collateral_symbol.upper(), stamp(x.timestamp, "timestamp")
        who = (x.version.upper(), x.liquidatee, x.liquidator)
        return _aave(token, x.amount_tokens, who, at, x.amount_usd)

    return build


def _aave(token: str, amount: float, who: tuple[str, str, str], ts: int, worth: str) -> Liquidation:
    """Build an Aave liquidation; the same event has the same identity in either table."""
    event_id = natural_id("aave", ts, token, f"{amount:.10g}", *(name.lower() for name in who))
    coin = _WRAPPED.get(token, token)
    return _forced("aave", event_id, coin, f"{coin}-USD-SPOT", token, amount, _worth(worth), ts)


def _dune(path: Path) -> Build:
    tokens = registry.bundled("ethereum")

    def token(address: str) -> Token:
        known = tokens[address.lower()]
        assert isinstance(known, Token)
        return known

    def build(x: _Dune) -> Liquidation:
        collateral = token(x.collateralasset)
        if not x.liquidatedcollateralamount.isdigit():
            raise UnreadableFrame("liquidatedCollateralAmount", x.liquidatedcollateralamount[:40])
        amount = int(x.liquidatedcollateralamount) / 10**collateral.decimals
        event_id = f"aave:{x.evt_tx_hash}:{x.evt_index}"
        at, coin = stamp(x.evt_block_time, "evt_block_time"), collateral.coin
        return _forced(
            "aave", event_id, coin, f"{coin}-USD-SPOT", collateral.asset, amount, None, at
        )

    return build


def _compound(path: Path) -> Build:
    counts: dict[str, int] = {}

    def build(x: _Compound) -> Liquidation:
        matched = _COMET.fullmatch(x.comet)
        coin = matched[1].upper() if matched else x.comet.upper()
        coin = _WRAPPED.get(coin, coin)
        facts = natural_id(x.chain, x.comet, x.tx_hash, x.borrower, x.value_liquidated_usd)
        event_id = f"compound:{facts}"
        counts[event_id] = counts.get(event_id, 0) + 1
        if counts[event_id] > 1:
            event_id += f"#{counts[event_id] - 1}"
        at, symbol = stamp(x.timestamp, "timestamp"), f"{x.chain}:{x.comet}"[:60]
        worth = grid_usd(x.value_liquidated_usd)
        name = f"{coin}-USD-SPOT"
        return _forced("compound", event_id, coin, name, symbol, None, worth, at, side="unknown")

    return build


def _liquity(path: Path) -> Build:
    def build(x: _Liquity) -> Liquidation:
        transaction = _TX.search(x.transaction)
        facts = natural_id(
            transaction[0] if transaction else x.transaction,
            *(x.owner, x.collateral, x.debt, x.collateralratio),
        )
        at, worth = stamp(x.timestamp, "timestamp"), grid_usd(x.collateral * x.price)
        return _forced(
            *("liquity", f"liquity:{facts}", "ETH", "ETH-USD-SPOT", "ETH/LUSD"),
            *(x.collateral, worth, at),
            mark=x.price,
        )

    return build


def _forced(
    venue: str,
    event_id: str,
    asset: str,
    instrument: str,
    symbol: str,
    quantity: float | None,
    worth: float | None,
    ts: int,
    side: PositionSide = "long",
    mark: float | None = None,
) -> Liquidation:
    kind: PriceKind | None = "mark" if mark is not None else None
    return checked(
        lambda: Liquidation(
            event_id=event_id,
            venue=venue,
            instrument=instrument,
            venue_symbol=symbol,
            asset=asset,
            position_side=side,
            order_side=None,
            price=mark,
            price_kind=kind,
            quantity=quantity,
            notional_usd=worth,
            coverage="unknown",
            stream="table",
            ts_event=ts,
            ts_recv=ts,
        )
    )


def _worth(text: str) -> float | None:
    try:
        worth = float(text)
    except ValueError:
        return None
    return grid_usd(worth) if 0 <= worth <= 1e10 else None


_LACKS = "no order side, no price; whether all are there is not told"
AAVE = Table(
    what="Aave liquidations: one row an event",
    columns=_AaveEvent,
    build=_aave_event,
    lacks=_LACKS + "; BTC tokens only, as their decimals are known",
    gap_after_s=_DAYS_S,
)
AAVE_COLLATERAL = Table(
    what="Aave liquidations by collateral",
    columns=_AaveSum,
    build=_aave_sum,
    lacks=_LACKS,
    gap_after_s=_DAYS_S,
)
DUNE = Table(
    what="Aave LiquidationCall rows as Dune exports them",
    columns=_Dune,
    build=_dune,
    lacks=_LACKS + ", no worth; tokens of the list in feeds/snapshot only",
    gap_after_s=_DAYS_S,
)
COMPOUND = Table(
    what="Compound v3 liquidations in dollars",
    columns=_Compound,
    build=_compound,
    lacks="the collateral and so the side are not told: under the coin that was lent",
    gap_after_s=_DAYS_S,
)
LIQUITY = Table(
    what="Liquity liquidations",
    columns=_Liquity,
    build=_liquity,
    lacks="no order side; the price is the oracle's",
    gap_after_s=_DAYS_S,
)
