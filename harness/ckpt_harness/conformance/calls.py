"""What a storage owes whatever befalls a call of one of its methods, and in whichever way the engine is called.

Not tried: errors that cannot cross ranks, which are the engine's affair and not the storage's; ``check_engine`` has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.conformance.base import Conformance, Kit
from ckpt_harness.faults.effects import Effect, FailFuture, Raise
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.judging.expectation import DAMAGES, DECEPTIONS

LIES = tuple(one for one in DECEPTIONS if one not in DAMAGES)
OPERATIONS: tuple[OperationKind, ...] = ("save", "load")
Called = tuple[OperationKind, str]
"""An operation, and a site of it."""

_METHODS: list[Called] = [
    (kind, site.name) for kind in OPERATIONS for site in SITES.values() if site.side in ("writer", "reader") and kind in site.operations
]


def able(sites: Iterable[Called], effects: Sequence[type[Effect]]) -> list[Called]:
    """Those at which one of some effects means something."""
    return [one for one in sites if any(effect.legal_at(SITES[one[1]]) for effect in effects)]


def at(case: Case, operation: OperationKind, site: str) -> bool:
    """Whether a case of a sweep strikes a site, and with nothing that is the engine's affair alone."""
    fault = case.plan.faults[0]
    special = isinstance(fault.effect, Raise | FailFuture) and fault.effect.error != "InjectedFault"
    return case.operation == operation and fault.site == site and not special


def lies(case: Case) -> bool:
    """Whether a case says yes and does nothing, or hands back something else."""
    return isinstance(case.plan.faults[0].effect, LIES)


class Calls(Conformance):
    """Calls of the storage's methods, one by one."""

    @pytest.mark.parametrize(("operation", "site"), _METHODS)
    def test_whatever_befalls_a_call_everybody_knows(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """Each call fails, before it acts or after, once or for ever, is late, hangs, or is the last thing that its rank does."""
        __tracebackhide__ = True
        kit.hold(kit.swept(Sweep(), lambda case: at(case, operation, site) and not lies(case)))

    @pytest.mark.parametrize(("operation", "site"), able(_METHODS, LIES))
    def test_a_call_that_lies_is_noticed(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """It says yes and did nothing, or hands back something else: that is detected, or harmless."""
        __tracebackhide__ = True
        kit.hold(kit.swept(Sweep(), lambda case: at(case, operation, site) and lies(case)), about=Capability.DETECTS_LIES)


_NOTHING = "nothing"
_SAVING = (_NOTHING, "writer.write_data", "writer.finish")
_WAYS: list[Called] = [*(("save", failing) for failing in _SAVING), ("load", _NOTHING), ("load", "reader.read_data")]


def _plan(failing: str, rank: int) -> str:
    return "" if failing == _NOTHING else f"{failing}@{rank}=raise(OSError:EIO)"


class Ways(Conformance):
    """Other ways of calling."""

    @pytest.mark.parametrize(("operation", "failing"), _WAYS)
    def test_another_rank_can_coordinate(self, kit: Kit, operation: OperationKind, failing: str) -> None:
        """Everything that is owed is owed with rank 1 as the coordinator, too."""
        __tracebackhide__ = True
        kit.needs(Capability.ANY_COORDINATOR)
        kit.hold([kit.run(kit.case(_plan(failing, 1), operation, coordinator=1))])

    @pytest.mark.parametrize("failing", _SAVING)
    def test_ranks_can_save_without_collectives(self, kit: Kit, failing: str) -> None:
        """Each commits its own part: what reads as a checkpoint, with the marker of every rank, is whole."""
        __tracebackhide__ = True
        kit.needs(Capability.WITHOUT_COLLECTIVES)
        kit.hold([kit.run(kit.case(_plan(failing, 1), "save", way="no_collectives"))])

    @pytest.mark.parametrize(("operation", "failing"), _WAYS)
    def test_one_process_can_do_without_a_group(self, kit: Kit, operation: OperationKind, failing: str) -> None:
        """It is told what failed, and can try again."""
        __tracebackhide__ = True
        kit.hold([kit.run(kit.case(_plan(failing, 0), operation, 1, way="alone"))])

    @pytest.mark.parametrize("failing", _SAVING)
    def test_a_save_can_run_in_the_background(self, kit: Kit, failing: str) -> None:
        """It saves what was staged, and its future tells every rank of a failure."""
        __tracebackhide__ = True
        kit.hold([kit.run(kit.case(_plan(failing, 0), "async_save", staging="blocking"))])
