"""The things that the tests of this directory need. Run as a program, prints for each thing whether its tests can run here."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LAUNCHED = Path(__file__).parent / "launched"
KINDS = ("ext4", "tmpfs", "strace")
_TOOLS = {"ext4": ("unshare", "mount", "umount", "mkfs.ext4"), "tmpfs": ("unshare", "mount", "umount"), "strace": ("strace",)}
_LIMIT = 60
"""Seconds that a trial may take."""


@functools.cache
def missing(kind: str) -> str:
    """The reason why the thing cannot be used here; "" if it can."""
    if sys.platform != "linux":
        return "this is not Linux"
    if os.geteuid() != 0:
        return "only root may do that"
    tools = [tool for tool in _TOOLS[kind] if shutil.which(tool) is None]
    if tools:
        return f"not installed: {', '.join(tools)}"
    with tempfile.TemporaryDirectory() as where:
        if kind == "strace":
            command = ["strace", "-o", f"{where}/trace", "-e", "inject=fsync:signal=SIGKILL:when=1", "-P", "/x", "true"]
        else:
            command = ["unshare", "--mount", sys.executable, str(LAUNCHED / "real_disks.py"), kind, where]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            return f"{command[0]} took longer than {_LIMIT} seconds"
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[-1]


if __name__ == "__main__":
    for kind in KINDS:
        reason = missing(kind)
        print(f"tests/realdisk with {kind}: {f'skipped: {reason}' if reason else 'run'}")
