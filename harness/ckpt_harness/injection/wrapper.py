"""What all wrappers share: the wrapped object, the injector, and attributes that pass through to the wrapped object."""

from __future__ import annotations

import abc
import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ckpt_harness import runtime
from ckpt_harness.errors import PlanError, UsageError, quoted
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.effects import FailFuture, Raise
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.injection.arrival import Firing
from ckpt_harness.injection.injector import Injector

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11

W = TypeVar("W", bound="Wrapper")
C = TypeVar("C", bound=type)
_OWN = frozenset({"_inner", "_faults", "_disk"})


class Wrapper:
    """Base of all wrappers.

    A wrapper has one method per site, which calls the injector with the method of the wrapped object. Every other attribute, read or set, is the
    wrapped object's.
    """

    _side: ClassVar[str]
    _needs: ClassVar[str]
    _inner: Any
    _faults: Injector

    def __new__(cls, inner: Any, *_: Any, **__: Any) -> Self:
        return object.__new__(cls._fitting(inner))

    @classmethod
    def _fitting(cls, inner: Any) -> type[Self]:
        """This class, or the variant of it that has the attributes and base classes that DCP looks for in ``inner``."""
        return cls

    def __init__(self, inner: Any, plan: FaultPlan | str = "", *, rank: int | None = None) -> None:
        self._wrap(inner, Injector(_own_plan(type(self), plan), rank=rank))

    @classmethod
    def sharing(cls, inner: Any, faults: Injector) -> Self:
        """A wrapper that injects the faults of a case, and shares counts and history with the other wrappers of the case.

        Args:
            inner: the object to wrap.
            faults: the injector of the case.

        Raises:
            UsageError: this class cannot wrap ``inner``.
        """
        return wrapped(cls._fitting(inner), inner, faults)

    def _wrap(self, inner: Any, faults: Injector) -> None:
        if not hasattr(inner, self._needs):
            raise UsageError(f"{_public(type(self)).__name__} cannot wrap {quoted(inner)}: it has no {self._needs}()")
        self._inner, self._faults = inner, faults

    @property
    def plan(self) -> FaultPlan:
        """The plan that is injected."""
        return self._faults.plan

    @property
    def fired(self) -> tuple[Firing, ...]:
        """The faults that fired so far, in order; empty, and so false, if none did."""
        return self._faults.fired

    def _learn_role(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes the argument ``is_coordinator``, which engines pass by name or at ``position``."""
        if "is_coordinator" in kwargs:
            self._faults.learn_role(bool(kwargs["is_coordinator"]))
        elif len(args) > position:
            self._faults.learn_role(bool(args[position]))

    def __getattr__(self, name: str) -> Any:
        # Special methods of the wrapped object stay hidden: copy and pickle would copy the wrapped object in place of the wrapper.
        if name in _OWN or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)

    def __bool__(self) -> bool:
        return bool(self._inner)  # DCP treats a storage that is false as a missing argument

    def __repr__(self) -> str:
        return f"{_public(type(self)).__name__}({self._inner!r}, {str(self.plan)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return wrapped, (type(self), self._inner, self._faults)


def wrapped(cls: type[W], inner: Any, faults: Injector) -> W:
    """A wrapper of exactly the class ``cls``. Pickle needs it, and so does a writer that DCP resolved itself."""
    wrapper: W = object.__new__(cls)
    wrapper._wrap(inner, faults)
    return wrapper


def _public(cls: type) -> type:
    """The public class that ``cls`` is, or is a variant of."""
    return next(base for base in cls.__mro__ if not base.__name__.startswith("_"))


def operation_of(storage: object) -> str | None:
    """The operation that ``inject`` made a wrapper for; None for every other object."""
    return storage._faults.bound_to if isinstance(storage, Wrapper) else None


def passing_on(base: type) -> Callable[[C], C]:
    """Decorates a wrapper class: public methods of ``base`` that the wrapper does not define pass through to the wrapped object.

    Without this decorator, a method that a newer torch adds to its base class would run the default of the base class, and never reach the wrapped
    object.

    Args:
        base: the class of torch that the wrapper derives from.
    """

    def decorate(cls: C) -> C:
        for name in vars(base):
            if not name.startswith("_") and not any(name in vars(known) for known in cls.__mro__ if issubclass(known, Wrapper)):
                setattr(cls, name, property(functools.partial(_inner_attribute, name)))
        abc.update_abstractmethods(cls)
        return cls

    return decorate


def _inner_attribute(name: str, wrapper: Wrapper) -> Any:
    return getattr(wrapper._inner, name)


class mirroring:  # noqa: N801  (a decorator)
    """Decorates a method whose signature DCP inspects: ``inspect.signature`` shows the signature of the wrapped object's method.

    DCP searches the signature for certain parameter names (``kwargs``, ``storage_meta``), and passes arguments accordingly.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]  # callable through the result of __get__

    def __get__(self, wrapper: Wrapper | None, owner: type | None = None) -> Any:
        if wrapper is None:
            return self._method
        return _Mirrored(self._method, wrapper)


class _Mirrored(functools.partial[Any]):
    @property
    def __signature__(self) -> inspect.Signature:
        method = getattr(self.args[0]._inner, self.func.__name__)
        return _of_method(method.__func__) if isinstance(method, types.MethodType) else inspect.signature(method)


@functools.lru_cache(maxsize=64)  # DCP asks in each operation, and a class has few methods
def _of_method(function: Any) -> inspect.Signature:
    """The signature of a function as a method of an object: without its first parameter."""
    return inspect.signature(types.MethodType(function, function))


def _own_plan(cls: type[Wrapper], plan: FaultPlan | str) -> FaultPlan:
    """The plan of a wrapper that stands alone.

    Raises:
        PlanError: the plan is malformed, or has a fault that could never act in this wrapper.
    """
    plan = as_plan(plan, side=cls._side)
    for fault in plan:
        on_its_disk = fault.at.side == "fs" and {"writer": "save", "reader": "load"}.get(cls._side) in fault.at.operations
        if fault.at.side != cls._side and not on_its_disk:
            raise PlanError(f"{_public(cls).__name__} has no site {fault.site!r}; {INJECTED_BY[fault.at.side]}")
        if fault.operation is not None and fault.operation.kind == "async_save":
            raise PlanError(f"fault {fault}: a wrapper cannot distinguish async_save from save; leave the operation out, or use inject()")
    check_world(plan)
    return plan


INJECTED_BY = {
    "writer": "use FaultyStorageWriter or inject()",
    "reader": "use FaultyStorageReader or inject()",
    "save_planner": "use FaultySavePlanner or inject()",
    "load_planner": "use FaultyLoadPlanner or inject()",
    "state": "use FaultyStateful or inject()",
    "stager": "use FaultyStager or inject()",
    "executor": "use a case of a rig: ckpt-harness replay --executor process",
    "fs": "use FaultyStorageWriter (saves), FaultyStorageReader (loads), FaultyFileSystem or inject()",
    "http": "use FaultyEndpoint, and pass its url to the storage's client",
    "pg": "use the plan of a SimulatedWorld: only there can collectives fail",
}
"""Side of a site -> what injects a fault there."""


def check_world(plan: FaultPlan) -> None:
    """Refuses a plan that could never act in the caller's world, as far as the size of the world is known.

    Raises:
        PlanError: a fault addresses a rank outside the world, or nobody, or raises an error type that cannot be imported.
        UsageError: the launcher's variables hold no numbers.
    """
    runtime.launched_rank()  # refuses a RANK that is no number now, and not at the first call
    size = runtime.known_world_size()
    for fault in plan:
        if isinstance(fault.effect, (Raise, FailFuture)):
            error_specs.check(fault.effect.error, load=True)
        if size is not None and isinstance(fault.ranks, tuple) and max(fault.ranks) >= size:
            raise PlanError(f"fault {fault}: rank {max(fault.ranks)} is outside a world of {size}; valid: 0 to {size - 1}")
        if size == 1 and fault.ranks == "others":
            raise PlanError(f"fault {fault} strikes nobody: a world of 1 has no ranks but the coordinator")
