"""How this program was started, so that what it prints can be typed; and how it ends itself."""

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn


def command() -> str:
    """Return what starts this program from here."""
    started = Path(sys.argv[0])
    if started.name != "undertow":
        return "python -m streams.cli"
    on_path = shutil.which("undertow")
    if on_path and Path(on_path).resolve() == started.resolve():
        return "undertow"
    return os.path.relpath(started)


def end_at_once() -> NoReturn:
    """End the process; what is not committed is taken again by the next one."""
    logging.shutdown()
    os._exit(70)
