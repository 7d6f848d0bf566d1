"""What runs in the interpreter of another release: it says what it is, saves workloads, or loads them.

That interpreter needs torch, and nothing else that the harness depends on: this module and all that it imports need the standard library and torch only.
Jobs and answers are JSON; each answer is a line, written as soon as it is known.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import itertools
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ckpt_harness.errors import cut, described
from ckpt_harness.history import ErrorRecord

if TYPE_CHECKING:
    from ckpt_harness.worlds.base import RankResult

SAVE = 1
"""Number of the save that every checkpoint comes from."""
_LONGEST = 240
"""Characters of an error in an answer."""
_DIFFERENCES = 3
"""Differences of a rank that an answer lists; the rest is counted."""

Answer = dict[str, Any]
DONE: Answer = {"done": True}


def main(descriptor: int) -> None:
    """Does the jobs that come through stdin, one a line, until stdin is closed.

    Args:
        descriptor: where the answers are written; :data:`DONE` follows the last answer to a job.
    """
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with os.fdopen(descriptor, "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            job = json.loads(line)
            for answer in itertools.chain(_JOBS[job["do"]](job), [DONE]):
                answers.write(json.dumps(answer) + "\n")
                answers.flush()


def _look(job: Answer) -> Iterator[Answer]:
    """Says which torch this is, and whether it can be used with the engine."""
    answer = {"python": ".".join(map(str, sys.version_info[:3])), "torch": "", "error": ""}
    try:
        import torch

        answer["torch"] = importlib.metadata.version("torch")
        if not torch.distributed.is_available():
            raise ImportError("this torch was built without torch.distributed")  # the others below would say the same at length

        for module in ("ckpt_harness.workloads.workload", "ckpt_harness.worlds.simulated"):
            importlib.import_module(module)
        importlib.import_module("ckpt_harness.engines.names").find_engine(job["engine"])
    except Exception as error:  # noqa: BLE001  (whatever keeps the harness from running there is the answer)
        answer["error"] = described(error)
    yield answer


def _save(job: Answer) -> Iterator[Answer]:
    """Saves each workload, with as many ranks as the job says."""
    from ckpt_harness.engines.base import Call
    from ckpt_harness.engines.names import find_engine
    from ckpt_harness.workloads.context import context_here
    from ckpt_harness.workloads.workload import find_workload

    engine = find_engine(job["engine"])
    for item in job["items"]:

        def save(name: str = item["workload"], place: str = item["place"]) -> list[str]:
            state = find_workload(name).make(context_here(SAVE, job["ranks"]))
            engine.save(state, engine.make_writer(place), engine.make_save_planner("default"), place, Call())
            return []

        yield _on_ranks(item, job["ranks"], save)


def _load(job: Answer) -> Iterator[Answer]:
    """Loads each workload, each time with as many ranks as the item says, and compares every value and layout with what was saved."""
    import dataclasses

    from ckpt_harness.engines.base import Call
    from ckpt_harness.engines.names import find_engine
    from ckpt_harness.workloads.context import context_here
    from ckpt_harness.workloads.layout import relaid
    from ckpt_harness.workloads.workload import find_workload

    engine, savers = find_engine(job["engine"]), job["ranks"]
    for item in job["items"]:

        def load(name: str = item["workload"], place: str = item["place"]) -> list[str]:
            workload = find_workload(name)
            state = workload.make(context_here(None, savers))
            engine.load(state, engine.make_reader(place), engine.make_load_planner("default"), place, Call())
            saved = dataclasses.replace(context_here(SAVE, savers), loading=True)
            return workload.mismatches(state, saved) + relaid(state, workload.make(saved))

        yield _on_ranks(item, item["ranks"], load)


def _on_ranks(item: Answer, ranks: int, body: Callable[[], list[str]]) -> Answer:
    """Runs a body on simulated ranks. The answer is the item, with how the body ended on each rank."""
    import torch

    from ckpt_harness.worlds.simulated import SimulatedWorld

    torch.set_num_threads(1)  # ranks run one at a time
    results = SimulatedWorld(ranks).run(body)
    return {**item, "endings": [_ending(result, item["place"]) for result in results]}


def _ending(result: RankResult, place: str) -> Answer:
    """How the body ended on a rank, without the path of the checkpoint."""
    text = ""
    differences: list[str] = []
    if result.outcome == "returned":
        differences = result.value or []
        if len(differences) > _DIFFERENCES:
            differences = [*differences[:_DIFFERENCES], f"and {len(differences) - _DIFFERENCES} more"]
    elif result.record is not None:
        text = _in_one_line(result.record)
    elif result.wait is not None:
        text = str(result.wait)
    return {
        "outcome": result.outcome,
        "error": cut(text.replace(place, "<checkpoint>"), _LONGEST),
        "differences": [cut(difference, _LONGEST) for difference in differences],
    }


def _in_one_line(error: ErrorRecord) -> str:
    """The class and the text of an error; of a ``CheckpointException``, of the error of the lowest rank that it names."""
    if error.failures:
        rank, first = min(error.failures.items())
        return f"{error.short_name}: rank {rank}: {_in_one_line(first)}"
    return f"{error.short_name}: {error.message}" if error.message else error.short_name


_JOBS: dict[str, Callable[[Answer], Iterator[Answer]]] = {"look": _look, "save": _save, "load": _load}
