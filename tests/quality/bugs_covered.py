"""Planted bugs: a load that leaves out a part of the checkpoint is not noticed. Each bug is an edit of ``covering_storage.py``."""

from __future__ import annotations

from planting import Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

_PLAN = "covering_storage:CoveringPlanner.create_global_plan"
_STORED = "self.metadata.state_dict_metadata.keys()"
_LOADS = Sweep(("load",), (2,), engine="covering_storage:COVERING", workload="longer")

BUGS = (
    Bug("nothing is noticed that a load leaves out", ("coverage",), (Edit(_PLAN, "if left_out:", "if False:"),), _LOADS),
    Bug(
        "only the first part of a name is compared, so that a shorter container is not noticed",
        ("coverage",),
        (
            Edit(_PLAN, "item.storage_index.fqn", 'item.storage_index.fqn.partition(".")[0]'),
            Edit(_PLAN, _STORED, f'{{name.partition(".")[0] for name in {_STORED} if not name.startswith("of rank")}}'),
        ),
        _LOADS,
    ),
)
