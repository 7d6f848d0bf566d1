"""Amazon SageMaker's tiered storage, ``SageMakerTieredStorageWriter`` and ``SageMakerTieredStorageReader``, with a server in this process.

They implement DCP's abstract classes directly, work on threads of their own, and keep checkpoints in the memory of a service in Amazon's clusters, which
they reach by HTTP. The service here answers like the mock server in the package's sources, which is not in its wheel.

Not modelled: the tier on S3, retention of old steps, and failures of the service.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from ckpt_harness.engines.dcp import DcpCalls
from ckpt_harness.faults.protocol import DCP, Capability, Protocol

_STEP = 1
_RANKS = 4096
"""The world size that the client is configured with. The service stores the metadata under this number, so loads must use the same number as saves."""
_SETTINGS = "settings"


class SageMakerEngine(DcpCalls):
    """DCP with SageMaker's writer and reader. The location of a checkpoint is a namespace of the service, which holds a single step."""

    name = "sagemaker"
    about = "Amazon SageMaker's tiered storage: its memory tier, with a stand-in for its service"
    protocol: Protocol = DCP
    capabilities = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER})
    usual: Mapping[str, str] = {"world": "processes"}  # its threads complete futures, which simulated ranks cannot observe (SMC-002)

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._roots: dict[Path, int] = {}

    def place(self, root: Path, name: str) -> str:
        """Returns the address of a namespace in this process's service. No rank calls this method, since threads of simulated ranks are replaced."""
        return f"{_service().address}/ckpt-harness-{self._roots.setdefault(root, next(self._numbers))}-{name}"

    def make_writer(self, place: str) -> Any:
        """Makes a writer for the namespace."""
        from amzn_sagemaker_checkpointing.checkpointing.filesystem import SageMakerTieredStorageWriter

        return _connected(SageMakerTieredStorageWriter(_config(place), step=_STEP), place)

    def make_reader(self, place: str) -> Any:
        """Makes a reader for the namespace."""
        from amzn_sagemaker_checkpointing.checkpointing.filesystem import SageMakerTieredStorageReader

        return _connected(SageMakerTieredStorageReader(_config(place), step=_STEP), place)

    def committed(self, place: str, apart: int = 0) -> bool:
        """Returns whether the metadata exists."""
        return f"{_RANKS}/{_STEP}" in _service().stored.get(_namespace(place), {})

    def flaws(self, place: str) -> Sequence[str]:
        """Returns nothing: only loads check the metadata of this engine."""
        return ()

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Returns the SHA-256 of the data of each rank, by ``rank/step``."""
        stored = dict(_service().stored.get(_namespace(place), {}))
        return {key: hashlib.sha256(content).hexdigest() for key, (content, _) in sorted(stored.items()) if key != _SETTINGS}

    def discard(self, place: str) -> None:
        """Removes the namespace."""
        _service().stored.pop(_namespace(place), None)


def _namespace(place: str) -> str:
    return place.rpartition("/")[2]


def _config(place: str) -> Any:
    from amzn_sagemaker_checkpointing.config.sagemaker_checkpoint_config import SageMakerCheckpointConfig

    return SageMakerCheckpointConfig(namespace=_namespace(place), world_size=_RANKS, logger=_silent(_namespace(place)))


def _silent(namespace: str) -> logging.Logger:
    """Makes a logger with a handler for the file below /var/log that the package expects; the handler never opens the file."""
    logger = logging.getLogger(f"ckpt-harness.{namespace}")
    logger.setLevel(logging.CRITICAL + 1)
    if not logger.handlers:
        logger.addHandler(logging.FileHandler(f"/var/log/sagemaker_checkpointing/{namespace}_checkpointing.log", delay=True))
    return logger


def _connected(storage: Any, place: str) -> Any:
    """Configures the storage's client with the address of the service, since there is no parameter for the address."""
    from amzn_sagemaker_checkpointing.config.in_memory_client import InMemoryClientConfig

    storage.client.config = InMemoryClientConfig(base_url=place.rpartition("/")[0])
    return storage


# -- the service


class _Service:
    """The service of a process: its data, and a thread with a server.

    Attributes:
        stored: namespace -> ``rank/step`` -> content and header; the settings of the namespace are an entry too.
        address: the server's URL.
    """

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, tuple[bytes, str]]] = {}
        server = HTTPServer(("127.0.0.1", 0), _Handler)
        server.stored = self.stored  # type: ignore[attr-defined]  # read by the handler
        self.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, name="SageMaker memory service", daemon=True).start()


_services: dict[int, _Service] = {}


def _service() -> _Service:
    """Returns the service of this process. A forked process has no server thread, so it gets a new service."""
    process = os.getpid()
    if process not in _services:
        _services.clear()
        _services[process] = _Service()
    return _services[process]


class _Handler(BaseHTTPRequestHandler):
    """Answers requests of the package's client like the package's mock server."""

    def do_GET(self) -> None:
        kind, namespace, *key = self._asked()
        found = self._stored.get(namespace, {}).get("/".join(key) if kind == "checkpoints" else _SETTINGS)
        self._answer(404 if found is None else 200, *(found or (b"", "")))

    def do_POST(self) -> None:
        kind, namespace, *key = self._asked()
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if kind == "namespaces":
            self._stored.setdefault(namespace, {})[_SETTINGS] = json.dumps({"num_ranks": _RANKS + 1}).encode(), ""
        elif namespace not in self._stored:
            return self._answer(404, b"", "")
        else:
            self._stored[namespace]["/".join(key)] = content, self.headers.get("Shard-Meta", "")
        return self._answer(200, b"{}", "")

    @property
    def _stored(self) -> dict[str, dict[str, tuple[bytes, str]]]:
        return self.server.stored  # type: ignore[attr-defined, no-any-return]

    def _asked(self) -> list[str]:
        """Returns the parts of the path ``/v1/cp/checkpoints/<namespace>/<rank>/<step>?...`` after ``cp``."""
        return self.path.partition("?")[0].split("/")[3:]

    def _answer(self, status: int, content: bytes, meta: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if meta:
            self.send_header("Shard-Meta", meta)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Logs nothing."""


SAGEMAKER = SageMakerEngine()
