"""A rank that dies leaves everything as it was, and its peers get an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch.distributed as dist

from ckpt_harness.runtime import current
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.contract.bodies import MakeWorld, outcomes


def _die_between_barriers() -> None:
    dist.barrier()
    if dist.get_rank() == 1:
        current().die()
    dist.barrier()


def check_peers_of_a_dead_rank_get_an_error(make_world: MakeWorld) -> None:
    """Ranks that communicate with a dead rank get an error at once."""
    results = make_world(2).run(_die_between_barriers)
    assert outcomes(results) == ["raised", "dead"], results
    assert results[0].record is not None
    # gloo reports either, depending on what the kernel reports.
    assert re.search(r"Connection (closed|reset) by peer", results[0].record.message), results[0].record.message


def _write_and_die(place: str) -> NoReturn:
    with Path(place, f"rank-{dist.get_rank()}").open("w", encoding="ascii") as file:
        file.write("buffered")
        try:
            current().die()
        finally:
            Path(place, "unwound").touch()


def check_death_unwinds_nothing_before_the_judge_looks(make_world: MakeWorld, place: Path) -> None:
    """When the judge looks, the buffers of a dead rank are not on storage, and no ``finally`` block has run."""
    seen: dict[str, int] = {}

    def judge(results: Sequence[RankResult]) -> None:
        assert outcomes(results) == ["dead", "dead"], results
        seen.update({path.name: path.stat().st_size for path in place.iterdir()})

    make_world(2).run(_write_and_die, str(place), judge=judge)
    assert seen == {"rank-0": 0, "rank-1": 0}
