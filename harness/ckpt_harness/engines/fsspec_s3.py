"""DCP on fsspec's ``s3://``: s3fs with a local S3 server (see :mod:`ckpt_harness.engines.moto`)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import s3fs  # noqa: F401  (so that a missing package is reported before anything runs)
from fsspec.asyn import get_loop, iothread

from ckpt_harness import runtime
from ckpt_harness._torch import FsspecReader, FsspecWriter
from ckpt_harness.engines import moto
from ckpt_harness.injection.object_store import reach

T = TypeVar("T")

# The thread of fsspec's event loop and the workers of that loop serve all ranks, so they must not belong to the rank that happens to start them.
get_loop().set_default_executor(ThreadPoolExecutor(4, initializer=lambda: runtime.serves(threading.current_thread())))
runtime.serves(iothread[0])


class FsspecS3Engine(moto.MotoEngine):
    """DCP with fsspec's writer and reader on S3.

    Only the client's timeouts and retries are changed: it waits two seconds for an answer, and tries four times in total.
    """

    name = "fsspec-s3"
    about = "DCP on fsspec's s3:// (s3fs), with a local S3 server (moto)"

    def make_writer(self, place: str) -> FsspecWriter:
        """Makes a writer. Without ``sync_files``: objects have no descriptor, so it would call ``os.sync()`` for the whole host (before torch 2.14) or warn."""
        return _impatient(FsspecWriter(f"s3://{moto.Place.of(place).key}", sync_files=False, **_options(place)))

    def make_reader(self, place: str) -> FsspecReader:
        """Makes a reader for the prefix."""
        return _impatient(FsspecReader(f"s3://{moto.Place.of(place).key}", **_options(place)))


def _options(place: str) -> dict[str, Any]:
    return {
        "key": moto.KEY,
        "secret": moto.KEY,
        "endpoint_url": reach(moto.Place.of(place).store),
        "use_listings_cache": False,
        "config_kwargs": {"retries": {"max_attempts": 2, "mode": "standard"}, "read_timeout": 2, "connect_timeout": 2},
    }


def _impatient(storage: T) -> T:
    """Reduces the tries of s3fs from five to two; each consists of two tries of botocore."""
    file_system: Any = storage
    file_system.fs.fs.retries = 2
    return storage


FSSPEC_S3 = FsspecS3Engine()
