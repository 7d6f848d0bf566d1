"""The scheduler: runs one thread at a time, in an order drawn from a seed, in virtual time, and proves deadlocks.

Every thread of every rank is a :class:`~ckpt_harness.worlds.simulated.tasks.Task`. Exactly one task holds the baton and runs. It hands the baton over only at
*scheduler points*: where it waits, sleeps or yields. The next task is drawn by ``random.Random(seed)`` from the tasks that can run, and depends on nothing
else, so the same seed gives the same order in every process.

When no task can run, the waits of all tasks decide (:class:`~ckpt_harness.worlds.simulated.tasks.Claim`):

* All waits are for things that this scheduler owns, and no event is pending except timers of collectives: no task can ever run again. This is the proof
  of a deadlock.
* An event is pending, for example the end of a delay: virtual time jumps to it. Timers of collectives that are due earlier fire first.
* A task waits for something outside the world: real time passes, up to ``external_limit`` seconds; then the outcome is "unknown". Seconds in which a busy
  machine kept this process from running do not count (:class:`~ckpt_harness.worlds.fair_clock.FairClock`), here and below.
* Sleeps end again and again, and nothing else happens: the world is given up (:class:`~ckpt_harness.worlds.simulated.standstill.Standstill`).

Not modelled: pre-emption between two scheduler points (data races in the engine's own Python code are not explored); the duration of computations (only
sleeps, delays and timeouts take virtual time). A thread that blocks in native code keeps the baton: no other task runs until it returns, and after
``external_limit`` real seconds without a scheduler point, the world gives up.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import threading
import time
from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, NoReturn, TypeVar

from ckpt_harness.worlds.fair_clock import SLICE, FairClock
from ckpt_harness.worlds.simulated.standstill import Standstill
from ckpt_harness.worlds.simulated.tasks import Claim, DeadlineKind, State, Task, Unwind, Waiting, become, current_task

GRACE = 0.25
"""If a wait may be ended by something outside or by another task: real seconds to wait before virtual time advances, so that the other task can run."""

_STEPS = 1024
"""Steps between two looks at the duration of a run that is never idle."""

_IDLE_SLICE = 0.1
"""Seconds between two looks at whether an idle world was free to run; a part of :data:`GRACE`."""

T = TypeVar("T")

_monotonic = time.monotonic

End = Literal["done", "deadlock", "outside", "stuck", "endless"]
"""Why a world ended. ``done``: all bodies ended. ``deadlock``: proved. ``outside``: something outside did not answer in time. ``stuck``: a thread did not
return to a scheduler point. ``endless``: threads slept again and again, or the run took too long."""


class Scheduler:
    """Runs tasks one at a time.

    Args:
        seed: seed of the order.
        on_deadlock: ``end`` ends the world when only timers of collectives are pending; ``time_out`` lets them fire.
        external_limit: limit in real seconds for waits for something outside.
        clock: measures the real seconds for which this process was free to run.
        begin: called on a task's thread, with the baton, before its body, and again whenever the task has become stale.
        end: called on a task's thread, with the baton, after its body.

    Attributes:
        owner: the run that uses this scheduler, so that it can be found from a task.
        pools: rank -> the thread pools that it has in the place of others; see :mod:`ckpt_harness.worlds.simulated.pools`.
    """

    def __init__(
        self,
        seed: int,
        *,
        on_deadlock: Literal["end", "time_out"] = "end",
        external_limit: float = 30.0,
        clock: FairClock | None = None,
        begin: Callable[[Task], None] = lambda task: None,
        end: Callable[[Task], None] = lambda task: None,
    ) -> None:
        self.now = 0.0
        self.started = _monotonic()
        self.tasks: list[Task] = []
        self.running: Task | None = None
        self.ended: End | None = None
        self.stuck: Task | None = None
        self.unwinding = False
        self.over = False
        self.owner: Any = None
        self.pools: dict[int, dict[Any, Any]] = {}
        self._random = random.Random(seed)
        self._on_deadlock = on_deadlock
        self._external_limit = external_limit
        self._clock = clock or FairClock()
        self._standstill = Standstill(self._clock, external_limit)
        self._begin, self._end = begin, end
        self._ready: list[Task] = []
        self._inbox: deque[Task] = deque()
        self._bell: LockType = allocate_lock()
        self._bell.acquire()
        self._bodies = 0
        self._steps = 0
        self._idle: Literal["", "grace", "limit"] = ""
        self._idle_since = 0.0
        self._stalled_since: float | None = None
        self._lingering_since: float | None = None
        self._errand: Callable[[], None] | None = None
        self._errand_done: LockType = allocate_lock()
        self._errand_done.acquire()

    # --- tasks ----------------------------------------------------------------------------------------------------

    def add(self, rank: int, main: bool = False) -> Task:
        """Makes a new task, ready to run. Its thread must call :meth:`live`."""
        task = Task(self, len(self.tasks), rank, main)
        self.tasks.append(task)
        self._ready.append(task)
        self._bodies += main
        return task

    def live(self, task: Task, body: Callable[[], None]) -> None:
        """The main function of a task's thread: waits for the baton, runs ``body``, hands the baton over."""
        become(task)
        task.baton.acquire()
        try:
            if not self.unwinding:
                self._begin(task)
                body()
        except Unwind:
            pass
        finally:
            if not self.over:
                self._end(task)
                self._finish(task)
            become(None)

    def _finish(self, task: Task) -> None:
        task.state = State.DONE
        self._bodies -= task.main
        if self.unwinding:
            return
        for joiner in task.joiners:
            self.wake(joiner)
        self._goes_on(task)
        if self.ended is None:
            chosen = self._choose()
            if chosen is not None:
                chosen.baton.release()

    # --- scheduler points -------------------------------------------------------------------------------------------

    def park(self, waiting: Waiting, deadline: float | None = None, kind: DeadlineKind = "event") -> bool:
        """Hands the baton over until the calling task is woken or ``deadline`` (virtual seconds) passes.

        A task may be woken without a reason, so callers must check their condition again.

        Returns:
            False if the deadline passed.
        """
        me = self._me()
        me.waiting, me.deadline, me.deadline_kind, me.expired = waiting, deadline, kind, False
        if kind == "poll" and deadline is not None:
            me.real_deadline = self._clock.now() + deadline - self.now
        me.state = State.WAITING
        self._hand_over(me)
        me.waiting = me.deadline = None
        return not me.expired

    def pause(self) -> None:
        """Lets another task run, if the seed chooses it."""
        me = self._me()
        if self._ready or self._inbox:
            me.state = State.READY
            self._ready.append(me)
            self._hand_over(me)

    def sleep(self, seconds: float) -> None:
        """Lets virtual time pass for the calling task."""
        until = self.now + max(seconds, 0.0)
        waiting = Waiting("sleep")
        while self.park(waiting, until):
            pass

    def step_out(self, waiting: Waiting, act: Callable[[], T]) -> T:
        """Hands the baton over while the calling task blocks in native code in ``act``, which must return soon after ``unwinding`` is set."""
        me = self._me()
        me.waiting, me.deadline, me.state = waiting, None, State.WAITING
        chosen = self._choose() if self.ended is None else None
        if chosen is not None:
            chosen.baton.release()
        try:
            return act()
        finally:
            self._inbox.append(me)
            self._ring()
            me.baton.acquire()
            me.waiting = None
            if self.unwinding:
                raise Unwind

    def hang(self, what: str) -> NoReturn:
        """Waits for ever; the proof of a deadlock takes this into account."""
        waiting = Waiting(what)
        while True:
            self.park(waiting)

    def die(self, rank: int) -> NoReturn:
        """Parks the calling task and all other tasks of ``rank`` for good; they do not run until the world unwinds."""
        me = self._me()
        for task in self.tasks:
            if task.rank == rank and task.state is not State.DONE:
                if task.main:
                    self._bodies -= 1
                if task.state is State.READY:
                    self._ready.remove(task)
                task.state = State.DEAD
        while True:
            self._hand_over(me)

    def have_done(self, errand: Callable[[], None]) -> None:
        """Has the controller, which is no task, run ``errand``. The calling task keeps the baton: all tasks stand still meanwhile.

        Raises:
            BaseException: whatever ``errand`` raises.
        """
        self._me()
        raised: list[BaseException] = []

        def run() -> None:
            try:
                errand()
            except BaseException as error:  # noqa: BLE001  (it belongs to the task that asked)
                raised.append(error)

        self._errand = run
        self._ring()
        self._errand_done.acquire()
        if raised:
            raise raised[0]

    def _do_errand(self) -> None:
        errand, self._errand = self._errand, None
        if errand is not None:
            try:
                errand()
            finally:
                self._errand_done.release()

    def join(self, task: Task, timeout: float | None = None) -> bool:
        """Waits for the end of another task; returns whether it has ended."""
        me = self._me()
        deadline = None if timeout is None else self.now + timeout
        waiting = Waiting("thread join")
        task.joiners.append(me)
        try:
            while task.state is not State.DONE:
                if not self.park(waiting, deadline):
                    return False
        finally:
            task.joiners.remove(me)
        return True

    def wake(self, task: Task) -> None:
        """Makes a parked task check its condition again. May be called from any thread."""
        if self.running is not None and current_task() is self.running:
            self._goes_on(task)
            self._make_ready(task)
        else:
            self.progress()
            self._inbox.append(task)
            self._ring()

    def progress(self) -> None:
        """Notes that something outside made progress: the limit for waits for something outside starts again."""
        self._stalled_since = None
        self._standstill.progressed()

    def _goes_on(self, task: Task) -> None:
        """Notes that a task goes on or ends. It is no progress unless a rank depends on it: a thread in the background may go on for ever."""
        if task.main or task.joiners or (task.waiting is not None and task.waiting.tell is not None):
            self.progress()

    def pass_time(self, until: float) -> None:
        """Advances virtual time to ``until``, after the calling task has waited in real time."""
        self.now = max(self.now, until)

    def check(self) -> None:
        """Raises :class:`Unwind` if the world is unwinding."""
        self._me()

    # --- handing over -----------------------------------------------------------------------------------------------

    def _me(self) -> Task:
        me = current_task()
        assert me is not None and me.scheduler is self, "only a thread of this world may wait in it"
        if self.unwinding:
            raise Unwind
        return me

    def _hand_over(self, me: Task) -> None:
        chosen = self._choose() if self.ended is None else None
        if chosen is not me:
            if chosen is not None:
                chosen.baton.release()
            me.baton.acquire()
        if self.unwinding:
            raise Unwind
        if me.stale:
            me.stale = False
            self._begin(me)

    def _choose(self) -> Task | None:
        """Takes the next task to run. Returns None if no task can run now; the controller is then notified."""
        while True:
            while self._inbox:
                self._make_ready(self._inbox.popleft())
            ready = self._ready
            if ready and (self._steps % _STEPS or not self._standstill.too_long()):  # else ``_advance`` ends the world
                last = ready.pop()
                count = len(ready)
                place = int(self._random.random() * (count + 1)) if count else 0
                if place < count:
                    ready[place], last = last, ready[place]
                last.state = State.RUNNING
                self.running = last
                self._steps += 1
                return last
            self.running = None
            if not self._advance():
                self._ring()
                return None

    def _make_ready(self, task: Task) -> None:
        if task.state is State.WAITING:
            task.state = State.READY
            self._ready.append(task)

    # --- when no task can run ----------------------------------------------------------------------------------------

    def _advance(self) -> bool:
        """No task is ready. Advances time, ends the world, or leaves it idle for something outside. Returns whether a task is ready now."""
        if self._standstill.too_long():
            self.ended = "endless"
            return False
        waiting = [task for task in self.tasks if task.state is State.WAITING]
        if not self._bodies:
            waiting = [task for task in waiting if task.thread is not None and not task.thread.daemon]
        claims = {task.claim for task in waiting}
        events = any(task.deadline is not None and task.deadline_kind == "event" for task in waiting)
        if Claim.OUTSIDE in claims or (Claim.SHARED in claims and not events):
            return self._wait_outside("limit")
        if Claim.SHARED in claims:
            return self._wait_outside("grace")
        if not self._bodies and (not events or self._lingers()):
            self.ended = "done"
            return False
        if events:
            if self._standstill.slept(self.now):
                self.ended = "endless"
                return False
            self._fire(waiting)
            self._stalled_since = None
            return True
        if self._on_deadlock == "time_out" and any(task.deadline_kind == "timer" and task.deadline is not None for task in waiting):
            self._fire(waiting)
            return True
        self.ended = "deadlock"
        return False

    def _lingers(self) -> bool:
        """All bodies have ended, and threads that they left behind still sleep. A process would wait for them; a test waits for a limited time."""
        if self._lingering_since is None:
            self._lingering_since = self._clock.now()
        return self._clock.now() > self._lingering_since + self._external_limit

    def _fire(self, waiting: list[Task]) -> None:
        """Advances virtual time to the earliest deadline. All tasks that are due then expire together, so that none sees another's end first."""
        dated = [(task.deadline, task) for task in waiting if task.deadline is not None]
        self.now = max(self.now, min(deadline for deadline, _ in dated))
        for deadline, task in dated:
            if deadline <= self.now:
                task.expired = True
                self._make_ready(task)

    def _wait_outside(self, limit: Literal["grace", "limit"]) -> bool:
        self._idle, self._idle_since = limit, self._clock.now()
        if self._stalled_since is None:
            self._stalled_since = self._idle_since
        return False

    # --- the controller: the thread that called run -----------------------------------------------------------------

    def run(self) -> End:
        """Runs the tasks until the world ends. Called once, by the thread that owns the world."""
        first = self._choose()
        if first is not None:
            first.baton.release()
        seen, since = -1, 0.0
        while self.ended is None:
            if self._errand is not None:
                began = self._clock.now()
                self._do_errand()
                since = self._clock.now()
                self._standstill.aside(since - began)
                continue
            if self._idle:
                self._tend()
                continue
            if seen != self._steps:
                seen, since = self._steps, self._clock.now()
            self._listen(since + self._external_limit, SLICE)
            if self._errand is None and self.ended is None and not self._idle and seen == self._steps and self._clock.now() >= since + self._external_limit:
                self.stuck, self.ended = self.running, "stuck"
        return self.ended

    def _listen(self, until: float, longest: float) -> None:
        """Waits for the bell, at most until a moment of the clock, and at most for some seconds."""
        began = _monotonic()
        if not self._bell.acquire(True, min(max(until - self._clock.now(), 0.0), longest)):
            self._clock.tick(_monotonic() - began)

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # already rung
            self._bell.release()

    def _tend(self) -> None:
        """The world is idle: waits for something outside, for the timeout of a polling wait, or for the limit."""
        stalled_since = self._idle_since if self._stalled_since is None else self._stalled_since
        polls = [task for task in self.tasks if task.state is State.WAITING and task.deadline is not None and task.deadline_kind == "poll"]
        limit = self._idle_since + GRACE if self._idle == "grace" else stalled_since + self._external_limit
        until = min([limit, *(task.real_deadline for task in polls)])
        if not self._inbox:
            self._listen(until, _IDLE_SLICE)
        now = self._clock.now()
        if self._inbox:
            pass
        elif any(task.real_deadline <= now for task in polls):
            for task in polls:
                if task.real_deadline <= now:
                    self.now = max(self.now, task.deadline or 0.0)
                    task.expired = True
                    self._make_ready(task)
        elif now < limit:
            return
        elif self._idle == "grace" and self._standstill.idled(GRACE):
            self.ended = "endless"
            return
        elif self._idle == "grace":
            self._fire([task for task in self.tasks if task.state is State.WAITING])
        else:
            self.ended = "outside" if self._bodies else "done"
            return
        self._idle = ""
        chosen = self._choose()
        if chosen is not None:
            chosen.baton.release()

    def unwind(self, patience: float = 5.0) -> list[Task]:
        """Ends all remaining threads, one after the other, by raising :class:`Unwind` where they are parked.

        Returns:
            The tasks whose threads did not end within ``patience`` seconds each, because they are in native code. Their threads are daemons.
        """
        self.unwinding = True
        left = []
        for task in list(self.tasks):
            thread = task.thread
            if thread is None:
                continue
            if task.state is not State.DONE:
                task.baton.release()
            self._join(thread, 0.0 if task is self.stuck else patience)
            if _is_alive(thread):
                left.append(task)
                _interrupt(thread)
        self.over = True
        return left

    def _join(self, thread: threading.Thread, patience: float) -> None:
        """Waits up to ``patience`` seconds for the end of a thread."""
        until = self._clock.now() + patience
        while _is_alive(thread) and (left := until - self._clock.now()) > 0:
            began = _monotonic()
            _join(thread, min(left, SLICE))
            if _is_alive(thread):
                self._clock.tick(_monotonic() - began)


def _interrupt(thread: threading.Thread) -> None:
    """Makes a thread in native code end when it returns to Python, so that it cannot affect anything after its world has ended."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Unwind))


_join = threading.Thread.join
_is_alive = threading.Thread.is_alive
