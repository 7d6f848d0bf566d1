"""An engine that refuses a load which leaves out a part of the checkpoint. Bugs are planted in it (``bugs_covered.py``)."""

from __future__ import annotations

from typing import Any

from torch.distributed.checkpoint import DefaultLoadPlanner

from ckpt_harness.engines.filesystem import FileSystemEngine


class CoveringPlanner(DefaultLoadPlanner):
    """Compares what all ranks together ask for with what the checkpoint holds."""

    def create_global_plan(self, global_plan):
        asked = {item.storage_index.fqn for plan in global_plan for item in plan.items}
        left_out = sorted(self.metadata.state_dict_metadata.keys() - asked)
        if left_out:
            raise ValueError(f"no rank asks for {', '.join(left_out)} of the checkpoint")
        return DefaultLoadPlanner.create_global_plan(self, global_plan)


class CoveringEngine(FileSystemEngine):
    """DCP with ``CoveringPlanner``, unless a partial load is asked for."""

    def make_load_planner(self, kind: str) -> Any:
        return FileSystemEngine.make_load_planner(self, kind) if kind == "partial-load" else CoveringPlanner()


COVERING = CoveringEngine("covering", "refuses a load that leaves something out", sync_files=False)
