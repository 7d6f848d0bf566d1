"""The engine that `ckpt-harness` finds by the entry point of the package: DCP on this storage, with the capabilities that it claims."""

from pathlib import Path

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability
from shelf.storage import COMMIT, ShelfReader, ShelfWriter


class ShelfEngine(FileSystemEngine):
    def make_writer(self, place):
        return ShelfWriter(place)

    def make_reader(self, place):
        return ShelfReader(place)

    def committed(self, place, apart=0):
        return (Path(place) / COMMIT).exists()


ENGINE = ShelfEngine("shelf", "DCP on a shelf: one file for each rank and save, checksums")
ENGINE.capabilities = frozenset(
    {
        Capability.COLLECTIVES,
        Capability.ANY_COORDINATOR,
        Capability.COMMIT_MARKER,
        Capability.FILE_SYSTEM,
        Capability.CHECKSUMS,
        Capability.ATOMIC_OVERWRITE,
        Capability.DURABLE_COMMIT,  # except for the known finding in tests/known.toml
    }
)
