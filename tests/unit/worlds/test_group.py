"""Collectives of simulated ranks: data, who needs whom, mismatches, timeouts and deaths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.distributed as dist

from ckpt_harness.runtime import current
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld


def run(body: Callable[[], Any], size: int = 4, **options: Any) -> Sequence[RankResult]:
    return SimulatedWorld(size, **options).run(body)


def values(results: Sequence[RankResult]) -> list[Any]:
    assert all(result.outcome == "returned" for result in results), results
    return [result.value for result in results]


def outcomes(results: Sequence[RankResult]) -> list[str]:
    return [result.outcome for result in results]


def number(value: float) -> torch.Tensor:
    return torch.tensor([float(value)])


def all_gather_single() -> list[float]:
    out = torch.zeros(dist.get_world_size())
    dist.all_gather_into_tensor(out, number(dist.get_rank()))
    return out.tolist()


def reduce_scatter() -> float:
    out = torch.zeros(1)
    dist.reduce_scatter(out, [number(10 * place + dist.get_rank()) for place in range(4)])
    return out.item()


def reduce_scatter_single() -> float:
    out = torch.zeros(1)
    dist.reduce_scatter_tensor(out, torch.arange(4.0) * 10 + dist.get_rank())
    return out.item()


def all_to_all() -> list[float]:
    out = [torch.zeros(1) for _ in range(4)]
    dist.all_to_all(out, [number(10 * dist.get_rank() + place) for place in range(4)])
    return [tensor.item() for tensor in out]


def all_to_all_single() -> list[float]:
    out = torch.zeros(4)
    dist.all_to_all_single(out, torch.arange(4.0) + 10 * dist.get_rank())
    return out.tolist()


def reduce_to_2() -> float:
    mine = number(dist.get_rank())
    dist.reduce(mine, dst=2, op=dist.ReduceOp.MAX)
    return mine.item()


def all_reduce_product() -> float:
    mine = number(dist.get_rank() + 1)
    dist.all_reduce(mine, op=dist.ReduceOp.PRODUCT)
    return mine.item()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (all_gather_single, [[0.0, 1.0, 2.0, 3.0]] * 4),
        (reduce_scatter, [6.0, 46.0, 86.0, 126.0]),
        (reduce_scatter_single, [6.0, 46.0, 86.0, 126.0]),
        (all_to_all, [[float(10 * sender + rank) for sender in range(4)] for rank in range(4)]),
        (all_to_all_single, [[float(10 * sender + rank) for sender in range(4)] for rank in range(4)]),
        (reduce_to_2, [0.0, 1.0, 3.0, 3.0]),
        (all_reduce_product, [24.0] * 4),
    ],
)
def test_a_collective_moves_the_right_data(body: Callable[[], Any], expected: list[Any]) -> None:
    """Every collective gives what gloo would give."""
    assert values(run(body)) == expected


def test_functional_collectives_find_their_group_by_name() -> None:
    """Those that DTensor uses look groups up in C++, per thread."""
    from torch.distributed import _functional_collectives as functional

    def body() -> tuple[list[float], float, list[float]]:
        mine = number(dist.get_rank())
        gathered = functional.all_gather_tensor(mine, 0, dist.group.WORLD)
        total = functional.all_reduce(mine, "sum", dist.group.WORLD)
        shares = functional.reduce_scatter_tensor(torch.arange(4.0), "sum", 0, dist.group.WORLD)
        return gathered.tolist(), total.item(), shares.tolist()

    assert values(run(body)) == [([0.0, 1.0, 2.0, 3.0], 6.0, [4.0 * rank]) for rank in range(4)]


def test_an_asynchronous_collective_is_awaited_by_its_work() -> None:
    """``async_op=True`` starts; ``wait`` is where the rank stops; the future is completed too."""

    def body() -> tuple[bool, float, float]:
        mine = number(dist.get_rank())
        work = dist.all_reduce(mine, async_op=True)
        if dist.get_rank() == 0:
            current().sleep(5.0)
        early = work.is_completed()
        work.wait()
        return early, mine.item(), work.get_future().wait()[0].item()

    results = values(run(body))
    assert [value[1:] for value in results] == [(6.0, 6.0)] * 4
    assert results[0][0] is True


def test_point_to_point_is_a_rendezvous() -> None:
    """Sends and receives meet by peer and tag, in any order of arrival."""

    def body() -> float:
        rank, got = dist.get_rank(), torch.zeros(1)
        if rank == 0:
            pending = [dist.isend(number(10 + tag), 1, tag=tag) for tag in (1, 2)]
            for work in pending:
                work.wait()
        elif rank == 1:
            second = torch.zeros(1)
            dist.recv(second, 0, tag=2)
            dist.recv(got, 0, tag=1)
            got += 100 * second
        return got.item()

    assert values(run(body, 2)) == [0.0, 1211.0]


def test_a_receive_from_anybody_learns_the_sender() -> None:
    """``recv`` without a source takes the first that comes."""

    def body() -> int:
        if dist.get_rank() == 2:
            dist.send(number(1), 0)
        return dist.recv(torch.zeros(1)) if dist.get_rank() == 0 else -1

    assert values(run(body, 3)) == [2, -1, -1]


def test_sub_groups_of_every_kind_work() -> None:
    """``new_group`` with and without local synchronisation, ``new_subgroups``, and a mesh of two dimensions."""
    from torch.distributed.device_mesh import init_device_mesh

    def total(group: Any) -> float:
        mine = number(dist.get_rank())
        dist.all_reduce(mine, group=group)
        return mine.item()

    def body() -> list[float]:
        rank = dist.get_rank()
        local = dist.new_group([rank % 2, rank % 2 + 2], use_local_synchronization=True)
        pair, _ = dist.new_subgroups(group_size=2)
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("row", "column"))
        return [total(local), total(pair), total(mesh.get_group("row")), total(mesh.get_group("column"))]

    assert values(run(body)) == [[2.0, 1.0, 2.0, 1.0], [4.0, 1.0, 4.0, 1.0], [2.0, 5.0, 2.0, 5.0], [4.0, 5.0, 4.0, 5.0]]


def test_a_group_of_a_backend_that_the_program_names_is_simulated() -> None:
    """A trainer asks for gloo by name for its async saves; a real group of that kind cannot span ranks of one process."""

    def body() -> float:
        mine = number(dist.get_rank())
        dist.all_reduce(mine, group=dist.new_group(backend="gloo"))
        return mine.item()

    assert values(run(body)) == [6.0, 6.0, 6.0, 6.0]


def test_a_root_in_a_sub_group_is_counted_in_the_sub_group() -> None:
    """Ranks of reports are ranks of the world."""

    def body() -> None:
        group = dist.new_group([1, 3])
        if dist.get_rank() == 1:
            dist.broadcast(number(0), src=3, group=group)

    results = run(body)
    assert outcomes(results) == ["returned", "hung", "returned", "returned"]
    assert results[1].wait is not None
    assert (results[1].wait.what, results[1].wait.missing) == ("broadcast", (3,))


def test_a_thread_sees_groups_that_its_rank_made_later() -> None:
    """Functional collectives on a worker thread find a group that the main thread made after starting it."""
    from concurrent.futures import ThreadPoolExecutor

    from torch.distributed import _functional_collectives as functional

    def body() -> float:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(int).result()
            half = dist.new_group([dist.get_rank() % 2, dist.get_rank() % 2 + 2], use_local_synchronization=True)
            return float(pool.submit(lambda: functional.all_reduce(number(dist.get_rank()), "sum", half).item()).result())

    assert values(run(body)) == [2.0, 4.0, 2.0, 4.0]


def test_the_group_can_be_destroyed_and_made_again() -> None:
    """A second default group starts afresh."""

    def body() -> float:
        dist.all_reduce(number(1))
        dist.barrier()
        store = dist.distributed_c10d._get_default_store()
        size, rank = dist.get_world_size(), dist.get_rank()
        dist.destroy_process_group()
        assert not dist.is_initialized()
        dist.init_process_group("simulated", store=store, rank=rank, world_size=size)
        mine = number(rank)
        dist.all_reduce(mine)
        return mine.item()

    assert values(run(body)) == [6.0] * 4


@pytest.mark.parametrize("seed", range(4))
def test_different_collectives_do_not_pair(seed: int) -> None:
    """Ranks that come with different operations hang, and the report names both."""

    def body() -> None:
        if dist.get_rank() == 1:
            dist.all_reduce(number(1))
        else:
            dist.barrier()

    results = run(body, 2, seed=seed)
    assert outcomes(results) == ["hung", "hung"]
    for result, mine, other in ((results[0], "barrier", "all_reduce"), (results[1], "all_reduce", "barrier")):
        assert result.wait is not None
        assert result.wait.what == f"{mine} (rank {1 - result.rank} is in {other})"


def test_different_roots_and_sizes_do_not_pair() -> None:
    """The same operation with another root, or another amount of data, is a mismatch too."""

    def roots() -> None:
        dist.broadcast(number(1), src=dist.get_rank())

    def sizes() -> None:
        dist.all_reduce(torch.zeros(1 + dist.get_rank()))

    for body, word in ((roots, "root"), (sizes, "float32")):
        results = run(body, 2)
        assert outcomes(results) == ["hung", "hung"]
        assert all(result.wait is not None and word in result.wait.what for result in results), results


def test_a_root_needs_every_sender_and_a_sender_only_the_root() -> None:
    """Seen with gloo: with rank 2 absent, the root of a gather waits and the other senders are done."""

    def body() -> None:
        rank = dist.get_rank()
        if rank != 2:
            dist.gather(number(rank), [torch.zeros(1) for _ in range(4)] if rank == 0 else None, dst=0)

    results = run(body)
    assert outcomes(results) == ["hung", "returned", "returned", "returned"]
    assert results[0].wait is not None
    assert results[0].wait.missing == (2,)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("root", [0, 1])
def test_a_broadcast_reaches_everybody(size: int, root: int) -> None:
    """The tree covers every size and root."""

    def body() -> float:
        mine = number(dist.get_rank())
        dist.broadcast(mine, src=root % size)
        return mine.item()

    assert values(run(body, size)) == [float(root % size)] * size


def test_a_timeout_breaks_the_side_of_the_rank_it_hits() -> None:
    """Seen with gloo: those that waited report a timeout; later collectives fail at once; the late rank finds connections closed."""

    def body() -> list[tuple[str, float]]:
        errors = []
        if dist.get_rank() == 2:
            current().sleep(1900.0)
        for _ in range(2):
            try:
                dist.barrier()
            except RuntimeError as error:
                errors.append((" ".join(str(error).split()[:3]), current().now()))
        return errors

    timed_out = [("Timed out waiting", 1800.0), ("Application timeout caused", 1800.0)]
    closed = [("Connection closed by", 1900.0)] * 2
    assert values(run(body)) == [timed_out, timed_out, closed, timed_out]


def test_a_timer_can_be_let_fire_instead_of_ending_the_run() -> None:
    """``on_deadlock="time_out"``: the aftermath of a hang happens, in virtual time."""

    def body() -> str:
        if dist.get_rank() == 0:
            return "left"
        try:
            dist.barrier()
        except RuntimeError as error:
            return str(error)[:25]
        return "passed"

    results = run(body, 3, on_deadlock="time_out", timeout=60.0)
    assert values(results) == ["left", "Timed out waiting 60000ms", "Timed out waiting 60000ms"]
    assert [result.finished_at for result in results] == [0.0, 60.0, 60.0]


def kill_rank_2_then(act: Callable[[], Any]) -> Callable[[], str]:
    def body() -> str:
        dist.barrier()
        if dist.get_rank() == 2:
            current().die()
        try:
            act()
        except RuntimeError as error:
            return str(error).split(" by ", maxsplit=1)[0]
        return "passed"

    return body


def all_gather() -> None:
    dist.all_gather([torch.zeros(1) for _ in range(4)], number(1))


@pytest.mark.parametrize("seed", range(4))
def test_in_a_ring_only_the_neighbours_see_a_death(seed: int) -> None:
    """Seen with gloo: of four ranks with rank 2 dead, 1 and 3 find the connection closed, and 0 waits for its timer."""
    results = run(kill_rank_2_then(all_gather), seed=seed)
    assert outcomes(results) == ["hung", "returned", "dead", "returned"]
    assert results[1].value == results[3].value == "Connection closed"


def test_in_a_barrier_of_four_everybody_sees_a_death() -> None:
    """Seen with gloo: each is at distance 1 or 2 of each."""
    results = run(kill_rank_2_then(dist.barrier))
    assert [result.value for result in results] == ["Connection closed", "Connection closed", None, "Connection closed"]


def test_in_a_gather_the_root_sees_the_death_of_a_sender() -> None:
    """Seen with gloo: the other senders are done."""

    def gather() -> None:
        dist.gather(number(1), [torch.zeros(1) for _ in range(4)] if dist.get_rank() == 0 else None, dst=0)

    def late_death() -> str:
        dist.barrier()
        if dist.get_rank() == 2:
            current().sleep(1.0)
            current().die()
        try:
            gather()
        except RuntimeError as error:
            return str(error).split(" by ", maxsplit=1)[0]
        return "passed"

    assert [result.value for result in run(late_death)] == ["Connection closed", "passed", None, "passed"]


def test_nccl_shows_nothing_of_a_death() -> None:
    """Peers of a dead rank wait, until their own timers fire."""
    assert outcomes(run(kill_rank_2_then(dist.barrier), backend="nccl")) == ["hung", "hung", "dead", "hung"]
    results = run(kill_rank_2_then(dist.barrier), backend="nccl", on_deadlock="time_out")
    assert [str(result.value)[:8] for result in results] == ["Watchdog", "Watchdog", "None", "Watchdog"]
    assert results[0].finished_at == 1800.0


def test_a_rank_whose_body_raised_is_alive_for_its_peers() -> None:
    """Those that wait for it hang; they are not disconnected."""

    def body() -> None:
        if dist.get_rank() == 0:
            raise ValueError("early")
        dist.barrier()

    assert outcomes(run(body, 2)) == ["raised", "hung"]


def test_an_output_that_does_not_fit_fails_its_own_rank() -> None:
    """The error is raised where the wrong tensor was passed."""

    def body() -> None:
        wrong = dist.get_rank() == 1
        dist.all_gather([torch.zeros(3 if wrong else 1) for _ in range(2)], number(1))

    assert outcomes(run(body, 2)) == ["returned", "raised"]


class Recording:
    """Notes which sites are asked about, and calls through."""

    def __init__(self) -> None:
        self.sites: list[tuple[int, str]] = []

    def call(self, site: str, function: Callable[..., Any], *args: Any) -> Any:
        self.sites.append((dist.get_rank(), site))
        return function(*args)


def test_faults_are_asked_at_five_collectives_and_no_other() -> None:
    """Gather, scatter, broadcast, all_gather and barrier are sites."""

    def body() -> None:
        rank, two = dist.get_rank(), [torch.zeros(1) for _ in range(2)]
        dist.gather(number(1), two if rank == 0 else None)
        dist.scatter(number(1), two if rank == 0 else None)
        dist.broadcast(number(1), src=0)
        dist.all_gather(two, number(1))
        dist.barrier()
        dist.all_reduce(number(1))
        dist.reduce(number(1), dst=0)

    faults = Recording()
    SimulatedWorld(2).run(body, faults=faults)
    expected = ["pg.gather", "pg.scatter", "pg.broadcast", "pg.all_gather", "pg.barrier"]
    for rank in range(2):
        assert [site for asked, site in faults.sites if asked == rank] == expected


def test_a_collective_can_be_killed_inside_a_fault() -> None:
    """A rank that dies at a collective has not taken part in it."""

    class Killing:
        def call(self, site: str, function: Callable[..., Any], *args: Any) -> Any:
            if site == "pg.broadcast" and dist.get_rank() == 0:
                current().die()
            return function(*args)

    results = SimulatedWorld(2).run(lambda: dist.broadcast(number(1), src=0), faults=Killing())
    assert outcomes(results) == ["dead", "raised"]


def test_a_store_barrier_is_a_scheduler_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``TORCH_DIST_INIT_BARRIER`` ranks meet at the store, which is simulated too."""
    monkeypatch.setenv("TORCH_DIST_INIT_BARRIER", "1")
    assert values(run(dist.get_rank, 3)) == [0, 1, 2]


def test_a_world_without_a_group_has_none() -> None:
    """``group=False``: ranks know who they are, and ``dist`` is not initialised."""
    results = run(lambda: (dist.is_initialized(), current().rank()), 2, group=False)
    assert values(results) == [(False, 0), (False, 1)]
