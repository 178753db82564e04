"""The test server of ClickHouse, as a process of its own."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from streams.stack.local_kafka import die_with_parent

SERVER = Path(__file__).parents[1] / "integration" / "clickhouse_server.py"


class Database:
    """The test server, as a process of its own."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), "--path", str(path), "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(),
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"{SERVER.name} does not start")

    def fault(self, what: dict[str, Any]) -> None:
        """Have the next requests spoilt."""
        body = json.dumps(what).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(self.url + "/fault", data=body), timeout=90).read()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
