"""No false alarms: with DCP's protocol repaired and an empty register, a correct storage violates no claim."""

from __future__ import annotations

from typing import Any

import pytest
from bugs_disk import ATOMIC

from ckpt_harness.campaigns.crashes import crashes
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.rig import Rig
from ckpt_harness.disk.durability import MODELS, Model
from ckpt_harness.engines.names import find_engine
from ckpt_harness.faults.protocol import Capability

pytestmark = pytest.mark.usefixtures("silence")


def _sweep(operation: Any, ranks: int, coordinator: int, **more: Any) -> Sweep:
    return Sweep((operation,), (ranks,), (coordinator,), engine=ATOMIC, **more)


def test_the_engine_claims_everything_that_a_disk_allows() -> None:
    """So that no claim below holds only because the engine does not make it."""
    beyond = {Capability.WITHOUT_COLLECTIVES, Capability.DETECTS_LIES, Capability.OBJECT_STORE, Capability.RETENTION}
    assert find_engine(ATOMIC).capabilities == set(Capability) - beyond


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_every_crash_leaves_the_old_or_the_new_checkpoint(model: Model, ranks: int, overwrite: bool) -> None:
    """At every crash point and in every possible state of the disk; the new checkpoint as soon as the save has reported success."""
    report = crashes(Scene(engine=ATOMIC, ranks=ranks, overwrite=overwrite), model)
    assert report.exhaustive
    assert report.violated() == []
    assert set(report.shown) == {"old" if overwrite else "nothing", "new"}
    assert set(report.points[-1].shown) == {"new"}


DISK = {
    "save": (_sweep("save", 2, 0, disk=True), 1),
    "load": (_sweep("load", 2, 1, disk=True), 1),
    "save onto a checkpoint": (_sweep("save", 2, 0, disk=True, onto="checkpoint"), 1),
    "save of 3 onto a checkpoint": (_sweep("save", 3, 1, disk=True, onto="checkpoint"), 4),
    "async_save": (_sweep("async_save", 2, 0, disk=True), 2),
}
ABOVE = {
    "save": (_sweep("save", 2, 0), 11),
    "load": (_sweep("load", 2, 0), 5),
    "save of 3 onto a checkpoint": (_sweep("save", 3, 2, onto="checkpoint"), 17),
}


@pytest.mark.parametrize(("sweep", "every"), DISK.values(), ids=DISK)
def test_no_fault_of_the_disk_violates_a_claim(sweep: Sweep, every: int, rig: Rig) -> None:
    """Every system call with every effect: an error on all ranks, or success; the old or the new checkpoint is stored, or a load notices the damage."""
    _hold(sweep, every, rig)


@pytest.mark.parametrize(("sweep", "every"), ABOVE.values(), ids=ABOVE)
def test_no_fault_above_the_disk_violates_a_claim(sweep: Sweep, every: int, rig: Rig) -> None:
    """A part of the usual sweep of storage and planner calls."""
    _hold(sweep, every, rig)


def _hold(sweep: Sweep, every: int, rig: Rig) -> None:
    cases = [case for ground in sweep.grounds() for case in sweep.cases(rig, ground)][::every]
    assert len(cases) > 30
    for case in cases:
        rig.run(case).check()
