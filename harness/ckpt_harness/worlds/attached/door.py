"""How ranks on any host find rank 0: an address and a key in the launcher's store, and one connection each, kept for as long as they live.

The connections carry what the harness says, apart from the group under test, and their end tells each side at once that the other is gone.
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

from ckpt_harness.errors import HarnessError
from ckpt_harness.worlds.attached import clocks
from ckpt_harness.worlds.launcher import Launch

LIMIT = 300.0
"""Seconds that ranks may take to come: hosts start at different times, and torch takes its time to import."""
_HELLO_LIMIT = 10.0
"""Seconds that a caller may take to say who it is."""
_LONGEST_HELLO = 1000
"""Bytes."""
_KEY = "ckpt-harness/door"


class Caller(NamedTuple):
    """A rank that has come.

    Attributes:
        connection: to it.
        machine: see :func:`ckpt_harness.worlds.attached.clocks.machine`.
    """

    connection: Connection
    machine: str


class Door:
    """Where rank 0 waits for the others.

    Args:
        launch: says how many there are.
        store: the launcher's.

    Attributes:
        port: where it listens.
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
        """Waits until all others have come: rank -> who it is.

        Raises:
            HarnessError: some do not come.
        """
        found: dict[int, Caller] = {}
        deadline = time.monotonic() + LIMIT
        with self._server:
            while len(found) < self._launch.size - 1:
                self._server.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    caller, _ = self._server.accept()
                except TimeoutError:
                    raise HarnessError(f"{_missing(found, self._launch)} did not come within {LIMIT:g} s; {_ALONE}") from None
                connection = _connection(caller)
                hello = self._greet(connection)
                if hello is None:  # a stranger at the port
                    connection.close()
                else:
                    found[hello["rank"]] = Caller(connection, hello["machine"])
        return found

    def _greet(self, connection: Connection) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, EOFError):
            if connection.poll(_HELLO_LIMIT):
                hello = connection.recv_bytes(_LONGEST_HELLO)
                if secrets.compare_digest(hello[:32], self._key):
                    connection.send_bytes(hashlib.sha256(self._key).digest())
                    found: dict[str, Any] = json.loads(hello[32:])
                    return found
        return None


_ALONE = "to run here without a launcher, unset RANK"


def _missing(found: Container[int], launch: Launch) -> str:
    absent = [str(rank) for rank in range(1, launch.size) if rank not in found]
    return f"rank{'s' * (len(absent) > 1)} {', '.join(absent)} of {launch.size}"


def knock(launch: Launch, store: Any) -> Connection:
    """The connection of another rank to rank 0.

    Raises:
        HarnessError: rank 0 is not to be reached.
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
        failed.append(f"{address}: somebody else answers")
    raise HarnessError(f"rank {launch.rank} cannot reach rank 0 at port {words['port']}: {'; '.join(failed)}")


def _towards(launch: Launch) -> tuple[str, socket.AddressFamily]:
    """The address of this host on the way to the launcher's store, by which the other hosts, who know that way too, are likely to reach it."""
    for family, kind, protocol, _, address in socket.getaddrinfo(launch.host, launch.port, type=socket.SOCK_DGRAM):
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # of a datagram socket: nothing is sent
            return probe.getsockname()[0], family
    raise HarnessError(f"there is no way from this host to MASTER_ADDR={launch.host!r}")


def _connection(caller: socket.socket) -> Connection:
    caller.settimeout(None)
    caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a host that vanishes says nothing
    return Connection(caller.detach())
