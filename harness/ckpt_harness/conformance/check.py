"""``check_engine``: one call that tries everything on an engine and reports every violation at once. It needs no pytest.

A capability is tested whether the engine claims it or not: a claimed capability that does not hold is a violation, and the report names a capability
that held without being claimed.

Not tried: everything that can befall an async save, kinds of planner, several groups and pairs of faults, which have sweeps of their own; faults that
take real processes; and capabilities of calling that are not claimed, since the engine cannot be called that way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from ckpt_harness.campaigns.crashes import crashes
from ckpt_harness.campaigns.damage import damages
from ckpt_harness.campaigns.pools.local import LocalPool
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.case import Case, usual_world
from ckpt_harness.cases.rig import Rig
from ckpt_harness.conformance.report import CheckInterrupted, EngineReport
from ckpt_harness.conformance.tally import Tally
from ckpt_harness.disk.durability import LIMIT, MODELS
from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.hooks import watched
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.findings.register import Register
from ckpt_harness.workloads.workload import find_workload

_LONGER = find_workload("longer")


def check_engine(
    engine: str | Engine,
    *,
    ranks: Sequence[int] = (2,),
    register: Register | None = None,
    every: int = 1,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EngineReport:
    """Makes every call of an engine fail, crashes it at every point, damages what it stores, and judges what follows.

    Takes minutes on a local file system; ``every`` shortens that. The command ``ckpt-harness check`` does the same.

    Args:
        engine: a name (``filesystem``, ``module:object`` or ``file.py:object``), or an engine that :func:`find_engine` finds by its name.
        ranks: world sizes.
        register: known findings; by default those that ship with the harness.
        every: run one in ``every`` faults, evenly spread, and the same share of the states after each crash. Cases without faults always run.
        jobs: number of processes that load states after crashes.
        progress: called with the number of finished cases and the number of all cases; then, for each kind of crash and each size of damage, with
            numbers of loaded states.

    Raises:
        UsageError: the engine does not exist, or its name does not lead to it.
        EngineError: the engine cannot save though nothing goes wrong, or cannot be looked at: a hook raises.
        CheckInterrupted: Ctrl-C; a KeyboardInterrupt that has the report on what ran.

    Example:
        Fail the test of a back end on every violation that is not known::

            from ckpt_harness import check_engine

            def test_the_engine_keeps_its_claims():
                report = check_engine("shelf.engine:ENGINE", ranks=(2, 3))
                assert report.ok, str(report)
    """
    name = engine if isinstance(engine, str) else engine.name
    found = find_engine(name)
    if not isinstance(engine, str) and found is not engine:
        raise UsageError(f"the name {quoted(name)} leads to another engine; name the engine module:object, so that replay lines find it")
    known = Register.shipped() if register is None else register
    sizes = tuple(ranks)
    tally = Tally(found, known)
    try:
        _check_everything(name, found, sizes, every, jobs, tally, progress)
    except KeyboardInterrupt as error:
        raise CheckInterrupted(tally.report(name)) from error
    return tally.report(name)


def _check_everything(
    name: str, found: Engine, sizes: tuple[int, ...], every: int, jobs: int, tally: Tally, progress: Callable[[int, int], None]
) -> None:
    with Rig(register=tally.register) as rig:
        _check_cases(name, found, sizes, every, rig, tally, progress)
    in_directory = "://" not in watched(found).place(rig.root, "x")
    if not in_directory or "way" in found.usual:  # crashes and damage are those of a save by all ranks together, in a directory
        return
    if Capability.FILE_SYSTEM in found.capabilities:
        _check_crashes(name, max(sizes), max(1, LIMIT // every), jobs, tally, progress)
    for size in sizes:
        tally.add_damages(damages(Scene(name, ranks=size), progress=progress))


def _check_cases(
    name: str, engine: Engine, sizes: tuple[int, ...], every: int, rig: Rig, tally: Tally, progress: Callable[[int, int], None]
) -> None:
    cases = [case for sweep in _sweeps(name, engine, sizes) for case in plan_sweep(sweep, rig)[0]]
    cases += _other_calls(name, engine, sizes)
    chosen = [case for number, case in enumerate(dict.fromkeys(cases)) if not case.plan or number % every == 0]
    for number, case in enumerate(chosen, 1):
        tally.add(rig.run(case))
        progress(number, len(chosen))


def _check_crashes(name: str, ranks: int, limit: int, jobs: int, tally: Tally, progress: Callable[[int, int], None]) -> None:
    for model in MODELS:
        for overwrite in (False, True):
            try:
                tally.add_crashes(crashes(Scene(name, ranks=ranks, overwrite=overwrite), model, limit=limit, pool=LocalPool(jobs), progress=progress))
            except UsageError as error:  # for example: it writes past its file system; everything else is still reported
                tally.add_failure(str(error))


def _sweeps(name: str, engine: Engine, sizes: tuple[int, ...]) -> Iterator[Sweep]:
    """The sweeps that fit an engine."""
    plain = Sweep(("save", "load"), sizes, engine=name, world=usual_world(name))
    yield plain
    yield dataclasses.replace(plain, operations=("save",), onto="checkpoint")
    if Capability.FILE_SYSTEM in engine.capabilities:
        yield dataclasses.replace(plain, operations=("save",), disk=True)
        # What a save has replaced may still be there, and be taken for what it saved.
        yield dataclasses.replace(plain, disk=True, onto="checkpoint")
    if Capability.OBJECT_STORE in engine.capabilities:
        yield dataclasses.replace(plain, network=True)


def _other_calls(name: str, engine: Engine, sizes: tuple[int, ...]) -> Iterator[Case]:
    """Cases that call the engine in the other styles that it claims, and in the background: without a fault, and with a rank that fails.

    And a load that asks for less than its checkpoint holds, without a fault.
    """
    fails = "writer.write_data" if engine.protocol.step_of("writer.write_data", "save") else "writer.prepare_local_plan"
    for size in sizes:
        calls: tuple[tuple[str, OperationKind], ...] = (("", "save"), ("", "load"), (f"{fails}@{size - 1}=raise(OSError:EIO)", "save"))
        for plan, operation in calls:
            case = Case(FaultPlan.parse(plan), operation, size, engine=name, world=usual_world(name))
            if Capability.ANY_COORDINATOR in engine.capabilities:
                yield dataclasses.replace(case, coordinator=size - 1)
            if Capability.WITHOUT_COLLECTIVES in engine.capabilities:
                yield dataclasses.replace(case, way="no_collectives")
            if operation == "save" and "async_save" in engine.protocol.operations:
                yield dataclasses.replace(case, operation="async_save", staging="blocking")
        if engine.usual.get("way", "together") == "together" and not _LONGER.holds & engine.cannot_hold:
            yield Case(FaultPlan(), "load", size, engine=name, world=usual_world(name), workload=_LONGER.name)
