"""Where the commands do their work: in processes of this machine, or on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt_harness.errors import UsageError

if TYPE_CHECKING:
    from ckpt_harness.campaigns.pools.base import Pool


def chosen_pool(on: str | None, jobs: int | None, usual_jobs: int, *names: str) -> tuple[Pool, list[str]]:
    """The pool that the command line asks for. A cluster is checked: nothing has run if it is refused.

    Args:
        on: value of ``--on``.
        jobs: value of ``--jobs``.
        usual_jobs: processes where the command line does not say.
        names: names of the engine under test, and of whatever else the user may have defined in a file.

    Returns:
        The pool, and lines about it for the head of a report.

    Raises:
        UsageError: the options contradict each other, or the cluster cannot work.
    """
    if on is None:
        from ckpt_harness.campaigns.pools.local import LocalPool

        return LocalPool(jobs or usual_jobs), []
    if jobs is not None:
        raise UsageError(f"--jobs {jobs} is about processes of this machine, and --on is about a cluster; valid: one of them")

    from ckpt_harness.campaigns.pools.on_dask import DaskPool
    from ckpt_harness.engines.specs import file_of

    files = (file_of(name) for name in names)
    pool = DaskPool(on, tuple(file for file in files if file is not None))
    return pool, [pool.check()]
