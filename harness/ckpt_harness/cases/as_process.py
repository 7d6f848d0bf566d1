"""What a rank that is a process of its own needs while it runs the engine: an injector of its own, and each event reported as it happens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ckpt_harness._torch import end_executor_process, replace_executor_process
from ckpt_harness.cases.surroundings import silenced, surroundings
from ckpt_harness.history import History
from ckpt_harness.injection.executor import FaultyExecutor
from ckpt_harness.injection.injector import Injector


@contextlib.contextmanager
def as_process(make: Callable[[History], Injector], *, saves_in_processes: bool) -> Iterator[Injector]:
    """Makes the injector of the calling rank, and prepares its process.

    Args:
        make: makes the injector, which records in the given history.
        saves_in_processes: whether async saves start processes, which may join the rank. They end with the context.

    Yields:
        The injector.
    """
    from ckpt_harness.worlds.processes.rank import here
    from ckpt_harness.worlds.processes.reporting import Reported

    rank = here()
    injector = make(Reported(rank))
    rank.ask_at_collectives(injector)
    with silenced(), surroundings(injector, [injector.rank()]), contextlib.ExitStack() as until_all_have_ended:
        if saves_in_processes:
            rank.expect_processes()
            until_all_have_ended.callback(end_executor_process)
            until_all_have_ended.callback(replace_executor_process(FaultyExecutor(injector)))
        yield injector
    injector.end_case()
