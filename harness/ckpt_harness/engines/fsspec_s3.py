"""DCP on fsspec's ``s3://``: s3fs against a store on this machine (see :mod:`ckpt_harness.engines.moto`)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import s3fs  # noqa: F401  (missing, it is told here, before anything runs)
from fsspec.asyn import get_loop, iothread

from ckpt_harness import runtime
from ckpt_harness._torch import FsspecReader, FsspecWriter
from ckpt_harness.engines import moto
from ckpt_harness.injection.object_store import reach

T = TypeVar("T")

# The thread of fsspec's loop serves all ranks, so it must not be started by one of them; nor must the workers of the loop be taken for anybody's.
get_loop().set_default_executor(ThreadPoolExecutor(4, initializer=lambda: runtime.serves(threading.current_thread())))
runtime.serves(iothread[0])


class FsspecS3Engine(moto.MotoEngine):
    """DCP with fsspec's writer and reader on S3.

    The client's patience is cut short, and nothing else about it: it waits two seconds for an answer, and tries four times in all.
    """

    name = "fsspec-s3"
    about = "DCP on fsspec's s3:// (s3fs), against moto's server"

    def make_writer(self, place: str) -> FsspecWriter:
        """A writer for the prefix; ``sync_files`` would call ``os.sync()`` for the whole host, since a key has no descriptor."""
        return _impatient(FsspecWriter(f"s3://{moto.Place.of(place).key}", sync_files=False, **_options(place)))

    def make_reader(self, place: str) -> FsspecReader:
        """A reader for the prefix."""
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
    """The storage with two tries of s3fs's own, each of two tries of botocore's, where there would be five."""
    file_system: Any = storage
    file_system.fs.fs.retries = 2
    return storage


FSSPEC_S3 = FsspecS3Engine()
