"""The live board against its budget: `PYTHONPATH=tests python -m bench.board` (needs Chromium).

Plays the default night at a set speed, with one page in a real browser, then with twenty
streams beside it. Times are of this machine; the bars are those of the budget.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from chromium import launched, opened
from playwright.sync_api import Page

from sinks.board.pages import Board

CLIENTS = 20
#: Notes how long each event's listener takes, milliseconds.
_TIMED = """
window.took = [];
const add = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (kind, hear) {
  add.call(this, kind, (event) => {
    const began = performance.now();
    hear(event);
    if (kind === 'changes') took.push(performance.now() - began);
  });
};
"""


def main() -> None:
    """Print each figure beside its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", default="9")
    parser.add_argument("--speed", default="240")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each part")
    given = parser.parse_args()
    print(f"page          {_page_bytes() / 1e3:.0f} KB gzipped (at most 150)")
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        run = _start(Path(folder), given.hours, given.speed)
        try:
            url = _address(run)
            time.sleep(15)
            with opened(browser, url) as watched:
                page = watched.page
                print(f"first chart   {_first_chart_ms(page, url):.0f} ms (at most 1,500)")
                page.add_init_script(_TIMED)
                page.reload()
                alone = _cpu_share(run.pid, given.seconds, page)
                took = page.evaluate("window.took")
                p95 = statistics.quantiles(took, n=20)[-1]
                print(f"update        p95 {p95:.0f} ms of {len(took)} (at most 50)")
                print(f"heap          {_heap_mb(page):.0f} MB (at most 60)")
                with _Streams(url) as streams:
                    together = _cpu_share(run.pid, given.seconds, page)
                share = together - alone
                print(f"20 clients    {share:.1%} of a core more than one (at most 10 %)")
                print(f"              each was told {min(streams.events)} to {max(streams.events)}")
        finally:
            run.kill()
            run.wait()


def _page_bytes() -> int:
    files = Board(lambda *_: b"", "")._files
    return sum(len(file.packed) for name, file in files.items() if not name.endswith(".txt"))


def _start(data_dir: Path, hours: str, speed: str) -> subprocess.Popen[str]:
    arguments = ["run", "--hours", hours, "--speed", speed, "--serve", "--data-dir", str(data_dir)]
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=os.environ | {"UNDERTOW_SQL_PORT": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _address(run: subprocess.Popen[str]) -> str:
    assert run.stderr is not None
    for line in run.stderr:
        if address := re.search(r"http://\S+/board/", line):
            threading.Thread(target=run.stderr.read, daemon=True).start()
            return address[0]
    raise SystemExit("the run ended without a board")


def _first_chart_ms(page: Page, url: str) -> float:
    times = []
    for _ in range(5):
        began = time.monotonic()
        page.goto(url)
        page.locator("#chart canvas").first.wait_for()
        times.append(1e3 * (time.monotonic() - began))
    return statistics.median(times)


def _cpu_share(pid: int, seconds: float, page: Page) -> float:
    began, before = time.monotonic(), _cpu_s(pid)
    page.wait_for_timeout(1e3 * seconds)
    return (_cpu_s(pid) - before) / (time.monotonic() - began)


def _cpu_s(pid: int) -> float:
    """Processor time of a process, without those that answer its queries."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _heap_mb(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    return used / 1e6


class _Streams:
    """Clients that read their events."""

    def __init__(self, url: str) -> None:
        self.events = [0] * CLIENTS
        self._streams = [urllib.request.urlopen(f"{url}events") for _ in range(CLIENTS)]

    def __enter__(self) -> "_Streams":
        for number in range(CLIENTS):
            threading.Thread(target=self._read, args=(number,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.fp.raw._sock.close()  # closing the answer would wait for its end

    def _read(self, number: int) -> None:
        try:
            for line in self._streams[number]:
                self.events[number] += line.startswith(b"event: changes")
        except (OSError, ValueError, AttributeError):
            return


if __name__ == "__main__":
    main()
