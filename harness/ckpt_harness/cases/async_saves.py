"""The async saves of one rank: begun, disturbed as training would disturb them, waited for, and their futures examined.

Training goes on once the state is staged. So every value of the state is overwritten at that moment: a checkpoint that holds such a later value was
made of memory that it shares with the training.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ckpt_harness import _torch
from ckpt_harness.cases.binding import BoundCase
from ckpt_harness.cases.membership import Member
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.engines.base import Saving
from ckpt_harness.history import ErrorRecord
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.planner import FaultySavePlanner
from ckpt_harness.injection.stateful import FaultyStager, FaultyStateful
from ckpt_harness.injection.storage import FaultyStorageWriter
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import RealRuntime, current
from ckpt_harness.workloads.context import State
from ckpt_harness.worlds.fair_clock import SLICE, FairClock

LATER = 4
"""Number of the save whose values stand for what training writes into the state once it is staged."""
PATIENCE = 10.0
"""Seconds of the world's time, after an upload has ended, within which the other futures of the save must complete."""


@dataclass(frozen=True)
class Target:
    """One async save to make.

    Attributes:
        save: number of the save, which the tags of the state carry.
        writer: the engine's storage writer.
        place: where it saves to.
        group: the process group; None for the default one.
        later: number of the save whose values stand for what training writes into the state once it is staged.
        number: number of the operation, where the caller counts; see :meth:`ckpt_harness.injection.injector.Injector.begin`.
        planner: the engine's planner; None for a new one.
        stager: the caller's stager; None for a new one, if the case needs any.
    """

    save: int
    writer: Any
    place: str
    group: Any = None
    later: int = LATER
    number: int | None = None
    planner: Any = None
    stager: Any = None


@dataclass
class Begun:
    """An async save that was begun.

    Attributes:
        operation: name of the operation.
        saving: its futures; None if beginning it raised.
        error: the error that beginning it raised.
        stager: the caller's stager, if any, which is closed at the end.
    """

    operation: str
    saving: Saving | None = None
    error: ErrorRecord | None = None
    stager: Any = None


_view: contextvars.ContextVar[Injector | None] = contextvars.ContextVar("view", default=None)
"""The injector, bound to the operation that the calling rank is beginning."""


@contextlib.contextmanager
def engine_stagers_fail() -> Iterator[None]:
    """Injects faults into stagers that the engine makes for itself, for as long as the context lasts."""

    def replacement(stager: Any) -> Any:
        view = _view.get()
        return stager if view is None else FaultyStager.sharing(stager, view)

    undo = _torch.replace_default_stager(replacement)
    try:
        yield
    finally:
        undo()


def save_all(bound: BoundCase, member: Member, injector: Injector, targets: Sequence[Target], over: Callable[[], bool]) -> Iterator[RankEnding]:
    """Makes async saves as the calling rank: begins all of them, then waits for all of them at once.

    A save that hangs does not hide how another save ended.

    Args:
        bound: the case.
        member: the rank's membership in its group.
        injector: injects the faults of the case.
        targets: the saves, in order.
        over: whether the case is over: an exception after that ends the rank, and is no outcome.

    Yields:
        How each save ended, as soon as it has ended.
    """
    saves = [begin(bound, member, injector, target, over) for target in targets]
    pending = list(saves)
    while pending:
        for save in ended(pending):
            pending.remove(save)
            yield awaited(save, over)
    for save in saves:
        injector.end(save.operation)
        if save.stager is not None:
            save.stager.close()


def begin(bound: BoundCase, member: Member, injector: Injector, target: Target, over: Callable[[], bool]) -> Begun:
    """Begins an async save as the calling rank, and trains on once the state is staged; arguments as of :func:`save_all`."""
    save = Begun(injector.begin("async_save", target.number))
    view = injector.during(save.operation)
    plain = bound.workload.make(member.context(target.save))
    state = {key: FaultyStateful.sharing(value, view) if _torch.is_stateful(value) else value for key, value in plain.items()}
    writer = FaultyStorageWriter.resolved(target.writer, view, stages=bound.case.staging == "writer")
    planner = FaultySavePlanner.sharing(target.planner or bound.engine.make_save_planner(bound.case.planner), view)
    token = _view.set(view)
    try:
        if bound.case.staging in ("blocking", "background"):
            save.stager = target.stager or bound.engine.make_stager(bound.case.staging)
        stager = None if save.stager is None else FaultyStager.sharing(save.stager, view)
        call = dataclasses.replace(member.call, group=target.group, executor=bound.case.executor, stager=stager)
        save.saving = bound.engine.async_save(state, writer, planner, target.place, call)
    except BaseException as error:  # an error of any type is an outcome
        if over():
            raise
        save.error = ErrorRecord.of(error)
        return save
    finally:
        _view.reset(token)
    current().expect(save.saving.upload)
    if save.saving.staging is not None:
        current().adopt(save.saving.staging)  # the engine completes this future by hand, so the world must learn of it
    _train_on(plain, bound, member, save.saving, target.later)
    return save


def _train_on(state: State, bound: BoundCase, member: Member, saving: Saving, later: int) -> None:
    """Overwrites the state as soon as the engine allows it: when staging is over."""
    if saving.staging is not None and not _completes(saving.staging):
        return
    bound.workload.overwrite(state, member.context(later))


def ended(pending: Sequence[Begun]) -> list[Begun]:
    """Waits until a pending save has ended. Returns those that have, in the order in which they were begun; a single pending save at once."""
    if len(pending) == 1:
        return list(pending)  # whoever waits for its future waits for nothing else
    uploads = [save.saving.upload for save in pending if save.saving is not None]
    if len(uploads) == len(pending):
        concurrent.futures.wait(uploads, return_when=concurrent.futures.FIRST_COMPLETED)
    return [save for save in pending if save.saving is None or save.saving.upload.done()]


def awaited(save: Begun, over: Callable[[], bool]) -> RankEnding:
    """Waits for the upload of a save, then examines all of its futures."""
    if save.saving is None:
        return RankEnding(save.operation, Outcome("raised", save.error, finished_at=current().now()))
    try:
        save.saving.upload.result()
        outcome = Outcome("returned", finished_at=current().now())
    except BaseException as error:  # an error of any type is an outcome
        if over():
            raise
        outcome = Outcome("raised", ErrorRecord.of(error), finished_at=current().now())
    futures = {"upload": _ending_of(save.saving.upload)}
    if save.saving.staging is not None:
        futures["staging"] = _ending_of(save.saving.staging)
    return RankEnding(save.operation, outcome, futures=futures)


def _ending_of(future: Future[Any]) -> Outcome:
    """How a future ended; ``hung`` if it does not complete within :data:`PATIENCE`."""
    if not _completes(future):
        return Outcome("hung", where="it is not completed")
    error = future.exception()
    return Outcome("returned") if error is None else Outcome("raised", ErrorRecord.of(error))


def _completes(future: Future[Any]) -> bool:
    """Whether a future completes within :data:`PATIENCE`."""
    if isinstance(current(), RealRuntime):
        _wait_in_real_time(future)
    else:
        concurrent.futures.wait([future], PATIENCE)
    return future.done()


def _wait_in_real_time(future: Future[Any]) -> None:
    """Waits for a future for :data:`PATIENCE`. Seconds in which a busy machine kept this process from running do not count, so far as its clock allows."""
    clock = FairClock()
    clock.tick()
    end = clock.now() + PATIENCE
    while not future.done() and clock.now() < end:
        concurrent.futures.wait([future], SLICE)
        clock.tick(SLICE)
