"""How a process that works for a command is set up: quiet, and on one processor."""

from __future__ import annotations

import os
import socket


def stay_on_one_processor(number: int) -> None:
    """Binds the calling process to one of its processors.

    Simulated ranks run one at a time and hand over from thread to thread. That is half as fast again if no other processor has to wake up.

    Args:
        number: which of the processors that the process may use, counted in a circle. Processes side by side take successive numbers.
    """
    if hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[number % len(processors)]})


def claim_processor(name: str = "ckpt-harness") -> int | None:
    """Takes a processor, as a number for :func:`stay_on_one_processor`, for as long as the calling process lives.

    For processes that share a machine and that nobody could number. A processor is taken with a socket of an abstract name, which the kernel releases
    when the process ends.

    Args:
        name: processes with the same name do not take the same processor.

    Returns:
        None if all processors are taken.
    """
    for number, processor in enumerate(sorted(os.sched_getaffinity(0))):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0{name} processor {processor}")
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return number
    return None


_claims: list[socket.socket] = []
"""Kept open as long as the process lives."""


def quiet() -> None:
    """Silences the logs and warnings of engines about injected faults, and keeps torch to one thread in this process."""
    import logging
    import warnings

    import torch

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
