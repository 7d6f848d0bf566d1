"""Who hangs, and where, follows from who waits for whom."""

from __future__ import annotations

import torch
import torch.distributed as dist

from ckpt_harness.runtime import current
from ckpt_harness.worlds.contract.bodies import MakeWorld, gather_to_0, leave_one_behind, outcomes


def check_hung_ranks_report_where_they_wait(make_world: MakeWorld) -> None:
    """Ranks that wait for a rank whose body has ended are hung, with the collective and the source line; the ended rank stays connected."""
    results = make_world(3).run(leave_one_behind)
    assert outcomes(results) == ["hung", "returned", "hung"], results
    for result in (results[0], results[2]):
        assert result.wait is not None
        assert result.wait.what == "barrier"
        assert result.wait.source.startswith("ckpt_harness/worlds/contract/bodies.py:"), result.wait
        assert result.wait.source.endswith(" in leave_one_behind"), result.wait


def _gather_without_the_root() -> None:
    if dist.get_rank() != 0:
        gather_to_0()


def check_a_sender_waits_for_its_receiver(make_world: MakeWorld) -> None:
    """As with gloo, a send is a rendezvous: ranks that gather to an absent root hang."""
    results = make_world(3).run(_gather_without_the_root)
    assert outcomes(results) == ["returned", "hung", "hung"], results


def _broadcast_without_rank_2() -> None:
    if dist.get_rank() != 2:
        dist.broadcast(torch.zeros(1), src=0)


def check_a_broadcast_is_a_tree(make_world: MakeWorld) -> None:
    """As with gloo, of four ranks only the root needs rank 2; rank 3 receives from rank 1."""
    results = make_world(4).run(_broadcast_without_rank_2)
    assert outcomes(results) == ["hung", "returned", "returned", "returned"], results


def hang_on_rank_0() -> None:
    """Rank 0 hangs, as if by an injected fault."""
    if dist.get_rank() == 0:
        current().hang("injected hang")


def check_an_injected_hang_is_a_hang(make_world: MakeWorld) -> None:
    """A rank that hangs by an injected fault is hung, and the report names the fault."""
    results = make_world(2).run(hang_on_rank_0)
    assert outcomes(results) == ["hung", "returned"], results
    assert results[0].wait is not None
    assert "hang" in results[0].wait.what
