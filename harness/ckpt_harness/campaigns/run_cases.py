"""Running many cases, wherever a pool runs them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from ckpt_harness.campaigns.pools.base import CHUNK, HERE, Pool
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.readings import Readings
from ckpt_harness.cases.record import Record
from ckpt_harness.cases.rig import Rig
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict


@dataclass(frozen=True)
class RunCases:
    """Runs cases; a :class:`ckpt_harness.campaigns.pools.base.Work`.

    Attributes:
        register: known findings; None for those that ship with the harness.
    """

    register: Register | None = None
    few: ClassVar[int] = CHUNK

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[Case], Record]]:
        """Runs all cases on one rig."""
        with Rig(register=self.register, readings=Readings()) as rig:
            yield lambda case: run_one(rig, case)

    def lost(self, case: Case, how: str) -> Record:
        """A case that ends the process that runs it has no verdict."""
        return Record(
            case=case,
            verdict=Verdict.UNKNOWN,
            expected="",
            outcomes=("no outcome",) * case.ranks,
            complaints=(f"process UNKNOWN: the process that ran the case {how}",),
            known=(),
            covered=(),
            seconds=0.0,
            registers=() if self.register is None else self.register.files,
        )


def run_all(cases: Iterable[Case], pool: Pool = HERE, register: Register | None = None) -> Generator[Record, None, None]:
    """Runs cases, and yields their records as they come, in any order.

    Args:
        cases: what to run.
        pool: where they run.
        register: known findings; by default those that ship with the harness.
    """
    return pool.run(RunCases(register), cases)


def run_one(rig: Rig, case: Case) -> Record:
    """Runs a case, and keeps a record of it.

    Args:
        rig: runs the case.
        case: what to run.
    """
    started = time.perf_counter()
    result = rig.run(case)
    return Record.of(result, rig.register.covered(case.engine, result.evidence, result.judgements), time.perf_counter() - started)
