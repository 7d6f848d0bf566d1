"""Planted bugs: wrong contents on storage, and loads that read wrong values; mostly caught by ``commitment``, ``filled`` and ``course``."""

from __future__ import annotations

from planting import DCP, LOAD, READER, SAVE, WRITE, WRITER, Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

LOADS = Sweep(("load",), (2,))
_WRITTEN = 'metadata = distW.all_reduce("write", write_data, finish_checkpoint)'
_PLANNED = "local_plan = storage_writer.prepare_local_plan(local_plan)"
_SIBLINGS = "[other for other in storage_writer.path.parent.iterdir() if other != storage_writer.path]"
_SLICED = "item_md = self.storage_data[req.storage_index]"
_BY_NAME = "self.storage_data[next(index for index in self.storage_data if index.fqn == {0}.storage_index.fqn)]"
_TRANSFORM = f"{DCP}.default_planner:DefaultSavePlanner.transform_object"


def _when_it_fails(*lines: str) -> Edit:
    cleanup = "\n    ".join((*lines, "raise"))
    return Edit(SAVE, _WRITTEN, f"try:\n    {_WRITTEN}\nexcept BaseException:\n    import os, shutil\n    {cleanup}")


BUGS = (
    Bug(
        "the coordinator does not check that the parts of a tensor cover it once",
        ("commitment",),
        (Edit(f"{DCP}.default_planner:_validate_global_plan", "return errors", "return []"),),
    ),
    Bug(
        "a failed save cleans up one directory too high",
        ("commitment",),
        (_when_it_fails("for other in storage_writer.path.parent.iterdir():", "    shutil.rmtree(other, ignore_errors=True)"),),
    ),
    Bug(
        "a failed save removes the commit marker of the previous checkpoint",
        ("commitment",),
        (_when_it_fails(f"for other in {_SIBLINGS}:", '    (other / ".metadata").unlink(missing_ok=True)'),),
    ),
    Bug(
        "a failed save leaves a file in the previous checkpoint",
        ("commitment",),
        (_when_it_fails(f"for other in {_SIBLINGS}:", '    (other / "superseded").touch()'),),
    ),
    Bug(
        "the partial upload of a failed save is published when its garbage is collected",
        ("recovery",),
        (
            _when_it_fails(
                'half = {file: file.read_bytes()[:-9] for file in storage_writer.path.glob("*.distcp")}',
                "class Upload:",
                "    def __del__(self):",
                "        for file, content in half.items():",
                "            if file.parent.exists():",
                "                file.write_bytes(content)",
                "upload = Upload()",
                "upload.itself = upload",
            ),
        ),
    ),
    Bug(
        "a successful save removes the previous checkpoint",
        ("commitment",),
        (Edit(SAVE, _WRITTEN, f"{_WRITTEN}\nimport shutil\nfor other in {_SIBLINGS}:\n    shutil.rmtree(other, ignore_errors=True)"),),
    ),
    Bug(
        "the data of the other ranks is committed although one rank failed",
        ("commitment", "course"),
        (
            Edit(WRITE, "if len(node_failures) == 0:", "if len(node_failures) < self.get_world_size():"),
            Edit(
                WRITE, "reduce_fun(cast(list[T], all_data))", "reduce_fun([result for result in all_data if result not in node_failures.values()])"
            ),
        ),
    ),
    Bug(
        "the commit marker is written before the data",
        ("commitment",),
        (Edit(f"{WRITER}.prepare_global_plan", "return new_plans", '(self.path / ".metadata").touch()\nreturn new_plans'),),
    ),
    Bug(
        "every rank runs the global planning, not the coordinator only",
        ("course",),
        (Edit(SAVE, _PLANNED, f"{_PLANNED}\nstorage_writer.prepare_global_plan([local_plan])"),),
    ),
    Bug(
        "a rank writes its data twice",
        ("course",),
        (Edit(SAVE, "all_writes.wait()", "all_writes.wait()\nall_writes = storage_writer.write_data(final_local_plan, planner)"),),
    ),
    Bug(
        "success is reported without a commit marker",
        ("commitment",),
        (Edit(f"{WRITER}.finish", "self.fs.rename(tmp_path, metadata_path)", "pass"),),
    ),
    Bug(
        "a rank's last item is not written",
        ("commitment",),
        (
            Edit(
                f"{WRITER}.write_data",
                "(self.thread_count, plan.items)",
                '(self.thread_count, plan.items[:-1] if storage_plan.prefix == "__1_" else plan.items)',
            ),
        ),
    ),
    Bug(
        "values are permuted with three or more ranks",
        ("commitment",),
        (
            Edit(
                _TRANSFORM,
                "return object",
                "return object.roll(1) if isinstance(object, torch.Tensor) and torch.distributed.get_world_size() >= 3 else object",
            ),
        ),
        Sweep(("save",), (3,)),
    ),
    Bug(
        "a save stores the values of the previous save",
        ("commitment",),
        (
            Edit(
                _TRANSFORM,
                "return object",
                "if isinstance(object, torch.Tensor):\n"
                '    saved = DefaultSavePlanner.transform_object.__dict__.setdefault("saved", {})\n'
                "    return saved.setdefault((torch.distributed.get_rank(), write_item.index), object.clone())\n"
                "return object",
            ),
        ),
    ),
    Bug(
        "bfloat16 values are converted through float16",
        ("commitment",),
        (Edit(_TRANSFORM, "return object", "return object.half().bfloat16() if getattr(object, 'dtype', None) == torch.bfloat16 else object"),),
    ),
    Bug(
        "the old commit marker is removed before planning",
        ("commitment",),
        (
            Edit(
                f"{WRITER}.set_up_storage_writer",
                'self.rank = kwargs.get("rank")',
                'self.rank = kwargs.get("rank")\n(self.path / ".metadata").unlink(missing_ok=True)',
            ),
        ),
        Sweep(("save",), (2,), onto="checkpoint"),
    ),
    Bug("a load never finishes its plan", ("course",), (Edit(LOAD, "planner.finish_plan(central_plan)", "central_plan"),), LOADS),
    Bug("two ranks write to one file", ("commitment",), (Edit(f"{WRITER}.prepare_global_plan", 'f"__{i}_"', 'f"__{i // 2}_"'),)),
    Bug("the written items are missing from the metadata", ("commitment",), (Edit(SAVE, "return all_writes.value()", "return []"),)),
    Bug("a load skips its last item", ("filled",), (Edit(f"{READER}.read_data", "in plan.items:", "in plan.items[:-1]:"),), LOADS),
    Bug(
        "a load finds shards by name only, and reads another rank's shard",
        ("filled",),
        (
            Edit(f"{READER}.read_data", "self.storage_data[read_item.storage_index]", _BY_NAME.format("read_item")),
            Edit(f"{READER}.read_data", _SLICED, f"item_md = {_BY_NAME.format('req')}"),
        ),
        LOADS,
    ),
)
