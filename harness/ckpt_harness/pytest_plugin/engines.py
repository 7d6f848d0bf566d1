"""``--ckpt-engine``: the cases of a suite on another engine than the one that they were written on."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import pytest

from ckpt_harness.cases.case import Case, usual_world
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.pytest_plugin.names import NEEDS
from ckpt_harness.pytest_plugin.session import Session
from ckpt_harness.workloads.workload import find_workload

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName


def check(name: str) -> None:
    """Refuses an engine that cannot be found.

    Raises:
        pytest.UsageError: with the choices.
    """
    try:
        find_engine(name)
    except UsageError as error:
        raise pytest.UsageError(f"--ckpt-engine: {error}") from None


def needed_world(name: str) -> WorldName | None:
    """The world in which an engine runs, if it runs in no other; tests that cannot run there are skipped."""
    world = usual_world(name)
    return None if world == "simulated" else world


def check_needs(item: pytest.Item, name: str) -> None:
    """Skips a test that takes for granted what an engine does not claim.

    Raises:
        pytest.UsageError: a mark that names an unknown capability.
    """
    claimed = {one.value for one in find_engine(name).capabilities}
    for mark in item.iter_markers(NEEDS):
        unknown = [one for one in mark.args if one not in {capability.value for capability in Capability}]
        if unknown or mark.kwargs or not mark.args:
            choices = ", ".join(repr(one.value) for one in Capability)
            raise pytest.UsageError(f"{NEEDS} takes capabilities, of {choices}; got {mark.args or mark.kwargs or 'nothing'!r}")
        for one in mark.args:
            if one not in claimed:
                pytest.skip(f"engine {name!r} does not claim {one!r}")


def moved(case: Case, session: Session) -> Case:
    """A case that names no engine, on the one that the session is to run on; others, as they are.

    A workload that the engine cannot hold gives way to its usual one. What it does not claim is skipped: the whole test or, of a property, the example.

    Args:
        case: the case, which can run on the engine that it was written on.
        session: counts both.
    """
    if session.engine is None or case.engine != Case.engine:
        return case
    here = replace(case, engine=session.engine)
    lacking = find_workload(case.workload).holds & find_engine(session.engine).cannot_hold
    if lacking:
        here = replace(here, workload=Case.workload).settled()
        session.instead[f"workload {here.workload!r} stands in for what holds {' and '.join(sorted(one.value for one in lacking))}"] += 1
    try:
        here.bind()
    except (PlanError, UsageError) as error:
        case.bind()  # what cannot run anywhere is a mistake in the test
        _refuse(str(error), session)
    return here


def _refuse(why: str, session: Session) -> NoReturn:
    """Runs no case: ends the test or, of a property, the example."""
    session.refuse(why)
    if under_given():
        sys.modules["hypothesis"].reject()
    pytest.skip(why)


def under_given() -> bool:
    """Whether hypothesis calls the test, many times."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())
