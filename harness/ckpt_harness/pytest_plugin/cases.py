"""``ckpt_rig``: whole cases, judged by every oracle, as tests see them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.fallback import placed
from ckpt_harness.cases.record import Record
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cases.surroundings import silenced
from ckpt_harness.findings.register import Register
from ckpt_harness.pytest_plugin.engines import moved, under_given
from ckpt_harness.pytest_plugin.session import Session


def assert_case(result: CaseResult) -> None:
    """Insists that every claim holds. A known finding is an expected failure; under ``@given``, where one case says little, it is accepted.

    Raises:
        OracleViolation: a verdict of VIOLATED, VACUOUS or UNKNOWN; the message has the evidence and the replay line.
    """
    __tracebackhide__ = True
    result.check()
    if result.known and not under_given():
        pytest.xfail(f"known: {', '.join(result.known)}")


class CkptRig:
    """Runs cases for tests, and keeps their records for the summary.

    Args:
        rig: what runs them.
        session: keeps them.
    """

    def __init__(self, rig: Rig, session: Session) -> None:
        self._rig, self._session = rig, session

    @property
    def register(self) -> Register:
        """The known findings of the session."""
        return self._rig.register

    def cases(self, sweep: Sweep) -> list[Case]:
        """The cases of a sweep; those without faults that tell which there are have run."""
        with silenced():
            return plan_sweep(sweep, self._rig)[0]

    def run(self, case: Case, known: Register | None = None) -> CaseResult:
        """Runs a case and judges it, in the test's world. With ``--ckpt-seed``, a case that names no seed runs in that order.

        In a test that runs on simulated ranks, a case that names another world is run there. Where the launcher's ranks cannot run a case, simulated
        ranks of rank 0 do, and the summary says why. With ``--ckpt-engine``, a case that names no engine runs on that one, or is skipped.

        Args:
            case: what is run.
            known: findings beside those of the session.

        Raises:
            PlanError: the plan does not fit; nothing has run.
            UsageError: an unknown name, or a combination that cannot run.
        """
        world = case.world if self._session.world == "simulated" else self._session.world
        case = moved(replace(case, seed=case.seed or self._session.seed, world=world), self._session)
        if world == "attached":
            case, why = placed(case)
            if why:
                self._session.elsewhere[why] += 1
        started = time.perf_counter()
        with silenced():
            result = self._rig.run(case)
        covered = self._rig.register.covered(case.engine, result.evidence)
        if known is not None:
            result = replace(result, judgements=tuple(known.mark(result.judgements, case.engine, result.evidence)), registers=(*result.registers, *known.files))
        self._session.ran_case(Record.of(result, covered, time.perf_counter() - started))
        return result

    def check(self, case: Case) -> CaseResult:
        """Runs a case and insists that every claim holds; see :func:`assert_case`."""
        __tracebackhide__ = True
        result = self.run(case)
        assert_case(result)
        return result
