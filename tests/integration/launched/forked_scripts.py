"""Runs scripts at the same time with plain torch, each as the main program of a fork. Torch is imported once, and the harness never."""

import faulthandler
import os
import runpy
import sys
from pathlib import Path

import torch.distributed.checkpoint
import torch.multiprocessing  # noqa: F401

sys.modules["ckpt_harness"] = None  # an import of the harness fails, even if it is installed

LATE = 90
"""Seconds after which a running script prints its stacks and ends."""

SIDE_BY_SIDE = 6
"""Number of scripts that run at the same time. With more, ranks might be late, and a script takes a late rank for hung."""

children = {}


def reap() -> None:
    """Waits for a script to end, and writes its exit status to a file."""
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
        os._exit(status)  # torch's libraries cannot be unloaded in a fork
    children[child] = path
while children:
    reap()
