"""Compares what a rank holds after a load with the saves that it may hold. The comparison is made by the rank, wherever it runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ckpt_harness.cases.membership import Member
from ckpt_harness.jobs.evidence import Loaded
from ckpt_harness.workloads.context import State
from ckpt_harness.workloads.workload import Workload


@dataclass(frozen=True)
class Candidates:
    """The saves that a place may hold, as plain data that reaches ranks in other processes.

    Attributes:
        saves: call -> the number that tags the values which it saved; only calls that saved the structure which the load asks for.
        made: number of a save -> the call that has saved it, or behind which training has written such values; for all saves of the job so far.
        later: async save -> the number that tags the values which training wrote once the state was staged.
    """

    saves: Mapping[str, int] = field(default_factory=dict)
    made: Mapping[int, str] = field(default_factory=dict)
    later: Mapping[str, int] = field(default_factory=dict)

    def calls_of(self, numbers: Collection[int]) -> tuple[str, ...]:
        """Returns the saves whose values were found, by their numbers. A damaged element may look like the tag of a save that nobody made.

        Example:
            >>> Candidates(made={1: "save[1]", 2: "save[1]", 3: "save[2]"}).calls_of({3, 2, 1, 99})
            ('save[1]', 'save[2]')
        """
        return tuple(dict.fromkeys(self.made[number] for number in sorted(numbers) if number in self.made))


def compared(workload: Workload, state: State, member: Member, candidates: Candidates) -> Loaded:
    """Compares what a rank holds after a load with each save that the place may hold. Called by the rank, which is in its process group.

    What training wrote into the state before an async save had copied it, is for the oracle ``isolation`` to judge: the load gives what lies there.

    Args:
        workload: what the load asked for.
        state: what the rank holds.
        member: the rank's membership.
        candidates: the saves.
    """
    differences = {}
    for call, save in candidates.saves.items():
        later = candidates.later.get(call)
        ignored = () if later is None else tuple(f"{name}:" for name in workload.shared(state, member.context(later)))
        differences[call] = tuple(text for text in workload.mismatches(state, member.context(save)) if not text.startswith(ignored))
    return Loaded(candidates.calls_of(workload.saves(state)), differences, unfilled=workload.is_unfilled(state))
