"""``Stateful`` objects and stagers that fail where the plan says so: wrappers with one line per site."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

from torch.distributed.checkpoint.staging import AsyncStager
from torch.distributed.checkpoint.stateful import Stateful

from ckpt_harness.injection.futures import faulty_completion
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.wrapper import Wrapper, passing_on


class FaultyStateful(Wrapper):
    """A ``Stateful`` whose calls fail where the plan says so.

    Args:
        inner: any object with ``state_dict`` and ``load_state_dict``.
        plan: the faults, or their text, in which the prefix ``state.`` may be left out; empty for a wrapper that injects nothing.
        rank: the caller's rank in the world, where neither a process group nor the launcher provides it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: the plan is malformed, or could never act in this wrapper and world.
        UsageError: ``inner`` is no ``Stateful``.

    Example:
        >>> class Progress:
        ...     def state_dict(self):
        ...         return {"epoch": 7}
        ...
        ...     def load_state_dict(self, state): ...
        >>> progress = FaultyStateful(Progress(), "state_dict@0#2=raise(RuntimeError)")
        >>> progress.state_dict()
        {'epoch': 7}
        >>> progress.state_dict()
        Traceback (most recent call last):
        RuntimeError: injected at state.state_dict on rank 0
    """

    _side: ClassVar[str] = "state"
    _needs: ClassVar[str] = "load_state_dict"

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The state of the wrapped object, unless a fault strikes."""
        return self._faults.call("state.state_dict", self._inner.state_dict, *args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Restores the state of the wrapped object, unless a fault strikes."""
        return self._faults.call("state.load_state_dict", self._inner.load_state_dict, *args, **kwargs)


@passing_on(AsyncStager)
class FaultyStager(Wrapper, AsyncStager):
    """A stager for ``async_save`` whose calls fail where the plan says so.

    Args:
        inner: any ``AsyncStager``.
        plan: the faults, or their text, in which the prefix ``stager.`` may be left out, but for ``stager.stage``: ``stage`` alone is a phase.
            Empty for a wrapper that injects nothing.
        rank: the caller's rank in the world, where neither a process group nor the launcher provides it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: the plan is malformed, or could never act in this wrapper and world.
        UsageError: ``inner`` is no stager.

    Example:
        >>> from torch.distributed.checkpoint.staging import BlockingAsyncStager
        >>> stager = FaultyStager(BlockingAsyncStager(), "stager.stage@0=raise(MemoryError)")
        >>> stager.stage({"epoch": 7})
        Traceback (most recent call last):
        MemoryError: injected at stager.stage on rank 0
        >>> stager.stage({"epoch": 7})
        {'epoch': 7}
    """

    _side: ClassVar[str] = "stager"
    _needs: ClassVar[str] = "stage"

    @property
    def _synchronize_after_execute(self) -> bool:  # type: ignore[override]  # the protocol's default is a class attribute
        return bool(self._inner._synchronize_after_execute)

    @property
    def should_synchronize_after_execute(self) -> bool:
        return bool(self._inner.should_synchronize_after_execute)

    def stage(self, *args: Any, **kwargs: Any) -> Any:
        staged = self._faults.call("stager.stage", self._inner.stage, *args, **kwargs)
        return faulty_completion(self._faults, "stager.stage.future", staged) if isinstance(staged, Future) else staged

    def synchronize_staging(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("stager.synchronize_staging", self._inner.synchronize_staging, *args, **kwargs)

    def close(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("stager.close", self._inner.close, *args, **kwargs)


class FaultyStateDict(MutableMapping[str, Any]):
    """A state dict that returns its ``Stateful`` values wrapped. It reads from and writes to the caller's own dict.

    A copy of the dict would not do: DCP loads in place, under the keys of the dict that it receives.

    Args:
        inner: the caller's state dict.
        faults: the injectors to wrap values with, in order.
    """

    def __init__(self, inner: MutableMapping[str, Any], faults: Sequence[Injector]) -> None:
        self._inner, self._faults = inner, faults

    def __getitem__(self, key: str) -> Any:
        value = self._inner[key]
        if isinstance(value, Stateful):
            for faults in self._faults:
                value = FaultyStateful.sharing(value, faults)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._inner[key] = value

    def __delitem__(self, key: str) -> None:
        del self._inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)
