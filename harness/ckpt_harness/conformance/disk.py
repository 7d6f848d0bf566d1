"""What a storage owes when the disk below it fails, lies, damages bytes, or stops in a crash. Faults strike the file system in the storage's ``fs``."""

from __future__ import annotations

import pytest

from ckpt_harness.campaigns.crashes import Crashes, crashes
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.conformance.base import Conformance
from ckpt_harness.conformance.kit import RANKS, Kit
from ckpt_harness.conformance.selection import LIES, damages_bytes, in_sample, lies, sites_of, strikes, where_possible
from ckpt_harness.disk.durability import MODELS, Model
from ckpt_harness.disk.shown import Shown
from ckpt_harness.errors import OracleViolation
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.judging.expectation import DAMAGES

_DISK = sites_of("fs")
_STATES = 100
"""Most states to load for each point of a crash; where the model allows more, a sample. ``ckpt-harness crash`` loads more."""
_POWER_CUTS = MODELS[1:]
"""Models in which data that the system holds can get lost; a kill of the processes cannot do that."""


class Disk(Conformance):
    """Calls below the storage."""

    @pytest.mark.parametrize(("operation", "site"), _DISK)
    def test_every_rank_learns_what_befell_the_disk(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """Each call fails, before it acts or after, once or for ever, finds the disk full, writes too little, is late, or is its rank's last."""
        __tracebackhide__ = True
        kit.require(Capability.FILE_SYSTEM)
        kit.check(
            kit.run_sweep(
                Sweep(disk=True),
                lambda case: strikes(case, operation, site) and in_sample(case) and not lies(case) and not damages_bytes(case),
            )
        )

    @pytest.mark.parametrize(("operation", "site"), where_possible(_DISK, DAMAGES))
    def test_bytes_damaged_on_their_way_are_detected(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """Flipped, zeroed, cut off, stale, or in another file: a load of the bytes fails, or gets what was saved."""
        __tracebackhide__ = True
        kit.require(Capability.FILE_SYSTEM)
        results = kit.run_sweep(Sweep(disk=True), lambda case: strikes(case, operation, site) and in_sample(case) and damages_bytes(case))
        kit.check(results, about=Capability.CHECKSUMS)

    @pytest.mark.parametrize(("operation", "site"), where_possible(_DISK, LIES))
    def test_a_disk_that_lies_is_noticed(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """A call that reports success and did nothing is detected, or harmless."""
        __tracebackhide__ = True
        kit.require(Capability.FILE_SYSTEM)
        results = kit.run_sweep(Sweep(disk=True), lambda case: strikes(case, operation, site) and in_sample(case) and lies(case))
        kit.check(results, about=Capability.DETECTS_LIES)


class CrashStates(Conformance):
    """Every state that a crash during a save may leave."""

    @pytest.mark.parametrize("overwrite", [False, True], ids=["fresh", "overwrite"])
    @pytest.mark.parametrize("model", MODELS)
    def test_no_crash_leaves_a_checkpoint_that_loads_wrong(self, kit: Kit, model: Model, overwrite: bool) -> None:
        """Whatever survives a kill or a power cut loads bit-equal on every rank, or fails on every rank."""
        __tracebackhide__ = True
        _check(kit, _crashes(kit, model, overwrite=overwrite), None)

    @pytest.mark.parametrize("model", MODELS)
    def test_a_crash_while_overwriting_leaves_the_old_or_the_new_checkpoint(self, kit: Kit, model: Model) -> None:
        """At every moment a whole checkpoint exists."""
        __tracebackhide__ = True
        _check(kit, _crashes(kit, model, overwrite=True), Capability.ATOMIC_OVERWRITE)

    @pytest.mark.parametrize("overwrite", [False, True], ids=["fresh", "overwrite"])
    @pytest.mark.parametrize("model", _POWER_CUTS)
    def test_what_was_reported_as_saved_survives_a_power_cut(self, kit: Kit, model: Model, overwrite: bool) -> None:
        """From the moment at which the save returned."""
        __tracebackhide__ = True
        _check(kit, _crashes(kit, model, overwrite=overwrite), Capability.DURABLE_COMMIT)


def _crashes(kit: Kit, model: Model, *, overwrite: bool) -> Crashes:
    kit.require(Capability.FILE_SYSTEM)
    scene = Scene(kit.engine.name, ranks=RANKS, overwrite=overwrite)
    return kit.once((scene, model), lambda: crashes(scene, model, limit=_STATES))


def _check(kit: Kit, result: Crashes, about: Capability | None) -> None:
    """Asserts the claims that a crash can break and that need ``about``; None stands for claims that every storage owes."""
    __tracebackhide__ = True
    broken = [(claim, shown) for claim, shown, needs in result.violated() if needs is about]
    known = result.known(kit.registers)
    new = [(claim, shown) for claim, shown in broken if shown not in known]
    if about is not None and not kit.claims(about):
        kit.skip_unclaimed(about, held=not broken)
    if new:
        claims = [f"{claim}; a reader may get: {shown}" for claim, shown in new]
        raise OracleViolation("\n".join([*claims, *_shortest_crash(result, new[0][1]), result.replay_line(kit.registers.files)]))
    kit.expect_known(known[shown] for _, shown in broken)


def _shortest_crash(result: Crashes, shown: Shown) -> list[str]:
    """Lines that describe the shortest crash after which a reader gets ``shown``."""
    example = next(example for example in result.examples if example.shown == shown)
    heading = f"{shown}: a crash after {example.number} operations, of which these matter:"
    return [heading, *(f"  {operation}" for operation in example.ops), *(f"  left  {text}" for text in example.left)]
