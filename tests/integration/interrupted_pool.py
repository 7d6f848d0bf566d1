"""A program whose pool of processes never starts, until Ctrl-C: the preloaded module ``waits`` waits for ever."""

import os
import sys

from ckpt_harness.campaigns.interruption import interruptible
from ckpt_harness.campaigns.workers import workers

if __name__ == "__main__":
    try:
        with interruptible(), workers(1, preload="waits") as pool:
            pool.submit(os.getpid).result()
    except KeyboardInterrupt:
        sys.exit(130)
