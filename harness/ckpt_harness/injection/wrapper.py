"""What all wrappers share: the inner object, the injector, and passing on whatever is no site."""

from __future__ import annotations

import abc
import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ckpt_harness import runtime
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults import error_specs as zoo
from ckpt_harness.faults.effects import FailFuture, Raise
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.injection.injector import Firing, Injector

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11

W = TypeVar("W", bound="Wrapper")
C = TypeVar("C", bound=type)
_OWN = frozenset({"_inner", "_faults", "_disk"})


class Wrapper:
    """Base of the wrappers: a site is a method of theirs that asks the injector; everything else, read or set, is the inner object's."""

    _side: ClassVar[str]
    _needs: ClassVar[str]
    _inner: Any
    _faults: Injector

    def __new__(cls, inner: Any, *_: Any, **__: Any) -> Self:
        return object.__new__(cls._fitting(inner))

    @classmethod
    def _fitting(cls, inner: Any) -> type[Self]:
        """The class, or that variant of it, that has what DCP looks for in ``inner``."""
        return cls

    def __init__(self, inner: Any, plan: FaultPlan | str = "", *, rank: int | None = None) -> None:
        self._wrap(inner, Injector(_own_plan(type(self), plan), rank=rank))

    @classmethod
    def sharing(cls, inner: Any, faults: Injector) -> Self:
        """A wrapper that injects the faults of a case, whose counts and record it shares with the other wrappers of that case.

        Args:
            inner: what to wrap.
            faults: the injector of the case.

        Raises:
            UsageError: ``inner`` is nothing that this class wraps.
        """
        return wrapped(cls._fitting(inner), inner, faults)

    def _wrap(self, inner: Any, faults: Injector) -> None:
        if not hasattr(inner, self._needs):
            raise UsageError(f"{_public(type(self)).__name__} cannot wrap {inner!r}: it has no {self._needs}()")
        self._inner, self._faults = inner, faults

    @property
    def plan(self) -> FaultPlan:
        """The plan whose faults are injected."""
        return self._faults.plan

    @property
    def fired(self) -> tuple[Firing, ...]:
        """The faults that fired so far, in order; empty, and so false, if none did."""
        return self._faults.fired

    def _learn_role(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes ``is_coordinator``, which engines pass by name or at ``position``."""
        if "is_coordinator" in kwargs or len(args) > position:
            self._faults.learn_role(bool(kwargs.get("is_coordinator", args[position] if len(args) > position else None)))

    def __getattr__(self, name: str) -> Any:
        # Never the inner object's special methods: copy and pickle would take the wrapper for what it wraps.
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
        return bool(self._inner)  # DCP takes a storage object that is false for one that was not given

    def __repr__(self) -> str:
        return f"{_public(type(self)).__name__}({self._inner!r}, {str(self.plan)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return wrapped, (type(self), self._inner, self._faults)


def wrapped(cls: type[W], inner: Any, faults: Injector) -> W:
    """A wrapper of exactly the class ``cls``, as pickle and DCP's own choice of storage need it."""
    wrapper: W = object.__new__(cls)
    wrapper._wrap(inner, faults)
    return wrapper


def _public(cls: type) -> type:
    """The class that users know, of which others are variants."""
    return next(base for base in cls.__mro__ if not base.__name__.startswith("_"))


def operation_of(storage: object) -> str | None:
    """The operation that a wrapper was made for by ``inject``, if it was."""
    return storage._faults.bound_to if isinstance(storage, Wrapper) else None


def passing_on(base: type) -> Callable[[C], C]:
    """Makes a wrapper class hand to the inner object whatever public methods ``base`` has beyond those that the wrapper defines.

    Without this, a method that a newer torch adds to its base classes would be answered by the base's default, behind the inner object's back.
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
    """Decorates a method that DCP inspects, so that ``inspect.signature`` shows what the inner object's method takes.

    DCP searches signatures for parameters of certain names (``kwargs``, ``storage_meta``) and calls accordingly.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]  # it is called through what __get__ gives

    def __get__(self, wrapper: Wrapper | None, owner: type | None = None) -> Any:
        if wrapper is None:
            return self._method
        return _Mirrored(self._method, wrapper)


class _Mirrored(functools.partial[Any]):
    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(getattr(self.args[0]._inner, self.func.__name__))


def _own_plan(cls: type[Wrapper], plan: FaultPlan | str) -> FaultPlan:
    """The plan of a wrapper that stands alone, refused if it could never act there."""
    plan = as_plan(plan, side=cls._side)
    for fault in plan:
        below = fault.at.side == "fs" and {"writer": "save", "reader": "load"}.get(cls._side) in fault.at.operations
        if fault.at.side != cls._side and not below:
            raise PlanError(f"{_public(cls).__name__} has no site {fault.site!r}; {_WHERE.get(fault.at.side, 'see `ckpt-harness sites`')}")
        if fault.operation is not None and fault.operation.kind == "async_save":
            raise PlanError(f"fault {fault}: a wrapper cannot tell an async_save from a save; leave the operation out, or use inject()")
    check_world(plan)
    return plan


_WHERE = {
    "writer": "it is injected by FaultyStorageWriter or inject()",
    "reader": "it is injected by FaultyStorageReader or inject()",
    "save_planner": "it is injected by FaultySavePlanner or inject()",
    "load_planner": "it is injected by FaultyLoadPlanner or inject()",
    "state": "it is injected by FaultyStateful or inject()",
    "stager": "it is injected by FaultyStager or inject()",
    "executor": "processes of executors fail in the cases of a rig (ckpt-harness replay --executor process)",
    "fs": "it is injected by FaultyStorageWriter (saves), FaultyStorageReader (loads), FaultyFileSystem or inject()",
    "http": "it is injected by FaultyEndpoint, whose url the storage's client is given",
    "pg": "collectives fail in simulated worlds only, whose plan it belongs in",
}


def check_world(plan: FaultPlan) -> None:
    """Refuses a plan that could never act in the world that the caller is in, as far as that is known yet.

    Raises:
        PlanError: a rank outside the world, or an error type that cannot be imported.
    """
    size = runtime.known_world_size()
    for fault in plan:
        if isinstance(fault.effect, (Raise, FailFuture)):
            zoo.check(fault.effect.error, load=True)
        if size is not None and isinstance(fault.ranks, tuple) and max(fault.ranks) >= size:
            raise PlanError(f"fault {fault}: rank {max(fault.ranks)} is outside a world of {size}; valid: 0 to {size - 1}")
        if size == 1 and fault.ranks == "others":
            raise PlanError(f"fault {fault} strikes nobody: a world of 1 has no ranks but the coordinator")
