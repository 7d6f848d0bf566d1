"""Planted bugs: async saves with wrong futures, without a copy of the state, or with leftovers (oracles ``futures``, ``isolation``, ``hygiene``)."""

from __future__ import annotations

from neighbours import ONE_PLACE
from planting import DCP, SAVE, SAVER, WRITER, Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

IN_BACKGROUND = Sweep(("async_save",), (2,), workload="stateful", staging="background")
BY_THE_WRITER = Sweep(("async_save",), (2,), workload="replicated")
_STAGER = f"{DCP}.staging:BlockingAsyncStager.stage"
_CHECKED = (
    "if not staging_future.done():\n    staging_future.add_done_callback(callback)\nelse:\n    return_staging_future.set_result(None)"
)
_LEFT_WAITING = "import threading\nthreading.Thread(target=threading.Event().wait).start()\nreturn metadata"

BUGS = (
    Bug(
        "the future for the end of a background staging never completes",
        ("futures",),
        (Edit(f"{SAVER}:async_save", _CHECKED, "pass"),),
        IN_BACKGROUND,
    ),
    Bug(
        "a successful staging is reported as failed",
        ("futures",),
        (Edit(f"{SAVER}:async_save", _CHECKED, 'return_staging_future.set_exception(RuntimeError("staging"))'),),
        IN_BACKGROUND,
    ),
    Bug(
        "staging returns the state itself instead of a copy",
        ("isolation",),
        (Edit(_STAGER, "return staged_state_dict", "return state_dict"),),
        BY_THE_WRITER,
    ),
    Bug(
        "every commit leaves the directory of the checkpoint open",
        ("hygiene",),
        (Edit(f"{WRITER}.finish", "self.fs.rename(tmp_path, metadata_path)", "self.fs.rename(tmp_path, metadata_path)\nos.open(self.path, os.O_RDONLY)"),),
    ),
    Bug(
        "two saves at once write to the place of the save that was set up last",
        ("attribution",),
        ONE_PLACE,
        Sweep(("async_save",), (2,), overlap="shared"),
    ),
    Bug("every save leaves a waiting thread behind", ("hygiene",), (Edit(SAVE, "return metadata", _LEFT_WAITING),)),
    Bug(
        "the temporary file of the metadata is not removed",
        ("hygiene",),
        (Edit(f"{WRITER}.finish", "self.fs.rename(tmp_path, metadata_path)", "import shutil\nshutil.copyfile(tmp_path, metadata_path)"),),
    ),
)
