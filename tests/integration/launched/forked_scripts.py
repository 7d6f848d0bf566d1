"""Runs scripts side by side with plain torch, each as the main program of a fork: torch is imported once for all of them, and the harness never."""

import faulthandler
import os
import runpy
import sys
from pathlib import Path

import torch.distributed.checkpoint
import torch.multiprocessing  # noqa: F401

sys.modules["ckpt_harness"] = None  # whoever imports it gets an ImportError, wherever it is installed

LATE = 90
"""Seconds after which a script that has not ended says where it is."""

SIDE_BY_SIDE = 6
"""Scripts that run at a time: each waits a few seconds for its ranks, and takes those that are late for hung."""

children = {}


def reap() -> None:
    """Keeps the exit status of one that has ended."""
    child, status = os.wait()
    Path(f"{children.pop(child)}.status").write_text(str(os.waitstatus_to_exitcode(status)))


for path in sys.argv[1:]:
    if len(children) == SIDE_BY_SIDE:
        reap()
    child = os.fork()
    if not child:
        said = os.open(f"{path}.said", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        faulthandler.dump_traceback_later(LATE, exit=True)
        status = 0
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                print(ended.code)
        sys.stdout.flush()
        os._exit(status)  # what torch has loaded is not made to be torn down in a fork
    children[child] = path
while children:
    reap()
