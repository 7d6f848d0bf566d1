"""``--ckpt-engine``: runs the cases of a suite on another engine than the suite was written for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import pytest

from ckpt_harness.cases.case import Case, usual_world
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import PlanError, UsageError, quoted, unknown
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.pytest_plugin.names import NEEDS
from ckpt_harness.pytest_plugin.session import Session
from ckpt_harness.workloads.workload import find_workload

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName


def check(name: str) -> None:
    """Refuses an unknown engine.

    Raises:
        pytest.UsageError: there is no such engine; the message lists engines.
    """
    try:
        find_engine(name)
    except UsageError as error:
        raise pytest.UsageError(f"--ckpt-engine: {error}") from None


def needed_world(name: str) -> WorldName | None:
    """Returns the world that an engine needs, None if simulated ranks will do."""
    world = usual_world(name)
    return None if world == "simulated" else world


def check_needs(item: pytest.Item, name: str) -> None:
    """Skips a test whose mark ``ckpt_needs`` names a capability that the engine does not claim.

    Raises:
        pytest.UsageError: the mark names no capability, or an unknown one.
    """
    valid = [capability.value for capability in Capability]
    claimed = {capability.value for capability in find_engine(name).capabilities}
    for mark in item.iter_markers(NEEDS):
        if mark.kwargs or not mark.args:
            raise pytest.UsageError(
                f"{NEEDS} takes capabilities, as in @pytest.mark.{NEEDS}({valid[0]!r}); got {quoted(mark.kwargs or None)}"
            )
        for capability in mark.args:
            if capability not in valid:
                see = "pydoc ckpt_harness.faults.protocol.Capability"
                raise pytest.UsageError(f"{NEEDS}: {unknown('capability', capability, valid, see)}")
            if capability not in claimed:
                pytest.skip(f"engine {name!r} does not claim {capability!r}")


def moved(case: Case, session: Session) -> Case:
    """Returns the case on the session's engine, if the case names no engine; else the case as it is.

    A workload that the engine cannot hold is replaced by the engine's preferred workload. If the engine claims too little for the case, the test is
    skipped or, under ``@given``, the example is rejected.

    Args:
        case: the case; it can run on the default engine.
        session: names the engine, and counts replaced workloads and refused cases.
    """
    if session.engine is None or case.engine != Case.engine:
        return case
    on_engine = replace(case, engine=session.engine)
    lacking = find_workload(case.workload).holds & find_engine(session.engine).cannot_hold
    if lacking:
        on_engine = replace(on_engine, workload=Case.workload).settled()
        kinds = " and ".join(sorted(kind.value for kind in lacking))
        session.instead[f"workload {on_engine.workload!r} replaced a workload with {kinds}"] += 1
    try:
        on_engine.bind()
    except (PlanError, UsageError) as error:
        case.bind()  # a case that cannot run on the default engine either is a mistake in the test, and fails it
        refuse(str(error), session)
    return on_engine


def refuse(reason: str, session: Session) -> NoReturn:
    """Skips the test or, under ``@given``, rejects the example."""
    session.refuse(reason)
    if under_given():
        sys.modules["hypothesis"].reject()
    pytest.skip(reason)


def expect(known: Sequence[str]) -> None:
    """Makes a test that shows known findings an expected failure; under ``@given`` the example passes instead.

    Args:
        known: ids of the findings.
    """
    __tracebackhide__ = True
    if known and not under_given():
        pytest.xfail(f"known: {', '.join(known)}")


def under_given() -> bool:
    """Whether hypothesis runs the test, which then sees many examples."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())
