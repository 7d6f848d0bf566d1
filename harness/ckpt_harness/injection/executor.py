"""Faults in the process of DCP's process executor. The process is reachable only from the rank that starts it."""

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
    """The main function of the new process: runs DCP's own main function, with the faults of the case. It travels to the process pickled.

    Args:
        faults: the injector of the case.
    """

    def __init__(self, faults: Injector) -> None:
        self._faults = faults

    def __call__(self, *args: Any) -> None:
        logging.disable(logging.CRITICAL)  # injected faults are expected, and the process shares stderr with its parent
        try:
            self._faults.call("executor.start", lambda: None)
        except BaseException:  # noqa: BLE001  (for every error at the start, the parent sees only that the process ended)
            os._exit(1)
        _torch.replace_execute_save(self._serving)
        _torch.executor_main(*args)

    def _serving(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def serve(*args: Any, **kwargs: Any) -> Any:
            writer = kwargs.get("storage_writer")
            # The writer came with the request, so its injector knows the current operation; this process started before.
            faults = writer._faults if isinstance(writer, Wrapper) else self._faults
            return faults.call("executor.save", function, *args, **kwargs)

        return serve
