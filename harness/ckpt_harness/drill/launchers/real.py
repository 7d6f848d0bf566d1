"""The command as it is, each time from the beginning."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ckpt_harness.drill import warden
from ckpt_harness.drill.launchers.warded import WardedCommand


class RealLauncher:
    """Starts the command as a user would, under a warden that leaves no process of it behind."""

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> WardedCommand:
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", warden.__file__, str(log), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        running = WardedCommand(keeper.pid, keeper.stdin, keeper.stdout, keeper.wait)
        running.check(words[0])
        return running

    def close(self) -> None:
        """Nothing is kept between starts."""
