"""Every so manieth case of a sweep on the ranks of a launcher, as JSON: what rank 0 says came of each. Each agent's ranks take theirs for a host."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ckpt_harness.worlds.attached import clocks, together

if "GROUP_RANK" in os.environ:  # of torchrun: the number of the agent
    here = clocks.machine()
    clocks.machine = lambda: f"{here} {os.environ['GROUP_RANK']}"  # so that their clocks are compared, as those of hosts are


def main() -> int:
    from sampling import sample

    Path(sys.argv[1]).write_text(json.dumps(sample("attached", int(sys.argv[2]))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(together(main))
