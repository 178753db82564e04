"""The detectors' numbers from a file that an operator names."""

from pathlib import Path

import msgspec

from streams.core.params import Params, ParamsError


def load_params(path: str) -> Params:
    """Read parameters from a JSON file; fields it leaves out keep their defaults.

    Raises ParamsError for a file that is missing, not JSON, or not of this shape.
    """
    if not path:
        return Params()
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Params)
    except (OSError, msgspec.DecodeError) as problem:
        raise ParamsError(f"parameters {path}: {problem}") from None
