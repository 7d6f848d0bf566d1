"""Evidence without the events that nobody asks for again: a job of a thousand operations would keep millions of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ckpt_harness.history import Event, History
from ckpt_harness.judging import oracles
from ckpt_harness.judging.capabilities import WRITES
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

    The reference model of the job may find later that a call owes less, never more. So what is accepted now stays accepted, and no event is needed to
    explain a violation. What is asked for again is whether a save that failed had begun to write.

    Args:
        evidence: of calls that have ended, and that the oracles accept.
    """
    failed = {name for name, outcomes in evidence.outcomes.items() if any(outcome.kind != "returned" for outcome in outcomes.values())}
    return dataclasses.replace(evidence, history=History(list(_needed(evidence.history, failed))))


def _needed(history: History, failed: set[str]) -> Iterator[Event]:
    """The events of calls that failed at which a fault fired, or the rank had begun to write: the first of each kind.

    The beginning of a call is left out: without the other beginnings, the order of the calls would look wrong.
    """
    known: set[tuple[object, ...]] = set()
    for event in history:
        first = (event.rank, event.kind, event.operation, event.site)
        wanted = event.kind == "fault" or (event.kind != "enter" and event.site in WRITES and first not in known)
        if event.operation in failed and wanted:
            known.add(first)
            yield event
