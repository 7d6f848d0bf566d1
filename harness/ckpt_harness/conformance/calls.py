"""What a storage owes when a call of one of its methods goes wrong in any way, and in every style of calling the engine.

Not tried: errors that cannot cross ranks, which concern the engine and not the storage; ``check_engine`` tries them.
"""

from __future__ import annotations

import pytest

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.conformance.base import Conformance
from ckpt_harness.conformance.kit import Kit
from ckpt_harness.conformance.selection import LIES, Called, lies, sites_of, strikes, where_possible
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import OperationKind

_METHODS = sites_of("writer", "reader")


class Calls(Conformance):
    """Calls of the storage's methods, each struck in turn."""

    @pytest.mark.parametrize(("operation", "site"), _METHODS)
    def test_every_rank_learns_what_befell_a_call(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """Each call fails, before it acts or after, once or for ever, is late, hangs, or is the last call before its rank dies."""
        __tracebackhide__ = True
        kit.check(kit.run_sweep(Sweep(), lambda case: strikes(case, operation, site) and not lies(case)))

    @pytest.mark.parametrize(("operation", "site"), where_possible(_METHODS, LIES))
    def test_a_call_that_lies_is_noticed(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """A call that reports success and did nothing, or returns another value, is detected, or harmless."""
        __tracebackhide__ = True
        kit.check(kit.run_sweep(Sweep(), lambda case: strikes(case, operation, site) and lies(case)), about=Capability.DETECTS_LIES)


_NOTHING = "nothing"
_FAILING_IN_SAVES = (_NOTHING, "writer.write_data", "writer.finish")
_FAILING_IN_LOADS = (_NOTHING, "reader.read_data")
_FAILING: list[Called] = [*(("save", failing) for failing in _FAILING_IN_SAVES), *(("load", failing) for failing in _FAILING_IN_LOADS)]


def _plan(failing: str, rank: int) -> str:
    return "" if failing == _NOTHING else f"{failing}@{rank}=raise(OSError:EIO)"


class CallStyles(Conformance):
    """Other styles of calling the engine."""

    @pytest.mark.parametrize(("operation", "failing"), _FAILING)
    def test_another_rank_can_coordinate(self, kit: Kit, operation: OperationKind, failing: str) -> None:
        """Every claim holds with rank 1 as the coordinator, too."""
        __tracebackhide__ = True
        kit.require(Capability.ANY_COORDINATOR)
        kit.check([kit.run(kit.case(_plan(failing, 1), operation, coordinator=1))])

    @pytest.mark.parametrize("failing", _FAILING_IN_SAVES)
    def test_ranks_can_save_without_collectives(self, kit: Kit, failing: str) -> None:
        """Each rank commits its own part; a checkpoint in which every rank has its marker is whole."""
        __tracebackhide__ = True
        kit.require(Capability.WITHOUT_COLLECTIVES)
        kit.check([kit.run(kit.case(_plan(failing, 1), "save", way="no_collectives"))])

    @pytest.mark.parametrize(("operation", "failing"), _FAILING)
    def test_one_process_can_do_without_a_group(self, kit: Kit, operation: OperationKind, failing: str) -> None:
        """The process gets the error of the failed call, and can try again."""
        __tracebackhide__ = True
        kit.check([kit.run(kit.case(_plan(failing, 0), operation, 1, way="alone"))])

    @pytest.mark.parametrize("failing", _FAILING_IN_SAVES)
    def test_a_save_can_run_in_the_background(self, kit: Kit, failing: str) -> None:
        """An async save stores what was staged; on every rank its future reports a failure."""
        __tracebackhide__ = True
        kit.check([kit.run(kit.case(_plan(failing, 0), "async_save", staging="blocking"))])
