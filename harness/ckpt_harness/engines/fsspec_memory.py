"""DCP on fsspec's ``memory://``, an object store in the memory of the process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import fsspec

from ckpt_harness._torch import FsspecFileSystem, FsspecReader, FsspecWriter
from ckpt_harness.engines.dcp import DCP_CAPABILITIES, DcpCalls, markers
from ckpt_harness.faults.protocol import DCP, Protocol

_numbers = itertools.count()
_buckets: dict[Path, int] = {}


class _Apart(FsspecFileSystem):  # type: ignore[misc]  # untyped where mypy does not see its module
    """The same store, but each reader gets a copy of the object. With fsspec's own streams, all readers would share the object's position."""

    @contextlib.contextmanager
    def create_stream(self, path: Any, mode: str) -> Iterator[io.IOBase]:
        """Opens an object as a stream."""
        with super().create_stream(path, mode) as stream:
            yield io.BytesIO(cast(io.BytesIO, stream).getvalue()) if mode == "rb" else stream


class FsspecMemoryEngine(DcpCalls):
    """DCP with fsspec's writer and reader on a store in this process, which only simulated ranks can share."""

    name = "fsspec-memory"
    about = "DCP on fsspec's memory://, a store in the memory of the process; simulated ranks only"
    protocol: Protocol = DCP
    capabilities = DCP_CAPABILITIES
    one_process = True

    def place(self, root: Path, name: str) -> str:
        """Returns a key prefix. It contains a number in place of ``root``, so that no path of the machine is stored or printed."""
        return f"memory://ckpt-harness-{_buckets.setdefault(root, next(_numbers))}/{name}"

    def make_writer(self, place: str) -> FsspecWriter:
        """Makes a writer. Without ``sync_files``: objects have no descriptor, so it would call ``os.sync()`` for the whole host (before torch 2.14) or warn."""
        return FsspecWriter(place, sync_files=False)

    def make_reader(self, place: str) -> FsspecReader:
        """Makes a reader for the prefix."""
        reader = FsspecReader(place)
        reader.fs = _Apart()
        reader.path = reader.fs.init_path(place)
        return reader

    def committed(self, place: str, apart: int = 0) -> bool:
        """Returns whether ``.metadata`` exists, or for a save without collectives, that of each rank."""
        store, path = fsspec.core.url_to_fs(place)
        return all(store.exists(f"{path}/{name}") for name in markers(apart))

    def flaws(self, place: str) -> Sequence[str]:
        """Returns nothing: only loads check the metadata of this engine."""
        return ()

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Returns the SHA-256 of each object, by relative key."""
        store, path = fsspec.core.url_to_fs(place)
        keys = sorted(store.find(path)) if store.exists(path) else []
        return {key.removeprefix(path).lstrip("/"): hashlib.sha256(store.cat_file(key)).hexdigest() for key in keys}

    def discard(self, place: str) -> None:
        """Removes every object below the prefix."""
        store, path = fsspec.core.url_to_fs(place)
        if store.exists(path):
            store.rm(path, recursive=True)


FSSPEC_MEMORY = FsspecMemoryEngine()
