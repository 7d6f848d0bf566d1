"""What wrappers ask at every call: does a fault strike, and what happens then?

One injector serves one case (or one wrapper that stands alone), and all wrappers of the case share it. Which call a fault strikes is decided in
:mod:`ckpt_harness.injection.arrival`; how an effect acts on the calling thread is in :mod:`ckpt_harness.injection.consequences`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ckpt_harness import runtime
from ckpt_harness.disk.journal import Journal
from ckpt_harness.errors import HarnessError, InternalError
from ckpt_harness.faults.effects import Skip, WrongResult
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.history import Event, History
from ckpt_harness.injection.arrival import Arrival, Arrivals, Firing
from ckpt_harness.injection.consequences import act_out
from ckpt_harness.injection.results import skipped, wrong

if TYPE_CHECKING:
    from ckpt_harness.injection.unobserved import ReturnedFutures

T = TypeVar("T")

_thread = threading.local()
"""``bound``: the :class:`Arrivals` that counted the thread's last call at a wrapped object, and the operation that the call was bound to, or None."""


class Injector:
    """Injects the faults of a plan at the sites that wrappers report.

    Users see an injector as what ``inject`` yields: its ``plan``, and ``fired``.

    Args:
        plan: the faults.
        rank: the caller's rank, where the current runtime cannot know it.
        coordinators: the ranks that coordinate, until the engine has passed ``is_coordinator`` to a wrapper.
        history: where to record events; None records nothing, and only counts.
        journal: where to record what reaches the disk.
        watch_disk: whether to wrap the file systems of storages although no fault strikes there.
        watch_network: whether to open addresses for object stores although no fault strikes there.
        announced: whether whoever made this object announces operations by :meth:`begin` and :meth:`end`. What DCP is called to do in a program that
            knows nothing of this object then belongs to the operation that its rank is in, and begins none of its own.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.
        history: where events are recorded, or None.
        journal: where writes to the disk are recorded, or None.
        watches_disk: whether file systems of storages are wrapped.
        watches_network: whether requests to object stores pass through an address of the harness.
        bound_to: the operation that all calls through this object belong to; None for the current operation of the calling rank.
        internal_errors: errors of the harness itself.
        returned: notes the futures that async saves return; None where nobody asks for them.
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
        announced: bool = False,
    ) -> None:
        self.plan = plan
        self.history = history
        self.journal = journal
        self.watches_disk = watch_disk or journal is not None or plan.strikes_disk
        self.watches_network = watch_network or plan.strikes_network
        self.bound_to: str | None = None
        self.internal_errors: list[str] = []
        self.returned: ReturnedFutures | None = None
        self._rank = rank
        self._announced = announced
        self._arrivals = Arrivals(plan, coordinators)
        self._over: list[bool] = []  # a list, so that all views share the change

    # -- the calling rank, and its operation

    def rank(self) -> int:
        """The rank of the calling thread, in the world."""
        return runtime.current().rank() if self._rank is None else self._rank

    def learn_role(self, is_coordinator: bool) -> None:
        """Notes the role that the engine passed for the calling rank, so that ``@coordinator`` follows the engine's own choice."""
        self._arrivals.learn_role(self.rank(), is_coordinator)

    def ranks_with_role(self) -> frozenset[int]:
        """The ranks whose role is known: the ranks of this process that took part in an operation."""
        return self._arrivals.ranks_with_role()

    def addresses(self, fault: Fault, rank: int) -> bool:
        """Whether ``fault`` is addressed to ``rank``, as far as the coordinator is known."""
        return self._arrivals.addresses(fault, rank)

    @contextlib.contextmanager
    def operation(self, kind: OperationKind, number: int | None = None) -> Iterator[str]:
        """Assigns the calls of the calling rank, on all its threads, to its next operation of ``kind``; or to that of a number, see :meth:`begin`."""
        name = self.begin(kind, number)
        try:
            yield name
        finally:
            self.end(name)

    def begin(self, kind: OperationKind, number: int | None = None) -> str:
        """Starts an operation of the calling rank, and returns the name of the operation, such as ``save[2]``.

        Args:
            kind: the kind of operation.
            number: its number, where the caller counts over more than these ranks see; None for the rank's next operation of the kind.
        """
        rank = self.rank()
        name = self._arrivals.begin(rank, kind, number)
        self._record("begin", rank, name)
        return name

    def end(self, name: str) -> None:
        """Ends an operation of the calling rank."""
        rank = self.rank()
        self._arrivals.end(rank, name)
        self._record("end", rank, name)

    def leave(self, name: str) -> None:
        """Lets the calling rank go on with something else while its operation ``name`` is under way in the background."""
        self._arrivals.leave(self.rank(), name)

    def announced_operation(self) -> str | None:
        """The operation of the calling rank that was announced, "" outside of any; None where nobody announces operations."""
        return self._arrivals.current(self.rank()) if self._announced else None

    def end_case(self) -> None:
        """Ends the case. A wrapper may live until it is collected; it then leaves calls of later cases, which may use the same paths, alone."""
        self._over.append(True)

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        """Inside the ``with`` block no fault strikes and nothing is recorded: the harness itself uses the storage."""
        self._over.append(True)
        try:
            yield
        finally:
            self._over.pop()

    @property
    def over(self) -> bool:
        """Whether the case is over, or the harness itself uses the storage."""
        return bool(self._over)

    def operation_of_call(self) -> str:
        """The operation that a call of the calling rank belongs to now; "" outside of any."""
        return self._arrivals.current(self.rank()) if self.bound_to is None else self.bound_to

    def in_operation(self) -> bool:
        """Whether the calling rank is in an operation of this injector; True if nobody announces operations."""
        return self._arrivals.in_operation(self.rank())

    def heal(self) -> None:
        """Ends all faults for the calling rank: from now on, its calls are only counted."""
        self._arrivals.heal(self.rank())

    def healed(self, rank: int) -> bool:
        """Whether all faults have ended for a rank."""
        return self._arrivals.healed(rank)

    def during(self, operation: str) -> Injector:
        """A view of this injector, with the same counts, for the calls of one operation.

        An async save needs it: it uploads while the rank's next operation runs.
        """
        view = self._view()
        view.bound_to = operation
        return view

    def of_rank(self, rank: int) -> Injector:
        """A view of this injector, with the same counts, for calls that threads outside of any rank make on behalf of ``rank``."""
        view = self._view()
        view._rank = rank
        return view

    def shares_counts_with(self, other: Injector) -> bool:
        """Whether both are views of one injector."""
        return self._arrivals is other._arrivals

    def _view(self) -> Injector:
        view = object.__new__(Injector)
        view.__dict__.update(self.__dict__)
        return view

    # -- the calls of wrappers

    def call(self, site_name: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Calls ``function(*args, **kwargs)``, with whatever the plan injects at the site.

        Args:
            site_name: full name of the site.
            function: the method of the wrapped object.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Raises:
            BaseException: the injected error, or the error of ``function``.
        """
        return self.around(self.arrive(site_name), function, *args, **kwargs)

    def arrive(self, site_name: str, file: str = "") -> Arrival:
        """Counts and records a call, and finds the fault that strikes the call.

        Args:
            site_name: full name of the site.
            file: at sites of files and objects: the name, without directories.
        """
        if site_name.startswith("pg."):
            operation = self._operation_of_thread()
        else:
            operation = self.bound_to
            _thread.bound = (self._arrivals, operation)
        try:
            arrival = self._arrivals.arrive(site_name, self.rank(), file, operation)
        except Exception as error:
            raise self._own_failure(site_name, error) from error
        self._record("enter", arrival.rank, arrival.operation, site_name, arrival.nth, file)
        return arrival

    def _operation_of_thread(self) -> str | None:
        """The operation that a collective of the calling thread belongs to; None for the current operation of the rank.

        Unlike a storage, a process group is not wrapped for one operation. But each of two saves at once makes its collectives on the thread that calls
        its storage, so the operation of the thread's last call there is the operation of the collective.
        """
        counted_by, operation = getattr(_thread, "bound", (None, None))
        if counted_by is not self._arrivals or operation is None:
            return None  # the thread's last call was of another case, or of no particular operation
        return operation if self._arrivals.under_way(self.rank(), operation) else None

    def around(self, arrival: Arrival, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Does what :meth:`call` does, for a call that has arrived."""
        fault = arrival.fault
        if fault is not None and not fault.after:
            if isinstance(fault.effect, Skip):
                self.fire(arrival)
                return skipped(arrival.site, args, kwargs)  # type: ignore[no-any-return]  # it stands in for the result of the function
            if not isinstance(fault.effect, WrongResult):
                self.act(arrival)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            self._record("raised", arrival.rank, arrival.operation, arrival.site.name, arrival.nth, type(error).__name__)
            raise
        if fault is not None and isinstance(fault.effect, WrongResult):
            with self.on_our_account(arrival.site.name):
                falsified = wrong(result, fault.effect)
            had_no_parts = fault.effect.about_parts and falsified is result
            if not had_no_parts:
                self.fire(arrival)
            result = falsified
        elif fault is not None and fault.after:
            self.act(arrival)
        self._record("exit", arrival.rank, arrival.operation, arrival.site.name, arrival.nth)
        return result

    def answered(self, arrival: Arrival, *, well: bool) -> None:
        """Records the end of a request that has arrived.

        Args:
            arrival: the request.
            well: whether the answer is a success.
        """
        self._record("exit" if well else "raised", arrival.rank, arrival.operation, arrival.site.name, arrival.nth)

    @contextlib.contextmanager
    def on_our_account(self, site_name: str) -> Iterator[None]:
        """Records an error of the harness before the error reaches the engine, which would report it as a failure of the checkpoint.

        Raises:
            InternalError: the block raised.
        """
        try:
            yield
        except Exception as error:
            raise self._own_failure(site_name, error) from error

    def _own_failure(self, site_name: str, error: Exception) -> InternalError:
        """Records an error of the harness, and returns what the engine gets."""
        self.internal_errors.append(f"{type(error).__name__}: {error}")
        self._record("internal", self.rank(), site=site_name, detail=f"{type(error).__name__}: {error}")
        return InternalError(f"the harness broke at {site_name}: {error}")

    # -- effects

    @property
    def fired(self) -> tuple[Firing, ...]:
        """The faults that fired so far, in order; empty, and so false, if none did."""
        return self._arrivals.firings()

    def fire(self, arrival: Arrival) -> None:
        """Records that the fault of ``arrival`` fires."""
        self._arrivals.log(arrival)
        self._record("fault", arrival.rank, arrival.operation, arrival.site.name, arrival.nth, str(arrival.fault))

    def act(self, arrival: Arrival) -> None:
        """Records that the fault of ``arrival`` fires, and lets its effect happen (:func:`ckpt_harness.injection.consequences.act_out`)."""
        assert arrival.fault is not None
        self.fire(arrival)
        act_out(arrival.fault.effect, arrival.site.name, arrival.rank)

    # -- the history

    def note(self, kind: str, detail: str) -> None:
        """Records an event on the calling rank; does nothing on a thread that belongs to no rank."""
        with contextlib.suppress(HarnessError):
            rank = self.rank()
            self._record(kind, rank, self._arrivals.current(rank), detail=detail)

    def _record(self, kind: str, rank: int, operation: str = "", site: str = "", nth: int = 0, detail: str = "") -> None:
        if self.history is not None:
            self.history.append(Event(runtime.current().now(), rank, kind, operation, site, nth, detail))

    # -- copies in other processes

    def __getstate__(self) -> dict[str, Any]:
        # The process of an async save knows its rank within the group that saves, while faults are addressed to ranks of the world: the copy takes the
        # rank along. Without a known world, a launcher pickles the object for several ranks.
        rank = self.rank() if self._rank is None and runtime.known_world_size() is not None else self._rank
        # A history and a journal stay in their process; firings travel with the counts.
        return {**self.__dict__, "history": None, "journal": None, "returned": None, "_rank": rank, "recorded": self.history is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        recorded = state.pop("recorded")
        self.__dict__.update(state)
        joined = runtime.joined()
        self.history = joined if recorded else None  # a copy records only where its process belongs to a world
