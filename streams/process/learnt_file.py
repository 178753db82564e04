"""What was learnt of venues, kept with its evidence in a file under DATA_DIR."""

import os
from pathlib import Path

import msgspec

from streams.feeds.instruments import Instruments
from streams.feeds.learning import Learnt


def file_of(data_dir: str) -> Path:
    """Return where a data directory keeps what was learnt."""
    return Path(data_dir) / "learnt.json"


def load(path: Path) -> Learnt:
    """Return what was learnt, nothing where there is no file. Raises ValueError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Learnt)
    except (FileNotFoundError, NotADirectoryError):
        return Learnt()
    except (OSError, msgspec.DecodeError) as problem:
        raise ValueError(f"{path}: {problem}") from None


def save(path: Path, learnt: Learnt) -> None:
    """Put what was learnt into a file, in place of what it held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(learnt)) + b"\n")
    os.replace(beside, path)


def apply(learnt: Learnt, venue: str, instruments: Instruments) -> None:
    """Have a venue's instruments read its messages by what was learnt."""
    if venue == "gate" and learnt.gate is not None:
        instruments.liquidation_sign = learnt.gate.sign
    if venue == "binance" and learnt.binance is not None:
        instruments.symbol_stream = learnt.binance.coverage
