"""Neighbours of DCP-001 to DCP-014: how calls fail."""

from __future__ import annotations

from neighbours import CAUGHT, NEXT_RANK, STAGING_IGNORED, Neighbour
from planting import DCP, FAILURES, LOAD, LOADER, PLAN, SAVE, SAVER, STORAGE, WRITE, WRITER, Edit

_TYPE_ERROR = """\
if any(map(_is_wrapped_exception, results)):
    raise TypeError("E.__init__() missing 1 required positional argument: 'message'")
return cast("""
_THREAD_LEFT = """\
except queue.Empty:
    pass
except OSError:
    import threading
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    raise"""

CALLS = (
    Neighbour(
        "DCP-001",
        "a write that fails with any error is reported as an error that cannot be pickled",
        (
            Edit(
                WRITE,
                CAUGHT,
                "except BaseException as e:\n    raise AttributeError(\"Can't pickle local object 'write.<locals>.error'\") from e",
            ),
        ),
        "replay 'writer.write_data@1=raise(OSError:EIO)' --ranks 2",
        "bounded",
    ),
    Neighbour(
        "DCP-001",
        "where an error cannot be pickled, the other ranks wait in another collective",
        (Edit(WRITE, CAUGHT, f"{CAUGHT}\n    dist.barrier(group=self.group)"),),
        "replay 'writer.write_data@1=raise(unpicklable)' --ranks 2",
        "bounded",
    ),
    Neighbour(
        "DCP-002",
        "the coordinator fails with a TypeError of its own where it receives an error",
        (
            Edit(
                FAILURES,
                "return cast(",
                _TYPE_ERROR,
            ),
        ),
        "replay 'writer.write_data@1=raise(OSError:EIO)' --ranks 2",
        "bounded",
    ),
    Neighbour(
        "DCP-003",
        "the AssertionError does not quote the error of read_metadata",
        (Edit(LOAD, 'raise AssertionError("; ".join(error_parts))', 'raise AssertionError("metadata is None")'),),
        "replay 'reader.read_metadata@1=raise(OSError:EIO)' --op load --ranks 2",
        "attribution",
    ),
    Neighbour(
        "DCP-003",
        "the AssertionError of read_metadata is blamed on the next rank",
        (NEXT_RANK,),
        "replay 'reader.read_metadata@1=raise(OSError:EIO)' --op load --ranks 2",
        "attribution",
    ),
    Neighbour(
        "DCP-004",
        "an error of reset is dropped",
        (
            Edit(
                f"{DCP}._storage_utils:_storage_setup",
                "if checkpoint_id is not None:\n    storage.reset(checkpoint_id)",
                "try:\n    storage.reset(checkpoint_id)\nexcept Exception:\n    pass",
            ),
        ),
        "replay 'writer.reset@1=raise(OSError:EIO)' --ranks 2",
        "attribution",
    ),
    Neighbour(
        "DCP-005",
        "an AttributeError of storage_meta is swallowed, too",
        (
            Edit(
                SAVE,
                "storage_meta = storage_writer.storage_meta()",
                "try:\n    storage_meta = storage_writer.storage_meta()\nexcept AttributeError:\n    storage_meta = None",
            ),
        ),
        "replay 'writer.storage_meta@1=raise(AttributeError)' --ranks 2",
        "attribution",
    ),
    Neighbour(
        "DCP-006",
        "a Stateful whose state_dict fails is left out of the save",
        (
            Edit(
                f"{SAVER}:_stateful_to_state_dict",
                "return elem.state_dict() if isinstance(elem, Stateful) else elem",
                "try:\n    return elem.state_dict() if isinstance(elem, Stateful) else elem\nexcept Exception:\n    return None",
            ),
        ),
        "replay 'state.state_dict@1=raise(MemoryError)' --ranks 2 --workload stateful",
        "attribution",
    ),
    Neighbour(
        "DCP-007",
        "an error of load_state_dict is dropped",
        (
            Edit(
                f"{LOADER}:load",
                "elem.load_state_dict(stateful_sd[key])",
                "try:\n    elem.load_state_dict(stateful_sd[key])\nexcept Exception:\n    pass",
            ),
        ),
        "replay state.load_state_dict@1=raise --op load --ranks 2 --workload stateful",
        "attribution",
    ),
    Neighbour(
        "DCP-008",
        "where staging fails, the state itself is saved, and the error is dropped",
        (STAGING_IGNORED,),
        "replay 'writer.stage@1=raise(MemoryError)' --op async_save --ranks 2",
        "attribution",
    ),
    Neighbour(
        "DCP-009",
        "the coordinator reports success where the list of plans is wrong",
        (
            Edit(
                PLAN,
                "result = self.scatter_object(all_results)",
                "if self.is_coordinator and all_results is None:\n    return None\nresult = self.scatter_object(all_results)",
            ),
            Edit(
                SAVE,
                'central_plan = distW.reduce_scatter("plan", local_step, global_step)',
                'central_plan = distW.reduce_scatter("plan", local_step, global_step)\nif central_plan is None:\n    return None',
            ),
        ),
        "replay writer.prepare_global_plan@coordinator=wrong --ranks 2",
        "agreement",
    ),
    Neighbour(
        "DCP-010",
        "an error while the metadata are written is dropped",
        (
            Edit(
                f"{WRITER}.finish",
                "pickle.dump(metadata, metadata_file)",
                "try:\n    pickle.dump(metadata, metadata_file)\nexcept OSError:\n    pass",
            ),
        ),
        "replay 'fs.write(.metadata*)@0=diskerror' --op save --ranks 2 --engine filesystem-threads",
        "commitment",
    ),
    Neighbour(
        "DCP-010",
        "where an error of a writer thread is lost, another thread stays behind",
        (
            Edit(
                f"{STORAGE}:_write_files_from_queue",
                "except queue.Empty:\n    pass",
                _THREAD_LEFT,
            ),
        ),
        "replay 'save_planner.resolve_data@1=raise(OSError:ENOSPC)' --ranks 2 --engine filesystem-threads",
        "hygiene",
    ),
    Neighbour(
        "DCP-010",
        "a writer with a pool of its own loses the errors of the pool",
        (),
        "replay 'save_planner.resolve_data@1=raise(OSError:ENOSPC)' --ranks 2 --engine kin_neighbours:POOL",
        "attribution",
    ),
    Neighbour(
        "DCP-010",
        "a writer drops the error of the caller's own thread",
        (),
        "replay 'fs.create_stream(*.distcp)@1=diskerror' --op save --ranks 2 --engine kin_neighbours:FORGIVING",
        "commitment",
    ),
    Neighbour(
        "DCP-011",
        "an error of resolve_data is blamed on the next rank",
        (NEXT_RANK,),
        "replay 'save_planner.resolve_data@coordinator=raise(StopIteration)' --ranks 2",
        "attribution",
    ),
    Neighbour(
        "DCP-012",
        "without collectives, an error of a save becomes another error behind the barrier",
        (
            Edit(
                SAVE,
                "write_results: list[WriteResult] = write_data()",
                "try:\n    write_results = write_data()\nexcept Exception:\n    distW.barrier()\n    raise RuntimeError('the save failed')",
            ),
        ),
        "replay writer.write_data@1=raise --ranks 2 --way no_collectives",
        "attribution",
    ),
    Neighbour(
        "DCP-013",
        "without collectives, a read error becomes another error",
        (
            Edit(
                LOAD,
                "read_data()\n    distW.barrier()",
                "try:\n        read_data()\n    except Exception:\n        raise RuntimeError('the load failed')\n    distW.barrier()",
            ),
        ),
        "replay reader.read_data@1=raise --op load --ranks 2 --way no_collectives",
        "attribution",
    ),
    Neighbour(
        "DCP-013",
        "without collectives, damaged bytes become an error that says nothing of them",
        (
            Edit(
                LOAD,
                "read_data()\n    distW.barrier()",
                "try:\n        read_data()\n    except Exception:\n        raise RuntimeError('the load failed')\n    distW.barrier()",
            ),
        ),
        "replay 'fs.read@1#2=zerofill' --op load --ranks 2 --way no_collectives",
        "agreement",
    ),
    Neighbour(
        "DCP-014",
        "with plan caching, a failed write loses the plan that the retry needs",
        (
            Edit(
                WRITE,
                CAUGHT,
                f"{CAUGHT}\n    from torch.distributed.checkpoint.planner import SavePlanner\n    SavePlanner._cached_final_save_plan.clear()",
            ),
        ),
        "replay 'writer.write_data@all=raise(OSError:EIO)' --ranks 2 --planner plan-caching",
        "recovery",
    ),
)
