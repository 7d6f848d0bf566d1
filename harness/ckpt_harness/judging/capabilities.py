"""Which capabilities an engine must claim for a judgement to count."""

from __future__ import annotations

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.expectation import DECEPTIONS, Expectation
from ckpt_harness.judging.verdict import Judgement, Verdict

NO_MARKER = "every rank reported success, but there is no commit marker"
"""What ``commitment`` says of a save that succeeded and left no commit marker: the only thing wrong with a successful save that the capability is about."""
WRITES = ("writer.write_data", "save_planner.resolve_data")
"""Sites at which a save begins to write."""


def needed(judgement: Judgement, evidence: Evidence) -> frozenset[Capability]:
    """The capabilities that an engine must claim for a judgement to count.

    Every engine owes that it leaves other checkpoints alone: where one was damaged, no claim is needed. An engine with retention that removes an older
    checkpoint owes that its own is whole, unless its storage lied to it and it does not claim to notice.

    Args:
        judgement: what an oracle says.
        evidence: what the oracle looked at.
    """
    damaged = any(expectation.damages for expectation in evidence.forecast.expectations)
    stored = judgement.oracle == "filled" and not judgement.operation.startswith("load")
    if judgement.oracle == "integrity" or (damaged and (stored or judgement.oracle == "purity")):
        return frozenset({Capability.CHECKSUMS})
    damage = [(name, storage) for _, storage in evidence.places() for name in evidence.damage(storage)]
    only_removed = Capability.RETENTION in evidence.capabilities and all(name in storage.removed for name, storage in damage)
    if judgement.oracle not in ("commitment", "filled", "isolation") or (damage and not only_removed):
        return frozenset()
    capabilities = set[Capability]()
    for expectation in evidence.forecast.expectations:
        if expectation.deceived and judgement.is_about(expectation.operation, expectation.ranks):
            capabilities.add(Capability.COLLECTIVES if shows_in_all_plans(expectation) else Capability.DETECTS_LIES)
    if judgement.oracle == "commitment" and not damage:
        capabilities |= _needed_to_commit(judgement, evidence)
    return frozenset(capabilities)


def _needed_to_commit(judgement: Judgement, evidence: Evidence) -> set[Capability]:
    """The capabilities that a judgement about a commitment needs. Every engine owes that what it reports as saved can be loaded."""
    succeeded = all(outcome.kind == "returned" for outcome in evidence.outcomes.get(judgement.operation, {}).values())
    if succeeded and judgement.verdict is Verdict.VIOLATED and set(judgement.reasons) != {NO_MARKER}:
        return set()
    return {Capability.ATOMIC_OVERWRITE if _overwrote_and_failed(judgement.operation, evidence) else Capability.COMMIT_MARKER}


def shows_in_all_plans(expectation: Expectation) -> bool:
    """Whether the only lie is a wrong statement about parts, and the coordinator has the plans of other ranks to compare it with.

    Parts that overlap or leave a gap then contradict each other, so an engine whose ranks save together owes that it notices.
    """
    effects = [acting.bound.fault.effect for acting in (*expectation.decisive, *expectation.possible_lies)]
    lies = [effect for effect in effects if isinstance(effect, DECEPTIONS)]
    only_parts = bool(lies) and all(lie.about_parts for lie in lies)
    return only_parts and not expectation.apart and len(expectation.ranks) > 1


def _overwrote_and_failed(operation: str, evidence: Evidence) -> bool:
    """Whether a save onto a checkpoint began to write and did not succeed.

    Only then may the old checkpoint be lost: every engine owes what was reported as saved, and what was there before a rank wrote.
    """
    replaces = any(storage.replaced for storage in evidence.storage.get(operation, ()))
    succeeded = all(outcome.kind == "returned" for outcome in evidence.outcomes.get(operation, {}).values())
    wrote = any(event.site in WRITES and event.operation == operation for event in evidence.history)
    return replaces and not succeeded and wrote
