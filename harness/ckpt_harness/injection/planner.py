"""Planners that fail where the plan says so: wrappers around any real planner, with one line per site."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from torch.distributed.checkpoint import LoadPlanner, SavePlanner

from ckpt_harness.injection.wrapper import Wrapper, mirroring, passing_on


@passing_on(SavePlanner)
class FaultySavePlanner(Wrapper, SavePlanner):
    """A save planner whose calls fail where the plan says so.

    Plan caches stay those of the wrapped planner, since torch keeps the caches by the planner's class.

    Args:
        inner: any save planner.
        plan: the faults, or their text, in which the prefix ``save_planner.`` may be left out; empty for a wrapper that injects nothing.
        rank: the caller's rank in the world, where neither a process group nor the launcher provides it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: the plan is malformed, or could never act in this wrapper and world.
        UsageError: ``inner`` is no save planner.

    Example:
        >>> import tempfile, torch
        >>> import torch.distributed.checkpoint as dcp
        >>> planner = FaultySavePlanner(dcp.DefaultSavePlanner(), "create_local_plan@0=raise(RuntimeError)")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     try:
        ...         dcp.save({"weight": torch.ones(2)}, checkpoint_id=folder, planner=planner, no_dist=True)
        ...     except dcp.CheckpointException as error:
        ...         print(error.failures[0][0])
        injected at save_planner.create_local_plan on rank 0
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
        plan: the faults, or their text, in which the prefix ``load_planner.`` may be left out; empty for a wrapper that injects nothing.
        rank: the caller's rank in the world, where neither a process group nor the launcher provides it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: the plan is malformed, or could never act in this wrapper and world.
        UsageError: ``inner`` is no load planner.

    Example:
        >>> import tempfile, torch
        >>> import torch.distributed.checkpoint as dcp
        >>> planner = FaultyLoadPlanner(dcp.DefaultLoadPlanner(), "resolve_tensor@0=raise(RuntimeError)")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = dcp.save({"weight": torch.ones(2)}, checkpoint_id=folder, no_dist=True)
        ...     try:
        ...         dcp.load({"weight": torch.zeros(2)}, checkpoint_id=folder, planner=planner, no_dist=True)
        ...     except dcp.CheckpointException as error:
        ...         print(error.failures[0][0])
        injected at load_planner.resolve_tensor on rank 0
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
