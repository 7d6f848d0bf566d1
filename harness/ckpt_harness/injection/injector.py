"""The one decision "does a fault fire here, now?", and what happens when it does.

One injector serves one case (or one stand-alone wrapper) and is shared by all wrappers of it: it counts occurrences, records what happened, and
makes effects act through the current runtime.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar

from ckpt_harness import runtime
from ckpt_harness.disk.journal import Journal
from ckpt_harness.errors import HarnessError, InternalError
from ckpt_harness.faults import error_specs as zoo
from ckpt_harness.faults.effects import (
    Delay,
    DiskError,
    Effect,
    Exit,
    FailFuture,
    Hang,
    Kill,
    NeverComplete,
    Raise,
    Skip,
    Stop,
    WrongResult,
)
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP, Operation
from ckpt_harness.faults.sites import SITES, OperationKind, Site
from ckpt_harness.history import Event, History
from ckpt_harness.injection.counts import Counts

T = TypeVar("T")


class Firing(NamedTuple):
    """A fault that fired.

    Attributes:
        fault: its text, as in the plan.
        rank: the rank it fired on.
        operation: such as ``save[1]``.
        nth: the occurrence within the operation.
    """

    fault: str
    rank: int
    operation: str
    nth: int


class Arrival(NamedTuple):
    """One call of a site, on its way in."""

    site: Site
    rank: int
    operation: str
    nth: int
    fault: Fault | None


class Injector:
    """Injects the faults of a plan at the sites that wrappers report.

    Args:
        plan: what to inject.
        rank: the rank of the caller, where the current runtime cannot know it.
        coordinators: ranks that coordinate (one, unless several groups act at once), until a wrapper is told its role.
        history: where to record; without one nothing is recorded, only counted.
        journal: where to record what reaches the disk.
        watch_disk: whether storages are watched at their disk sites, though no fault strikes there.
        watch_network: the same for requests to object stores.

    Attributes:
        watches_disk: whether storages are wrapped at their disk sites.
        watches_network: whether requests to object stores pass where they are seen.
        bound_to: the operation that all calls made through this object belong to; None where the calling rank's current one is meant.
        internal_errors: what broke in the harness itself.
    """

    def __init__(
        self,
        plan: FaultPlan,
        *,
        rank: int | None = None,
        coordinators: Collection[int] = (0,),
        history: History | None = None,
        journal: Journal | None = None,
        watch_disk: bool = False,
        watch_network: bool = False,
    ) -> None:
        self.plan = plan
        self.history = history
        self.journal = journal
        self.watches_disk = watch_disk or journal is not None or plan.strikes_disk
        self.watches_network = watch_network or plan.strikes_network
        self._by_site: dict[str, list[Fault]] = {}
        for fault in plan:
            self._by_site.setdefault(fault.site, []).append(fault)
        self._rank = rank
        self._roles: dict[int, bool] = {}
        self._coordinators = frozenset(coordinators)
        self._counts = Counts()
        self._current: dict[int, str] = {}
        self._position: dict[tuple[int, str], int] = {}
        self._told_operations = False
        self._healed: set[int] = set()
        self.bound_to: str | None = None
        self.internal_errors: list[str] = []
        self._over: list[bool] = []  # a list, since views share what changes

    # -- who, and in which operation

    def rank(self) -> int:
        """The rank of the calling thread."""
        return runtime.current().rank() if self._rank is None else self._rank

    def learn_role(self, is_coordinator: bool) -> None:
        """Notes what the engine told the calling rank, so that ``@coordinator`` means the engine's own choice."""
        self._roles[self.rank()] = is_coordinator

    def ranks_seen(self) -> frozenset[int]:
        """The ranks that were told a role, so took part in an operation, in this process."""
        return frozenset(self._roles)

    @contextlib.contextmanager
    def operation(self, kind: OperationKind) -> Iterator[str]:
        """Marks the calls of the calling rank, on all its threads, as those of its next operation of ``kind``."""
        name = self.begin(kind)
        try:
            yield name
        finally:
            self.end(name)

    def begin(self, kind: OperationKind) -> str:
        """Starts the calling rank's next operation of ``kind``; returns its name, such as ``save[2]``."""
        self._told_operations = True
        rank = self.rank()
        name = f"{kind}[{self._counts.next(f'{rank} {kind}')[0]}]"
        self._current[rank] = name
        self._record("begin", rank, name)
        return name

    def end(self, name: str) -> None:
        """Ends an operation of the calling rank."""
        rank = self.rank()
        if self._current.get(rank) == name:
            del self._current[rank]
        self._record("end", rank, name)

    def end_case(self) -> None:
        """The case is over. Wrappers that outlive it until they are collected see no call of a later case that has the same paths."""
        self._over.append(True)

    @property
    def over(self) -> bool:
        """Whether the case is over."""
        return bool(self._over)

    def heal(self) -> None:
        """Ends all faults for the calling rank: from now on its calls pass, and are only counted."""
        self._healed.add(self.rank())

    def during(self, operation: str) -> Injector:
        """This injector, counts and all, for the calls of one operation: an async save uploads while its rank's next operation runs."""
        view = object.__new__(Injector)
        view.__dict__.update(self.__dict__, bound_to=operation)
        return view

    def of_rank(self, rank: int) -> Injector:
        """This injector, counts and all, for calls that threads of nobody's make for a rank."""
        view = object.__new__(Injector)
        view.__dict__.update(self.__dict__, _rank=rank)
        return view

    def _operation_of(self, site: Site, rank: int) -> str:
        """The operation that a call belongs to. A wrapper that stands alone is not told, and infers it from the order of calls."""
        if self.bound_to is not None:
            return self.bound_to
        if self._told_operations or not self.plan:
            return self._current.get(rank, "")
        kind: OperationKind | None = {"writer": "save", "save_planner": "save", "reader": "load", "load_planner": "load"}.get(site.side)  # type: ignore[assignment]  # the values are kinds
        order = _ORDER.get(kind, {}) if kind else {}
        if kind is not None and site.name in order:
            position, last = order[site.name], self._position.get((rank, kind), len(order))
            if position < last or (position == last and not site.several):
                self._current[rank] = f"{kind}[{self._counts.next(f'{rank} {kind}')[0]}]"
            self._position[rank, kind] = position
        return self._current.get(rank, "")

    # -- the calls that wrappers make

    def call(self, site_name: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Calls ``function(*args, **kwargs)`` with whatever the plan injects at the site.

        Args:
            site_name: full name of the site.
            function: the delegate.

        Raises:
            BaseException: what the fault injects, or what ``function`` raises.
        """
        return self.around(self.arrive(site_name), function, *args, **kwargs)

    def around(self, arrival: Arrival, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The same for a call that has arrived."""
        fault = arrival.fault
        if fault is not None and not fault.after:
            if isinstance(fault.effect, Skip):
                self.fire(arrival)
                return _nothing(arrival.site, args, kwargs)  # type: ignore[no-any-return]  # it stands in for whatever the delegate returns
            if not isinstance(fault.effect, WrongResult):
                self.act(arrival)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            self._record("raised", arrival.rank, arrival.operation, arrival.site.name, arrival.nth, type(error).__name__)
            raise
        if fault is not None and isinstance(fault.effect, WrongResult):
            self.fire(arrival)
            with self.on_our_account(arrival.site.name):
                result = wrong(result, fault.effect)
        elif fault is not None and fault.after:
            self.act(arrival)
        self._record("exit", arrival.rank, arrival.operation, arrival.site.name, arrival.nth)
        return result

    def future(self, site_name: str, inner: Any) -> Any:
        """Wraps a future that a method returned, if the plan wants it. A fault that makes it fail has fired from now on, looked at or not."""
        arrival = self.arrive(site_name)
        if arrival.fault is None:
            return inner
        if isinstance(arrival.fault.effect, (FailFuture, NeverComplete)):
            self.fire(arrival)
        return FaultyFuture(self, arrival, inner)

    def completion(self, site_name: str, inner: concurrent.futures.Future[Any]) -> concurrent.futures.Future[Any]:
        """The same for a future of ``concurrent.futures``, which calls back: the fault acts on the thread that completes it."""
        arrival = self.arrive(site_name)
        if arrival.fault is None:
            return inner
        effect = arrival.fault.effect
        if isinstance(effect, (FailFuture, NeverComplete)):
            self.fire(arrival)
        outer: concurrent.futures.Future[Any] = concurrent.futures.Future()
        runtime.current().adopt(outer)

        def complete(done: concurrent.futures.Future[Any]) -> None:
            if isinstance(effect, NeverComplete):
                return
            if isinstance(effect, FailFuture):
                outer.set_exception(zoo.injected(effect.error, arrival.site.name, arrival.rank))
                return
            self.act(arrival)
            error = done.exception()
            outer.set_result(done.result()) if error is None else outer.set_exception(error)

        inner.add_done_callback(complete)
        return outer

    def arrive(self, site_name: str, file: str = "") -> Arrival:
        """Counts a call and finds the fault that strikes it, if any.

        Args:
            site_name: full name of the site.
            file: at sites of files and objects, the name, without the directories above it.
        """
        with self.on_our_account(site_name):
            site, rank = SITES[site_name], self.rank()
            operation = self._operation_of(site, rank)
            # A fault that is narrowed to some files counts the calls on those alone.
            patterns = ["", *sorted({one.glob for one in self._by_site.get(site_name, ()) if one.glob is not None and fnmatchcase(file, one.glob)})]
            keys = [f"{rank} {where}{site_name} {pattern}" for pattern in patterns for where in ("", f"{operation} ")]
            found = self._counts.next(*keys)
            counts = dict(zip(patterns, zip(found[::2], found[1::2], strict=True), strict=True))
            fault = self._find(site_name, rank, counts, operation)
        self._record("enter", rank, operation, site_name, counts[""][1], file)
        return Arrival(site, rank, operation, counts[""][1], fault)

    @contextlib.contextmanager
    def on_our_account(self, site_name: str) -> Iterator[None]:
        """What breaks in here is recorded before it is raised: an engine would report it as a failure of the checkpoint, and it is one of ours."""
        try:
            yield
        except Exception as error:
            self.internal_errors.append(f"{type(error).__name__}: {error}")
            self._record("internal", self.rank(), site=site_name, detail=f"{type(error).__name__}: {error}")
            raise InternalError(f"the harness broke at {site_name}: {error}") from error

    def _find(self, site: str, rank: int, counts: Mapping[str, tuple[int, int]], operation: str) -> Fault | None:
        """The fault that strikes.

        Args:
            site: full name.
            rank: who calls.
            counts: file pattern -> which call of those it describes this is, in the case and in the operation; "" describes all.
            operation: in which.
        """
        if self.healed(rank):
            return None
        for fault in self._by_site.get(site, ()):
            in_case, in_operation = counts.get(fault.glob or "", (0, 0))
            addressed = fault.operation is None or fault.operation.matches(operation)
            if addressed and self.means(fault, rank) and fault.strikes(in_case if fault.operation is None else in_operation):
                return fault
        return None

    def healed(self, rank: int) -> bool:
        """Whether all faults have ended for a rank."""
        return rank in self._healed

    def means(self, fault: Fault, rank: int) -> bool:
        """Whether ``fault`` is addressed to ``rank``, as far as the coordinator is known."""
        if isinstance(fault.ranks, tuple):
            return rank in fault.ranks
        coordinates = self._roles.get(rank, rank in self._coordinators)
        return {"all": True, "coordinator": coordinates, "others": not coordinates}[fault.ranks]

    def answered(self, arrival: Arrival, *, well: bool) -> None:
        """Records how a request that has arrived was answered."""
        self._record("exit" if well else "raised", arrival.rank, arrival.operation, arrival.site.name, arrival.nth)

    # -- acting

    @property
    def fired(self) -> tuple[Firing, ...]:
        """The faults that fired, in order; empty, and so false, if none did."""
        return tuple(Firing(*record) for record in self._counts.logged())

    def fire(self, arrival: Arrival) -> None:
        """Notes that the fault of ``arrival`` fires."""
        self._counts.log([str(arrival.fault), arrival.rank, arrival.operation, arrival.nth])
        self._record("fault", arrival.rank, arrival.operation, arrival.site.name, arrival.nth, str(arrival.fault))

    def act(self, arrival: Arrival) -> None:
        """Lets a Raise, DiskError, Delay, Hang, Kill, Stop or Exit happen now."""
        assert arrival.fault is not None
        self.fire(arrival)
        effect: Effect = arrival.fault.effect
        if isinstance(effect, Raise):
            raise zoo.injected(effect.error, arrival.site.name, arrival.rank)
        if isinstance(effect, DiskError):
            raise zoo.of_system(effect.errno)
        if isinstance(effect, Delay):
            runtime.current().sleep(effect.seconds)
        elif isinstance(effect, Hang):
            runtime.current().hang(f"{effect} at {arrival.site.name}")
        elif isinstance(effect, Stop):
            runtime.current().stop(effect.seconds, f"{effect} at {arrival.site.name}")
        elif isinstance(effect, Kill):
            runtime.current().die()
        elif isinstance(effect, Exit):
            runtime.current().exit()

    def note(self, kind: str, detail: str) -> None:
        """Records something that happened on the calling rank, if the calling thread is any rank's."""
        with contextlib.suppress(HarnessError):
            rank = self.rank()
            self._record(kind, rank, self._current.get(rank, ""), detail=detail)

    def _record(self, kind: str, rank: int, operation: str = "", site: str = "", nth: int = 0, detail: str = "") -> None:
        if self.history is not None:
            self.history.append(Event(runtime.current().now(), rank, kind, operation, site, nth, detail))

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process records only if that belongs to a world; firings travel with the counts. The process of an async save knows its rank
        # within the group that saves, and faults are addressed to ranks of the world; where no world is known, a launcher is pickling for its ranks.
        rank = self.rank() if self._rank is None and runtime.known_world_size() is not None else self._rank
        return {**self.__dict__, "history": None, "journal": None, "_rank": rank, "recorded": self.history is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        recorded = state.pop("recorded")
        self.__dict__.update(state)
        joined = runtime.joined()
        self.history = joined if recorded else None


class FaultyFuture:
    """Stands in for the future of ``write_data`` or ``read_data``; everything that is not injected is the inner future's.

    Args:
        injector: makes the effects act.
        arrival: the occurrence that the future is.
        inner: the engine storage's own future.
    """

    def __init__(self, injector: Injector, arrival: Arrival, inner: Any) -> None:
        self._injector, self._arrival, self._inner = injector, arrival, inner
        self._effect = arrival.fault.effect if arrival.fault is not None else None
        self._acted = False
        self._error: BaseException | None = None

    def wait(self) -> Any:
        """Waits for the inner future, unless the plan says otherwise."""
        self._fail_at("wait")
        if isinstance(self._effect, NeverComplete):
            runtime.current().hang(f"{self._effect} at {self._arrival.site.name}")
        if isinstance(self._effect, (Delay, Hang, Kill, Stop, Exit)) and not self._acted:
            self._acted = True
            self._injector.act(self._arrival)
        return self._inner.wait()

    def value(self) -> Any:
        """The inner future's value, unless the plan says otherwise."""
        self._fail_at("wait", "value")
        value = self._inner.value()
        if isinstance(self._effect, WrongResult):
            if not self._acted:
                self._acted = True
                self._injector.fire(self._arrival)
            with self._injector.on_our_account(self._arrival.site.name):
                return wrong(value, self._effect)
        return value

    def done(self) -> bool:
        """Whether the inner future is done; never, for one that never completes."""
        return not isinstance(self._effect, NeverComplete) and bool(self._inner.done())

    def _fail_at(self, *moments: str) -> None:
        if isinstance(self._effect, FailFuture) and self._effect.at in moments:
            if self._error is None:
                self._error = zoo.injected(self._effect.error, self._arrival.site.name, self._arrival.rank)
            raise self._error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Done:
    """A completed future without torch."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def wait(self) -> Any:
        return self._value

    def value(self) -> Any:
        return self._value

    def done(self) -> bool:
        return True


def _nothing(site: Site, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call that did nothing gives back: its argument where it transforms one, else what an idle success looks like."""
    if site.name == "writer.write_data":
        return _Done([])
    if site.name == "reader.read_data":
        return _Done(None)
    if site.result in ("argument", "list"):
        return args[0] if args else next(iter(kwargs.values()))
    return None


def wrong(result: Any, effect: WrongResult) -> Any:
    """``result`` as the effect falsifies it; a pair of plans and metadata keeps its metadata."""
    if effect.kind == "none":
        return None
    if isinstance(result, tuple):
        return (wrong(result[0], effect), *result[1:])
    return list(result[:-1]) if effect.kind == "short" else [*result[:1], *result]


def _positions(operation: Operation) -> dict[str, int]:
    names = [*operation.before, *(name for step in operation.steps for name in (*step.map, *step.reduce)), *operation.after]
    return {name: position for position, name in enumerate(names) if not name.startswith(("state.", "stager."))}


_ORDER: dict[str, dict[str, int]] = {kind: _positions(operation) for kind, operation in DCP.operations.items()}
"""Position of each site within its kind of operation; a call at an earlier position than the last one begins a new operation."""


class _Activation(NamedTuple):
    injector: Injector
    scope: tuple[runtime.Runtime, int] | None


def active() -> tuple[Injector, ...]:
    """The injectors that the calling rank's engine calls consult, in the order they were activated; none on a thread that is no rank's."""
    if not _active:
        return ()
    try:
        here = runtime.current(), runtime.current().rank()
    except HarnessError:
        return ()
    return tuple(one.injector for one in _active if one.scope in (None, here))


@contextlib.contextmanager
def activated(injector: Injector) -> Iterator[Injector]:
    """Makes ``injector`` one of those that intercepted engine calls consult.

    On every thread of the process; but where a rank of a world that shares its process with others says so, for that rank only.
    """
    here = runtime.current()
    activation = _Activation(injector, None if isinstance(here, runtime.RealRuntime) else (here, here.rank()))
    with _activation:
        _active.append(activation)
    try:
        yield injector
    finally:
        with _activation:
            _active[:] = [one for one in _active if one is not activation]


_active: list[_Activation] = []
_activation = threading.Lock()
