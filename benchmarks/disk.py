"""Seconds for the search over all crash points of a save; milliseconds of a case with its file operations recorded, against the same case without."""

from __future__ import annotations

import os

from measure import Row, alternately, seconds

from ckpt_harness.campaigns.crashes import crashes
from ckpt_harness.campaigns.pools.local import LocalPool
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.disk.durability import MODELS


def rows(smoke: bool) -> list[Row]:
    """Saves on 4 ranks under each durability model, into a fresh directory and over a checkpoint; and the case with and without recording."""
    rows = []
    for model in MODELS:
        for overwrite in (False, True):
            scene, done = Scene(ranks=2 if smoke else 4, overwrite=overwrite), []
            taken = seconds(lambda scene=scene, model=model, done=done: done.append(crashes(scene, model, pool=LocalPool(os.cpu_count() or 1))))
            amount = f"{len(done[0].points)} points, {done[0].judged} states{'' if done[0].exhaustive else ', sampled'}"
            what = f"crashes of a {scene.ranks}-rank {'overwrite' if overwrite else 'save'}, {model}"
            rows.append(Row(what, f"{taken:.1f} s", amount, "under a minute"))
    with Rig() as rig:
        watched, plain, ratio = alternately(lambda: rig.run(Case(ranks=4, watch_disk=True)), lambda: rig.run(Case(ranks=4)), 3 if smoke else 30)
    rows.append(Row("a case with its file operations recorded, 4 ranks", f"{1e3 * watched:.1f} ms", f"{1e3 * plain:.1f} ms, x{ratio:.2f}", ""))
    return rows
