"""A small disk of its own to fill and free."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

SIZE_MB = 300


class Small:
    """A tmpfs of its own, for whoever may mount one."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(place)]
        subprocess.run(command, check=True, capture_output=True)

    def fill(self) -> None:
        """Leave no room, not for a byte."""
        with open(self.place / "ballast", "ab", buffering=0) as ballast:
            for size in (65_536, 4_096, 1):
                with suppress(OSError):
                    while ballast.write(bytes(size)):
                        pass

    def free(self) -> None:
        """Give the room back."""
        (self.place / "ballast").unlink(missing_ok=True)

    def stop(self) -> None:
        """Unmount it, even if something still has a file open."""
        subprocess.run(["umount", "-l", str(self.place)], check=False, capture_output=True)


def may_mount() -> str:
    """Say why a tmpfs cannot be mounted here, or nothing."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
        return "only root may mount a small tmpfs"
    probe = Path("/tmp") / f"chaos-mount-{os.getpid()}"
    try:
        Small(probe).stop()
    except subprocess.CalledProcessError as problem:
        return f"no tmpfs can be mounted here: {problem.stderr.decode().strip()}"
    finally:
        with suppress(OSError):
            probe.rmdir()
    return ""
