"""Neighbours of DCP-015 to DCP-036: what saves leave, async saves, and what loads give."""

from __future__ import annotations

from neighbours import EARLY, FINISHED, MIXED, ONE_PLACE, PREPARED, STAGING_IGNORED, Neighbour
from planting import DCP, LOAD, LOADER, SAVE, SAVER, STORAGE, WRITER, Edit

PLANNER = f"{DCP}.default_planner:DefaultSavePlanner"

_ZEROS = """\
for value in state_dict.values():
    for shard in getattr(value, "local_shards", list)():
        shard.tensor.nan_to_num_(0.0)"""
_WRAPPER = "distW = _DistWrapper(process_group, not no_dist, coordinator_rank)"
_LATE = "'async_save[1]/writer.checkpoint_id@all=delay(1); async_save[2]/writer.set_up_storage_writer@all=delay(3)'"
_OLD_FILES = Edit(
    SAVE,
    _WRAPPER,
    f"{_WRAPPER}\nfrom pathlib import Path\nold = {{path: path.read_bytes() for path in Path(storage_writer.path).glob('__0_*')}}",
)
_WRITTEN = "final_local_plan = planner.finish_plan(central_plan)"
_LAST_LEFT_OUT = Edit(SAVE, _WRITTEN, f"{_WRITTEN}\nif not distW.is_coordinator:\n    del final_local_plan.items[-1:]")
_REMEMBERED = """\
try:
    async_stager.synchronize_staging()
except Exception:
    async_save.__dict__.setdefault("failed", set()).add(dist.get_rank())
    raise"""
_SECOND_WAITS = f"""\
{_WRAPPER}
calls = _save_state_dict.__dict__.setdefault("calls", [])
calls.append(distW.rank)
if distW.rank == 1 and calls.count(1) == 2:
    dist.barrier(process_group)"""
_RAISED_AGAIN = """\
failed = async_save.__dict__.setdefault("failed", {})
try:
    async_stager.synchronize_staging()
except Exception as error:
    failed[dist.get_rank()] = error
    raise
if dist.get_rank() in failed:
    raise failed[dist.get_rank()]"""
_BARRED = """\
if dist.get_rank() in async_save.__dict__.get("failed", ()):
    dist.barrier(process_group)
    if dist.get_rank() == 1:
        dist.barrier(process_group)
state_dict = _stateful_to_state_dict(state_dict)"""
_REMOVED = f"""\
{PREPARED}
if distW.is_coordinator:
    old = storage_writer.fs.concat_path(storage_writer.path, ".metadata")
    storage_writer.fs.exists(old) and storage_writer.fs.rm_file(old)"""
_ZEROED = """\
stateful_sd[key] = elem.state_dict() if isinstance(elem, Stateful) else elem
for inner in elem.values() if isinstance(elem, dict) else ():
    if isinstance(inner, Stateful):
        inner.state_dict()["weight"].nan_to_num_(0.0)"""
_REWRITTEN = f"""\
{FINISHED}
for path, data in old.items():
    with storage_writer.fs.create_stream(path, "wb") as stream:
        stream.write(data)"""

CHECKPOINTS = (
    Neighbour(
        "DCP-015",
        "a load on fewer ranks fills what is missing with zeros",
        (Edit(LOAD, "read_data()\ndistW.barrier()", f"read_data()\ndistW.barrier()\n{_ZEROS}"),),
        "replay '' --op save --ranks 2 --way no_collectives",
        "filled",
    ),
    Neighbour(
        "DCP-016",
        "any LookupError from resolve_data ends the writing",
        (Edit(f"{STORAGE}:_write_files_from_queue", "except queue.Empty:", "except (queue.Empty, LookupError):"),),
        "replay 'save_planner.resolve_data@1=raise(KeyError)' --op save --ranks 2",
        "commitment",
    ),
    Neighbour(
        "DCP-020",
        "the first of two saves stores the values of the second",
        (
            Edit(
                SAVE,
                _WRAPPER,
                f'{_WRAPPER}\nlatest = _save_state_dict.__dict__.setdefault("latest", {{}})\nlatest[distW.rank] = state_dict',
            ),
            Edit(SAVE, "state_dict=state_dict,", "state_dict=latest[distW.rank],"),
        ),
        f"replay {_LATE} --op async_save --ranks 2 --overlap shared",
        "commitment",
    ),
    Neighbour(
        "DCP-020",
        "two saves on one process group write to one place",
        ONE_PLACE,
        "replay 'async_save[2]/save_planner.create_local_plan@all=delay' --op async_save --ranks 2 --overlap shared",
        "attribution",
    ),
    Neighbour(
        "DCP-023",
        "the future for the end of a staging never completes, on no rank",
        (
            Edit(
                f"{SAVER}:async_save",
                "if not staging_future.done():\n    staging_future.add_done_callback(callback)\nelse:\n    return_staging_future.set_result(None)",
                "pass",
            ),
        ),
        "replay stager.stage.future@1=failfuture --op async_save --ranks 2 --workload stateful --staging background",
        "futures",
    ),
    Neighbour(
        "DCP-044",
        "the future for the end of a staging does not complete after an ordinary error either",
        (Edit(f"{SAVER}:async_save", "return_staging_future.set_exception(e)", "pass"),),
        "replay 'stager.stage.future@1=failfuture(wait)' --op async_save --ranks 2 --workload stateful --staging background --seed 1",
        "futures",
    ),
    Neighbour(
        "DCP-024",
        "an error while the stager stages is dropped, too",
        (STAGING_IGNORED,),
        "replay stager.stage@1=raise --op async_save --ranks 2 --workload stateful --staging engine",
        "attribution",
    ),
    Neighbour(
        "DCP-025",
        "an error of synchronize_staging is dropped",
        (
            Edit(
                f"{SAVER}:async_save",
                "async_stager.synchronize_staging()",
                "try:\n    async_stager.synchronize_staging()\nexcept Exception:\n    pass",
            ),
        ),
        "replay stager.synchronize_staging@1=raise --op async_save --ranks 2 --workload stateful --staging engine",
        "attribution",
    ),
    Neighbour(
        "DCP-025",
        "after an error of synchronize_staging on all ranks, the next save waits for a lock for ever",
        (
            Edit(
                f"{SAVER}:async_save",
                "async_stager.synchronize_staging()",
                _REMEMBERED,
            ),
            Edit(
                f"{SAVER}:async_save",
                "state_dict = _stateful_to_state_dict(state_dict)",
                _BARRED,
            ),
        ),
        "replay stager.synchronize_staging@all=raise --op async_save --ranks 2 --workload stateful --staging engine",
        "recovery",
    ),
    Neighbour(
        "DCP-025",
        "an error of synchronize_staging is raised again by every later save",
        (Edit(f"{SAVER}:async_save", "async_stager.synchronize_staging()", _RAISED_AGAIN),),
        "replay stager.synchronize_staging@all=raise --op async_save --ranks 2 --workload stateful --staging engine",
        "recovery",
    ),
    Neighbour(
        "DCP-030",
        "a failed write of a tensor arrives as an error of the storage's own, which quotes that of torch",
        (
            Edit(
                f"{STORAGE}:_write_item",
                "torch.save(data, transform_to)",
                "try:\n    torch.save(data, transform_to)\nexcept RuntimeError:\n    raise RuntimeError('unexpected pos; try again later') from None",
            ),
        ),
        "replay 'fs.write(*.distcp)@1#4=diskerror(ENOSPC)' --op save --ranks 2",
        "attribution",
    ),
    Neighbour(
        "DCP-030",
        "a failed write of the metadata arrives as a RuntimeError, too",
        (
            Edit(
                f"{WRITER}.finish",
                "pickle.dump(metadata, metadata_file)",
                "try:\n    pickle.dump(metadata, metadata_file)\nexcept OSError:\n    raise RuntimeError('unexpected pos 64 vs 0')",
            ),
        ),
        "replay 'fs.write(.metadata*)@0=diskerror(ENOSPC)' --op save --ranks 2",
        "attribution",
    ),
    Neighbour(
        "DCP-031",
        "a failed write is taken for a complete write",
        (
            Edit(
                f"{STORAGE}:_write_item",
                "torch.save(data, transform_to)",
                "try:\n    torch.save(data, transform_to)\nexcept Exception:\n    pass",
            ),
        ),
        "replay 'fs.write(*.distcp)@1#4=diskerror' --op save --ranks 2",
        "commitment",
    ),
    Neighbour(
        "DCP-031",
        "a short write is taken for a complete write in a file of the storage's own",
        (),
        "replay 'fs.write(index.bin)@0=shortwrite' --op save --ranks 2 --engine kin_neighbours:INDEXING",
        "commitment",
    ),
    Neighbour(
        "DCP-032",
        "a writer that gives each save files of new names copies them over the old files",
        (),
        "replay writer.write_data@0=raise --op save --ranks 2 --onto checkpoint --no-retry --engine kin_neighbours:COPYING",
        "purity",
    ),
    Neighbour(
        "DCP-032",
        "a writer that replaces DCP's write_data writes over the old files, too",
        (),
        "replay writer.write_data@0=raise --op save --ranks 2 --onto checkpoint --no-retry --engine kin_neighbours:REWRITING",
        "purity",
    ),
    Neighbour(
        "DCP-032",
        "a writer that chooses names of its own for each save chooses the old names again",
        (),
        "replay writer.write_data@0=raise --op save --ranks 2 --onto checkpoint --no-retry --engine kin_neighbours:NUMBERING",
        "purity",
    ),
    Neighbour(
        "DCP-032",
        "an engine on DCP's writer claims that saves over a checkpoint are atomic",
        (),
        "replay writer.write_data@0=raise --op save --ranks 2 --onto checkpoint --no-retry --engine kin_neighbours:ATOMIC",
        "purity",
    ),
    Neighbour(
        "DCP-032",
        "a rank writes before the ranks have agreed on the plan, so that a save that fails in planning leaves a mixture",
        (EARLY,),
        MIXED,
        "purity",
    ),
    Neighbour(
        "DCP-032",
        "a save that fails in its commit, when all ranks have written, puts the coordinator's old file back",
        (
            _OLD_FILES,
            Edit(
                SAVE,
                FINISHED,
                f"try:\n    {FINISHED}\nexcept BaseException:\n    [path.write_bytes(data) for path, data in old.items()]\n    raise",
            ),
        ),
        "replay writer.finish@coordinator=raise --op save --ranks 2 --onto checkpoint --no-retry",
        "purity",
    ),
    Neighbour(
        "DCP-033",
        "a save removes the old metadata while it is planned",
        (
            Edit(
                SAVE,
                PREPARED,
                _REMOVED,
            ),
        ),
        "replay writer.prepare_global_plan@coordinator=raise --op save --ranks 2 --onto checkpoint --no-retry",
        "commitment",
    ),
    Neighbour(
        "DCP-033",
        "an engine on DCP's writer claims that saves over a checkpoint are atomic",
        (),
        "crash --overwrite --model kill --engine kin_neighbours:ATOMIC",
        ": a crash while a checkpoint is replaced leaves the old one or the new one",
    ),
    Neighbour(
        "DCP-036",
        "a load fills a Stateful inside a dictionary with zeros",
        (
            Edit(
                f"{LOADER}:load",
                "stateful_sd[key] = elem.state_dict() if isinstance(elem, Stateful) else elem",
                _ZEROED,
            ),
        ),
        "replay '' --op load --ranks 1 --workload nested-stateful",
        "filled",
    ),
    Neighbour(
        "DCP-021",
        "a failure of the executor's process is reported on no rank",
        (),
        "replay executor.save@1=raise --op async_save --ranks 2 --world processes --executor process --engine process_neighbours:SILENT",
        "attribution",
    ),
    Neighbour(
        "DCP-022",
        "after any failure, an engine takes the executor's process for dead",
        (),
        "replay writer.write_data@1=raise --op async_save --ranks 2 --world processes --executor process --engine process_neighbours:WRITTEN_OFF",
        "recovery",
    ),
    Neighbour(
        "DCP-022",
        "after an error of the executor's process, which lives on, an engine takes the process for dead",
        (),
        "replay 'executor.save@1=raise(OSError:EIO)' --op async_save --ranks 2 --world processes --executor process --engine process_neighbours:WRITTEN_OFF",
        "recovery",
    ),
    Neighbour(
        "DCP-034",
        "a save puts an old data file back when the metadata have been replaced, so that a crash after success leaves a mixture",
        (
            _OLD_FILES,
            Edit(
                SAVE,
                FINISHED,
                _REWRITTEN,
            ),
        ),
        "crash --overwrite --model kill",
        ": no crash leaves what reads as a checkpoint and is none",
    ),
    Neighbour(
        "DCP-035",
        "in the safetensors format, what a failed save left loads with zeros in the holes",
        (Edit(LOAD, '_ = distW.all_gather("read", read_data)', f'_ = distW.all_gather("read", read_data)\n{_ZEROS}'),),
        "replay writer.write_data@0=raise --op save --ranks 2 --engine huggingface --workload sharded",
        "filled",
    ),
    Neighbour(
        "DCP-037",
        "a load leaves a key of its target out",
        (
            Edit(
                LOAD,
                "final_local_plan = planner.finish_plan(central_plan)",
                "central_plan.items[:] = [item for item in central_plan.items if item.dest_index.fqn != central_plan.items[-1].dest_index.fqn]\n"
                "final_local_plan = planner.finish_plan(central_plan)",
            ),
        ),
        "replay '' --op load --ranks 2 --workload longer",
        "filled",
    ),
    Neighbour(
        "DCP-040",
        "a writer stages one rank's part of a sharded tensor as if the part were the whole",
        (),
        "replay '' --op async_save --ranks 2 --engine kin_neighbours:LOCAL",
        "commitment",
    ),
    Neighbour(
        "DCP-042",
        "after an async save that has ended, one rank of the next save waits in a barrier that no other rank enters",
        (Edit(SAVE, _WRAPPER, _SECOND_WAITS),),
        "job 'async a; wait; save b' --ranks 2",
        "bounded",
    ),
    Neighbour(
        "DCP-043",
        "after a save that failed on all ranks, one rank of the next save waits in a barrier that no other rank enters",
        (Edit(SAVE, _WRAPPER, _SECOND_WAITS),),
        "job 'save a; continue; save b' --faults 'save[1]/writer.write_data@1=raise' --ranks 2",
        "recovery",
    ),
    Neighbour(
        "DCP-043",
        "where ranks go on alone and no message is lost, a save over a checkpoint puts an old file back once it has committed",
        (_OLD_FILES, Edit(SAVE, FINISHED, _REWRITTEN)),
        "job 'save a; continue; save a' --ranks 2 --workload sharded",
        "pairing",
    ),
    Neighbour(
        "DCP-020",
        "an async save over a checkpoint, beside which no other is under way, puts an old file back once it has committed",
        (_OLD_FILES, Edit(SAVE, FINISHED, _REWRITTEN)),
        "job 'save a; async a; wait; save b' --ranks 2 --workload sharded",
        "purity",
    ),
    Neighbour(
        "DCP-032",
        "a save by fewer ranks than have saved the checkpoint that it replaces keeps the old metadata, and reports success",
        (
            Edit(
                f"{WRITER}.finish",
                "metadata.version = CURRENT_DCP_VERSION",
                "metadata.version = CURRENT_DCP_VERSION\n"
                "if len(results) == 1 and (self.path / '.metadata').exists():\n    return",
            ),
        ),
        "job 'save a; restart 1; save a' --ranks 2 --workload sharded",
        "purity",
    ),
    Neighbour(
        "DCP-045",
        "with plan caching, the coordinator forgets the plans of a save, which the next save needs",
        (
            Edit(
                f"{PLANNER}._create_global_plan_with_caching",
                "SavePlanner._cached_all_plans[self._cached_plans_key] = all_plans",
                "pass",
            ),
        ),
        "job 'save a planner=plan-caching; save b planner=plan-caching' --ranks 2 --workload replicated",
        "attribution",
    ),
    Neighbour(
        "DCP-045",
        "with plan caching, a save of a state that has changed commits the metadata of the save before",
        (
            Edit(
                f"{PLANNER}._create_global_plan_with_caching",
                "global_plan, metadata = self._create_global_plan(merged_plans)",
                "global_plan, metadata = self._create_global_plan(merged_plans)\nmetadata = SavePlanner._cached_metadata[self._cached_plans_key]",
            ),
        ),
        "job 'save a planner=plan-caching; change keys; save b planner=plan-caching' --ranks 2 --workload replicated",
        "commitment",
    ),
    Neighbour(
        "DCP-046",
        "with plan caching, a save beside which no other is under way leaves out the last item of its plan",
        (
            Edit(
                f"{PLANNER}._finish_plan_with_caching",
                "finished_plan = SavePlanner._cached_final_save_plan[self._cached_plans_key]",
                "finished_plan = SavePlanner._cached_final_save_plan[self._cached_plans_key]\ndel finished_plan.items[-1:]",
            ),
        ),
        "job 'save a planner=plan-caching; async b planner=plan-caching; wait; load b' --ranks 1 --workload nested",
        "commitment",
    ),
    Neighbour(
        "DCP-046",
        "with plan caching, no rank stores its final plan, so that the next save fails with a KeyError",
        (
            Edit(
                f"{PLANNER}._finish_plan_with_caching",
                "SavePlanner._cached_final_save_plan[self._cached_plans_key] = new_plan",
                "pass",
            ),
        ),
        "job 'save a planner=plan-caching; save b planner=plan-caching' --ranks 2 --workload replicated",
        "attribution",
    ),
    Neighbour("DCP-040", "an async save leaves out one rank's last item", (_LAST_LEFT_OUT,), "replay '' --op async_save --ranks 2", "commitment"),
    Neighbour(
        "DCP-041",
        "in the safetensors format, a save leaves out one rank's last item",
        (_LAST_LEFT_OUT,),
        "replay '' --op load --ranks 2 --engine huggingface --workload sharded",
        "attribution",
    ),
)
