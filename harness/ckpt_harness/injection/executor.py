"""The process of DCP's process executor, failing where a plan says so. It can be reached only from within a rank that starts it."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any

from ckpt_harness import _torch
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.wrapper import Wrapper


class FaultyExecutor:
    """Runs in the new process in place of what it should run, does that, and fails on the way. It is sent there pickled.

    Args:
        faults: the injector of the case.
    """

    def __init__(self, faults: Injector) -> None:
        self._faults = faults

    def __call__(self, *args: Any) -> None:
        logging.disable(logging.CRITICAL)  # faults are injected on purpose, and the process prints where everybody does
        try:
            self._faults.call("executor.start", lambda: None)
        except BaseException:  # noqa: BLE001  (whatever keeps a process from starting, all that its parent sees is that it has ended)
            os._exit(1)
        _torch.replace_execute_save(self._serving)
        _torch.executor_main(*args)

    def _serving(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def serve(*args: Any, **kwargs: Any) -> Any:
            writer = kwargs.get("storage_writer")
            # The writer came with the request, and knows of it what this process, which started long ago, does not.
            faults = writer._faults if isinstance(writer, Wrapper) else self._faults
            return faults.call("executor.save", function, *args, **kwargs)

        return serve
