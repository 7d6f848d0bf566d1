"""Planners that fail where a plan says so, around any real planner."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from torch.distributed.checkpoint import LoadPlanner, SavePlanner

from ckpt_harness.injection.wrapper import Wrapper, mirroring, passing_on


@passing_on(SavePlanner)
class FaultySavePlanner(Wrapper, SavePlanner):
    """A save planner whose calls fail where the plan says so. Plan caches are the inner planner's: torch keeps them by its class.

    Args:
        inner: any save planner.
        plan: the faults, or their text, in which the ``save_planner.`` prefix may be left out.
        rank: the caller's rank in the world, where neither a process group nor the launcher says it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: a plan that is malformed, or that could never act in this wrapper and world.
        UsageError: ``inner`` is no save planner.
    """

    _side: ClassVar[str] = "save_planner"
    _needs: ClassVar[str] = "resolve_data"

    @mirroring
    def set_up_planner(self, *args: Any, **kwargs: Any) -> Any:
        has_meta = "storage_meta" in inspect.signature(self._inner.set_up_planner).parameters
        self._learn_role(2 if has_meta else 1, args, kwargs)
        return self._faults.call("save_planner.set_up_planner", self._inner.set_up_planner, *args, **kwargs)

    def create_local_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("save_planner.create_local_plan", self._inner.create_local_plan, *args, **kwargs)

    def create_global_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("save_planner.create_global_plan", self._inner.create_global_plan, *args, **kwargs)

    def finish_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("save_planner.finish_plan", self._inner.finish_plan, *args, **kwargs)

    def resolve_data(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("save_planner.resolve_data", self._inner.resolve_data, *args, **kwargs)


@passing_on(LoadPlanner)
class FaultyLoadPlanner(Wrapper, LoadPlanner):
    """A load planner whose calls fail where the plan says so.

    Args:
        inner: any load planner.
        plan: the faults, or their text, in which the ``load_planner.`` prefix may be left out.
        rank: the caller's rank in the world, where neither a process group nor the launcher says it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: a plan that is malformed, or that could never act in this wrapper and world.
        UsageError: ``inner`` is no load planner.
    """

    _side: ClassVar[str] = "load_planner"
    _needs: ClassVar[str] = "resolve_tensor"

    @mirroring
    def set_up_planner(self, *args: Any, **kwargs: Any) -> Any:
        self._learn_role(2, args, kwargs)
        return self._faults.call("load_planner.set_up_planner", self._inner.set_up_planner, *args, **kwargs)

    def create_local_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("load_planner.create_local_plan", self._inner.create_local_plan, *args, **kwargs)

    def create_global_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("load_planner.create_global_plan", self._inner.create_global_plan, *args, **kwargs)

    def finish_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("load_planner.finish_plan", self._inner.finish_plan, *args, **kwargs)

    def load_bytes(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("load_planner.load_bytes", self._inner.load_bytes, *args, **kwargs)

    def resolve_bytes(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("load_planner.resolve_bytes", self._inner.resolve_bytes, *args, **kwargs)

    def resolve_tensor(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("load_planner.resolve_tensor", self._inner.resolve_tensor, *args, **kwargs)

    def commit_tensor(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("load_planner.commit_tensor", self._inner.commit_tensor, *args, **kwargs)
