"""Closes the connections of gloo in this process, so that hung ranks end.

Ranks that wait in gloo wait in native code, and gloo's ``abort`` does nothing (torch 2.13). Their waits end when a connection closes, as if the other rank
had died. So after the verdict, the harness shuts the connections down. Of each connection, one end was accepted by a listening socket of gloo, and it
is enough to shut down that end. Other sockets, such as those of an object store's client, are left alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path


def names() -> frozenset[str]:
    """Returns the kernel's names of the sockets of this process, to distinguish them from later sockets."""
    return frozenset(name for name, _ in _sockets())


def cut(older: frozenset[str]) -> None:
    """Shuts down the connections that were accepted by sockets newer than ``older``.

    Args:
        older: what :func:`names` returned before gloo's connections were made.
    """
    listening: set[int] = set()
    connected: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for name, number in _sockets():
            if name in older:
                continue
            with contextlib.suppress(OSError):  # closed in the meantime
                copy = stack.enter_context(socket.socket(fileno=os.dup(number)))
                if copy.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    listening.add(copy.getsockname()[1])
                else:
                    connected.append(copy)
        for connection in connected:
            with contextlib.suppress(OSError):
                if connection.getsockname()[1] in listening:
                    connection.shutdown(socket.SHUT_RDWR)


def _sockets() -> Iterator[tuple[str, int]]:
    """Yields (the kernel's name, descriptor) for each socket of this process."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            name = str(entry.readlink())
            if name.startswith("socket:"):
                yield name, int(entry.name)
