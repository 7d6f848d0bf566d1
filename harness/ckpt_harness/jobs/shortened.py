"""Evidence without the events that nobody asks for again: a job of a thousand operations would keep millions of them."""

from __future__ import annotations

import dataclasses

from ckpt_harness.history import History
from ckpt_harness.judging import oracles
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.verdict import Verdict


def is_accepted(evidence: Evidence) -> bool:
    """Whether no rank was lost, and the oracles of single operations find nothing.

    Args:
        evidence: of calls that have ended.
    """
    lost = any(outcome.kind not in ("returned", "raised") for outcomes in evidence.outcomes.values() for outcome in outcomes.values())
    return not lost and all(judgement.verdict is Verdict.HOLDS for judgement in oracles.judge(evidence))


def shortened(evidence: Evidence) -> Evidence:
    """Returns evidence that the oracles judge as they judge this evidence, with few events.

    The reference model of the job may find later that a call owes less, never more. So what is accepted now stays accepted. Where a call has failed, all
    events stay: a later call that fails, or what lies at the place of the call, may have to be explained by them.

    Args:
        evidence: of calls that have ended, and that the oracles accept.
    """
    failed = any(outcome.kind != "returned" for outcomes in evidence.outcomes.values() for outcome in outcomes.values())
    return evidence if failed else dataclasses.replace(evidence, history=History())
