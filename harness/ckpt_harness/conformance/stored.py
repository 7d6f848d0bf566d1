"""What a storage owes to a checkpoint that is stored already: one that a save replaces, and one whose files are damaged."""

from __future__ import annotations

import pytest

from ckpt_harness.campaigns.damage import Damages, damages
from ckpt_harness.campaigns.damage_kinds import DAMAGE_KINDS, DamageKind
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.conformance.base import Conformance
from ckpt_harness.conformance.kit import Kit
from ckpt_harness.conformance.selection import damages_bytes, in_sample, lies, sites_of, strikes
from ckpt_harness.errors import OracleViolation
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import SITES

_SAVING = [name for operation, name in sites_of("writer", "fs") if operation == "save"]
_ALL_BUT_COMMITMENT = ("bounded", "agreement", "attribution", "fired", "purity", "integrity", "course", "filled", "hygiene", "recovery")


class Overwriting(Conformance):
    """Saves that replace a checkpoint."""

    @pytest.mark.parametrize("site", _SAVING)
    def test_a_failed_overwrite_leaves_no_checkpoint_that_loads_wrong(self, kit: Kit, site: str) -> None:
        """What loads afterwards has the values of one save only, and every rank learns of the failure."""
        __tracebackhide__ = True
        kit.check(_overwrites(kit, site), *_ALL_BUT_COMMITMENT)

    @pytest.mark.parametrize("site", _SAVING)
    def test_a_failed_overwrite_leaves_the_old_or_the_new_checkpoint(self, kit: Kit, site: str) -> None:
        """A whole checkpoint, whatever fails and whenever."""
        __tracebackhide__ = True
        kit.check(_overwrites(kit, site), "commitment", about=Capability.ATOMIC_OVERWRITE)


def _overwrites(kit: Kit, site: str) -> list[CaseResult]:
    on_disk = SITES[site].side == "fs"
    if on_disk:
        kit.require(Capability.FILE_SYSTEM)
    return kit.run_sweep(
        Sweep(("save",), onto="checkpoint", disk=on_disk),
        lambda case: strikes(case, "save", site) and in_sample(case) and not lies(case) and not damages_bytes(case),
    )


class Damage(Conformance):
    """Damage to stored files."""

    @pytest.mark.parametrize("ranks", [2, 3])
    def test_a_missing_file_is_noticed(self, kit: Kit, ranks: int) -> None:
        """Without any single file of the checkpoint, a load fails on all ranks, or still gets everything."""
        __tracebackhide__ = True
        _check(kit, damages(Scene(kit.engine.name, ranks=ranks), ("missing",)))

    @pytest.mark.parametrize("kind", DAMAGE_KINDS[1:])
    def test_a_damaged_file_is_noticed(self, kit: Kit, kind: DamageKind) -> None:
        """With any single file of the checkpoint damaged, likewise."""
        __tracebackhide__ = True
        _check(kit, damages(Scene(kit.engine.name), (kind,)), about=Capability.CHECKSUMS)


def _check(kit: Kit, result: Damages, about: Capability | None = None) -> None:
    """Asserts that damage is noticed; violations that need the unclaimed capability ``about`` skip the test."""
    __tracebackhide__ = True
    unclaimed = about if about is not None and not kit.claims(about) else None
    broken = result.broken()
    failed = [damaged for damaged in broken if unclaimed is None or damaged.needs is not unclaimed]
    if failed:
        claims = [f"{damaged.claim}; with {damaged.what}, a reader gets: {damaged.shown}" for damaged in failed]
        raise OracleViolation("\n".join([*claims, result.replay_line()]))
    if unclaimed is not None:
        kit.skip_unclaimed(unclaimed, held=not broken)
