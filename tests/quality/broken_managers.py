"""Managers of checkpoints that are broken between operations: each is the sound manager of the library with one change.

Each works as long as nothing goes wrong: the bug needs a failure, a restart, a second save under way, or one more step.
"""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp

from ckpt_harness.jobs.managers.plain import PlainManager

State = dict[str, Any]

# -- what is resumed from


class NewestDirectory(PlainManager):
    """Takes the newest directory for the latest, committed or not."""

    def latest(self) -> int | None:
        return self._agreed(max(self._steps(), default=None))


class NewestByName(PlainManager):
    """Takes the last directory by name for the latest: step 9 comes behind step 10."""

    def latest(self) -> int | None:
        return self._agreed(max(self._committed(), key=str, default=None))


class EachRankForItself(PlainManager):
    """Each rank remembers what it took for the latest first; only rank 0 looks again."""

    _seen: int | None = None

    def latest(self) -> int | None:
        if self._seen is None or dist.get_rank() == 0:
            self._seen = max(self._committed(), default=None)
        dist.barrier()
        return self._seen


class PointerFirst(PlainManager):
    """Notes the step that is saved in a file beside the steps, before it is saved, and resumes from what the file says."""

    def latest(self) -> int | None:
        pointer = self._directory / "latest"
        return self._agreed(int(pointer.read_text()) if pointer.exists() else None)

    def _where(self, step: int) -> dict[str, Any]:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "latest").write_text(str(step))
        return super()._where(step)


class FromMemory(PlainManager):
    """Remembers the step that it has saved last, whether or not the save has succeeded; looks only if it remembers none."""

    _last: int | None = None

    def save(self, state: State, step: int) -> None:
        self._last = step
        super().save(state, step)

    def latest(self) -> int | None:
        return super().latest() if self._last is None else self._last


class PartsApart(PlainManager):
    """Ranks other than 0 load the checkpoint before the newest if they find a directory behind it, which a failed save has left."""

    def load(self, state: State, step: int) -> None:
        committed = self._committed()
        if dist.get_rank() and len(committed) > 1 and committed[-1] < self._steps()[-1]:
            step = committed[-2]
        super().load(state, step)


# -- what is kept


class PrunesFirst(PlainManager):
    """A save makes room first: it removes the step before, and saves then."""

    def save(self, state: State, step: int) -> None:
        if dist.get_rank() == 0:
            for older in self._committed():
                shutil.rmtree(self.path(older))
        dist.barrier()
        super().save(state, step)


class PrunesDirectories(PlainManager):
    """Counts directories, not commits: what a failed save has left takes the place of a checkpoint that is kept."""

    def prune(self, keep: int) -> None:
        if dist.get_rank() == 0:
            for step in self._steps()[:-keep]:
                shutil.rmtree(self.path(step))
        dist.barrier()


class PrunesByName(PlainManager):
    """Keeps the last directories by name."""

    def prune(self, keep: int) -> None:
        if dist.get_rank() == 0:
            for step in sorted(self._committed(), key=str)[:-keep]:
                shutil.rmtree(self.path(step))
        dist.barrier()


class LeavesDebris(PlainManager):
    """Removes committed steps only: what failed saves have left stays for ever."""

    def prune(self, keep: int) -> None:
        if dist.get_rank() == 0:
            for step in self._committed()[:-keep]:
                shutil.rmtree(self.path(step))
        dist.barrier()


class KeepsOneMore(PlainManager):
    """Keeps the newest steps, and the first."""

    def prune(self, keep: int) -> None:
        if dist.get_rank() == 0:
            for step in self._committed()[1:-keep]:
                shutil.rmtree(self.path(step))
        dist.barrier()


class PrunesAlone(PlainManager):
    """Each rank prunes; whoever comes second does not find what the first has removed."""

    def prune(self, keep: int) -> None:
        before = self._committed()[:-keep]
        dist.barrier()
        for step in before:
            shutil.rmtree(self.path(step))


# -- saves and waits


class SkipsAfterFailure(PlainManager):
    """Takes a failed save for one that is under way, and leaves out the next."""

    _busy = False

    def save(self, state: State, step: int) -> None:
        if self._busy:
            self._busy = False
            return
        self._busy = True
        super().save(state, step)
        self._busy = False


class CountsSuccesses(PlainManager):
    """Names directories by the number of saves that have succeeded; only rank 0 counts failed saves, too."""

    _missed = 0

    def save(self, state: State, step: int) -> None:
        self.wait()
        try:
            dcp.save(state, **self._where(step - self._missed))
        except BaseException:
            self._missed += dist.get_rank() > 0
            raise


class WaitsForTheOneBefore(PlainManager):
    """Waits for the save before, and not for the one that is under way."""

    def wait(self) -> None:
        while len(self._under_way) > 1:
            self._under_way.pop(0).result()


class SwallowsFailures(PlainManager):
    """A wait never fails: the trainer is to go on."""

    def wait(self) -> None:
        for saving in self._under_way:
            saving.exception()
        self._under_way.clear()


class FailsAgain(PlainManager):
    """Keeps a save that has failed among those under way, so every later wait fails again."""

    def wait(self) -> None:
        for saving in self._under_way:
            saving.result()
        self._under_way.clear()


class StagesNothing(PlainManager):
    """Saves in a thread, from the state that the trainer goes on to change."""

    def async_save(self, state: State, step: int) -> Future[Any]:
        self.wait()
        uploader = ThreadPoolExecutor(1)
        saving = uploader.submit(dcp.save, state, **self._where(step))
        uploader.shutdown(wait=False)
        self._under_way.append(saving)
        return saving


# -- what failed saves have left


class StumblesOverDebris(PlainManager):
    """Believes that every directory holds a checkpoint, and reads the newest to see whether it is whole."""

    def latest(self) -> int | None:
        newest = max(self._steps(), default=None)
        if newest is not None:
            (self.path(newest) / ".metadata").read_bytes()
        return super().latest()


class CannotBeginAgain(PlainManager):
    """Checks every directory when it is made."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        for step in self._steps():
            (self.path(step) / ".metadata").read_bytes()
        dist.barrier()


class RefusesTheSameStep(PlainManager):
    """Saves a step only if nothing lies there."""

    def save(self, state: State, step: int) -> None:
        if self._agreed(self.path(step).exists()):
            raise FileExistsError(str(self.path(step)))
        super().save(state, step)
