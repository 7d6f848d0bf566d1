"""Signatures: what a finding looks like, in words that hold for any size of world and any coordinator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.model import Acting, Expectation
from ckpt_harness.judging.oracles import Outcome

Role = Literal["victim", "coordinating_victim", "coordinator", "other"]
ROLES: tuple[Role, ...] = ("victim", "coordinating_victim", "coordinator", "other")
"""What a rank was: where the finding's own fault struck (and did it coordinate?), the coordinator, or anybody else."""


@dataclass(frozen=True)
class Signature:
    """One way in which a finding shows.

    Attributes:
        roles: role -> patterns of how a rank of that role ended. A victim that coordinates is held to ``victim`` unless it has patterns of its own.
        sites: patterns of the decisive fault's site, where it shows this way.
        effects: patterns of the decisive fault's effect, likewise.
    """

    roles: Mapping[Role, tuple[str, ...]]
    sites: tuple[str, ...] = ("*",)
    effects: tuple[str, ...] = ("*",)

    def victims(self, deciding: Sequence[Acting]) -> set[int]:
        """Ranks where a decisive fault struck that the signature is for.

        Args:
            deciding: the decisive faults that the finding is about.
        """
        return {
            one.rank
            for one in deciding
            if any(matches(self.sites, site) for site in (one.where, one.bound.fault.site)) and matches(self.effects, str(one.bound.fault.effect))
        }

    def shows(self, expectation: Expectation, outcomes: Mapping[int, Outcome], deciding: Sequence[Acting]) -> bool:
        """Whether every rank ended as the signature says, a victim among them.

        Args:
            expectation: what the operation had to lead to.
            outcomes: how it ended on each rank.
            deciding: the decisive faults that the finding is about.
        """
        victims = self.victims(deciding)
        return not victims.isdisjoint(outcomes) and self.allows(expectation, outcomes, victims)

    def allows(self, expectation: Expectation, outcomes: Mapping[int, Outcome], victims: Iterable[int]) -> bool:
        """Whether every rank ended as the signature says.

        Args:
            expectation: what the operation had to lead to.
            outcomes: how it ended on each rank.
            victims: ranks where the finding's own fault struck.
        """
        endings = observed(expectation, outcomes, victims)
        return all(self._allows(role, ended) for role, seen in endings.items() for ended in seen)

    def _allows(self, role: Role, ended: str) -> bool:
        if role == "coordinating_victim" and role not in self.roles:
            role = "victim"
        return role in self.roles and matches(self.roles[role], ended)


def matches(patterns: Iterable[str], text: str) -> bool:
    """Whether one of the shell patterns describes the whole text."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def observed(expectation: Expectation, outcomes: Mapping[int, Outcome], victims: Iterable[int]) -> dict[Role, frozenset[str]]:
    """How each role ended.

    Args:
        expectation: what the operation had to lead to; says who coordinates.
        outcomes: how it ended on each rank.
        victims: ranks where the fault in question struck.

    Returns:
        For each role that a rank had, the different ways in which its ranks ended.
    """
    struck = set(victims)
    seen: dict[Role, set[str]] = {}
    for rank, outcome in outcomes.items():
        role: Role = "victim" if rank in struck else "other"
        if rank == expectation.coordinator:
            role = "coordinating_victim" if rank in struck else "coordinator"
        seen.setdefault(role, set()).add(_ended(outcome, expectation))
    return {role: frozenset(endings) for role, endings in seen.items()}


def _ended(outcome: Outcome, expectation: Expectation) -> str:
    """How one rank ended: ``returned``, ``hung <where>``, ``raised <error>``, ``raised CheckpointException in <step>, <which> ranks: <errors>``."""
    if outcome.kind == "hung":
        return f"hung {outcome.where}"
    if outcome.kind != "raised" or outcome.error is None:
        return outcome.kind
    injected = [acting.error for acting in expectation.decisive if acting.error is not None]
    told = outcome.error.failures
    if told is None:
        return f"raised {_said(outcome.error, injected)}"
    whom = "exact ranks" if set(told) == set(expectation.failures) else "wrong ranks"
    different = {_said(error, injected) for rank, error in told.items() if error != expectation.failures.get(rank)}
    return f"raised CheckpointException in {outcome.error.step}, {whom}: {'; '.join(sorted(different)) or _INJECTED}"


_INJECTED = "the injected error"


def _said(error: ErrorRecord, injected: Sequence[ErrorRecord]) -> str:
    """An error in words; what it quotes of an injected one is left out, since that differs from plan to plan."""
    if error in injected:
        return _INJECTED
    message = error.message
    for one in injected:
        message = message.replace(one.message, f"<{_INJECTED}>") if one.message else message
    return f"{error.short_name}: {message}"
