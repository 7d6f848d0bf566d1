"""What a storage owes when one of its methods fails, or a method that the storage itself calls: all ranks fail, nothing partial is committed, a retry works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ckpt_harness.cases.result import CaseResult
from ckpt_harness.conformance.base import Conformance
from ckpt_harness.conformance.kit import Kit
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.judging.expectation import Ending


class Failure(NamedTuple):
    """A way in which an operation fails.

    Attributes:
        operation: ``save`` or ``load``.
        ranks: size of the world.
        plan: text of the plan.
    """

    operation: OperationKind
    ranks: int
    plan: str

    def __str__(self) -> str:
        return f"{self.operation}-{self.ranks}-{self.plan}"


def _failures() -> Iterator[Failure]:
    """Every method of the storage and of the planner fails once, on the last rank or, if only the coordinator calls the method, there."""
    for ranks in (2, 3):
        victim = ranks - 1
        for method in ("set_up_storage_writer", "prepare_local_plan", "write_data"):
            yield Failure("save", ranks, f"writer.{method}@{victim}=raise(OSError:EIO)")
        yield Failure("save", ranks, f"writer.write_data.future@{victim}=failfuture(wait, OSError:EIO)")
        for method in ("prepare_global_plan", "finish"):
            yield Failure("save", ranks, f"writer.{method}@coordinator=raise(OSError:EIO)")
        yield Failure("save", ranks, f"save_planner.resolve_data@{victim}=raise(OSError:EIO)?")
        for method in ("set_up_storage_reader", "prepare_local_plan", "read_data"):
            yield Failure("load", ranks, f"reader.{method}@{victim}=raise(OSError:EIO)")
        yield Failure("load", ranks, f"reader.read_data.future@{victim}=failfuture(wait, OSError:EIO)")
        yield Failure("load", ranks, "reader.prepare_global_plan@coordinator=raise(OSError:EIO)")
        for method in ("load_bytes", "resolve_tensor", "commit_tensor"):
            yield Failure("load", ranks, f"load_planner.{method}@{victim}=raise(OSError:EIO)?")


FAILURES = tuple(_failures())
FAILED_SAVES = tuple(failure for failure in FAILURES if failure.operation == "save")


def _result(kit: Kit, failure: Failure) -> CaseResult:
    return kit.run(kit.case(failure.plan, failure.operation, failure.ranks))


class Failures(Conformance):
    """Exceptions; a test for each claim."""

    @pytest.mark.parametrize("ranks", [2, 3])
    @pytest.mark.parametrize("operation", ["save", "load"])
    def test_what_is_saved_loads_bit_equal(self, kit: Kit, operation: OperationKind, ranks: int) -> None:
        """Where nothing fails, all ranks succeed, and every value loads, at another number of ranks too."""
        __tracebackhide__ = True
        kit.check([kit.run(kit.case("", operation, ranks))])

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_every_rank_learns_of_a_failure(self, kit: Kit, failure: Failure) -> None:
        """Propagation: all ranks fail, in time; no rank reports success, no rank hangs."""
        __tracebackhide__ = True
        result = _result(kit, failure)
        oracles = ["bounded", "agreement", "fired"]
        if result.expectation.ending is Ending.FAILS and any(outcome.kind == "returned" for outcome in result.outcomes.values()):
            oracles.append("attribution")  # where all ranks report success alike, no other oracle objects
        kit.check([result], *oracles, about=Capability.COLLECTIVES)

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_every_rank_reports_which_rank_failed_and_why(self, kit: Kit, failure: Failure) -> None:
        """Attribution: a ``CheckpointException`` on every rank names exactly the rank that failed, with its own error."""
        __tracebackhide__ = True
        kit.check([_result(kit, failure)], "attribution", about=Capability.COLLECTIVES)

    @pytest.mark.parametrize("failure", FAILED_SAVES, ids=str)
    def test_no_partial_checkpoint_is_committed(self, kit: Kit, failure: Failure) -> None:
        """Commitment: a save that failed leaves nothing that reads as a checkpoint, and the previous checkpoint as it was."""
        __tracebackhide__ = True
        kit.check([_result(kit, failure)], "commitment", about=Capability.COMMIT_MARKER)

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_the_same_processes_can_try_again(self, kit: Kit, failure: Failure) -> None:
        """Recovery: once the fault is healed, the same writer or reader succeeds."""
        __tracebackhide__ = True
        kit.check([_result(kit, failure)], "recovery")
