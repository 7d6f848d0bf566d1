"""The directory that cases run in: where their checkpoints lie, and errors without its path."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from pathlib import Path

from ckpt_harness.cases.binding import BoundCase
from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.worlds.attached import check_shared
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import shared
from ckpt_harness.worlds.processes.forkserver import Forkserver

_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
"""The address of an object store that the harness started; its port differs from run to run."""
_NUMBERED = re.compile(r"ckpt-harness[-/]\d+(?=[-/])")
"""What engines without files put in place of the directory; the number says how many directories the process has used."""


class Workspace:
    """A directory for the checkpoints of cases.

    Args:
        root: the directory; a temporary one by default, which :meth:`close` removes.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="ckpt-harness-")) if root is None else root
        self._temporary = root is None
        self._forkserver: Forkserver | None = None
        self._seen_by_hosts = False

    def places(self, bound: BoundCase, name: str) -> tuple[str, ...]:
        """Returns where the checkpoint ``name`` of each group lies, in the order of the groups.

        Groups share a directory, so that damage which a group does to the checkpoint of another is seen. But an engine with retention takes the checkpoints
        beside its own for older checkpoints of the same job, and may remove them: with such an engine each group has a directory.
        """
        groups = range(len(bound.groups))
        if len(groups) == 1 or not bound.may_remove_older:
            return tuple(bound.engine.place(self.root, f"{name}-{number}") for number in groups)
        roots = [self.root / f"group-{number}" for number in groups]
        for root in roots:
            root.mkdir(exist_ok=True)
        return tuple(bound.engine.place(root, f"{name}-{number}") for number, root in enumerate(roots))

    def close(self) -> None:
        """Removes the directory if it is a temporary one."""
        if self._temporary:
            shutil.rmtree(self.root, ignore_errors=True)

    def remove_if_killed(self) -> None:
        """Has the forkserver remove a temporary directory if this process is killed."""
        server = shared().server()
        if self._temporary and self._forkserver is not server:
            server.adopt(str(self.root))
            self._forkserver = server

    def check_visible_on_all_hosts(self) -> None:
        """Makes sure that all hosts of a launcher see the directory: rank 0 judges what the other ranks store.

        Raises:
            UsageError: some hosts do not see it.
        """
        if not self._seen_by_hosts:
            check_shared(self.root)
            self._seen_by_hosts = True

    def outcome(self, result: RankResult) -> Outcome:
        """Returns the result of a world for one rank, as the oracles read it."""
        where = "" if result.wait is None else str(result.wait)
        return Outcome(result.outcome, self.scrub(result.record), where, result.finished_at)

    def scrub_outcome(self, outcome: Outcome) -> Outcome:
        """Returns the outcome with its error scrubbed; see :meth:`scrub`."""
        return dataclasses.replace(outcome, error=self.scrub(outcome.error))

    def scrub(self, record: ErrorRecord | None) -> ErrorRecord | None:
        """Returns an error without the directory, or what stands for it in a store, and the port of a store, so that a case reads the same on every machine."""
        if record is None:
            return None
        failures = None
        if record.failures is not None:
            failures = {rank: self.scrub(error) or error for rank, error in record.failures.items()}
        arguments = tuple(self._scrub_text(argument) for argument in record.args)
        return dataclasses.replace(record, message=self._scrub_text(record.message), args=arguments, failures=failures)

    def _scrub_text(self, text: str) -> str:
        return _NUMBERED.sub("<root>", _ADDRESS.sub("<store>", text.replace(str(self.root), "<root>")))
