"""Planted bugs: ranks and groups are confused when ranks save in sub-groups, each for itself, or without collectives."""

from __future__ import annotations

from planting import FAILURES, PLAN, SAVE, UTILS, WRITER, Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

WRAPPER = f"{UTILS}:_DistWrapper"
_WRITTEN = "write_results: list[WriteResult] = write_data()\nmetadata = finish_checkpoint([write_results])"

SUBGROUP = Sweep(("save",), (3,), way="subgroup")
GROUPS = Sweep(("save",), (4,), way="groups")
WITHOUT = Sweep(("save",), (2,), way="no_collectives")

BUGS = (
    Bug(
        "the coordinator's rank within its group is taken for a rank of the world",
        ("attribution",),
        (Edit(f"{WRAPPER}.__init__", "dist.get_global_rank(group, coordinator_rank)", "coordinator_rank"),),
        SUBGROUP,
        always=True,
    ),
    Bug(
        "a failed coordinator is named by its rank in the world instead of its rank in the group",
        ("attribution",),
        (Edit(PLAN, "node_failures[self.rank] = _wrap_exception(e)", "node_failures[dist.get_rank()] = _wrap_exception(e)"),),
        SUBGROUP,
    ),
    Bug(
        "the results of reading are gathered in the default group",
        ("bounded",),
        (Edit(f"{WRAPPER}.all_gather_object", "object_list=gather_objs, obj=object, group=self.group", "object_list=gather_objs, obj=object"),),
        Sweep(("load",), (3,), way="subgroup"),
    ),
    Bug(
        "a failure in one group is reported in another group that saves at the same time",
        ("attribution",),
        (
            Edit(
                FAILURES,
                "return cast(\n    dict[int, WRAPPED_EXCEPTION],\n    {i: err for i, err in enumerate(results) if _is_wrapped_exception(err)},\n)",
                "found = {i: err for i, err in enumerate(results) if _is_wrapped_exception(err)}\n"
                "_get_failure_dict.last = found or getattr(_get_failure_dict, 'last', {})\n"
                "return _get_failure_dict.last",
            ),
        ),
        GROUPS,
    ),
    Bug(
        "no_dist is ignored, and the ranks coordinate",
        ("commitment",),
        (Edit(SAVE, "_DistWrapper(process_group, not no_dist, coordinator_rank)", "_DistWrapper(process_group, True, coordinator_rank)"),),
        Sweep(("save",), (2,), way="no_dist"),
    ),
    Bug(
        "the last rank coordinates, whichever rank was asked to",
        ("course",),
        (Edit(SAVE, "_DistWrapper(process_group, not no_dist, coordinator_rank)", "_DistWrapper(process_group, not no_dist, dist.get_world_size() - 1)"),),
    ),
    Bug(
        "without collectives, a rank commits before it has written",
        ("course",),
        (Edit(SAVE, _WRITTEN, "metadata = finish_checkpoint([[]])\nwrite_results: list[WriteResult] = write_data()"),),
        WITHOUT,
    ),
    Bug(
        "without collectives, all ranks write to the same files",
        ("commitment",),
        (Edit(f"{WRITER}.prepare_local_plan", '_StoragePrefix(f"__{self.rank}_")', '_StoragePrefix("__0_")'),),
        WITHOUT,
    ),
)
