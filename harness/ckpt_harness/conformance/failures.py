"""What a storage owes where one of its methods fails, or what it calls itself: everybody is told, nothing half done is committed, a retry works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ckpt_harness.cases.result import CaseResult
from ckpt_harness.conformance.base import Conformance, Kit
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
    """Every method of the storage fails once, on the last rank or on the only one that calls it, and so does what the storage calls itself."""
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


def _outcome(kit: Kit, failure: Failure) -> CaseResult:
    return kit.run(kit.case(failure.plan, failure.operation, failure.ranks))


class Failures(Conformance):
    """Exceptions, by the claim that they test."""

    @pytest.mark.parametrize("ranks", [2, 3])
    @pytest.mark.parametrize("operation", ["save", "load"])
    def test_what_is_saved_loads_bit_equal(self, kit: Kit, operation: OperationKind, ranks: int) -> None:
        """Where nothing fails, all ranks succeed, and everything is there, at another number of ranks too."""
        kit.hold([kit.run(kit.case("", operation, ranks))])

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_every_rank_learns_of_a_failure(self, kit: Kit, failure: Failure) -> None:
        """Propagation: all ranks fail, in time; none reports success, none hangs."""
        __tracebackhide__ = True
        result = _outcome(kit, failure)
        silent = result.expectation.ending is Ending.FAILS and any(one.kind == "returned" for one in result.outcomes.values())
        kit.hold([result], "bounded", "agreement", "fired", *["attribution"] * silent, about=Capability.COLLECTIVES)

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_every_rank_is_told_who_failed_and_of_what(self, kit: Kit, failure: Failure) -> None:
        """Attribution: a ``CheckpointException`` on every rank names exactly the rank that failed, with its own error."""
        __tracebackhide__ = True
        kit.hold([_outcome(kit, failure)], "attribution", about=Capability.COLLECTIVES)

    @pytest.mark.parametrize("failure", [one for one in FAILURES if one.operation == "save"], ids=str)
    def test_nothing_half_done_is_committed(self, kit: Kit, failure: Failure) -> None:
        """Commitment: a save that failed leaves nothing that reads as a checkpoint, and the one before it as it was."""
        __tracebackhide__ = True
        kit.hold([_outcome(kit, failure)], "commitment", about=Capability.COMMIT_MARKER)

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_the_same_processes_can_try_again(self, kit: Kit, failure: Failure) -> None:
        """Recovery: with the fault healed, the same writer or reader succeeds."""
        __tracebackhide__ = True
        kit.hold([_outcome(kit, failure)], "recovery")
