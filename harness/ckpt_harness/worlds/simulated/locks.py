"""Locks and queues for the threads of a world. Other threads can use them too, during and after the run.

A lock is a real lock with a list of the tasks that wait for it.

What can end a wait (:class:`~ckpt_harness.worlds.simulated.tasks.Claim`) is decided when no task can run. The scheduler owns waits for a mutex that another
task holds, for the end of a task, and for a future of an executor whose workers are tasks. Every other event, condition, queue or future may be set by
a thread of a client library, even if a rank created it (fsspec passes each event that it waits for to its own loop). A rank that waits for such an object
is never called deadlocked. The futures of an operation (of an upload, of ``write_data``) lie between: as a rule, a thread of the rank completes them. So the
scheduler owns a wait for such a future while another task of the rank waits for something that the scheduler owns, and once a thread of the rank has ended
with an error that reached nobody.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import contextlib
import functools
import queue
import sys
import threading
import time
import weakref
from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

from ckpt_harness.worlds.simulated.frames import stack_of
from ckpt_harness.worlds.simulated.tasks import Claim, State, Task, Unwind, Waiting, current_task

_real_monotonic = time.monotonic


def _served_by_fsspec() -> bool:
    """Whether the calling thread waits for an answer of fsspec's own thread, which does not depend on other ranks.

    If it handed the baton over, the speed of that thread would decide which task runs next.
    """
    asyn = sys.modules.get("fsspec.asyn")
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_DEPTH if asyn is not None else 0):
        if frame is None:
            return False
        if frame.f_code is asyn.sync.__code__:  # type: ignore[union-attr]  # the range is empty where it is None
            return True
        frame = frame.f_back
    return False


_DEPTH = 8
"""Frames to search: those between ``fsspec.asyn.sync`` and the lock of the event that it waits for, and some more."""


def _wake(waiter: Task | LockType) -> None:
    if isinstance(waiter, Task):
        waiter.scheduler.wake(waiter)
    else:
        with contextlib.suppress(RuntimeError):
            waiter.release()


class WorldLock:
    """A mutex. A task that waits for it hands the baton over.

    Its state is a real lock, so that it works for threads outside the world and for signal handlers.
    """

    __slots__ = ("__weakref__", "_raw", "_waiters", "holder")

    def __init__(self) -> None:
        self._raw: LockType = allocate_lock()
        self._waiters: deque[Task] = deque()
        self.holder: Task | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Takes the lock, like ``threading.Lock.acquire``."""
        me = current_task()
        if me is None:
            return self._raw.acquire(blocking, timeout)
        if self._raw.acquire(False):
            self.holder = me
            return True
        if not blocking:
            return False
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        if _served_by_fsspec():
            return self._hold(me, timeout)
        return self._wait(me, None if timeout == -1 else timeout)

    def _hold(self, me: Task, timeout: float) -> bool:
        """Waits without handing the baton over, like a thread that blocks in native code."""
        acquired = self._raw.acquire(True, timeout)
        me.scheduler.check()
        return acquired

    def _wait(self, me: Task, timeout: float | None) -> bool:
        scheduler = me.scheduler
        waiting = Waiting("lock", functools.partial(_claim_on_lock, self))
        deadline = None if timeout is None else scheduler.now + timeout
        me.waiting = waiting
        kind = "event" if deadline is None or me.claim is Claim.OWNED else "poll"
        while True:
            self._waiters.append(me)
            if self._raw.acquire(False):
                with contextlib.suppress(ValueError):
                    self._waiters.remove(me)
                break
            try:
                in_time = scheduler.park(waiting, deadline, "event" if kind == "event" else "poll")
            finally:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(me)
            if not in_time:
                return False
        self.holder = me
        return True

    def release(self) -> None:
        """Releases the lock and wakes the first task that waits for it."""
        self.holder = None
        self._raw.release()
        if self._waiters:
            with contextlib.suppress(IndexError):
                _wake(self._waiters.popleft())

    def locked(self) -> bool:
        """Returns whether the lock is held."""
        return self._raw.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self._raw = allocate_lock()
        self._waiters.clear()


class LockPerRank:
    """Replaces a library's mutex per process, which simulated ranks must not share: a rank that dies would hold it for ever."""

    def __init__(self) -> None:
        self._locks: weakref.WeakKeyDictionary[Any, dict[int, WorldLock]] = weakref.WeakKeyDictionary()
        self._outside = WorldLock()

    def _mine(self) -> WorldLock:
        me = current_task()
        if me is None:
            return self._outside
        return self._locks.setdefault(me.scheduler, {}).setdefault(me.rank, WorldLock())

    def __enter__(self) -> bool:
        return self._mine().acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._mine().release()


class WorldQueue:
    """A ``queue.SimpleQueue``. A task that waits for it hands the baton over. ``put`` may be called anywhere, even during garbage collection.

    Attributes:
        executor: the thread pool whose work it holds, if any.
        lasting: whether that pool is to live as long as the process.
    """

    __slots__ = ("__weakref__", "_items", "_maker", "_waiters", "executor", "lasting")

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiters: deque[Task | LockType] = deque()
        me = current_task()
        self._maker = None if me is None else (weakref.ref(me.scheduler), me.rank)
        self.executor: weakref.ref[Any] | None = None
        self.lasting = False

    def belongs_to(self, task: Task) -> bool:
        """Whether the rank of a task made the queue, in the same world."""
        return self._maker is not None and self._maker[0]() is task.scheduler and self._maker[1] == task.rank

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Adds an item; never waits."""
        self._items.append(item)
        with contextlib.suppress(IndexError):
            _wake(self._waiters.popleft())

    def put_nowait(self, item: Any) -> None:
        """Adds an item."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Takes the oldest item; raises ``queue.Empty`` like the real one."""
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        me = current_task()
        if self.executor is not None and me is not None and me.scheduler.unwinding:
            self._dismiss()
            return None
        deadline = None if timeout is None else _now(me) + timeout
        while True:
            with contextlib.suppress(IndexError):
                return self._items.popleft()
            if not block:
                raise queue.Empty
            if not self._wait(me, deadline):
                raise queue.Empty

    def _wait(self, me: Task | None, deadline: float | None) -> bool:
        waiter: Task | LockType = me if me is not None else allocate_lock()
        if not isinstance(waiter, Task):
            waiter.acquire()
        self._waiters.append(waiter)
        try:
            if self._items:
                return True
            if isinstance(waiter, Task):
                return waiter.scheduler.park(Waiting("queue", _claim_on_something), deadline, "poll")
            return waiter.acquire(True, -1 if deadline is None else max(deadline - _real_monotonic(), 0.0))
        except Unwind:
            if self.executor is None:
                raise
            self._dismiss()
            self._items.append(None)
            return True
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)

    def _dismiss(self) -> None:
        """Ends a worker of an executor as the executor itself does, since an exception here would be logged as critical."""
        executor = self.executor() if self.executor is not None else None
        if executor is not None:
            executor._shutdown = executor._harness_dismissed = True

    def get_nowait(self) -> Any:
        """Takes the oldest item, or raises ``queue.Empty``."""
        return self.get(False)

    def qsize(self) -> int:
        """Returns the number of items."""
        return len(self._items)

    def empty(self) -> bool:
        """Returns whether the queue is empty."""
        return not self._items


def _now(me: Task | None) -> float:
    return me.scheduler.now if me is not None else _real_monotonic()


# --- what can end a wait ------------------------------------------------------------------------------------------------


def _claim_on_lock(lock: WorldLock, task: Task) -> Claim:
    frames = _frames(task)
    if not any(frame.f_code is threading.Condition.wait.__code__ for frame in frames):
        holder = lock.holder
        mutex = holder is not None and holder is not task and holder.scheduler is task.scheduler
        return Claim.OWNED if mutex else _shared(frames, task)
    futures = next((_futures_in(frame) for frame in frames if frame.f_code in _FUTURE_WAITS), [])
    return _claim_on_futures(futures, task)


def _claim_on_futures(futures: list[Any], task: Task) -> Claim:
    """The claim of a wait for futures.

    If an operation of the rank is to complete them, nothing outside does while a thread of the operation waits itself, or once a thread of the rank has lost
    an error.
    """
    owned = [getattr(future, "_harness_scheduler", None) is task.scheduler for future in futures]
    expected = [getattr(future, "_harness_expected_in", None) is task.scheduler for future in futures]
    if futures and all(owned):
        return Claim.OWNED
    claim = _shared(_frames(task), task)
    of_the_rank = bool(futures) and all(one or other for one, other in zip(owned, expected, strict=True))
    lost = any(other.lost_error for other in task.scheduler.tasks if other.rank == task.rank)
    return Claim.OWNED if of_the_rank and (lost or claim is Claim.SHARED) else claim


def _frames(task: Task) -> list[FrameType]:
    return list(stack_of(task.thread.ident if task.thread is not None else None))


_FUTURE_WAITS = {
    concurrent.futures.Future.result.__code__,
    concurrent.futures.Future.exception.__code__,
    concurrent.futures.wait.__code__,
    concurrent.futures.as_completed.__code__,
}


def _futures_in(frame: FrameType) -> list[Any]:
    names = frame.f_locals
    if "fs" in names:
        return [future for future in names["fs"] if not future.done()]
    return [names["self"]]


def _claim_on_something(task: Task) -> Claim:
    return _shared(_frames(task), task)


def _shared(frames: list[FrameType], task: Task) -> Claim:
    """The claim of a wait that something outside may end. It matters only if a rank depends on it."""
    at_work = any(frame.f_code is _WORK_ITEM for frame in frames)
    if not task.main and not task.joiners and not at_work:
        return Claim.IDLE
    own = (other.waiting for other in task.scheduler.tasks if other.rank == task.rank and other.state is State.WAITING)
    return Claim.SHARED if any(waiting is not None and isinstance(waiting.claim, Claim) for waiting in own) else Claim.OUTSIDE


_WORK_ITEM: Any = concurrent.futures.thread._WorkItem.run.__code__


def waiting_outside(what: str) -> Waiting:
    """Returns a wait that something outside the world may end."""
    return Waiting(what, _claim_on_something)


def wait_outside(what: str, subscribe: Callable[[Callable[[], None]], None], done: Callable[[], bool], future: Any = None) -> None:
    """Parks the calling task until something outside the world ends the wait.

    Args:
        what: name of the wait, for reports.
        subscribe: receives a function that any thread may call when the wait may have ended.
        done: returns whether the wait has ended.
        future: the future that the task waits for, if it does.
    """
    me = current_task()
    assert me is not None
    subscribe(functools.partial(me.scheduler.wake, me))
    waiting = Waiting(what, functools.partial(_claim_on_futures, [future]))
    while not done():
        me.scheduler.park(waiting)
