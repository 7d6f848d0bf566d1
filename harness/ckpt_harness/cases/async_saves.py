"""The async saves of one rank of a case: begun, disturbed as training would, waited for, and their futures looked at.

Training goes on once the state is staged, so every value is overwritten then: what a checkpoint holds of it later was not staged, but shared.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ckpt_harness import _torch
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.membership import Part
from ckpt_harness.engines.base import Engine, Saving
from ckpt_harness.history import ErrorRecord
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.planner import FaultySavePlanner
from ckpt_harness.injection.stateful import FaultyStager, FaultyStateful
from ckpt_harness.injection.storage import FaultyStorageWriter
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import current
from ckpt_harness.workloads.context import State
from ckpt_harness.workloads.workload import Workload

LATER = 4
"""Number of the save whose values stand for what training does to the state once it is staged."""
PATIENCE = 10.0
"""Seconds of the world's time, after an upload has ended, in which its other futures must complete."""


@dataclass(frozen=True)
class Target:
    """One async save that is to be made.

    Attributes:
        save: number of the save, as the tags carry it.
        writer: the engine's storage writer.
        place: where it saves to.
        group: the process group; None for the default one.
    """

    save: int
    writer: Any
    place: str
    group: Any = None


@dataclass(frozen=True)
class RankEnding:
    """How an operation ended on a rank.

    Attributes:
        operation: its name.
        outcome: how.
        wrong: what came back wrong from a load; None unless it loaded.
        futures: name -> what each future that it returned says.
    """

    operation: str
    outcome: Outcome
    wrong: tuple[str, ...] | None = None
    futures: Mapping[str, Outcome] = field(default_factory=dict)


@dataclass
class _Running:
    operation: str
    saving: Saving | None = None
    error: ErrorRecord | None = None
    stager: Any = None


_view: contextvars.ContextVar[Injector | None] = contextvars.ContextVar("view", default=None)


@contextlib.contextmanager
def engine_stagers_fail() -> Iterator[None]:
    """While ranks run: the stager that the engine makes for itself fails where the plan says so."""

    def replacement(stager: Any) -> Any:
        view = _view.get()
        return stager if view is None else FaultyStager.sharing(stager, view)

    undo = _torch.replace_default_stager(replacement)
    try:
        yield
    finally:
        undo()


def save_all(
    case: Case, engine: Engine, workload: Workload, part: Part, injector: Injector, targets: Sequence[Target], over: Callable[[], bool]
) -> Iterator[RankEnding]:
    """Makes async saves as the calling rank: begins one after the other, then waits for each, and gives its end.

    Args:
        case: says how they are staged and what does them.
        engine: the engine.
        workload: the workload.
        part: the rank's part in the way of calling.
        injector: injects the case's faults.
        targets: the saves, in order.
        over: whether the world is: what is raised then ends the rank, and is no outcome.
    """
    running = [_begin(case, engine, workload, part, injector, target, over) for target in targets]
    for one in running:
        yield _end(one, over)
    for one in running:
        injector.end(one.operation)
        if one.stager is not None:
            one.stager.close()


def _begin(
    case: Case, engine: Engine, workload: Workload, part: Part, injector: Injector, target: Target, over: Callable[[], bool]
) -> _Running:
    running = _Running(injector.begin("async_save"))
    view = injector.during(running.operation)
    plain = workload.make(part.context(target.save))
    state = {key: FaultyStateful.sharing(value, view) if _torch.is_stateful(value) else value for key, value in plain.items()}
    writer = FaultyStorageWriter.resolved(target.writer, view, stages=case.staging == "writer")
    planner = FaultySavePlanner.sharing(engine.make_save_planner(case.planner), view)
    token = _view.set(view)
    try:
        if case.staging in ("blocking", "background"):
            running.stager = engine.make_stager(case.staging)
        stager = None if running.stager is None else FaultyStager.sharing(running.stager, view)
        call = dataclasses.replace(part.call, group=target.group, executor=case.executor, stager=stager)
        running.saving = engine.async_save(state, writer, planner, target.place, call)
    except BaseException as error:  # whatever an engine raises is the outcome
        if over():
            raise
        running.error = ErrorRecord.of(error)
        return running
    finally:
        _view.reset(token)
    if running.saving.staging is not None:
        current().adopt(running.saving.staging)  # the engine makes it by hand
    _train_on(plain, workload, part, running.saving)
    return running


def _train_on(state: State, workload: Workload, part: Part, saving: Saving) -> None:
    """Overwrites the state as soon as the engine allows it: staging is over."""
    if saving.staging is not None:
        concurrent.futures.wait([saving.staging], PATIENCE)
        if not saving.staging.done():
            return
    workload.overwrite(state, part.context(LATER))


def _end(running: _Running, over: Callable[[], bool]) -> RankEnding:
    if running.saving is None:
        return RankEnding(running.operation, Outcome("raised", running.error, finished_at=current().now()))
    upload = running.saving.upload
    try:
        upload.result()
        outcome = Outcome("returned", finished_at=current().now())
    except BaseException as error:  # whatever an engine raises is the outcome
        if over():
            raise
        outcome = Outcome("raised", ErrorRecord.of(error), finished_at=current().now())
    named = {"upload": upload, **({} if running.saving.staging is None else {"staging": running.saving.staging})}
    return RankEnding(running.operation, outcome, futures={name: _said(future) for name, future in named.items()})


def _said(future: Future[Any]) -> Outcome:
    """What a future says once everything is over."""
    concurrent.futures.wait([future], PATIENCE)
    if not future.done():
        return Outcome("hung", where="it is not completed")
    error = future.exception()
    return Outcome("returned") if error is None else Outcome("raised", ErrorRecord.of(error))
