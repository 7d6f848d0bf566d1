"""What owns the directory that cases or jobs run in, and the checkpoints that they find there."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from ckpt_harness.cases.baseline import Baselines
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.errors import HookError

_Owner = TypeVar("_Owner", bound="Owner")


class Owner:
    """Owns a directory for checkpoints, as a context manager.

    Args:
        root: the directory; a temporary one by default.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._workspace = Workspace(root)
        self._baselines = Baselines(self._workspace)

    def __enter__(self: _Owner) -> _Owner:  # noqa: PYI019  (Self is not in typing before Python 3.11)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Removes everything that was stored."""
        with contextlib.suppress(HookError):  # a hook that cannot discard: the directory goes anyway
            self._baselines.close()
        self._workspace.close()
