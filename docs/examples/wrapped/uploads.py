"""A storage that reports every error of its uploads as an `UploadError`, and the engine that tests it."""

from torch.distributed.checkpoint import FileSystemWriter

from ckpt_harness.engines.filesystem import FileSystemEngine


class UploadError(Exception):
    """An upload failed. It takes one text, so that it can be pickled, and read again, on every rank."""


class UploadingWriter(FileSystemWriter):
    """Stands for your storage writer."""

    def write_data(self, plan, planner):
        try:
            return super().write_data(plan, planner)
        except Exception as error:
            raise UploadError(f"upload failed: {error}") from error


class UploadEngine(FileSystemEngine):
    kin = "filesystem"

    def make_writer(self, place):
        return UploadingWriter(place)


ENGINE = UploadEngine("uploads", "a storage that wraps errors")
