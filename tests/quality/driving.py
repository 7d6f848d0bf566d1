"""Runs a job through a manager of checkpoints, on simulated ranks, and writes down what the oracles of jobs look at.

The places of such a job are ``step-8``, ``step-9``, ...; its restarts keep the number of ranks. What lies at each place is copied at every look, and read by
fresh ranks once all lives of the job are over.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ckpt_harness import inject
from ckpt_harness.cases.read_back import read
from ckpt_harness.engines.filesystem import FILESYSTEM
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP, groups_of
from ckpt_harness.history import ErrorRecord
from ckpt_harness.jobs.evidence import AsyncEnding, Done, JobEvidence, Loaded, Reading, Seen
from ckpt_harness.jobs.job import Job, Life
from ckpt_harness.jobs.operations import LATEST, AsyncSave, Load, Operation, Prune, Save, Wait
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.trace import Trace
from ckpt_harness.runtime import current
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import find_workload
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

_NONE = "load[999]/reader.read_data@0=raise?"
"""A fault that never strikes."""
_WORKLOAD = find_workload("mixed")


class Driven:
    """A job that a manager does.

    Args:
        make: makes the manager of a rank, from its directory.
        job: the job.
        root: an empty directory.
    """

    def __init__(self, make: Callable[[Path], Any], job: Job, root: Path) -> None:
        self._make, self._job = make, job
        self._directory, self._copies = root / "steps", root / "copies"
        self._outcomes: list[dict[int, Outcome]] = [{} for _ in job.operations]
        self._waited: set[str] = set()
        self._ended: dict[str, dict[int, tuple[int, Outcome]]] = {}
        self._seen: list[dict[str, Seen] | None] = [None for _ in job.operations]
        self._latest: list[dict[int, str | None]] = [{} for _ in job.operations]
        self._loaded: list[dict[int, Loaded]] = [{} for _ in job.operations]
        self._saves = [call for call in job.calls if "save" in call]

    def run(self) -> JobEvidence:
        """Runs the job."""
        with inject(str(self._job.faults) or _NONE) as faults:
            for life in self._job.lives:
                self._live(life)
        done = [self._done(index) for index in range(len(self._job.operations))]
        ended = {
            call: AsyncEnding(call, max(after for after, _ in by_rank.values()), {rank: outcome for rank, (_, outcome) in by_rank.items()})
            for call, by_rank in self._ended.items()
        }
        contents = {seen.content for each in self._seen for seen in (each or {}).values() if seen.committed}
        return JobEvidence(
            self._job,
            done,
            ended,
            {content: self._readings(content) for content in contents},
            fired=frozenset((firing.fault, firing.rank, firing.operation) for firing in faults.fired),
            capabilities=FILESYSTEM.capabilities,
            managed=True,
        )

    # -- ranks at work

    def _live(self, life: Life) -> None:
        world = SimulatedWorld(life.ranks, seed=self._job.seed)

        def rank_program() -> None:
            rank, manager, saving = current().rank(), self._make(self._directory), dict[str, Any]()
            for index in life.operations:
                outcome = Outcome("returned")
                try:
                    self._do(index, rank, manager, saving)
                except BaseException as error:  # an error of any type is an outcome
                    if over:
                        raise
                    outcome = Outcome("raised", ErrorRecord.of(error))
                self._outcomes[index][rank] = outcome
                self._note_ends(index, rank, saving, last=index == life.operations[-1])
                world.meet(lambda index=index: world.aside(lambda: self._look(index)))  # type: ignore[misc]

        over: list[bool] = []

        def judge(results: Any) -> None:
            over.append(True)
            self._note_lost(life, results)

        world.run(rank_program, judge=judge)

    def _do(self, index: int, rank: int, manager: Any, saving: dict[str, Any]) -> None:
        operation, call = self._job.repeated[index], self._job.calls[index]
        if isinstance(operation, (Save, AsyncSave)):
            state = _WORKLOAD.make(context_here(self._number(call), 2))
            if isinstance(operation, Save):
                manager.save(state, _step(operation))
            else:
                saving[call] = manager.async_save(state, _step(operation))
        elif isinstance(operation, Wait):
            manager.wait()
        elif isinstance(operation, Prune):
            manager.prune(operation.keep)
        elif isinstance(operation, Load):
            self._load(index, rank, manager, operation)

    def _load(self, index: int, rank: int, manager: Any, operation: Load) -> None:
        step = manager.latest() if operation.place == LATEST else _step(operation)
        if operation.place == LATEST:
            self._latest[index][rank] = None if step is None else f"step-{step}"
        if step is None:
            return
        state = _WORKLOAD.make_target(context_here(None, 2))
        manager.load(state, step)
        differences = {call: tuple(_WORKLOAD.mismatches(state, context_here(self._number(call), 2))) for call in self._saves}
        held = _WORKLOAD.saves(state)
        self._loaded[index][rank] = Loaded(tuple(call for call in self._saves if self._number(call) in held), differences)

    def _note_ends(self, index: int, rank: int, saving: dict[str, Any], *, last: bool) -> None:
        """Notes how async saves have ended that are over by the end of an operation, or end with their life."""
        waits = isinstance(self._job.repeated[index], Wait)
        for call, future in list(saving.items()):
            if last or (future.done() and (waits or call in self._waited)):
                error = saving.pop(call).exception()
                outcome = Outcome("returned") if error is None else Outcome("raised", ErrorRecord.of(error))
                self._ended.setdefault(call, {})[rank] = (index, outcome)
        self._waited |= set(saving) if waits else set()

    def _note_lost(self, life: Life, results: list[RankResult]) -> None:
        begun = [index for index in life.operations if self._outcomes[index]]
        last = begun[-1] if begun else life.operations.start
        for result in results:
            if result.outcome != "returned":
                index = next((each for each in life.operations if result.rank not in self._outcomes[each]), last)
                self._outcomes[index].setdefault(result.rank, Outcome(result.outcome, where=str(result.record or "")))
                last = max(last, index)
        if self._seen[last] is None:
            self._look(last)

    # -- what lies there

    def _look(self, index: int) -> None:
        found = {}
        for place in {getattr(operation, "place", "") for operation in self._job.operations} - {"", LATEST}:
            path = self._directory / place
            files = FILESYSTEM.fingerprint(str(path))
            content = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12] if files else ""
            found[place] = Seen(FILESYSTEM.committed(str(path)), content, len(files))
            if content and not (self._copies / content).exists():
                shutil.copytree(path, self._copies / content)
        self._seen[index] = found

    def _readings(self, content: str) -> tuple[Reading, ...]:
        place, numbers = str(self._copies / content), {self._number(call): call for call in self._saves}
        readings = []
        for ranks in (2, 1):
            got = read(FILESYSTEM, _WORKLOAD, place, saves=list(numbers), ranks=ranks, shards=2, made=numbers)
            differences = {numbers[save]: texts for save, texts in got.differences.items()}
            calls = tuple(numbers[save] for save in got.saves)
            readings.append(Reading(ranks, got.failed, got.hung, calls, differences, tuple(FILESYSTEM.flaws(place))))
        return tuple(readings)

    # -- in the terms of the oracles

    def _number(self, call: str) -> int:
        return 1 + self._saves.index(call)

    def _done(self, index: int) -> Done:
        call, operation = self._job.calls[index], self._job.repeated[index]
        place = getattr(operation, "place", "")
        place = next((named for named in self._latest[index].values() if named), "") if place == LATEST else place
        return Done(
            index,
            call,
            next(life.number for life in self._job.lives if index in life.operations),
            (0, 1),
            place if call else "",
            self._outcomes[index],
            self._owed(call) if call else (),
            seen=self._seen[index],
            before=self._seen[index - 1] if index else None,
            latest=self._latest[index],
            loaded=self._loaded[index],
            skipped="" if self._outcomes[index] else "a rank is lost",
        )

    def _owed(self, call: str) -> tuple[Any, ...]:
        faults = tuple(fault for fault in self._job.faults if fault.operation and fault.operation.matches(call))
        groups = groups_of(2, 0, DCP)
        return forecast(FaultPlan(faults).bind(2), Trace.nominal([call], groups, DCP)).expectations


def _step(operation: Operation) -> int:
    return int(operation.place.removeprefix("step-"))  # type: ignore[attr-defined]  # each call has a place


def drive(make: Callable[[Path], Any], operations: str, faults: str, root: Path) -> JobEvidence:
    """Runs a job through a manager.

    Args:
        make: makes the manager of a rank, from its directory.
        operations: the operations of the job.
        faults: its faults.
        root: an empty directory.
    """
    return Driven(make, Job.parse(operations, faults=faults), root).run()
