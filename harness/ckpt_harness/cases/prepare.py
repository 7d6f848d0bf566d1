"""Prepares a case: the committed checkpoint that it finds, and a place for what each operation and group saves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ckpt_harness.cases.baseline import Baseline, Baselines
from ckpt_harness.cases.binding import BoundCase
from ckpt_harness.cases.workspace import Workspace


@dataclass(frozen=True)
class Scene:
    """A case that is ready to run.

    Attributes:
        bound: the case.
        baseline: the checkpoints that were committed before.
        places: operation -> the place of each group: an empty one or, with ``onto checkpoint``, one that holds a checkpoint; for a load, that of
            the baseline.
        before: operation -> the names of the files that the save of each group finds at its place, where saves replace checkpoints.
    """

    bound: BoundCase
    baseline: Baseline
    places: Mapping[str, tuple[str, ...]]
    before: Mapping[str, tuple[frozenset[str], ...]] = field(default_factory=dict)


@contextlib.contextmanager
def prepared(bound: BoundCase, workspace: Workspace, baselines: Baselines) -> Iterator[Scene]:
    """Prepares a case, and removes afterwards what it saved.

    Args:
        bound: the case.
        workspace: where it runs.
        baselines: the committed checkpoints.

    Yields:
        The scene. If its baseline is not usable, nothing is prepared, and the case cannot run.
    """
    baseline = baselines.ready(bound)
    scene = Scene(bound, baseline, _places(bound, workspace, baseline))
    if not baseline.usable:
        yield scene
        return
    try:
        if bound.overwrites:
            for places in scene.places.values():
                baselines.save(bound, places)
            baselines.take_stock(bound)
            scene = replace(scene, before={operation: _names(bound, places) for operation, places in scene.places.items()})
        yield scene
    finally:
        if bound.saves:
            for places in scene.places.values():
                for place in places:
                    bound.engine.discard(place)


def _places(bound: BoundCase, workspace: Workspace, baseline: Baseline) -> dict[str, tuple[str, ...]]:
    if not bound.saves:
        return dict.fromkeys(bound.case.operations, baseline.places)
    return {operation: workspace.places(bound, f"attempt-{number}") for number, operation in enumerate(bound.case.operations)}


def _names(bound: BoundCase, places: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(bound.engine.fingerprint(place)) for place in places)
