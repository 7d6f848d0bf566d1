"""Files below a :class:`FaultyFileSystem`, for the tests of disks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystem

from ckpt_harness.disk.journal import Journal
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.injection.filesystem import FaultyFileSystem
from ckpt_harness.injection.injector import Injector


def faulty(plan: str) -> FaultyFileSystem:
    """DCP's own file system, with faults."""
    return FaultyFileSystem(FileSystem(), plan, rank=0)


def journalled(journal: Journal, plan: str = "") -> FaultyFileSystem:
    """The same, with a journal."""
    return FaultyFileSystem.sharing(FileSystem(), Injector(FaultPlan.parse(plan), rank=0, journal=journal))


def write(fs: Any, path: Path, *parts: bytes, sync: bool = False) -> list[Any]:
    """Writes a file in parts; returns what each ``write`` returned."""
    with fs.create_stream(path, "wb") as stream:
        written = [stream.write(part) for part in parts]
        if sync:
            stream.flush()
            os.fsync(stream.fileno())
        return written


def read(fs: Any, path: Path) -> bytes:
    """The content of a file."""
    with fs.create_stream(path, "rb") as stream:
        return bytes(stream.read())


def sync_path(path: Path) -> None:
    """Makes a file or directory durable through a descriptor that the file system does not know."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def state(value: float = 1.0) -> dict[str, Any]:
    """A state with a tensor and a number."""
    return {"weight": torch.full((1000,), value), "epoch": 7}
