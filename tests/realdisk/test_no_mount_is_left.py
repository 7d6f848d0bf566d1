"""The mounts of these tests vanish with their processes."""

from __future__ import annotations

import select
import time
from pathlib import Path

from apart import end, start

NEEDS = "ext4"
LIMIT = 30
"""Seconds for the kernel to detach a loop device after the last mount is gone."""


def devices(below: Path) -> list[str]:
    """The loop devices whose image file lies below a directory."""
    found = []
    for attached in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            image = attached.read_text()
        except OSError:
            continue  # detached in between
        if image.startswith(f"{below}/"):
            found.append(attached.parts[3])
    return found


def test_a_script_that_is_killed_leaves_no_mount_and_no_device(tmp_path: Path) -> None:
    """The mounts are invisible outside the script while it runs, and gone after it was killed."""
    process = start("lingering.py", tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "mounted\n"
        assert devices(tmp_path) != []
        assert str(tmp_path) not in Path("/proc/mounts").read_text()
    finally:
        end(process)
    deadline = time.monotonic() + LIMIT
    while devices(tmp_path) and time.monotonic() < deadline:
        select.select([], [], [], 0.01)
    assert devices(tmp_path) == []
