"""Moving and renaming code changes no byte of what it concludes."""

import json
from pathlib import Path

import pytest
from golden import EXPECTED, INPUTS, RECORDINGS, hashes, is_here


@pytest.mark.parametrize("name", INPUTS)
def test_findings_rows_and_alerts_are_byte_for_byte_as_they_were(name: str, tmp_path: Path) -> None:
    if not is_here(name):
        pytest.skip(f"no recording {name} in {RECORDINGS}")
    assert hashes(tmp_path, name) == json.loads(EXPECTED.read_text())[name], (
        "meant to change? `PYTHONPATH=tests python -m golden`, and say why in the commit"
    )
