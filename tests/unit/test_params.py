"""Parameters that no detector could keep its word with are refused where they are read."""

from pathlib import Path

import pytest

from streams.core.params import MINUTES_NEAR, Params, ParamsError
from streams.process.params_file import load_params


@pytest.mark.parametrize("name", ["reference_min", "direction_min"])
@pytest.mark.parametrize("minutes", [0, MINUTES_NEAR + 1, 3_000])
def test_minutes_that_may_be_packed_already_cannot_be_asked_for(
    tmp_path: Path, name: str, minutes: int
) -> None:
    path = tmp_path / "params.json"
    path.write_text(f'{{"episode": {{"{name}": {minutes}}}}}')
    with pytest.raises(ParamsError, match=rf"params\.json: .*`\$\.episode\.{name}`"):
        load_params(str(path))


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    path.write_text(f'{{"episode": {{"reference_min": {MINUTES_NEAR}}}}}')
    params = load_params(str(path))
    assert params.episode.reference_min == MINUTES_NEAR
    assert params.whale == Params().whale
    assert params.version != Params().version
