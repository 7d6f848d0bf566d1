"""How ranks on any host connect to rank 0: rank 0 publishes its address and a key in the launcher's store, and each rank opens a connection.

The connections carry the harness's messages, separate from the process group under test. They stay open for the life of the ranks, so a closed
connection shows at once that the other side has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import socket
import time
from collections.abc import Container
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from ckpt_harness.errors import HarnessError, quoted
from ckpt_harness.worlds.attached import clocks
from ckpt_harness.worlds.launcher import Launch

LIMIT = 300.0
"""Seconds within which all ranks must connect: hosts start at different times, and importing torch takes long."""
_HELLO_LIMIT = 60.0
"""Seconds within which a caller must identify itself."""
_LONGEST_HELLO = 1000
"""Limit for the first message of a caller, in bytes."""
_KEY = "ckpt-harness/door"


class Caller(NamedTuple):
    """A rank that has connected.

    Attributes:
        connection: the connection to the rank.
        machine: the rank's clock; see :func:`ckpt_harness.worlds.attached.clocks.machine`.
    """

    connection: Connection
    machine: str


class Door:
    """The server on rank 0 to which the other ranks connect.

    Args:
        launch: the launcher's settings, with the number of ranks.
        store: the launcher's store.

    Attributes:
        port: the port of the server.
    """

    def __init__(self, launch: Launch, store: Any) -> None:
        self._launch = launch
        self._key = secrets.token_bytes(32)
        address, family = _towards(launch)
        self._server = socket.create_server(("", 0), family=family)
        self.port: int = self._server.getsockname()[1]
        words = {"addresses": [address, socket.gethostname()], "port": self.port, "key": self._key.hex()}
        store.set(_KEY, json.dumps(words))

    def admit(self) -> dict[int, Caller]:
        """Waits until all other ranks have connected: rank -> its connection and clock.

        Raises:
            HarnessError: not all ranks connected in time.
        """
        callers: dict[int, Caller] = {}
        deadline = time.monotonic() + LIMIT
        with self._server:
            while len(callers) < self._launch.size - 1:
                self._server.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    caller, _ = self._server.accept()
                except TimeoutError:
                    raise HarnessError(f"{_missing(callers, self._launch)} did not connect within {LIMIT:g} s; {_ALONE}") from None
                connection = _connection(caller)
                hello = self._greet(connection)
                if hello is None:  # a caller that is not a rank of this launcher
                    connection.close()
                else:
                    callers[hello["rank"]] = Caller(connection, hello["machine"])
        return callers

    def _greet(self, connection: Connection) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, EOFError):
            if connection.poll(_HELLO_LIMIT):
                hello = connection.recv_bytes(_LONGEST_HELLO)
                if secrets.compare_digest(hello[:32], self._key):
                    connection.send_bytes(hashlib.sha256(self._key).digest())
                    words: dict[str, Any] = json.loads(hello[32:])
                    return words
        return None


_ALONE = "to run here without a launcher, unset RANK"


def _missing(callers: Container[int], launch: Launch) -> str:
    absent = [str(rank) for rank in range(1, launch.size) if rank not in callers]
    return f"rank{'s' * (len(absent) > 1)} {', '.join(absent)} of {launch.size}"


def knock(launch: Launch, store: Any) -> Connection:
    """Connects another rank to rank 0.

    Raises:
        HarnessError: rank 0 cannot be reached.
    """
    words = json.loads(store.get(_KEY))
    key, failed = bytes.fromhex(words["key"]), []
    for address in words["addresses"]:
        try:
            caller = socket.create_connection((address, words["port"]), timeout=_HELLO_LIMIT)
        except OSError as error:
            failed.append(f"{address}: {error}")
            continue
        connection = _connection(caller)
        with contextlib.suppress(OSError, EOFError):
            connection.send_bytes(key + json.dumps({"rank": launch.rank, "machine": clocks.machine()}).encode())
            if connection.poll(_HELLO_LIMIT) and secrets.compare_digest(connection.recv_bytes(64), hashlib.sha256(key).digest()):
                return connection
        connection.close()
        failed.append(f"{address}: another program answers")
    raise HarnessError(f"rank {launch.rank} cannot reach rank 0 at port {words['port']}: {'; '.join(failed)}")


def _towards(launch: Launch) -> tuple[str, socket.AddressFamily]:
    """The address of this host's interface towards the launcher's store. Other hosts are likely to reach it, since they reach the store too."""
    for family, kind, protocol, _, address in socket.getaddrinfo(launch.host, launch.port, type=socket.SOCK_DGRAM):
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # connecting a datagram socket sends nothing
            return probe.getsockname()[0], family
    raise HarnessError(f"this host has no route to MASTER_ADDR={quoted(launch.host)}")


def _connection(caller: socket.socket) -> Connection:
    caller.settimeout(None)
    caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a host that fails closes no connections
    return Connection(caller.detach())
