"""Signatures: how the ranks end when a finding shows, in words that hold for any number of ranks and any coordinator."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from ckpt_harness.findings.vague import allows_every_end
from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Acting, Expectation

Role = Literal["victim", "coordinating_victim", "coordinator", "other"]
ROLES: tuple[Role, ...] = ("victim", "coordinating_victim", "coordinator", "other")
"""The role of a rank. The finding's own fault struck the victim, or a victim that also coordinates; then there are the coordinator and the other ranks."""

PLANNER = "<planner>"
"""Stands in a pattern for the class name of the save planner."""

_INJECTED = "the injected error"


@dataclass(frozen=True)
class Signature:
    """One way in which a finding shows: how the ranks of each role end.

    Attributes:
        roles: role -> patterns of how a rank of that role ended. A victim that coordinates is compared with the patterns of ``victim`` unless
            ``coordinating_victim`` has patterns of its own.
        sites: patterns of the decisive fault's site. The signature is for these sites only.
        effects: patterns of the decisive fault's effect. The signature is for these effects only.
        calls: patterns of how the operation is called, as in an entry. The signature is for these calls only.
        torch: patterns of releases of torch. The signature is for these releases only.
        oracles: patterns of oracles. The signature is for violations that these oracles found.
    """

    roles: Mapping[Role, tuple[str, ...]]
    sites: tuple[str, ...] = ("*",)
    effects: tuple[str, ...] = ("*",)
    calls: tuple[str, ...] = ("*",)
    torch: tuple[str, ...] = ("*",)
    oracles: tuple[str, ...] = ("*",)

    @property
    def says_nothing(self) -> bool:
        """Whether the signature allows any end on every rank, so that anything could hide behind it.

        Example:
            >>> Signature({"victim": ("*",), "other": ("returned", "dead", "hung *", "raised *")}).says_nothing
            True
            >>> Signature({"victim": ("*",), "other": ("returned",)}).says_nothing
            False
        """
        return all(map(allows_every_end, self.roles.values()))

    def with_planner(self, name: str) -> Signature:
        """Returns the signature with the class name of the save planner in place of ``<planner>``.

        Example:
            >>> Signature({"victim": ("raised KeyError: '<planner>'",)}).with_planner("MyPlanner").roles["victim"]
            ("raised KeyError: 'MyPlanner'",)
        """
        named: dict[Role, tuple[str, ...]] = {}
        for role, patterns in self.roles.items():
            named[role] = tuple(pattern.replace(PLANNER, name) for pattern in patterns)
        return replace(self, roles=named)

    def victims(self, deciding: Sequence[Acting]) -> set[int]:
        """The ranks on which a decisive fault struck that this signature is for.

        Args:
            deciding: the decisive faults that the finding is about.
        """
        return {acting.rank for acting in deciding if self._is_for(acting)}

    def _is_for(self, acting: Acting) -> bool:
        fault = acting.bound.fault
        at_site = matches(self.sites, acting.where) or matches(self.sites, fault.site)
        return at_site and matches(self.effects, str(fault.effect))

    def shows(self, expectation: Expectation, outcomes: Mapping[int, Outcome], deciding: Sequence[Acting]) -> bool:
        """Whether every rank ended as the signature says, and at least one of the ranks is a victim.

        Args:
            expectation: what the operation had to lead to.
            outcomes: how the operation ended on each rank.
            deciding: the decisive faults that the finding is about.
        """
        victims = self.victims(deciding)
        return not victims.isdisjoint(outcomes) and self.allows(expectation, outcomes, victims)

    def allows(self, expectation: Expectation, outcomes: Mapping[int, Outcome], victims: Iterable[int]) -> bool:
        """Whether every rank ended as the signature says.

        Args:
            expectation: what the operation had to lead to.
            outcomes: how the operation ended on each rank.
            victims: the ranks on which the finding's own fault struck.
        """
        endings = observed(expectation, outcomes, victims)
        return all(self._allows(role, ending) for role, of_role in endings.items() for ending in of_role)

    def _allows(self, role: Role, ending: str) -> bool:
        if role == "coordinating_victim" and role not in self.roles:
            role = "victim"
        return role in self.roles and matches(self.roles[role], ending)


@functools.cache
def torch_release() -> str:
    """The installed release of torch, without its build, such as ``2.13.0``. Torch itself is not imported."""
    return importlib.metadata.version("torch").partition("+")[0]


def matches(patterns: Iterable[str], text: str) -> bool:
    """Whether at least one of the shell patterns matches the whole text.

    Example:
        >>> matches(["writer.*", "reader.*"], "writer.finish")
        True
        >>> matches(["finish"], "writer.finish")
        False
    """
    return _matches(tuple(patterns), text)


@functools.lru_cache(maxsize=1 << 14)  # each violation is compared with all entries of the register, and many violations end in the same few ways
def _matches(patterns: tuple[str, ...], text: str) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def observed(expectation: Expectation, outcomes: Mapping[int, Outcome], victims: Iterable[int]) -> dict[Role, frozenset[str]]:
    """How the ranks of each role ended, in the words that the patterns of a signature have to match.

    Args:
        expectation: what the operation had to lead to; it says which rank coordinates.
        outcomes: how the operation ended on each rank.
        victims: the ranks on which the fault in question struck.

    Returns:
        For each role that a rank had, the different ways in which its ranks ended.
    """
    struck = set(victims)
    endings: dict[Role, set[str]] = {}
    for rank, outcome in outcomes.items():
        role = _role(rank in struck, rank == expectation.coordinator)
        endings.setdefault(role, set()).add(_ending(outcome, expectation))
    return {role: frozenset(of_role) for role, of_role in endings.items()}


def _role(struck: bool, coordinates: bool) -> Role:
    if coordinates:
        return "coordinating_victim" if struck else "coordinator"
    return "victim" if struck else "other"


def _ending(outcome: Outcome, expectation: Expectation) -> str:
    """One of ``returned``, ``hung <where>``, ``raised <error>``, ``raised CheckpointException in <step>, <which> ranks: <errors>``."""
    if outcome.kind == "hung":
        return f"hung {outcome.where}"
    if outcome.kind != "raised" or outcome.error is None:
        return outcome.kind
    injected = [acting.error for acting in expectation.decisive if acting.error is not None]
    reported = outcome.error.failures
    if reported is None:
        return f"raised {_in_words(outcome.error, injected)}"
    ranks = "exact ranks" if set(reported) == set(expectation.failures) else "wrong ranks"
    different = {_in_words(error, injected) for rank, error in reported.items() if error != expectation.failures.get(rank)}
    return f"raised CheckpointException in {outcome.error.step}, {ranks}: {'; '.join(sorted(different)) or _INJECTED}"


def _in_words(error: ErrorRecord, injected: Sequence[ErrorRecord]) -> str:
    """An error in words. Quotations of an injected error's message are replaced, since that message differs from plan to plan."""
    if error in injected:
        return _INJECTED
    message = error.message
    for original in injected:
        if original.message:
            message = message.replace(original.message, f"<{_INJECTED}>")
    return f"{error.short_name}: {message}"
