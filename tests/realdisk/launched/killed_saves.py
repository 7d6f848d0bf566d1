"""Saves with plain torch in real processes under strace: records the system calls, and the files after a SIGKILL at each call."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp

from ckpt_harness.campaigns.readers import shown_at
from ckpt_harness.campaigns.recording import Recording, Scene, record
from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS
from ckpt_harness.disk.journal import Files
from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.names import find_engine
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import find_workload

CALLS = "mkdir,openat,write,fsync,rename,unlink"
LIMIT = 30
"""Seconds until a rank that has not ended counts as hung."""


class Call(NamedTuple):
    """A system call on a file of the checkpoint.

    Attributes:
        name: name of the system call.
        path: the file, relative to the disk.
        size: bytes of a ``write``.
        to: the new name of a ``rename``.
    """

    name: str
    path: str
    size: int = 0
    to: str = ""


class Death(NamedTuple):
    """The files after a SIGKILL.

    Attributes:
        rank: the killed rank.
        done: number of its calls that had acted.
        files: the files on the disk.
        shown: what a reader gets.
    """

    rank: int
    done: int
    files: Files
    shown: Shown


class Observed(NamedTuple):
    """The observations of one scene.

    Attributes:
        calls: the system calls of each rank, in order.
        recording: the same save, recorded by the harness.
        deaths: the files after a kill, for each call of each rank.
    """

    calls: list[list[Call]]
    recording: Recording
    deaths: list[Death]


class Saving:
    """Saves in forked processes.

    Args:
        scene: the save.
        where: a directory for all files.
    """

    def __init__(self, scene: Scene, where: Path) -> None:
        self.scene, self.where, self.root = scene, where, where / "disk"
        self.place = self.root / "checkpoint"

    def prepare(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        if self.scene.overwrite:
            self.run(PREVIOUS)

    def run(self, number: int, tracing: Callable[[int], list[str]] = lambda rank: []) -> None:
        """Saves once.

        Args:
            number: the number of the save.
            tracing: rank -> arguments for strace; no arguments for a rank without strace.
        """
        (self.where / "store").unlink(missing_ok=True)
        starts = [os.pipe() for _ in range(self.scene.ranks)]
        ranks = [self._fork(rank, number, starts[rank][0]) for rank in range(self.scene.ranks)]
        tracers = []
        try:
            for rank, pid in enumerate(ranks):
                if tracing(rank):
                    tracers.append(self._attached([*tracing(rank), "-p", str(pid)]))
            for _, start in starts:
                os.write(start, b".")
            for pid in ranks:
                _await_end(pid)
        finally:
            for pid in ranks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            for tracer in tracers:
                tracer.wait(LIMIT)
                tracer.stderr.close()
            for descriptor in (descriptor for start in starts for descriptor in start):
                os.close(descriptor)

    def _fork(self, rank: int, number: int, start: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            os.read(start, 1)
            self._save(rank, number)
            status = 0
        finally:
            os._exit(status)

    def _save(self, rank: int, number: int) -> None:
        scene = self.scene
        store = dist.FileStore(str(self.where / "store"), scene.ranks)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=scene.ranks)
        state = find_workload(scene.workload).make(context_here(number, scene.ranks))
        dcp.save(state, storage_writer=find_engine(scene.engine).make_writer(str(self.place)))

    def _attached(self, arguments: list[str]) -> subprocess.Popen[str]:
        names = [".metadata", ".metadata.tmp", *(f"__{rank}_0.distcp" for rank in range(self.scene.ranks))]
        paths = [argument for path in (self.place, *(self.place / name for name in names)) for argument in ("-P", str(path))]
        tracer = subprocess.Popen(
            ["strace", "-f", "-y", "-e", f"trace={CALLS}", *paths, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert "attached" in said, said
        return tracer

    def traced(self) -> list[list[Call]]:
        """The system calls of each rank in a save without a kill."""
        self.prepare()
        outputs = [self.where / f"trace-{rank}" for rank in range(self.scene.ranks)]
        self.run(ATTEMPT, lambda rank: ["-o", str(outputs[rank])])
        return [[call for line in output.read_text().splitlines() if (call := self._call(line))] for output in outputs]

    def _call(self, line: str) -> Call | None:
        """The call in a line of strace's output; None if the call changes no file."""
        found = re.search(r"(\w+)\((.*)\) += (\d+)", line)
        if not found:
            return None
        name, arguments, result = found.groups()
        paths = [
            Path(path).relative_to(self.root).as_posix() for path in re.findall(rf'[<"]({re.escape(str(self.root))}[^>"]*)[>"]', arguments)
        ]
        if name == "openat":
            return Call(name, paths[0]) if "O_CREAT" in arguments else None
        return Call(name, paths[0], int(result) if name == "write" else 0, paths[1] if name == "rename" else "")

    def killed(self, rank: int, calls: list[Call], done: int) -> Death:
        """Saves, and kills a rank when it enters a call."""
        self.prepare()
        name = calls[done].name
        nth = sum(call.name == name for call in calls[: done + 1])
        inject = ["-o", os.devnull, "-e", f"inject={name}:signal=SIGKILL:when={nth}"]
        self.run(ATTEMPT, lambda traced: inject if traced == rank else [])
        files = {path.relative_to(self.root).as_posix(): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}
        return Death(rank, done, files, shown_at(self.scene, self.root))


def _await_end(pid: int) -> None:
    """Waits until a process has ended, or until the limit; then the process is taken to hang."""
    handle = os.pidfd_open(pid)
    try:
        select.select([handle], [], [], LIMIT)
    finally:
        os.close(handle)


def answer(scene: Scene, where: Path) -> Observed:
    quiet()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    uuid.uuid4 = lambda: uuid.UUID(int=4)  # the same bytes in every save
    saving = Saving(scene, where)
    calls = saving.traced()
    deaths = [saving.killed(rank, of_rank, done) for rank, of_rank in enumerate(calls) for done in range(len(of_rank))]
    shutil.rmtree(saving.root)
    saving.root.mkdir()
    return Observed(calls, record(scene, saving.root), deaths)  # at the same path, since a checkpoint holds its path
