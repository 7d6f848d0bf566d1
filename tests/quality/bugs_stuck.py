"""Planted bugs: hangs (``bounded``), lost futures (``agreement``, ``attribution``), and failures that break the next attempt (``recovery``)."""

from __future__ import annotations

from planting import LOAD, PLAN, READ, SAVE, UPLOAD, WRITE, Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

LOADS = Sweep(("load",), (2,))
_PLAN_SCATTERED = "result = self.scatter_object(all_results)"
_WRITTEN = "all_writes.wait()\nreturn all_writes.value()"
_ONCE = 'if getattr(storage_writer, "saving", False):\n    raise RuntimeError("a save is under way")\nstorage_writer.saving = True\n'
_SAVING = "distW = _DistWrapper(process_group, not no_dist, coordinator_rank)"

BUGS = (
    Bug(
        "a failed write future counts as a write without items",
        ("attribution",),
        (Edit(SAVE, _WRITTEN, "try:\n    all_writes.wait()\n    return all_writes.value()\nexcept Exception:\n    return []"),),
    ),
    Bug(
        "a write future counts as complete once its callbacks are called, although it has failed",
        ("attribution",),
        (
            Edit(
                SAVE,
                _WRITTEN,
                "if isinstance(all_writes, torch.futures.Future):\n    import threading\n    complete = threading.Event()\n    results = []\n"
                "    all_writes.add_done_callback(lambda done: complete.set())\n    complete.wait()\n"
                "    all_writes.add_done_callback(lambda done: results.extend(done.value()))\n    return results\n"
                "all_writes.wait()\nreturn all_writes.value()",
            ),
        ),
    ),
    Bug(
        "the write future is not awaited", ("agreement",), (Edit(SAVE, "all_writes.wait()", "pass"),), Sweep(("save",), (1,), workload="objects")
    ),
    Bug("the read future is not awaited", ("attribution",), (Edit(LOAD, "all_reads.wait()", "pass"),), LOADS),
    Bug(
        "after a failure, the coordinator waits in a barrier without the others",
        ("bounded", "agreement"),
        (Edit(WRITE, "raise final_result", "if self.is_coordinator:\n    self.barrier()\nraise final_result"),),
    ),
    Bug(
        "after a failure, all ranks but the last wait in a barrier",
        ("bounded", "agreement"),
        (
            Edit(
                READ,
                "raise CheckpointException(step, node_failures)",
                "if self.rank < self.get_world_size() - 1:\n    self.barrier()\nraise CheckpointException(step, node_failures)",
            ),
        ),
        LOADS,
    ),
    Bug(
        "after a failure, the coordinator broadcasts while the others wait for a scatter",
        ("bounded",),
        (
            Edit(
                PLAN,
                _PLAN_SCATTERED,
                "if self.is_coordinator and isinstance(all_results[0], CheckpointException):\n"
                f"    result = self.broadcast_object(all_results[0])\nelse:\n    {_PLAN_SCATTERED}",
            ),
        ),
    ),
    Bug(
        "the ranks hang only if two ranks fail",
        ("bounded", "agreement"),
        (
            Edit(
                READ,
                "if len(node_failures) > 0:",
                "if len(node_failures) > 1 and self.is_coordinator:\n    self.barrier()\nif len(node_failures) > 0:",
            ),
        ),
        Sweep(("load",), (2,), workload="objects", pairs=True),
    ),
    Bug(
        "after a failed save, the next save finds a save under way",
        ("recovery",),
        (
            Edit(
                SAVE,
                _SAVING,
                _ONCE + _SAVING,
            ),
            Edit(SAVE, "return metadata", "storage_writer.saving = False\nreturn metadata"),
        ),
    ),
    Bug(
        "the save after a failed save is skipped silently",
        ("recovery",),
        (
            Edit(SAVE, _SAVING, f'if getattr(storage_writer, "broken", False):\n    return None\nstorage_writer.broken = True\n{_SAVING}'),
            Edit(SAVE, "return metadata", "storage_writer.broken = False\nreturn metadata"),
        ),
    ),
    Bug(
        "the future of a failed async save never completes",
        ("bounded",),
        (
            Edit(
                UPLOAD,
                "import save",
                "import save as upload\n\ndef save(*args, **kwargs):\n    try:\n        return upload(*args, **kwargs)\n    except BaseException:\n"
                "        if dist.get_rank() == 0:\n            dist.barrier()\n        raise",
            ),
        ),
        Sweep(("async_save",), (2,), workload="objects"),
    ),
)
