"""What a storage owes of what is stored already: a checkpoint that a save replaces, and one that was damaged."""

from __future__ import annotations

import pytest

from ckpt_harness.campaigns.damage import Damages, damages
from ckpt_harness.campaigns.damage_kinds import DAMAGE_KINDS, DamageKind
from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.conformance.base import Conformance, Kit
from ckpt_harness.conformance.calls import at, lies
from ckpt_harness.conformance.disk import few
from ckpt_harness.errors import OracleViolation
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import SITES
from ckpt_harness.judging.expectation import DAMAGES

_SAVING = [site.name for site in SITES.values() if site.side in ("writer", "fs") and "save" in site.operations]


class Overwriting(Conformance):
    """Saves onto a checkpoint."""

    @pytest.mark.parametrize("site", _SAVING)
    def test_a_failed_overwrite_leaves_nothing_that_loads_and_is_wrong(self, kit: Kit, site: str) -> None:
        """What loads afterwards is of one save only, and everybody knows of the failure."""
        __tracebackhide__ = True
        kit.hold(_overwritten(kit, site), *_BUT_COMMITMENT)

    @pytest.mark.parametrize("site", _SAVING)
    def test_a_failed_overwrite_leaves_the_old_or_the_new(self, kit: Kit, site: str) -> None:
        """Whole, whatever fails and whenever."""
        __tracebackhide__ = True
        kit.hold(_overwritten(kit, site), "commitment", about=Capability.ATOMIC_OVERWRITE)


_BUT_COMMITMENT = ("bounded", "agreement", "attribution", "fired", "purity", "integrity", "course", "filled", "hygiene", "recovery")


def _overwritten(kit: Kit, site: str) -> list[CaseResult]:
    disk = SITES[site].side == "fs"
    if disk:
        kit.needs(Capability.FILE_SYSTEM)
    sweep = Sweep(("save",), onto="checkpoint", disk=disk)
    return kit.swept(sweep, lambda case: at(case, "save", site) and few(case) and not lies(case) and not isinstance(case.plan.faults[0].effect, DAMAGES))


class Damage(Conformance):
    """Damage to files that were stored."""

    @pytest.mark.parametrize("ranks", [2, 3])
    def test_a_missing_file_is_noticed(self, kit: Kit, ranks: int) -> None:
        """Whatever single file goes missing after the save: a load fails on all ranks, or has everything all the same."""
        __tracebackhide__ = True
        _insist(kit, damages(kit.engine.name, ranks, ("missing",)))

    @pytest.mark.parametrize("kind", DAMAGE_KINDS[1:])
    def test_a_damaged_file_is_noticed(self, kit: Kit, kind: DamageKind) -> None:
        """Whatever single file is damaged after the save, likewise."""
        __tracebackhide__ = True
        _insist(kit, damages(kit.engine.name, kinds=(kind,)), about=Capability.CHECKSUMS)


def _insist(kit: Kit, found: Damages, about: Capability | None = None) -> None:
    __tracebackhide__ = True
    broken = found.broken()
    beside = about if about is not None and not kit.claims(about) else None
    bad = [one for one in broken if beside is None or one.needs is not beside]
    if bad:
        raise OracleViolation("\n".join([*(f"{one.claim}; with {one.what}, a reader gets: {one.shown}" for one in bad), found.replay_line()]))
    if beside is not None:
        kit.tell(beside, held=not broken)
