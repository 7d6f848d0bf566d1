"""What the fixture ``ckpt_rig`` gives a test: it runs whole cases, and every oracle judges them."""

from __future__ import annotations

import time
from dataclasses import replace

from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.fallback import placed
from ckpt_harness.cases.record import Record
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cases.surroundings import silenced
from ckpt_harness.findings.register import Register
from ckpt_harness.pytest_plugin.engines import expect, moved
from ckpt_harness.pytest_plugin.session import Session


def assert_case(result: CaseResult) -> None:
    """Asserts that every claim holds. A known finding makes the test an expected failure; under ``@given`` the example passes instead.

    Raises:
        OracleViolation: the verdict is VIOLATED, VACUOUS or UNKNOWN; the message has the evidence and the replay line.

    Example:
        In a test that looks at the result before it asserts the claims::

            def test_a_full_disk(ckpt_rig):
                result = ckpt_rig.run(Case(FaultPlan.parse("writer.write_data@1=raise(OSError:ENOSPC)")))
                print(result.explain())
                assert_case(result)
    """
    __tracebackhide__ = True
    result.check()
    expect(result.known)


class CkptRig:
    """Runs cases in the world of the test, and keeps their records for the summary.

    Args:
        rig: runs the cases.
        session: keeps the records.

    Example:
        In a test::

            def test_every_rank_learns_of_a_full_disk(ckpt_rig):
                ckpt_rig.check(Case(FaultPlan.parse("writer.write_data@1=raise(OSError:ENOSPC)"), ranks=3))
    """

    def __init__(self, rig: Rig, session: Session) -> None:
        self._rig, self._session = rig, session

    @property
    def register(self) -> Register:
        """The known findings of the session."""
        return self._rig.register

    def cases(self, sweep: Sweep) -> list[Case]:
        """Returns the cases of a sweep. Runs the operations once without faults, to see which calls can be struck."""
        with silenced():
            return plan_sweep(sweep, self._rig)[0]

    def run(self, case: Case, known: Register | None = None) -> CaseResult:
        """Runs and judges a case in the test's world; asserts nothing.

        - A case with a world of its own runs in that world, if the test runs on simulated ranks.
        - A case that the launcher's ranks cannot run, runs on simulated ranks of rank 0; the summary says why.
        - A case without a seed takes the seed of ``--ckpt-seed``.
        - A case without an engine takes the engine of ``--ckpt-engine``; if that engine claims too little, the test is skipped.

        Args:
            case: the case.
            known: known findings in addition to those of the session.

        Raises:
            PlanError: the plan does not fit the case; nothing has run.
            UsageError: an unknown name, or a combination that cannot run.
        """
        world = case.world if self._session.world == "simulated" else self._session.world
        case = moved(replace(case, seed=case.seed or self._session.seed, world=world), self._session)
        if world == "attached":
            case, reason = placed(case)
            if reason:
                self._session.elsewhere[reason] += 1
        started = time.perf_counter()
        with silenced():
            result = self._rig.run(case)
        covered = self._rig.register.covered(case.engine, result.evidence, result.judgements)
        if known is not None:
            result = replace(result, judgements=tuple(known.mark(result.judgements, case.engine, result.evidence)), registers=(*result.registers, *known.files))
        self._session.ran_case(Record.of(result, covered, time.perf_counter() - started))
        return result

    def check(self, case: Case) -> CaseResult:
        """Runs a case and asserts that every claim holds; see :func:`assert_case`."""
        __tracebackhide__ = True
        result = self.run(case)
        assert_case(result)
        return result
