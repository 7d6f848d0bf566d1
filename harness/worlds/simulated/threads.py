"""The standard library's waits as scheduler points, for the threads of a world only.

While at least one world runs, :func:`installed` replaces the factories of locks and queues, ``Thread.start`` and ``join``, ``sleep`` and the
clocks that timeouts are measured with. Each replacement asks whether the calling thread is a task of a world; any other thread gets what it
always got. A thread that a task starts becomes a task of the same rank.

Objects made here stay usable by threads outside the world, and after it: a lock is a real lock with a list of tasks that want it.

Who can end a wait (see :class:`~harness.worlds.simulated.scheduler.Claim`) is decided from what the task waits on when nothing else can run:
a mutex that another task holds, the end of a task, a future of an executor whose workers are tasks: owned. An event, condition or queue made in
the world: shared, since a client library's thread may hold it too. Anything made elsewhere: outside.

Not modelled: a lock that was made before the world ran, or through a name imported from ``threading`` at import time, blocks natively. When a
task that is parked holds such a lock and another wants it, the world ends as "unknown" after ``external_limit`` seconds. A
``ThreadPoolExecutor`` made before the world keeps native threads: what runs on them belongs to no rank.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import contextlib
import functools
import queue
import threading
import time
import weakref
from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from harness.worlds.simulated.frames import stack_of
from harness.worlds.simulated.scheduler import Claim, Scheduler, State, Task, Unwind, Waiting, current_task

_real_monotonic = time.monotonic
_real_start = threading.Thread.start
_real_join = threading.Thread.join
_real_is_alive = threading.Thread.is_alive
_worker: Any = getattr(concurrent.futures.thread, "_worker", None)


def _wake(waiter: Task | LockType) -> None:
    if isinstance(waiter, Task):
        waiter.scheduler.wake(waiter)
    else:
        with contextlib.suppress(RuntimeError):
            waiter.release()


class WorldLock:
    """A mutex whose waiters from a world give the baton away.

    The truth is a real lock, so that threads outside and signal handlers see a lock as they know it.
    """

    __slots__ = ("__weakref__", "_raw", "_waiters", "holder", "origin")

    def __init__(self) -> None:
        self._raw: LockType = allocate_lock()
        self._waiters: deque[Task] = deque()
        self.holder: Task | None = None
        me = current_task()
        self.origin: Scheduler | None = me.scheduler if me is not None else None

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
        return self._wait(me, None if timeout == -1 else timeout)

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
        """Gives the lock back and wakes the first task that wants it."""
        self.holder = None
        self._raw.release()
        if self._waiters:
            with contextlib.suppress(IndexError):
                _wake(self._waiters.popleft())

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._raw.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self._raw = allocate_lock()
        self._waiters.clear()


class WorldQueue:
    """``queue.SimpleQueue`` whose waiters from a world give the baton away; ``put`` may be called from anywhere, even while collecting garbage."""

    __slots__ = ("__weakref__", "_items", "_waiters", "executor")

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiters: deque[Task | LockType] = deque()
        self.executor: weakref.ref[Any] | None = None

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
            return self._dismiss()
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
                return waiter.scheduler.park(Waiting("queue", _claim_on_queue), deadline, "poll")
            return waiter.acquire(True, -1 if deadline is None else max(deadline - _real_monotonic(), 0.0))
        except Unwind:
            if self.executor is None:
                raise
            self._items.append(self._dismiss())
            return True
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)

    def _dismiss(self) -> None:
        """Sends a worker of an executor home the way the executor itself does: an exception here would be logged as critical."""
        executor = self.executor() if self.executor is not None else None
        if executor is not None:
            executor._shutdown = True

    def get_nowait(self) -> Any:
        """Takes the oldest item, or raises ``queue.Empty``."""
        return self.get(False)

    def qsize(self) -> int:
        """How many items there are."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether there is none."""
        return not self._items


def _now(me: Task | None) -> float:
    return me.scheduler.now if me is not None else _real_monotonic()


# --- who can end a wait ------------------------------------------------------------------------------------------------


def _claim_on_lock(lock: WorldLock, task: Task) -> Claim:
    frames = list(stack_of(task.thread.ident if task.thread is not None else None))
    condition = next((frame for frame in frames if frame.f_code is threading.Condition.wait.__code__), None)
    if condition is None:
        holder = lock.holder
        mutex = holder is not None and holder is not task and holder.scheduler is task.scheduler
        return Claim.OWNED if mutex else _shared(frames, task, lock.origin is task.scheduler)
    future = next((_future_in(frame) for frame in frames if frame.f_code in _FUTURE_WAITS), None)
    if future is not None and all(getattr(one, "_harness_scheduler", None) is task.scheduler for one in future):
        return Claim.OWNED
    made_by = getattr(condition.f_locals.get("self"), "_lock", None)
    block = made_by if isinstance(made_by, WorldLock) else getattr(made_by, "_block", None)
    return _shared(frames, task, isinstance(block, WorldLock) and block.origin is task.scheduler)


_FUTURE_WAITS = {
    concurrent.futures.Future.result.__code__,
    concurrent.futures.Future.exception.__code__,
    concurrent.futures.wait.__code__,
    concurrent.futures.as_completed.__code__,
}


def _future_in(frame: FrameType) -> list[Any]:
    names = frame.f_locals
    if "fs" in names:
        return [future for future in names["fs"] if not future.done()]
    return [names["self"]]


def _claim_on_queue(task: Task) -> Claim:
    frames = list(stack_of(task.thread.ident if task.thread is not None else None))
    return _shared(frames, task, True)


def _shared(frames: list[FrameType], task: Task, inside: bool) -> Claim:
    """A wait on something that others may hold counts for a verdict when a rank depends on it."""
    at_work = any(frame.f_code is _WORK_ITEM for frame in frames)
    if not task.main and not task.joiners and not at_work:
        return Claim.IDLE
    return Claim.SHARED if inside else Claim.OUTSIDE


_WORK_ITEM: Any = concurrent.futures.thread._WorkItem.run.__code__


def wait_outside(what: str, subscribe: Callable[[Callable[[], None]], None], done: Callable[[], bool]) -> None:
    """Parks the calling task until something outside the world says so.

    Args:
        what: for the report.
        subscribe: is given a function that any thread may call when the wait may be over.
        done: whether it is over.
    """
    me = current_task()
    assert me is not None
    subscribe(functools.partial(me.scheduler.wake, me))
    waiting = Waiting(what, lambda task: _shared(list(stack_of(task.thread.ident if task.thread else None)), task, False))
    while not done():
        me.scheduler.park(waiting)


# --- threads -----------------------------------------------------------------------------------------------------------


class _NativeEvent:
    """What ``Thread._started`` needs of an event, without a scheduler point in it."""

    def __init__(self) -> None:
        self._set = False
        self._gate = allocate_lock()
        self._gate.acquire()

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._gate.release()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._gate.acquire()
        return True

    def _at_fork_reinit(self) -> None:
        self._gate = allocate_lock()


def start(thread: threading.Thread, task: Task) -> None:
    """Starts ``thread`` as ``task``: it runs when it gets the baton, and its end is a scheduler event."""
    task.thread = thread
    thread.run = functools.partial(_live, task, thread, thread.run)  # type: ignore[method-assign]
    _start_native(thread)


def _start_native(thread: Any) -> None:
    """Starts without a scheduler point: the parent waits natively until the thread exists, and no longer.

    The native thread is a daemon, so that one that is stuck in native code cannot keep the interpreter from exiting; the code that runs sees
    the flag that was asked for, and its own threads inherit it.
    """
    thread._started = _NativeEvent()
    wanted, thread._daemonic = thread._daemonic, True
    try:
        _real_start(thread)
    finally:
        thread._daemonic = wanted


def _live(task: Task, thread: Any, run: Callable[[], None]) -> None:
    def body() -> None:
        try:
            run()
        except (Unwind, SystemExit):
            pass
        except BaseException:
            thread._invoke_excepthook(thread)

    try:
        task.scheduler.live(task, body)
    finally:
        del thread.run


def _start(self: threading.Thread) -> None:
    me = current_task()
    if me is None or self._started.is_set():  # type: ignore[attr-defined]
        _real_start(self)
        return
    me.scheduler.check()
    if getattr(self, "_target", None) is _worker and not any(isinstance(arg, WorldQueue) for arg in _arguments(self)):
        _start_native(self)
        return
    task = me.scheduler.add(me.rank)
    start(self, task)
    me.scheduler.pause()


def _arguments(thread: Any) -> tuple[Any, ...]:
    return tuple(thread._args)


def _task_of(thread: threading.Thread, scheduler: Scheduler) -> Task | None:
    return next((task for task in scheduler.tasks if task.thread is thread), None)


def _join(self: threading.Thread, timeout: float | None = None) -> None:
    me = current_task()
    if me is None or not self._started.is_set() or self is threading.current_thread():  # type: ignore[attr-defined]
        _real_join(self, timeout)
        return
    task = _task_of(self, me.scheduler)
    if task is None:
        _join_outside(me, self, timeout)
    elif me.scheduler.join(task, None if timeout is None else max(timeout, 0.0)):
        _real_join(self)


def _join_outside(me: Task, thread: threading.Thread, timeout: float | None) -> None:
    """A helper thread waits for the foreign one, so that the task can be unwound where it waits."""
    if timeout is not None and timeout <= 0 or not _real_is_alive(thread):
        _real_join(thread, timeout)
        return
    over: list[bool] = []

    def subscribe(tell: Callable[[], None]) -> None:
        def watch() -> None:
            _real_join(thread, timeout)
            over.append(True)
            tell()

        _real_start(threading.Thread(target=watch, daemon=True))

    wait_outside(f"end of thread {thread.name}", subscribe, lambda: bool(over))


def _is_alive(self: threading.Thread) -> bool:
    me = current_task()
    task = _task_of(self, me.scheduler) if me is not None else None
    return _real_is_alive(self) if task is None else task.state is not State.DONE


# --- replacing and restoring -------------------------------------------------------------------------------------------


def _replacements() -> list[tuple[Any, str, Any]]:
    real_lock, real_allocate, real_rlock = threading.Lock, threading._allocate_lock, threading.RLock  # type: ignore[attr-defined]
    real_queue, real_sleep = queue.SimpleQueue, time.sleep
    real_submit = concurrent.futures.ThreadPoolExecutor.submit

    def lock() -> Any:
        return WorldLock() if current_task() is not None else real_lock()

    def allocate() -> Any:
        return WorldLock() if current_task() is not None else real_allocate()

    def rlock(*args: Any, **kwargs: Any) -> Any:
        return threading._PyRLock() if current_task() is not None else real_rlock(*args, **kwargs)  # type: ignore[attr-defined]

    def simple_queue() -> Any:
        return WorldQueue() if current_task() is not None else real_queue()

    def sleep(seconds: float) -> None:
        me = current_task()
        if me is None:
            real_sleep(seconds)
        elif seconds < 0:
            raise ValueError("sleep length must be non-negative")
        else:
            me.scheduler.sleep(seconds)

    def monotonic() -> float:
        me = current_task()
        return _real_monotonic() if me is None else me.scheduler.started + me.scheduler.now

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        me = current_task()
        if me is None or not isinstance(self._work_queue, WorldQueue):
            return real_submit(self, fn, *args, **kwargs)
        self._work_queue.executor = weakref.ref(self)
        future = real_submit(self, fn, *args, **kwargs)
        future._harness_scheduler = me.scheduler  # type: ignore[attr-defined]
        return future

    return [
        (threading, "Lock", lock),
        (threading, "_allocate_lock", allocate),
        (threading, "RLock", rlock),
        (threading, "_time", monotonic),
        (threading.Thread, "start", _start),
        (threading.Thread, "join", _join),
        (threading.Thread, "is_alive", _is_alive),
        (queue, "SimpleQueue", simple_queue),
        (queue, "time", monotonic),
        (time, "sleep", sleep),
        (time, "monotonic", monotonic),
        (concurrent.futures.thread, "_global_shutdown_lock", WorldLock()),
        (concurrent.futures.ThreadPoolExecutor, "submit", submit),
    ]


_depth = 0
_undo: list[tuple[Any, str, Any]] = []


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Replaces the standard library's waits for as long as a world runs; worlds may nest."""
    global _depth
    if _depth == 0:
        for owner, name, replacement in _replacements():
            _undo.append((owner, name, owner.__dict__[name]))
            setattr(owner, name, replacement)
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            while _undo:
                setattr(*_undo.pop())
