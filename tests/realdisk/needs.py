"""What the tests of this directory need, and the reason where it is missing. As a program, says of each whether its tests run here."""

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
"""Seconds to try one out."""


@functools.cache
def missing(kind: str) -> str:
    """Why there is no such thing here; "" if there is."""
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
    for one in KINDS:
        reason = missing(one)
        print(f"tests/realdisk with {one}: {f'skipped: {reason}' if reason else 'run'}")
