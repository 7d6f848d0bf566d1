from shelf import ShelfReader, ShelfWriter
from shelf.engine import ENGINE

from ckpt_harness import StorageConformance


class TestShelf(StorageConformance):
    capabilities = {capability.value for capability in ENGINE.capabilities}
    register = "known.toml"

    def make_writer(self, place):
        return ShelfWriter(place)

    def make_reader(self, place):
        return ShelfReader(place)
