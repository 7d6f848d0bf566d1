"""What a storage owes where the disk below it fails, lies, damages bytes, or stops at a crash. Strikes at the file system in the storage's ``fs``."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ckpt_harness.campaigns.crashes import Crashes, crashes
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.conformance.base import RANKS, Conformance, Kit
from ckpt_harness.conformance.calls import LIES, OPERATIONS, Called, able, at, lies
from ckpt_harness.disk.durability import MODELS, Model
from ckpt_harness.disk.shown import Shown
from ckpt_harness.errors import OracleViolation
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.judging.expectation import DAMAGES

_DISK: list[Called] = [(kind, site.name) for kind in OPERATIONS for site in SITES.values() if site.side == "fs" and kind in site.operations]
_STATES = 100
"""States to look at for each point of a crash: a sample where the model allows more. ``ckpt-harness crash`` looks at more."""


def few(case: Case) -> bool:
    """Whether a case is one of those that stand for the others at its site: a file is written in dozens of calls, all much alike."""
    nth = case.plan.faults[0].nth
    return nth & (nth - 1) == 0  # powers of two


def _damages(case: Case) -> bool:
    return isinstance(case.plan.faults[0].effect, DAMAGES)


class Disk(Conformance):
    """Calls below the storage."""

    @pytest.mark.parametrize(("operation", "site"), _DISK)
    def test_whatever_befalls_the_disk_everybody_knows(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """Each call fails, before it acts or after, once or for ever, finds the disk full, writes too little, is late, or is its rank's last."""
        __tracebackhide__ = True
        kit.needs(Capability.FILE_SYSTEM)
        kit.hold(kit.swept(Sweep(disk=True), lambda case: at(case, operation, site) and few(case) and not lies(case) and not _damages(case)))

    @pytest.mark.parametrize(("operation", "site"), able(_DISK, DAMAGES))
    def test_bytes_that_are_damaged_on_their_way_are_detected(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """Flipped, zeroed, cut off, stale, or in another file: whoever loads them is told, or gets what was saved."""
        __tracebackhide__ = True
        kit.needs(Capability.FILE_SYSTEM)
        kit.hold(kit.swept(Sweep(disk=True), lambda case: at(case, operation, site) and few(case) and _damages(case)), about=Capability.CHECKSUMS)

    @pytest.mark.parametrize(("operation", "site"), able(_DISK, LIES))
    def test_a_disk_that_lies_is_noticed(self, kit: Kit, operation: OperationKind, site: str) -> None:
        """It says yes and did nothing: that is detected, or harmless."""
        __tracebackhide__ = True
        kit.needs(Capability.FILE_SYSTEM)
        kit.hold(kit.swept(Sweep(disk=True), lambda case: at(case, operation, site) and few(case) and lies(case)), about=Capability.DETECTS_LIES)


def _found(kit: Kit, model: Model, *, overwrite: bool) -> Crashes:
    kit.needs(Capability.FILE_SYSTEM)
    scene = Scene(kit.engine.name, ranks=RANKS, overwrite=overwrite)
    return kit.once((scene, model), lambda: crashes(scene, model, limit=_STATES))


class CrashStates(Conformance):
    """Every state that a crash during a save may leave."""

    @pytest.mark.parametrize("overwrite", [False, True], ids=["fresh", "overwrite"])
    @pytest.mark.parametrize("model", MODELS)
    def test_no_crash_leaves_what_reads_as_a_checkpoint_and_is_none(self, kit: Kit, model: Model, overwrite: bool) -> None:
        """Whatever survives a kill or a power cut loads bit-equal on every rank, or fails on every rank."""
        __tracebackhide__ = True
        _insist(kit, _found(kit, model, overwrite=overwrite), None)

    @pytest.mark.parametrize("model", MODELS)
    def test_a_crash_while_overwriting_leaves_the_old_or_the_new(self, kit: Kit, model: Model) -> None:
        """There is one checkpoint at any moment."""
        __tracebackhide__ = True
        _insist(kit, _found(kit, model, overwrite=True), Capability.ATOMIC_OVERWRITE)

    @pytest.mark.parametrize("overwrite", [False, True], ids=["fresh", "overwrite"])
    @pytest.mark.parametrize("model", MODELS[1:])  # what the system has, a kill cannot take away
    def test_what_was_reported_as_saved_survives_a_power_cut(self, kit: Kit, model: Model, overwrite: bool) -> None:
        """From the moment on at which the save returned."""
        __tracebackhide__ = True
        _insist(kit, _found(kit, model, overwrite=overwrite), Capability.DURABLE_COMMIT)


def _insist(kit: Kit, found: Crashes, about: Capability | None) -> None:
    __tracebackhide__ = True
    broken = [(claim, kind) for claim, kind, needs in found.violated() if needs is about]
    known = found.known(kit.registers)
    new = [one for one in broken if one[1] not in known]
    if about is not None and not kit.claims(about):
        kit.tell(about, held=not broken)
    if new:
        lines = [f"{claim}; a reader may get: {kind}" for claim, kind in new]
        raise OracleViolation("\n".join([*lines, *_shortest(found, new[0][1]), found.replay_line(kit.registers.files)]))
    kit.expect(known[kind] for _, kind in broken)


def _shortest(found: Crashes, kind: Shown) -> Sequence[str]:
    example = next(one for one in found.examples if one.shown == kind)
    return [
        f"{kind}: a crash after {example.number} operations, of which these matter:",
        *(f"  {op}" for op in example.ops),
        *(f"  left  {text}" for text in example.left),
    ]
