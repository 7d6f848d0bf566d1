"""Planted bugs: what an engine with retention removes, and when. Each bug is an edit of ``retaining_storage.py``."""

from __future__ import annotations

from planting import Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

WRITER = "retaining_storage:KeepingWriter"
KEEPING = "retaining_storage:KEEPING"

_SAVES = Sweep(("save",), (2,), engine=KEEPING)
_COMMITS = "FileSystemWriter.finish(self, metadata, results)"

BUGS = (
    Bug(
        "the previous checkpoint is removed before the new one is written",
        ("commitment",),
        (Edit(f"{WRITER}.prepare_global_plan", "return File", "remove_others(Path(self.path))\nreturn File"),),
        _SAVES,
    ),
    Bug(
        "the previous checkpoint is removed before the new one is committed",
        ("commitment",),
        (Edit(f"{WRITER}.finish", _COMMITS, f"remove_others(Path(self.path))\n{_COMMITS}"),),
        Sweep(("save",), (2,), engine=KEEPING, disk=True),
    ),
    Bug(
        "what is kept of the previous checkpoint is changed",
        ("commitment",),
        (Edit("retaining_storage:remove_others", "shutil.rmtree(other)", 'for file in other.rglob(".metadata"):\n    file.write_bytes(b"")'),),
        _SAVES,
    ),
    Bug(
        "what a save beside it has written so far is removed, too",
        ("attribution",),
        (Edit("retaining_storage:remove_others", '(other / ".metadata").exists()', "other.is_dir()"),),
        Sweep(("async_save",), (2,), engine=KEEPING, overlap="separate"),
    ),
    Bug(
        "a save that fails removes what an earlier save has committed",
        ("commitment",),
        (Edit(f"{WRITER}.prepare_global_plan", "return File", 'if self.path.name.startswith("attempt-1"):\n    remove_others(Path(self.path))\nreturn File'),),
        Sweep(("async_save",), (2,), engine=KEEPING, overlap="separate"),
    ),
)
