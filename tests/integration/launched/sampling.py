"""A sample of the cases of a sweep, with results in words that are equal in every world."""

from __future__ import annotations

from dataclasses import replace

from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.cases.case import WorldName
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.effects import Delay
from ckpt_harness.judging.expectation import Ending


def sample(world: WorldName, ranks: int) -> dict[str, list[str]]:
    """Plan -> verdict, known findings, and the ending of each rank, for about 30 cases of a save."""
    quiet()
    with Rig() as rig:
        # The simulated sweep names the cases: both worlds reach the same cells.
        cases, _ = plan_sweep(Sweep(("save",), (ranks,)), rig)
        chosen = [case for case in cases if not any(isinstance(fault.effect, Delay) for fault in case.plan)]
        chosen = [case for case in chosen[:: max(1, len(chosen) // 30)] if "kill" not in str(case.plan)]
        return {str(case.plan): _in_words(rig.run(replace(case, world=world))) for case in chosen}


def _in_words(result: CaseResult) -> list[str]:
    lost = result.expectation.ending is Ending.STALLS  # how long the others wait for a lost rank differs between worlds
    outcomes = [outcome for _, outcome in sorted(result.outcomes.items())]
    kinds = ["waits in vain" if lost and outcome.kind in ("hung", "raised") else outcome.kind for outcome in outcomes]
    return [result.verdict.name, *result.known, *kinds]
