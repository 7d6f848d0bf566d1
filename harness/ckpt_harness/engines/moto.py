"""An S3 store of this machine's own for engines on object stores: moto's server, in a process of its own, on a free port of the loopback.

It starts when the first place in it is asked for, and ends with the process that asked. It is no thread of that process, since a finalizer that asks the
store for something can run on any thread, and one of the store's would wait for itself.

Not modelled: what distinguishes a real store from moto: eventual consistency, permissions, checks of signatures, and limits of rate.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

from ckpt_harness.engines.dcp import DCP_CAPABILITIES, UNTOLD, DcpCalls, markers
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.protocol import Capability, Protocol

BUCKET = "ckpt-harness"
REGION = "us-east-1"
KEY = "harness"
"""Both halves of the credentials: moto takes any."""
HEADERS = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20200101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"}
"""What a request by hand needs: moto wants to know who asks, and checks no signature."""

_numbers = itertools.count()
_prefixes: dict[Path, int] = {}


_PROGRAM = """
import logging, os, sys
try:
    from moto.server import ThreadedMotoServer
except ImportError as error:
    print(error)
else:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print("http://%s:%d" % server.get_host_and_port(), flush=True)
    sys.stdin.read()
    os._exit(0)
"""


@functools.cache
def server() -> str:
    """The address of the store, with the bucket made.

    Raises:
        UsageError: moto is not installed.
    """
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    running: subprocess.Popen[str] = subprocess.Popen([sys.executable, "-c", _PROGRAM], text=True, **pipes)
    assert running.stdout is not None
    said = running.stdout.readline().strip()
    atexit.register(_end, running)
    if not said.startswith("http"):
        raise UsageError(f"there is no store to run on: {said or 'moto did not start'}; pip install 'ckpt-harness[s3]'")
    _asked("PUT", f"{said}/{BUCKET}")
    return said


def _end(running: subprocess.Popen[str]) -> None:
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.close()
    running.stdout.close()
    running.wait(30)


def place(root: Path, name: str) -> str:
    """Where a checkpoint lives: its address in the store. It is numbered, so that no path of the machine shows in what is stored or printed."""
    return f"{server()}/{BUCKET}/{_prefixes.setdefault(root, next(_numbers))}/{name}"


class Place(NamedTuple):
    """A place taken apart.

    Attributes:
        store: the store's address.
        key: bucket and prefix.
    """

    store: str
    key: str

    @classmethod
    def of(cls, place: str) -> Place:
        """Takes it apart."""
        parts = urlsplit(place)
        return cls(f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/"))


def keys(place: str) -> list[str]:
    """The keys below a place, relative to it, sorted."""
    store, key = Place.of(place)
    bucket, _, prefix = key.partition("/")
    return sorted(one.removeprefix(f"{prefix}/") for one in _listed(f"{store}/{bucket}", f"{prefix}/"))


def _listed(bucket: str, prefix: str) -> Iterator[str]:
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
        root = ET.fromstring(_asked("GET", f"{bucket}?{urlencode(query)}"))
        found = {entry.tag.rpartition("}")[2]: entry.text for entry in root}
        yield from (str(entry.text) for entry in root.iter() if entry.tag.rpartition("}")[2] == "Key")
        token = found.get("NextContinuationToken") or ""
        if not token:
            return


def exists(place: str, name: str) -> bool:
    """Whether there is an object of this name."""
    try:
        _asked("HEAD", f"{place}/{quote(name)}")
    except HTTPError as error:
        if error.code == 404:
            return False
        raise
    return True


def fingerprint(place: str) -> Mapping[str, str]:
    """Relative key -> SHA-256 of each object."""
    return {key: hashlib.sha256(_asked("GET", f"{place}/{quote(key)}")).hexdigest() for key in keys(place)}


def discard(place: str) -> None:
    """Removes every object below the place."""
    for key in keys(place):
        _asked("DELETE", f"{place}/{quote(key)}")


def _asked(method: str, url: str) -> bytes:
    """The body of the store's answer, asked for by other code than any client under test."""
    with urlopen(Request(url, method=method, headers=HEADERS), timeout=30) as answer:
        return bytes(answer.read())


class MotoEngine(DcpCalls):
    """DCP on a storage that reaches the store: all but its writer and reader. These make their clients with the address that ``ckpt_harness.reach`` gives."""

    protocol: Protocol = UNTOLD
    capabilities = DCP_CAPABILITIES | {Capability.OBJECT_STORE}

    def checkpoint_id(self, place: str) -> None:
        """Not told: it would be taken for a path, and the writer would forget how its store is reached."""

    def place(self, root: Path, name: str) -> str:
        """An address in the store."""
        return place(root, name)

    def committed(self, place: str, apart: int = 0) -> bool:
        """Whether ``.metadata`` is there, or that of each rank."""
        return all(exists(place, name) for name in markers(apart))

    def flaws(self, place: str) -> Sequence[str]:
        """None: what the metadata promises is looked for by loading it."""
        return ()

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Relative key -> SHA-256 of each object."""
        return fingerprint(place)

    def discard(self, place: str) -> None:
        """Removes every object below the prefix."""
        discard(place)
