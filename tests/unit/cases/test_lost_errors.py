"""Errors that reach nobody: who waits for what the thread had to complete hangs, and the verdict says which error was lost, and where."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.worlds.lost_errors import noted

pytestmark = pytest.mark.usefixtures("silence")

PLAN = FaultPlan.parse("writer.write_data@1=raise")
POOL = "thread 'AsyncCheckpointExecutor_0'"


def passes_on(upload: Future[Any], shown: Future[Any]) -> None:
    """The error of the upload, which is no ``Exception``, leaves the callback and ends the thread."""
    upload.add_done_callback(lambda done: shown.set_result(done.result()))


def breaks(upload: Future[Any], shown: Future[Any]) -> None:
    """The callback fails with an error of its own."""

    def ended(done: Future[Any]) -> None:
        if done.exception():
            raise ValueError("broken")
        shown.set_result(None)

    upload.add_done_callback(ended)


def exits(upload: Future[Any], shown: Future[Any]) -> None:
    """A thread waits for the upload, and gives up silently."""

    def wait() -> None:
        if upload.exception():
            sys.exit(3)
        shown.set_result(None)

    threading.Thread(target=wait, name="waiter").start()


@pytest.mark.parametrize(
    ("complete", "lost"),
    [
        (passes_on, f"{POOL}, end of a pool's thread: CheckpointException: CheckpointException ranks:dict_keys([1])"),
        (breaks, f"{POOL}, callback of a future: ValueError: broken"),
        (exits, "thread 'waiter': SystemExit: 3"),
    ],
    ids=["a thread of a pool ends", "a callback fails", "a thread ends silently"],
)
def test_an_upload_that_nobody_completes_hangs_and_the_lost_error_is_named(
    complete: Callable[[Future[Any], Future[Any]], None], lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once; and without a fault, the same engine saves."""
    save = FileSystemEngine.async_save

    def save_and_complete(*args: Any) -> Any:
        saving, shown = save(*args), Future[Any]()
        complete(saving.upload, shown)
        return dataclasses.replace(saving, upload=shown)

    monkeypatch.setattr(FileSystemEngine, "async_save", save_and_complete)
    with Rig() as rig:
        case = Case(PLAN, operation="async_save")
        result, sound = rig.run(case), rig.run(case.without_faults())
    assert sound.verdict is Verdict.HOLDS
    (bounded,) = (judgement for judgement in result.judgements if judgement.oracle == "bounded")
    assert bounded.verdict is Verdict.VIOLATED
    assert all(reason.endswith(f"; error lost on {lost}") for reason in bounded.reasons)
    assert [event.detail for event in result.history if event.kind == "lost"] == [lost] * 2


def test_a_callback_that_is_added_late_is_noted_too() -> None:
    """It is called at once; outside of the context nothing is noted."""
    future, seen = Future[None](), list[str]()
    future.set_result(None)
    with noted(lambda where, error: seen.append(f"{where}: {error!r}")):
        future.add_done_callback(lambda done: {}["key"])
    future.add_done_callback(lambda done: {}["key"])
    assert seen == ["callback of a future: KeyError('key')"]
