"""The plugin's fixtures: ``ckpt_world`` runs a function of the test on ranks, ``ckpt_worlds`` makes such worlds, ``ckpt_rig`` and ``ckpt_job_rig`` judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from ckpt_harness.pytest_plugin import workers
from ckpt_harness.pytest_plugin.names import RANKS
from ckpt_harness.pytest_plugin.stash import session_of

if TYPE_CHECKING:
    from ckpt_harness.pytest_plugin.cases import CkptRig
    from ckpt_harness.pytest_plugin.jobs import CkptJobRig
    from ckpt_harness.pytest_plugin.ranks import CkptWorld
    from ckpt_harness.pytest_plugin.session import Session

_RANKS = 2
"""World size of ``ckpt_world`` in a test without a mark: the smallest in which a peer can miss an error."""


@pytest.fixture(scope="session")
def ckpt_worlds(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], CkptWorld]:
    """Makes worlds of ranks: ``ckpt_worlds(4).run(body, plan=...)``. Lives as long as the session, so a test under ``@given`` may use it."""
    from ckpt_harness.pytest_plugin.ranks import CkptWorld

    session = _used_session(pytestconfig, tmp_path_factory)
    return lambda ranks: CkptWorld(ranks, session.seed, session.world)


@pytest.fixture
def ckpt_world(request: pytest.FixtureRequest, ckpt_worlds: Callable[[int], CkptWorld]) -> CkptWorld:
    """A world of ranks: ``ckpt_world.run(body, plan=...)``. The mark ``ckpt_ranks`` sets the number of ranks; the default is 2."""
    mark = request.node.get_closest_marker(RANKS)
    if mark is None:
        return ckpt_worlds(_RANKS)
    if len(mark.args) != 1 or mark.kwargs or not isinstance(mark.args[0], int) or mark.args[0] < 1:
        from ckpt_harness.errors import quoted

        raise pytest.UsageError(f"ckpt_ranks takes a number of ranks, at least 1, as in @pytest.mark.ckpt_ranks(4); got {quoted(mark.args)}")
    return ckpt_worlds(mark.args[0])


@pytest.fixture(scope="session")
def ckpt_rig(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CkptRig]:
    """Runs cases: ``ckpt_rig.check(Case(plan, ranks=3))``. Lives as long as the session, so a test under ``@given`` may use it."""
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.pytest_plugin.cases import CkptRig

    session = _used_session(pytestconfig, tmp_path_factory)
    with Rig(register=session.register()) as rig:
        yield CkptRig(rig, session)


@pytest.fixture(scope="session")
def ckpt_job_rig(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CkptJobRig]:
    """Runs jobs: ``ckpt_job_rig.check(Job.parse("save a; load a"))``. Lives as long as the session, so a test under ``@given`` may use it."""
    from ckpt_harness.jobs.rig import JobRig
    from ckpt_harness.pytest_plugin.jobs import CkptJobRig

    session = _used_session(pytestconfig, tmp_path_factory)
    with JobRig(register=session.register()) as rig:
        yield CkptJobRig(rig, session)


def _used_session(config: pytest.Config, places: pytest.TempPathFactory) -> Session:
    session = session_of(config)
    session.used = True
    workers.share_processors(config, places)
    return session
