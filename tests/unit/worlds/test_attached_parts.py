"""Parts of the attached world that need no ranks: clocks, the door, and the cutting of connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest
import torch.distributed as dist

from ckpt_harness.worlds.attached import sockets
from ckpt_harness.worlds.attached.clocks import Sample, ask, machine, offset
from ckpt_harness.worlds.attached.rendezvous import Door, knock
from ckpt_harness.worlds.launcher import Launch


def test_the_fastest_answer_tells_the_time() -> None:
    """A slow one may have been slow on either way."""
    assert offset([Sample(0.0, 10.0, 107.0), Sample(20.0, 20.5, 120.25), Sample(30.0, 34.0, 130.5)]) == 100.0


def test_a_sample_is_of_both_clocks() -> None:
    """Before and after the answer."""
    here, there = iter([1.0, 2.0]), iter([51.0])
    assert ask(lambda: next(there), lambda: next(here)) == Sample(1.0, 2.0, 51.0)


def test_one_machine_has_one_clock() -> None:
    """What tells machines apart does not change."""
    assert machine() == machine() != ""


@pytest.fixture
def door() -> tuple[Door, Launch, dist.Store]:
    store, launch = dist.HashStore(), Launch(0, 2, "127.0.0.1", 9)
    return Door(launch, store), launch, store


def test_a_rank_finds_rank_0_by_the_store(door: tuple[Door, Launch, dist.Store]) -> None:
    """And each can hear the other."""
    inside, launch, store = door
    outside: list[Connection] = []
    caller = threading.Thread(target=lambda: outside.append(knock(Launch(1, 2, launch.host, launch.port), store)))
    caller.start()
    found = inside.admit()
    caller.join(10)
    assert list(found) == [1]
    assert found[1].machine == machine()
    found[1].connection.send("hello")
    assert outside[0].recv() == "hello"
    outside[0].close()
    found[1].connection.close()


def test_a_stranger_is_not_let_in(door: tuple[Door, Launch, dist.Store]) -> None:
    """Whoever does not know the key is turned away, and the ranks still come."""
    inside, launch, store = door
    stranger = Connection(socket.create_connection(("127.0.0.1", inside.port), timeout=10).detach())
    stranger.send_bytes(b"x" * 40)
    caller = threading.Thread(target=lambda: knock(Launch(1, 2, launch.host, launch.port), store).close())
    caller.start()
    found = inside.admit()
    caller.join(10)
    stranger.close()
    assert list(found) == [1]
    found[1].connection.close()


@pytest.fixture
def pair() -> Iterator[tuple[frozenset[str], socket.socket, socket.socket]]:
    """The sockets before, and a connection over a listening socket that came later: its two ends."""
    before = sockets.names()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=10) as one:
        other, _ = server.accept()
        with other:
            yield before, one, other


def test_connections_that_were_accepted_since_are_cut(pair: tuple[frozenset[str], socket.socket, socket.socket]) -> None:
    """Both ends see the end."""
    before, one, _ = pair
    sockets.cut(before)
    assert one.recv(1) == b""


def test_older_connections_are_left_alone(pair: tuple[frozenset[str], socket.socket, socket.socket]) -> None:
    """What is known is none of the case's."""
    _, one, other = pair
    sockets.cut(sockets.names())
    other.sendall(b"x")
    assert one.recv(1) == b"x"


def test_connections_to_others_servers_are_left_alone() -> None:
    """An object store's client did not accept its connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = sockets.names()
        with socket.create_connection(server.getsockname(), timeout=10) as client:
            other, _ = server.accept()
            with other:
                sockets.cut(before)
                other.sendall(b"x")
                assert client.recv(1) == b"x"
