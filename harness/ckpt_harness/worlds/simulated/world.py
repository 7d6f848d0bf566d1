"""N ranks in one process, their hangs proved, their deaths modelled."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NoReturn

import torch.distributed as dist

from ckpt_harness import _torch, runtime
from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.history import ErrorRecord
from ckpt_harness.worlds import garbage
from ckpt_harness.worlds.base import Faults, Outcome, RankResult, Wait
from ckpt_harness.worlds.simulated import frames, threads
from ckpt_harness.worlds.simulated.group import Backend, Fabric, create_group
from ckpt_harness.worlds.simulated.locks import wait_outside
from ckpt_harness.worlds.simulated.scheduler import Scheduler
from ckpt_harness.worlds.simulated.store import SimulatedStore
from ckpt_harness.worlds.simulated.tasks import State, Task, Unwind, Waiting, current_task

_one_at_a_time = threading.RLock()
"""Held by the thread that runs a world: what is replaced for the ranks is replaced for the process. A judge may run worlds within."""


class _Rank:
    """What a world keeps for one rank."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.task: Task | None = None
        self.groups = _torch.RankWorld()
        self.caches: dict[str, Any] = {}
        self.outcome: Outcome | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.finished_at = 0.0


class _Runtime:
    """The services that faults find while a world runs; see ``ckpt_harness.runtime.Runtime``."""

    def __init__(self, scheduler: Scheduler, fabric: Fabric) -> None:
        self._scheduler, self._fabric = scheduler, fabric

    def _task(self) -> Task:
        task = current_task()
        if task is None or task.scheduler is not self._scheduler:
            raise HarnessError(f"thread {threading.current_thread().name!r} belongs to no rank of the world that runs")
        return task

    def rank(self) -> int:
        return self._task().rank

    def now(self) -> float:
        return self._scheduler.now

    def sleep(self, seconds: float) -> None:
        self._task()
        self._scheduler.sleep(seconds)

    def hang(self, why: str) -> NoReturn:
        self._task()
        self._scheduler.hang(why)

    def die(self) -> NoReturn:
        rank = self._task().rank
        self._fabric.die(rank)
        self._scheduler.die(rank)

    def stop(self, seconds: float, why: str) -> None:
        raise HarnessError(f"{why}: a thread cannot be stopped; valid in worlds of processes")

    def exit(self) -> NoReturn:
        raise HarnessError("a thread cannot exit its process; valid in worlds of processes")

    def adopt(self, future: Future[Any]) -> None:
        threads.own(future, self._scheduler)


class SimulatedWorld:
    """Runs ranks as threads of this process, one at a time, in an order drawn from a seed.

    Collectives, waits, delays, and starting and joining threads are the points where the order is drawn. Time is virtual. A deadlock is proved,
    with who waits where for whom; it is never concluded from a timeout. Threads that a rank starts belong to it. A rank whose body has ended,
    by returning or raising, counts as alive: peers that wait for it are hung, not disconnected.

    Args:
        size: number of ranks, at least 1.
        seed: of the order; the same seed gives the same order of everything, in any process.
        backend: whose behaviour is shown when a rank dies or times out. ``gloo``: peers that talk to it directly get "Connection closed by
            peer". ``nccl``: nothing happens until their own timers fire.
        timeout: of each collective, in virtual seconds.
        on_deadlock: ``end`` ends the run once only timers of collectives are left; ``time_out`` lets the timers fire, and goes on.
        external_limit: real seconds to wait for what the world does not own before the outcome is "unknown".
        group: whether each rank finds an initialised process group of all ranks.

    Raises:
        UsageError: for a value that cannot be used.

    Not modelled: state that an engine keeps per process (module globals, environment, current directory) is shared by all ranks, except for the
    registry of process groups and DCP's plan caches; wall-clock time (``time.time``) is real; a thread that sits in native code when the run
    ends cannot be ended, and is left behind as a daemon; ranks that failed because of another's death do not end for it, as a launcher would
    see to, so who waits for one of them waits for a timer; and what a closed connection says is not in gloo's very words.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int = 0,
        backend: Backend = "gloo",
        timeout: float = 1800.0,
        on_deadlock: Literal["end", "time_out"] = "end",
        external_limit: float = 30.0,
        group: bool = True,
    ) -> None:
        if not isinstance(size, int) or size < 1:
            raise UsageError(f"size must be a positive number of ranks, got {size!r}")
        if backend not in ("gloo", "nccl"):
            raise UsageError(f"backend must be 'gloo' or 'nccl', got {backend!r}")
        if on_deadlock not in ("end", "time_out"):
            raise UsageError(f"on_deadlock must be 'end' or 'time_out', got {on_deadlock!r}")
        if timeout <= 0 or external_limit <= 0:
            raise UsageError(f"timeout and external_limit must be positive seconds, got {timeout!r} and {external_limit!r}")
        self.size = size
        self.seed = seed
        self.group = group
        self._backend: Backend = backend
        self._timeout = timeout
        self._on_deadlock: Literal["end", "time_out"] = on_deadlock
        self._external_limit = external_limit

    def run(
        self,
        body: Callable[..., Any],
        *args: Any,
        faults: Faults | None = None,
        judge: Callable[[Sequence[RankResult]], None] | None = None,
    ) -> Sequence[RankResult]:
        """Calls ``body(*args)`` on every rank; see :class:`ckpt_harness.worlds.base.World`."""
        if current_task() is not None:
            raise UsageError("a world cannot be run from a rank of another one; its judge can")
        with _one_at_a_time:
            return _Run(self, body, args, faults).results(judge)

    def meet(self, action: Callable[[], None]) -> None:
        """Called by a rank: waits until every rank is here; see :class:`ckpt_harness.worlds.base.World`."""
        me = current_task()
        if me is None or not isinstance(me.scheduler.owner, _Run):
            raise UsageError("only the ranks of a world that runs can meet")
        me.scheduler.owner.meet(me, action)


class _Run:
    """One call of :meth:`SimulatedWorld.run`."""

    def __init__(self, world: SimulatedWorld, body: Callable[..., Any], args: tuple[Any, ...], faults: Faults | None) -> None:
        self.world, self.body, self.args = world, body, args
        self.ranks = [_Rank(number) for number in range(world.size)]
        self.scheduler = Scheduler(
            world.seed,
            on_deadlock=world._on_deadlock,
            external_limit=world._external_limit,
            begin=self._begin,
            end=self._end,
        )
        self.fabric = Fabric(self.scheduler, world._backend, faults)
        self.scheduler.owner = self
        self.store = SimulatedStore(self.scheduler, world._timeout)
        self._met: list[Task] = []
        self._meetings = 0

    def meet(self, me: Task, action: Callable[[], None]) -> None:
        """Waits without the process group, so that a rank which never comes is a deadlock like any other."""
        self._met.append(me)
        meeting = self._meetings
        if len(self._met) == self.world.size:
            others, self._met = self._met[:-1], []
            try:
                action()
            finally:
                self._meetings += 1
                for other in others:
                    self.scheduler.wake(other)
        waiting = Waiting(_MEETING, tell=self._missing)
        while self._meetings == meeting:
            self.scheduler.park(waiting)

    def _missing(self) -> tuple[str, tuple[int, ...]]:
        here = {task.rank for task in self._met}
        return _MEETING, tuple(rank.number for rank in self.ranks if rank.number not in here)

    def results(self, judge: Callable[[Sequence[RankResult]], None] | None) -> Sequence[RankResult]:
        _torch.register_backend(create_group)
        with self._installed():
            try:
                for rank in self.ranks:
                    rank.task = self.scheduler.add(rank.number, main=True)
                    thread = threading.Thread(target=self._live, args=(rank,), name=f"rank {rank.number}")
                    threads.start(thread, rank.task)
                self.scheduler.run()
                garbage.collect()
                results = [self._result(rank) for rank in self.ranks]
                if judge is not None:
                    judge(results)
            finally:
                self.scheduler.unwind()
                if any(rank.outcome is None for rank in self.ranks):
                    garbage.collect_again()
        return results

    @contextlib.contextmanager
    def _installed(self) -> Iterator[None]:
        with (
            garbage.kept(),
            threads.installed(),
            _torch.ranks_as_threads(_groups_of_caller, _caches_of_caller, _future_wait),
            runtime.installed(_Runtime(self.scheduler, self.fabric)),
        ):
            yield

    # --- on the ranks' threads -----------------------------------------------------------------------------------

    def _begin(self, task: Task) -> None:
        _torch.leave_rank()
        _torch.enter_rank(self.ranks[task.rank].groups)

    def _end(self, task: Task) -> None:
        _torch.leave_rank()

    def _live(self, rank: _Rank) -> None:
        try:
            if self.world.group:
                dist.init_process_group(
                    _torch.SIMULATED_BACKEND,
                    rank=rank.number,
                    world_size=self.world.size,
                    store=self.store,
                    timeout=dt.timedelta(seconds=self.world._timeout),
                )
            rank.value = self.body(*self.args)
            rank.outcome = "returned"
        except Unwind:
            raise
        except BaseException as error:  # noqa: BLE001  (SystemExit and KeyboardInterrupt of one rank are outcomes too)
            if self.scheduler.unwinding:
                raise Unwind from None
            rank.error, rank.outcome = error, "raised"
        rank.finished_at = self.scheduler.now

    # --- the verdict ---------------------------------------------------------------------------------------------

    def _result(self, rank: _Rank) -> RankResult:
        task = rank.task
        assert task is not None
        if rank.outcome == "returned":
            return RankResult(rank.number, "returned", value=rank.value, finished_at=rank.finished_at, left=self._left(rank))
        if rank.outcome == "raised":
            assert rank.error is not None
            record = ErrorRecord.of(rank.error)
            return RankResult(rank.number, "raised", error=rank.error, record=record, finished_at=rank.finished_at, left=self._left(rank))
        now = self.scheduler.now
        if task.state is State.DEAD:
            return RankResult(rank.number, "dead", finished_at=now)
        outcome: Outcome = "hung" if self.scheduler.ended == "deadlock" else "unknown"
        return RankResult(rank.number, outcome, wait=self._wait(task, outcome), finished_at=now)

    def _left(self, rank: _Rank) -> tuple[str, ...]:
        """Threads of a rank that wait for what does not come, though all bodies have ended."""
        going = [task for task in self.scheduler.tasks if task.rank == rank.number and task.state is not State.DONE and task.thread is not None]
        return tuple(f"thread {task.thread.name!r} goes on" for task in going if task.thread is not None)

    def _wait(self, task: Task, outcome: Outcome) -> Wait:
        """Where a rank waits: looks through the join or future of its main thread to the thread of it that matters."""
        chosen, stuck = task, self.scheduler.stuck
        if stuck is not None and stuck.rank == task.rank:
            chosen = stuck
        elif task.waiting is not None and task.waiting.what in _LOOKED_THROUGH:
            others = [other for other in self.scheduler.tasks if other.rank == task.rank and other.state is State.WAITING]
            behind = [other for other in others if other.waiting is not None and other.waiting.what not in _LOOKED_THROUGH]
            chosen = behind[0] if behind else task
        source = frames.innermost(frames.stack_of(chosen.thread.ident if chosen.thread is not None else None))
        name = chosen.thread.name if chosen.thread is not None else ""
        if chosen is stuck:
            return Wait(f"native code that does not return (thread {name!r})", source)
        if chosen.waiting is None:
            return Wait("its turn to run", source, (stuck.rank,) if stuck is not None else ())
        what, missing = chosen.waiting.tell() if chosen.waiting.tell is not None else (chosen.waiting.what, ())
        if outcome == "unknown":
            what = f"{what} (thread {name!r})"
        return Wait(what, source, missing)


_MEETING = "the other ranks' meeting"

_LOOKED_THROUGH = {"thread join", "lock", "queue"}


def _rank_of_caller() -> _Rank | None:
    task = current_task()
    if task is None:
        return None
    run = task.scheduler.owner
    assert isinstance(run, _Run)
    return run.ranks[task.rank]


def _groups_of_caller() -> _torch.RankWorld | None:
    rank = _rank_of_caller()
    return None if rank is None else rank.groups


def _caches_of_caller() -> dict[str, Any] | None:
    rank = _rank_of_caller()
    return None if rank is None else rank.caches


def _future_wait(real: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``torch.futures.Future.wait`` as a scheduler point: something outside may complete it."""

    def wait(future: Any) -> Any:
        if current_task() is not None and not future.done():
            wait_outside("torch future", lambda tell: future.add_done_callback(lambda _: tell()), future.done)
        return real(future)

    return wait
