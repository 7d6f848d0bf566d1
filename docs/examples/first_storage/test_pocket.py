from pocket import PocketReader, PocketWriter

from ckpt_harness import StorageConformance


class TestPocket(StorageConformance):
    capabilities = {"collectives"}

    def make_writer(self, place):
        return PocketWriter(place)

    def make_reader(self, place):
        return PocketReader(place)
