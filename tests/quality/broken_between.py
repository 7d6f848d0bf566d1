"""Engines with DCP's classes that are broken between operations: each does one operation well, and remembers something for the next that it should not.

``bugs_jobs.py`` names the job that shows each bug. What an engine remembers, it remembers for each rank: in the writer or reader, which the ranks of a job keep
for a place, or beside the rank's process group, which lasts until the job restarts.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import tempfile
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.api import CheckpointException

from ckpt_harness.engines.base import Saving
from ckpt_harness.engines.filesystem import FileSystemEngine


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


class _Engine(FileSystemEngine):
    """DCP with other storage classes.

    Args:
        name: the name of the engine.
        about: what is wrong with it.
        writer: the class of its writers.
        reader: the class of its readers.
    """

    def __init__(self, name: str, about: str, writer: type = FileSystemWriter, reader: type = FileSystemReader) -> None:
        super().__init__(name, about, sync_files=False)
        self._writer, self._reader = writer, reader
        self._by_group: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()

    @property
    def _memory(self) -> dict[str, Any]:
        """What the calling rank remembers."""
        return self._by_group.setdefault(dist.group.WORLD, {})

    def make_writer(self, place: str) -> Any:
        return self._writer(place, **self._writer_options)

    def make_reader(self, place: str) -> Any:
        return self._reader(place)


# -- saves that reuse what an earlier save has made


class StaleWriter(FileSystemWriter):
    """After a failed save, takes the files of that save for those of the next: they are there already."""

    written = None

    def write_data(self, plan, planner):
        if self.written is None:
            self.written = super().write_data(plan, planner)
        return self.written

    def reset(self, checkpoint_id=None):
        super().reset(checkpoint_id)
        if (Path(self.path) / ".metadata").exists():
            self.written = None


STALE = _Engine("stale", "a retry commits the files of the save that failed", StaleWriter)


class CountingWriter(FileSystemWriter):
    """Names its files by the number of its saves, which it does not count if they fail; the coordinator takes the numbers of all ranks to be its own."""

    saves = 0

    def prepare_global_plan(self, plans):
        return [copy.copy(plan) for plan in plans]

    def write_data(self, plan, planner):
        prefix = f"__{_rank()}_{self.saves}_"
        object.__setattr__(plan, "storage_data", type("Prefix", (), {"prefix": prefix})())
        done = super().write_data(plan, planner)
        self.saves += 1
        return done

    def finish(self, metadata, results):
        number = self.saves - 1
        for each in (each for of_rank in results for each in of_rank):
            rank, _, rest = each.storage_data.relative_path.removeprefix("__").partition("_")
            object.__setattr__(each.storage_data, "relative_path", f"__{rank}_{number}_{rest.partition('_')[2]}")
        super().finish(metadata, results)


COUNTING = _Engine("counting", "a rank whose save failed counts one save less than the others", CountingWriter)


# -- saves that are left out, or fail for another


class LatchedEngine(_Engine):
    """Leaves out the save after a failed save."""

    def save(self, state, writer, planner, place, call):
        if self._memory.pop("failed", False):
            return
        try:
            super().save(state, writer, planner, place, call)
        except CheckpointException:
            self._memory["failed"] = True
            raise


LATCHED = LatchedEngine("latched", "the save after a failed save is left out")


class DeferringEngine(_Engine):
    """Reports the failure of a save when the next is asked for, which it leaves out."""

    def save(self, state, writer, planner, place, call):
        before = self._memory.pop("error", None)
        if before is not None:
            raise before
        try:
            super().save(state, writer, planner, place, call)
        except CheckpointException as error:
            self._memory["error"] = error


DEFERRING = DeferringEngine("deferring", "the failure of a save is reported by the next save")


class TiredEngine(_Engine):
    """Fails for good after a failed save to the same place: it takes the files of the failed save for those of another job."""

    def save(self, state, writer, planner, place, call):
        if list(Path(place).glob("*.distcp")) and not (Path(place) / ".metadata").exists():
            raise FileExistsError(f"{Path(place).name} is not empty")
        super().save(state, writer, planner, place, call)


TIRED = TiredEngine("tired", "a save to the place of a failed save is refused")


# -- futures


class BehindEngine(_Engine):
    """Returns the future of the async save before."""

    def async_save(self, state, writer, planner, place, call):
        saving = super().async_save(state, writer, planner, place, call)
        before = self._memory.get("saving", saving)
        self._memory["saving"] = saving
        return before


BEHIND = BehindEngine("behind", "async_save returns the future of the save before")


class HastyEngine(_Engine):
    """Returns a future that is complete once the state is staged."""

    def async_save(self, state, writer, planner, place, call):
        super().async_save(state, writer, planner, place, call)
        done: Future[None] = Future()
        done.set_result(None)
        return Saving(done)


HASTY = HastyEngine("hasty", "the future of an async save completes before its upload")


# -- loads


class ForgetfulReader(FileSystemReader):
    """On rank 1, reads the files of the first load of a place again, which it keeps."""

    kept: dict[str, bytes] | None = None

    def read_data(self, plan, planner):
        if _rank() != 1:
            return super().read_data(plan, planner)
        files = {file.name: file.read_bytes() for file in Path(self.path).glob("*.distcp")}
        self.kept = self.kept or files
        directory = Path(self.path)
        with tempfile.TemporaryDirectory() as beside:
            for name, content in self.kept.items():
                (Path(beside) / name).write_bytes(content)
            self.path = Path(beside)
            try:
                return super().read_data(plan, planner)
            finally:
                self.path = directory


FORGETFUL = _Engine("forgetful", "a rank loads again what it has loaded from the place first", reader=ForgetfulReader)


class OnceReader(FileSystemReader):
    """Reads a place once; a second load finds nothing to do."""

    read = False

    def read_data(self, plan, planner):
        if self.read:
            done: Any = torch.futures.Future()
            done.set_result(None)
            return done
        self.read = True
        return super().read_data(plan, planner)


ONCE = _Engine("once", "a second load from a place reads nothing", reader=OnceReader)


class TouchingEngine(_Engine):
    """Rank 1 brings the shard that it saved last into the checkpoint that it loads, where both have one of the same size."""

    def save(self, state, writer, planner, place, call):
        super().save(state, writer, planner, place, call)
        self._memory["shard"] = (Path(place) / f"__{_rank()}_0.distcp").read_bytes()

    def load(self, state, reader, planner, place, call):
        super().load(state, reader, planner, place, call)
        shard = Path(place) / f"__{_rank()}_0.distcp"
        if _rank() == 1 and shard.exists() and shard.stat().st_size == len(self._memory.get("shard", b"")):
            shard.write_bytes(self._memory["shard"])


TOUCHING = TouchingEngine("touching", "a load writes the shard that was saved last into the checkpoint that it reads")


class TruncatingReader(FileSystemReader):
    """When it reads for the second time, it cuts off the end of the last file."""

    reads = 0

    def read_data(self, plan, planner):
        done = super().read_data(plan, planner)
        self.reads += 1
        if self.reads == 2 and _rank() == 0:
            last = max(Path(self.path).glob("*.distcp"))
            os.truncate(last, last.stat().st_size // 2)
        return done


TRUNCATING = _Engine("truncating", "a second load cuts off a part of the checkpoint", reader=TruncatingReader)


class ConsumingEngine(_Engine):
    """A load takes the commit marker away."""

    def load(self, state, reader, planner, place, call):
        super().load(state, reader, planner, place, call)
        if _rank() == 0:
            (Path(place) / ".metadata").unlink(missing_ok=True)


CONSUMING = ConsumingEngine("consuming", "a load takes the commit marker away")


# -- what is kept


class GrowingWriter(FileSystemWriter):
    """Each save leaves one more copy of the metadata before at its place."""

    def finish(self, metadata, results):
        marker = Path(self.path) / ".metadata"
        if marker.exists():
            copies = len(list(Path(self.path).glob("metadata.*")))
            (Path(self.path) / f"metadata.{copies}").write_bytes(marker.read_bytes())
        super().finish(metadata, results)


GROWING = _Engine("growing", "each save leaves one more file at its place", GrowingWriter)


class LitteringWriter(FileSystemWriter):
    """From its second save on, a thread of it never ends."""

    def set_up_storage_writer(self, is_coordinator, *args, **kwargs):
        super().set_up_storage_writer(is_coordinator, *args, **kwargs)
        if self.__dict__.setdefault("used", False):
            threading.Thread(target=threading.Event().wait, name="flusher", daemon=True).start()
        self.used = True


LITTERING = _Engine("littering", "each save after the first leaves a thread", LitteringWriter)


class GhostlyWriter(FileSystemWriter):
    """From its second save on, the metadata names a tensor twice as long as what was saved of it."""

    def finish(self, metadata, results):
        if self.__dict__.setdefault("used", False):
            _add_ghost(metadata, results)
        self.used = True
        super().finish(metadata, results)


def _add_ghost(metadata, results):
    """Adds a name to the metadata, with the data of another name for its first half."""
    name, entry = next((name, entry) for name, entry in metadata.state_dict_metadata.items() if len(getattr(entry, "size", ())) == 1)
    metadata.state_dict_metadata["ghost"] = dataclasses.replace(entry, size=torch.Size([2 * entry.size[0]]))
    written = next(written for each in results for written in each if written.index.fqn == name)
    results[0].append(dataclasses.replace(written, index=dataclasses.replace(written.index, fqn="ghost")))


GHOSTLY = _Engine("ghostly", "each save after the first names more than it has saved", GhostlyWriter)
