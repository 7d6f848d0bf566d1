"""The engine that `ckpt-harness` finds by the package's entry point: DCP on this storage, and what is claimed of it."""

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
        Capability.DURABLE_COMMIT,  # but for what tests/known.toml says
    }
)
