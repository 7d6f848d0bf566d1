"""A program whose pool of processes never starts, until Ctrl-C: the preloaded module ``waits`` waits for ever."""

import sys

from works import Stay

from ckpt_harness.campaigns.pools.local import LocalPool
from ckpt_harness.worlds.interruption import interruptible


class Work(Stay):
    """Work that claims to be defined in a module that waits."""

    __module__ = "waits"


if __name__ == "__main__":
    try:
        with interruptible():
            next(LocalPool(2).run(Work(), [0.0]))
    except KeyboardInterrupt:
        sys.exit(130)
