"""Which cases of a sweep a test of the kit runs, by site and by kind of effect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ckpt_harness.cases.case import Case
from ckpt_harness.faults.effects import Effect, FailFuture, Raise
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.judging.expectation import DAMAGES, DECEPTIONS

LIES = tuple(effect for effect in DECEPTIONS if effect not in DAMAGES)
"""Effects after which a call reports success and did nothing, or returns another value."""
OPERATIONS: tuple[OperationKind, ...] = ("save", "load")
Called = tuple[OperationKind, str]
"""An operation, and the name of a site that it calls."""


def sites_of(*sides: str) -> list[Called]:
    """Returns the sites of some sides (``writer``, ``reader``, ``fs``), with each operation that calls them."""
    return [
        (operation, site.name) for operation in OPERATIONS for site in SITES.values() if site.side in sides and operation in site.operations
    ]


def where_possible(called: Iterable[Called], effects: Sequence[type[Effect]]) -> list[Called]:
    """Returns the sites at which at least one of some effects is possible."""
    return [(operation, name) for operation, name in called if any(effect.legal_at(SITES[name]) for effect in effects)]


def strikes(case: Case, operation: OperationKind, site: str) -> bool:
    """Whether a case of a sweep strikes a site with an effect that concerns the storage. Errors that cannot cross ranks concern the engine alone."""
    fault = case.plan.faults[0]
    if isinstance(fault.effect, Raise | FailFuture) and fault.effect.error != "InjectedFault":
        return False
    return case.operation == operation and fault.site == site


def lies(case: Case) -> bool:
    """Whether the struck call reports success and did nothing, or returns another value."""
    return isinstance(case.plan.faults[0].effect, LIES)


def damages_bytes(case: Case) -> bool:
    """Whether the fault damages bytes on their way to or from the disk."""
    return isinstance(case.plan.faults[0].effect, DAMAGES)


def in_sample(case: Case) -> bool:
    """Whether a case belongs to the sample of calls at its site: calls 1, 2, 4, 8, ... A file is written in dozens of similar calls."""
    nth = case.plan.faults[0].nth
    return nth & (nth - 1) == 0
