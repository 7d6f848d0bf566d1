"""A checkpoint manager as a trainer has one, and managers that are broken between operations: each is the sound manager with one change.

Each works as long as nothing goes wrong: the bug needs a failure, a restart, a second save under way, or one more step.
"""

from __future__ import annotations

import re
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter

State = dict[str, Any]


class KeepingManager:
    """Saves each step to a directory of its own, resumes from the newest that is committed, and keeps the newest.

    Rank 0 decides what concerns all ranks, and the others learn of it.

    Args:
        directory: where the steps lie.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = Path(directory)
        self._under_way: list[Future[Any]] = []

    # -- what a trainer calls

    def save(self, state: State, step: int) -> None:
        """Saves a step."""
        self.wait()
        dcp.save(state, storage_writer=self._writer(step))

    def async_save(self, state: State, step: int) -> Future[Any]:
        """Begins to save a step in the background, once the save before has ended."""
        self.wait()
        saving: Any = dcp.async_save(state, storage_writer=self._writer(step))
        self._under_way.append(saving)
        return saving

    def wait(self) -> None:
        """Waits until no save is under way.

        Raises:
            BaseException: the save has failed.
        """
        while self._under_way:
            self._under_way.pop(0).result()

    def latest(self) -> int | None:
        """Returns the newest step that is committed; None if there is none."""
        return self._agreed(max(self._committed(), default=None))

    def load(self, state: State, step: int) -> None:
        """Loads a step."""
        dcp.load(state, storage_reader=FileSystemReader(self._path(step)))

    def prune(self, keep: int) -> None:
        """Removes all committed steps but the newest, and what failed saves have left that are older.

        Args:
            keep: how many stay.
        """
        if dist.get_rank() == 0:
            stay = self._committed()[-keep:]
            for step in self._steps():
                if stay and step < stay[-1] and step not in stay:
                    shutil.rmtree(self._path(step))
        dist.barrier()

    # -- how

    def _writer(self, step: int) -> FileSystemWriter:
        return FileSystemWriter(self._path(step), sync_files=False)

    def _path(self, step: int) -> Path:
        return self._directory / f"step-{step}"

    def _steps(self) -> list[int]:
        """All steps that have a directory, in order."""
        names = [re.fullmatch(r"step-(\d+)", path.name) for path in self._directory.iterdir()] if self._directory.exists() else []
        return sorted(int(name[1]) for name in names if name)

    def _committed(self) -> list[int]:
        """The steps that are committed, in order."""
        return [step for step in self._steps() if (self._path(step) / ".metadata").exists()]

    @staticmethod
    def _agreed(value: Any) -> Any:
        """What rank 0 says."""
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]


# -- what is resumed from


class NewestDirectory(KeepingManager):
    """Takes the newest directory for the latest, committed or not."""

    def latest(self) -> int | None:
        return self._agreed(max(self._steps(), default=None))


class NewestByName(KeepingManager):
    """Takes the last directory by name for the latest: step 9 comes behind step 10."""

    def latest(self) -> int | None:
        return self._agreed(max(self._committed(), key=str, default=None))


class EachRankForItself(KeepingManager):
    """Each rank remembers what it took for the latest first; only rank 0 looks again."""

    _seen: int | None = None

    def latest(self) -> int | None:
        if self._seen is None or dist.get_rank() == 0:
            self._seen = max(self._committed(), default=None)
        dist.barrier()
        return self._seen


class PointerFirst(KeepingManager):
    """Notes the step that is saved in a file beside the steps, before it is saved, and resumes from what the file says."""

    def latest(self) -> int | None:
        pointer = self._directory / "latest"
        return self._agreed(int(pointer.read_text()) if pointer.exists() else None)

    def _writer(self, step: int) -> FileSystemWriter:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "latest").write_text(str(step))
        return super()._writer(step)


class FromMemory(KeepingManager):
    """Remembers the step that it has saved last, whether or not the save has succeeded; looks only if it remembers none."""

    _last: int | None = None

    def save(self, state: State, step: int) -> None:
        self._last = step
        super().save(state, step)

    def latest(self) -> int | None:
        return super().latest() if self._last is None else self._last


class PartsApart(KeepingManager):
    """Ranks other than 0 load the checkpoint before the newest if they find a directory behind it, which a failed save has left."""

    def load(self, state: State, step: int) -> None:
        committed = self._committed()
        if dist.get_rank() and len(committed) > 1 and committed[-1] < self._steps()[-1]:
            step = committed[-2]
        super().load(state, step)


# -- what is kept


class PrunesFirst(KeepingManager):
    """A save makes room first: it removes the step before, and saves then."""

    def save(self, state: State, step: int) -> None:
        if dist.get_rank() == 0:
            for older in self._committed():
                shutil.rmtree(self._path(older))
        dist.barrier()
        super().save(state, step)


class PrunesDirectories(KeepingManager):
    """Counts directories, not commits: what a failed save has left takes the place of a checkpoint that is kept."""

    def prune(self, keep: int) -> None:
        if dist.get_rank() == 0:
            for step in self._steps()[:-keep]:
                shutil.rmtree(self._path(step))
        dist.barrier()


class PrunesByName(KeepingManager):
    """Keeps the last directories by name."""

    def prune(self, keep: int) -> None:
        if dist.get_rank() == 0:
            for step in sorted(self._committed(), key=str)[:-keep]:
                shutil.rmtree(self._path(step))
        dist.barrier()


class LeavesDebris(KeepingManager):
    """Removes committed steps only: what failed saves have left stays for ever."""

    def prune(self, keep: int) -> None:
        if dist.get_rank() == 0:
            for step in self._committed()[:-keep]:
                shutil.rmtree(self._path(step))
        dist.barrier()


class KeepsOneMore(KeepingManager):
    """Keeps the newest steps, and the first."""

    def prune(self, keep: int) -> None:
        if dist.get_rank() == 0:
            for step in self._committed()[1:-keep]:
                shutil.rmtree(self._path(step))
        dist.barrier()


class PrunesAlone(KeepingManager):
    """Each rank prunes; whoever comes second does not find what the first has removed."""

    def prune(self, keep: int) -> None:
        before = self._committed()[:-keep]
        dist.barrier()
        for step in before:
            shutil.rmtree(self._path(step))


# -- saves and waits


class SkipsAfterFailure(KeepingManager):
    """Takes a failed save for one that is under way, and leaves out the next."""

    _busy = False

    def save(self, state: State, step: int) -> None:
        if self._busy:
            self._busy = False
            return
        self._busy = True
        super().save(state, step)
        self._busy = False


class CountsSuccesses(KeepingManager):
    """Names directories by the number of saves that have succeeded; only rank 0 counts failed saves, too."""

    _missed = 0

    def save(self, state: State, step: int) -> None:
        self.wait()
        try:
            dcp.save(state, storage_writer=self._writer(step - self._missed))
        except BaseException:
            self._missed += dist.get_rank() > 0
            raise


class WaitsForTheOneBefore(KeepingManager):
    """Waits for the save before, and not for the one that is under way."""

    def wait(self) -> None:
        while len(self._under_way) > 1:
            self._under_way.pop(0).result()


class SwallowsFailures(KeepingManager):
    """A wait never fails: the trainer is to go on."""

    def wait(self) -> None:
        for saving in self._under_way:
            saving.exception()
        self._under_way.clear()


class FailsAgain(KeepingManager):
    """Keeps a save that has failed among those under way, so every later wait fails again."""

    def wait(self) -> None:
        for saving in self._under_way:
            saving.result()
        self._under_way.clear()
