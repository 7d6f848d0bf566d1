"""DCP on a storage of your own, as an engine: `ckpt-harness check my_storage.py:ENGINE`."""

from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter

from ckpt_harness.engines.filesystem import FileSystemEngine


class MyWriter(FileSystemWriter):
    """Stands for your storage writer."""


class MyReader(FileSystemReader):
    """Stands for your storage reader."""


class MyEngine(FileSystemEngine):
    def make_writer(self, place):
        return MyWriter(place)

    def make_reader(self, place):
        return MyReader(place)


ENGINE = MyEngine("my-storage", "DCP on my storage")
