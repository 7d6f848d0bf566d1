"""Planted bugs that live between the operations of a job: each operation by itself is right, or looks right."""

from __future__ import annotations

from dataclasses import dataclass

from planting import LOAD, READER, SAVE, UPLOAD, Edit

EXECUTE = f"{UPLOAD.partition(':')[0]}:_ThreadBasedAsyncCheckpointExecutor.execute_save"
_LOADED = "_ = distW.all_gather(\"read\", read_data)"
_OPENED = 'with self.fs.create_stream(new_path, "rb") as stream:'
_SAVING = "distW = _DistWrapper(process_group, not no_dist, coordinator_rank)"
_KEPT = """kept = self.__dict__.setdefault("kept", {})
import io
import torch.distributed as dist
if str(new_path) not in kept or RANK:
    with self.fs.create_stream(new_path, "rb") as opened:
        kept[str(new_path)] = opened.read()
with io.BytesIO(kept[str(new_path)]) as stream:"""


@dataclass(frozen=True)
class BugOfJobs:
    """A bug that a developer might make.

    Attributes:
        name: what the buggy engine does.
        caught_by: the oracles that find the bug, all of them.
        edits: changes of the engine's source.
        job: the operations that show the bug.
        faults: the faults that show it.
    """

    name: str
    caught_by: frozenset[str]
    edits: tuple[Edit, ...]
    job: str
    faults: str = ""


def _behind_each_load(lines: str) -> Edit:
    """What the coordinator does behind each load, in Python."""
    indented = lines.replace("\n", "\n    ")
    text = f"{_LOADED}\nif distW.is_coordinator and str(getattr(storage_reader, 'path', '')).endswith('b'):\n    import os, shutil\n    {indented}"
    return Edit(LOAD, _LOADED, text)


BUGS = (
    BugOfJobs(
        "a load removes the other checkpoints",
        frozenset({"commitment"}),
        (
            _behind_each_load(
                "for name in os.listdir(storage_reader.path.parent):\n"
                "    shutil.rmtree(storage_reader.path.parent / name) if name != storage_reader.path.name else None"
            ),
        ),
        "save a; save b; load b",
    ),
    BugOfJobs(
        "a load removes a file that it has read",
        frozenset({"commitment"}),
        (_behind_each_load("os.remove(storage_reader.path / '__1_0.distcp')"),),
        "save b; load b",
    ),
    BugOfJobs(
        "an async save writes its files into the checkpoint before it, too",
        frozenset({"pairing"}),
        (
            Edit(
                EXECUTE,
                "return f",
                "import pathlib, shutil\nhere = pathlib.Path(str(checkpoint_id))\nbefore = here.parent / 'a'\nif here.name == 'b':\n"
                "    f.add_done_callback(lambda _: shutil.copy(here / '__1_0.distcp', before / '__1_0.distcp'))\nreturn f",
            ),
        ),
        "save a; async b; wait; load a",
    ),
    BugOfJobs(
        "a reader keeps what it has read once",
        frozenset({"filled"}),
        (Edit(f"{READER}.read_data", _OPENED, _KEPT.replace("RANK", "False")),),
        "save a; load a; save a; load a",
    ),
    BugOfJobs(
        "the reader of one rank keeps what it has read once",
        frozenset({"filled", "purity"}),
        (Edit(f"{READER}.read_data", _OPENED, _KEPT.replace("RANK", "dist.get_rank() == 0")),),
        "save a; load a; save a; load a",
    ),
    BugOfJobs(
        "a writer that has failed once refuses to save again",
        frozenset({"recovery"}),
        (
            Edit(
                SAVE,
                _SAVING,
                f'{_SAVING}\nif getattr(storage_writer, "saving", False):\n    raise RuntimeError("a save is under way")\nstorage_writer.saving = True',
            ),
        ),
        "save a; retry",
        "save[1]/writer.write_data@1=raise",
    ),
    BugOfJobs(
        "an async save returns the future of the first",
        frozenset({"futures", "commitment"}),
        (
            Edit(
                EXECUTE,
                "return f",
                "before = _ThreadBasedAsyncCheckpointExecutor.execute_save.__dict__.setdefault('before', {})\n"
                "return before.setdefault(dist.get_rank(process_group), f)",
            ),
        ),
        "async a; wait; async b; wait; load a",
        "async_save[2]/writer.write_data@0=delay(5)",
    ),
)
