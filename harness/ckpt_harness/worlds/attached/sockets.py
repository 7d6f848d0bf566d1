"""Breaking the connections of gloo in this process.

Ranks that wait for one another in gloo wait in native code, and its ``abort`` does nothing (torch 2.13). They end when a connection does, which is
what they would see of a peer that is gone. So after the verdict the connections are cut from outside. Of each pair of sockets one was accepted by a
listening socket of gloo's own, and to cut that one is enough; others, as those of an object store's client, are left alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path


def names() -> frozenset[str]:
    """What tells the sockets of this process from those that come later: the kernel's names for them."""
    return frozenset(name for name, _ in _sockets())


def cut(older: frozenset[str]) -> None:
    """Shuts down what listening sockets that are not among ``older`` have accepted."""
    listening: set[int] = set()
    connected: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for name, number in _sockets():
            if name in older:
                continue
            with contextlib.suppress(OSError):  # closed meanwhile
                one = stack.enter_context(socket.socket(fileno=os.dup(number)))
                if one.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    listening.add(one.getsockname()[1])
                else:
                    connected.append(one)
        for one in connected:
            with contextlib.suppress(OSError):
                if one.getsockname()[1] in listening:
                    one.shutdown(socket.SHUT_RDWR)


def _sockets() -> Iterator[tuple[str, int]]:
    """(the kernel's name, descriptor) of each socket."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            name = str(entry.readlink())
            if name.startswith("socket:"):
                yield name, int(entry.name)
