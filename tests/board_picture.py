"""The picture of the board in sinks/README.md: `PYTHONPATH=tests python -m board_picture`.

Needs Chromium. Plays the first hours of the default night, unless --data-dir has them.
"""

import argparse
import tempfile
from pathlib import Path

from chromium import launched, opened
from runs import OFTEN, run

from sinks.board.serve import EmbeddedBoard, serving
from sinks.clickhouse.client import chdb_path

PICTURE = Path(__file__).parent / "data" / "board.png"
#: In the midst of ten cascades.
MOMENT = "2025-11-21T07:41:00Z"
SIZE = {"width": 1280, "height": 1010}


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="of a run of the default night")
    data_dir = parser.parse_args().data_dir
    with tempfile.TemporaryDirectory() as folder:
        if data_dir is None:
            data_dir = Path(folder)
            code, said = run(data_dir, OFTEN, "--no-serve", "--hours", "8")
            assert code == 0, said
        path = chdb_path("chdb", data_dir)
        assert path is not None
        with (
            serving(EmbeddedBoard(path, ""), "127.0.0.1", 0, "") as url,
            launched() as browser,
            opened(browser, f"{url}?at={MOMENT}&asset=BTC", SIZE) as watched,
        ):
            page = watched.page
            page.locator("#waterfall tbody tr").first.wait_for()
            page.locator("#chart canvas").last.wait_for()
            page.wait_for_timeout(2_000)
            page.screenshot(path=PICTURE)


if __name__ == "__main__":
    main()
