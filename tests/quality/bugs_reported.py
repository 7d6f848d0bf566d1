"""Planted bugs: a failure that does not reach every rank, or that is reported as a success.

Each bug is an edit of DCP. Mostly ``agreement`` (ranks end differently), ``attribution`` (wrong or missing error) and ``bounded`` (a hang) catch them.
"""

from __future__ import annotations

from planting import FAILURES, LOAD, PLAN, READ, SAVE, UPLOAD, WRITE, Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

_RAISED = "if isinstance({0}, CheckpointException):"
_WRITE_RAISED, _PLAN_RAISED = _RAISED.format("final_result"), _RAISED.format("result")
_CAUGHT = "except BaseException as e:\n    local_data = _wrap_exception(e)"
_REDUCE_FAILED = "node_failures[self.rank] = _wrap_exception(e)"
_TRY = "try:\n    {0}\nexcept Exception:\n    {1}"

LOADS = Sweep(("load",), (2,))
ASYNC_SAVES = Sweep(("async_save",), (2,), workload="objects")

BUGS = (
    Bug(
        "a failed write is reported on the coordinator only",
        ("agreement", "attribution"),
        (Edit(WRITE, _WRITE_RAISED, "if isinstance(final_result, CheckpointException) and self.is_coordinator:"),),
    ),
    Bug(
        "a failed write is reported on every rank but the coordinator",
        ("agreement", "attribution"),
        (Edit(WRITE, _WRITE_RAISED, "if isinstance(final_result, CheckpointException) and not self.is_coordinator:"),),
    ),
    Bug(
        "a failed plan is reported on the coordinator only, and the others go on without a plan",
        ("bounded", "agreement"),
        (Edit(PLAN, _PLAN_RAISED, "if isinstance(result, CheckpointException) and self.is_coordinator:"),),
    ),
    Bug(
        "a failed read is reported on the coordinator only",
        ("agreement", "attribution"),
        (Edit(READ, "if len(node_failures) > 0:", "if len(node_failures) > 0 and self.is_coordinator:"),),
        LOADS,
    ),
    Bug(
        "a failed read is reported on every rank but the coordinator",
        ("agreement", "attribution"),
        (Edit(READ, "if len(node_failures) > 0:", "if len(node_failures) > 0 and not self.is_coordinator:"),),
        LOADS,
    ),
    Bug(
        "a failed read is reported on its own rank only",
        ("agreement", "attribution"),
        (Edit(READ, "if len(node_failures) > 0:", "if self.rank in node_failures:"),),
        LOADS,
    ),
    Bug(
        "an error in global planning is raised on the coordinator only, and the others wait",
        ("bounded", "agreement"),
        (Edit(PLAN, _REDUCE_FAILED, "raise CheckpointException(step, {self.rank: _wrap_exception(e)}) from e"),),
    ),
    Bug(
        "an error in finish is raised on the coordinator only, and the others wait",
        ("bounded", "agreement"),
        (Edit(WRITE, _REDUCE_FAILED, "raise CheckpointException(step, {self.rank: _wrap_exception(e)}) from e"),),
    ),
    Bug("an error in finish is ignored", ("attribution",), (Edit(WRITE, _REDUCE_FAILED, "pass"),)),
    Bug(
        "a rank whose write fails leaves the protocol without a report",
        ("bounded", "agreement", "attribution"),
        (Edit(WRITE, _CAUGHT, "except ZeroDivisionError:\n    raise"),),
    ),
    Bug(
        "SystemExit and KeyboardInterrupt leave the protocol, since only Exception is caught",
        ("bounded", "agreement", "attribution"),
        (Edit(WRITE, _CAUGHT, _CAUGHT.replace("BaseException", "Exception")),),
        Sweep(("save",), (2,), workload="objects"),
    ),
    Bug(
        "a read that KeyboardInterrupt ends counts as a success",
        ("attribution",),
        (Edit(READ, "except BaseException as e:", "except KeyboardInterrupt:\n    result = None\nexcept BaseException as e:"),),
        Sweep(("load",), (2,), workload="objects"),
    ),
    Bug(
        "the failure of the last rank is dropped",
        ("attribution",),
        (Edit(FAILURES, "enumerate(results)", "enumerate(results[:-1])"),),
        LOADS,
    ),
    Bug(
        "failures beyond the third rank are dropped",
        ("attribution",),
        (Edit(FAILURES, "enumerate(results)", "enumerate(results[:3])"),),
        Sweep(("load",), (4,), workload="objects"),
    ),
    Bug(
        "failed writes are noticed only if rank 0 coordinates",
        ("attribution",),
        (Edit(WRITE, "if len(node_failures) > 0:", "if len(node_failures) > 0 and self.coordinator_rank == 0:"),),
        Sweep(("save",), (2,), (1,)),
    ),
    Bug(
        "an error in local planning is replaced by an empty plan",
        ("attribution",),
        (
            Edit(
                SAVE,
                "local_plan = planner.create_local_plan()",
                _TRY.format("local_plan = planner.create_local_plan()", "local_plan = SavePlan([])"),
            ),
        ),
    ),
    Bug(
        "an error in finish_plan is swallowed",
        ("attribution",),
        (
            Edit(
                SAVE,
                "final_local_plan = planner.finish_plan(central_plan)",
                _TRY.format("final_local_plan = planner.finish_plan(central_plan)", "final_local_plan = central_plan"),
            ),
        ),
    ),
    Bug(
        "an error in global planning is replaced by empty metadata",
        ("attribution",),
        (
            Edit(
                SAVE,
                "all_local_plans, global_metadata = planner.create_global_plan(all_local_plans)",
                _TRY.format(
                    "all_local_plans, global_metadata = planner.create_global_plan(all_local_plans)", "global_metadata = Metadata({})"
                ),
            ),
        ),
    ),
    Bug(
        "the coordinator swallows its own read errors",
        ("attribution", "filled"),
        (
            Edit(
                LOAD,
                "all_reads = storage_reader.read_data(final_local_plan, planner)",
                _TRY.format(
                    "all_reads = storage_reader.read_data(final_local_plan, planner)",
                    "if not distW.is_coordinator:\n        raise\n    return None",
                ),
            ),
        ),
        LOADS,
    ),
    Bug(
        "metadata that cannot be read is replaced by an empty load plan",
        ("attribution", "filled"),
        (Edit(LOAD, 'raise AssertionError("; ".join(error_parts))', "return LoadPlan([])"),),
        LOADS,
    ),
    Bug(
        "the future of an async save always reports success",
        ("attribution",),
        (
            Edit(
                UPLOAD,
                "import save",
                "import save as upload\n\ndef save(*args, **kwargs):\n    try:\n        return upload(*args, **kwargs)\n"
                "    except BaseException:\n        return None",
            ),
        ),
        ASYNC_SAVES,
    ),
    Bug(
        "a successful save is reported as failed",
        ("attribution",),
        (Edit(WRITE, "if len(node_failures) > 0:", "if len(node_failures) >= 0:"),),
        always=True,
    ),
)
