"""Mounts disks, and waits until it is ended."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from real_disks import ext4, tmpfs

if __name__ == "__main__":
    where = Path(sys.argv[1])
    with ext4(where / "ext4"), tmpfs(where / "tmpfs", 1 << 20):
        print("mounted", flush=True)
        signal.pause()
