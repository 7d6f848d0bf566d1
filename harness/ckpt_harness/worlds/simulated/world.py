"""The simulated world: N ranks in one process, with proved hangs and modelled deaths."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NoReturn

import torch.distributed as dist

from ckpt_harness import _torch, runtime
from ckpt_harness.errors import HarnessError, UsageError, quoted
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
"""Held by the thread that runs a world, since a world replaces functions of the whole process. Reentrant: a judge may run another world."""


class _Rank:
    """The state of a rank."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.task: Task | None = None
        self.groups = _torch.RankWorld()
        self.outcome: Outcome | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.finished_at = 0.0


class _Runtime:
    """The services for faults while a world runs; see ``ckpt_harness.runtime.Runtime``."""

    def __init__(self, scheduler: Scheduler, fabric: Fabric) -> None:
        self._scheduler, self._fabric = scheduler, fabric

    def _task(self) -> Task:
        task = current_task()
        if task is None or task.scheduler is not self._scheduler:
            name = threading.current_thread().name
            raise HarnessError(f"thread {name!r} belongs to no rank: none has started it; valid: threads that ranks start, or world 'processes'")
        return task

    def rank(self) -> int:
        task = current_task()  # as in _task(): every call of a wrapper asks
        return task.rank if task is not None and task.scheduler is self._scheduler else self._task().rank

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
        raise HarnessError(f"{why}: a simulated rank cannot be stopped; valid: world 'processes'")

    def exit(self) -> NoReturn:
        raise HarnessError("a simulated rank cannot exit its process; valid: world 'processes'")

    def adopt(self, future: Future[Any]) -> None:
        threads.own(future, self._scheduler)

    def expect(self, future: Any) -> None:
        threads.expect(future, self._scheduler)

    def lost_error(self) -> None:
        task = current_task()
        if task is not None:
            task.lost_error = True


class SimulatedWorld:
    """Runs ranks as threads of this process, one at a time, in an order drawn from a seed.

    A new order is drawn at every collective, wait and delay, and where a thread is started or joined. Time is virtual: a delay takes no real time. A
    deadlock is proved, never concluded from a timeout, and the report names the collective, the source line and the missing ranks. Threads that a
    rank starts belong to that rank. A rank whose body has returned or raised counts as alive: ranks that wait for it hang; their connections are
    not closed.

    Args:
        size: the number of ranks, at least 1.
        seed: seed of the order. The same seed gives the same order of all events, in any process.
        backend: the backend whose behaviour is modelled when a rank dies or times out. ``gloo``: ranks that communicate with it directly get
            "Connection closed by peer". ``nccl``: nothing happens until their own timers fire.
        timeout: timeout of each collective, in virtual seconds.
        on_deadlock: ``end`` ends the run when only timers of collectives could still fire; ``time_out`` lets the timers fire and continues.
        external_limit: real seconds to wait for something outside the world before the outcome is "unknown". So is the outcome of ranks that wait
            while threads sleep again and again (heartbeats, polling), and of all ranks of a run that takes more than twenty times this limit.
        group: whether each rank starts inside an initialised process group of all ranks.

    Raises:
        UsageError: an argument is invalid.

    Example:
        >>> import torch.distributed as dist
        >>> def count_ranks() -> int:
        ...     return dist.get_world_size()
        >>> [result.value for result in SimulatedWorld(2).run(count_ranks)]
        [2, 2]

        Rank 1 never enters the barrier, and rank 0 is proved to hang:

        >>> def leave_early() -> None:
        ...     if dist.get_rank() == 0:
        ...         dist.barrier()
        >>> first, second = SimulatedWorld(2).run(leave_early)
        >>> first.outcome, first.wait.what, first.wait.missing
        ('hung', 'barrier', (1,))
        >>> second.outcome
        'returned'

    Not modelled:
        - State that an engine keeps per process (module globals, environment variables, the current directory) is shared by all ranks, except
          the registry of process groups, DCP's plan caches, and thread pools.
        - A thread that was started before the run belongs to no rank.
        - Wall-clock time (``time.time``) is real.
        - A thread that is inside native code when the run ends cannot be ended; it stays behind as a daemon.
        - A launcher would end all ranks that failed because another rank died. Here they stay alive, so ranks that wait for them wait for a timer.
        - The message of a closed connection is not word for word that of gloo.
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
            raise UsageError(f"size must be a positive number of ranks, got {quoted(size)}")
        if backend not in ("gloo", "nccl"):
            raise UsageError(f"backend must be 'gloo' or 'nccl', got {quoted(backend)}")
        if on_deadlock not in ("end", "time_out"):
            raise UsageError(f"on_deadlock must be 'end' or 'time_out', got {quoted(on_deadlock)}")
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
            raise UsageError("a rank cannot run another world; the judge of its world can, and what it has done aside()")
        with _one_at_a_time:
            return _Run(self, body, args, faults).results(judge)

    def meet(self, action: Callable[[], None]) -> None:
        """Waits until every rank has called this method; see :class:`ckpt_harness.worlds.base.World`."""
        me = current_task()
        if me is None or not isinstance(me.scheduler.owner, _Run):
            raise UsageError("only ranks of a running world can call meet()")
        me.scheduler.owner.meet(me, action)

    def aside(self, action: Callable[[], None]) -> None:
        """Has the thread that runs this world call ``action``, while all ranks stand still. The action may run another world. Called by a rank."""
        me = current_task()
        if me is None or not isinstance(me.scheduler.owner, _Run):
            raise UsageError("only ranks of a running world can call aside()")

        def undisturbed() -> None:
            with garbage.left_alone():
                action()

        me.scheduler.have_done(undisturbed)


class _Run:
    """A call of :meth:`SimulatedWorld.run`."""

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
        """Waits for all ranks without a process group. A rank that never arrives causes a deadlock like any other."""
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
            _torch.ranks_as_threads(_future_wait, runtime.derive),
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
        except BaseException as error:  # noqa: BLE001  (SystemExit and KeyboardInterrupt of a rank are outcomes too)
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
        """Threads of a rank that still wait after all bodies have ended."""
        waiting = [task for task in self.scheduler.tasks if task.rank == rank.number and task.state is not State.DONE and not threads.is_spare(task)]
        return tuple(f"thread {task.thread.name!r} is still running" for task in waiting if task.thread is not None)

    def _wait(self, task: Task, outcome: Outcome) -> Wait:
        """Where a rank waits. If its main thread waits for another of its threads, the report is about that thread."""
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
        if self.scheduler.ended == "endless" and chosen.deadline is not None and chosen.deadline_kind == "event":
            what = f"{what}, again and again"
        if outcome == "unknown":
            what = f"{what} (thread {name!r})"
        return Wait(what, source, missing)


_MEETING = "a meeting of all ranks"

_LOOKED_THROUGH = {"thread join", "lock", "queue", "torch future"}
"""Waits for another thread: if that thread belongs to the same rank, its own wait is reported instead."""


def _future_wait(real: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``torch.futures.Future.wait`` as a scheduler point: something outside the world may complete the future, unless a fault has lost it."""

    def wait(future: Any) -> Any:
        if current_task() is not None and not future.done():
            why = runtime.lost(future)
            if why is not None:
                runtime.current().hang(why)
            wait_outside("torch future", lambda tell: future.add_done_callback(lambda _: tell()), future.done, future)
        return real(future)

    return wait
