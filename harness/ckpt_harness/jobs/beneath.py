"""Whether a violation of a manager is a known finding of the engine beneath it: the same faults, without the manager."""

from __future__ import annotations

import contextlib
import dataclasses

from ckpt_harness.cases.case import Case, Onto
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import HarnessError
from ckpt_harness.faults.fault import OperationRef
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.evidence import Done, JobEvidence, Seen
from ckpt_harness.judging.verdict import Judgement, Verdict


class Beneath:
    """Runs single calls of jobs on the engine alone.

    Args:
        register: the known findings.
    """

    def __init__(self, register: Register) -> None:
        self._register = register
        self._rig: Rig | None = None
        self._shown: dict[Case, str | None] = {}

    def close(self) -> None:
        """Removes everything that was stored."""
        if self._rig is not None:
            self._rig.close()

    def marked(self, bound: BoundJob, evidence: JobEvidence, judgements: list[Judgement]) -> list[Judgement]:
        """Returns the judgements; a violation about a call is known if its faults show a known finding on the engine alone.

        Args:
            bound: the job of a manager.
            evidence: what was observed.
            judgements: what the oracles of jobs say.
        """
        struck = {call for _, _, call in evidence.fired}
        calls = {call.call: call for call in bound.calls.values() if call.call in struck}
        marked = []
        for judgement in judgements:
            known = None
            if judgement.counts is Verdict.VIOLATED:
                about = [calls[judgement.operation]] if judgement.operation in calls else [] if judgement.operation else list(calls.values())
                known = next((found for call in about if (found := self._finding(call, evidence.done[call.index])) is not None), None)
            marked.append(judgement if known is None else dataclasses.replace(judgement, known=known))
        return marked

    def _finding(self, call: BoundCall, done: Done) -> str | None:
        """The known finding that the faults of a call show on the engine alone; None if they show none, or something new."""
        found = (done.before or {}).get(done.place, Seen())
        case = _alone(call, "checkpoint" if found.committed and call.case.saves else "nothing")
        if case not in self._shown:
            self._shown[case] = None
            with contextlib.suppress(HarnessError):  # not every call of a job can be a case
                if self._rig is None:
                    self._rig = Rig(register=self._register)
                result = self._rig.run(case)
                if result.verdict is Verdict.HOLDS and result.known:
                    self._shown[case] = result.known[0]
        return self._shown[case]


def _alone(call: BoundCall, onto: Onto) -> Case:
    """The case that a call is by itself."""
    case = call.case.case
    address = OperationRef(case.operation, 1)
    faults = tuple(dataclasses.replace(fault, operation=address) for fault in case.plan)
    return dataclasses.replace(case, plan=FaultPlan(faults), workload=call.structure.workload, retry=True, onto=onto)
