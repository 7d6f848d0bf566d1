"""An address of an object store whose requests fail, and are watched: a proxy between a storage's own client and the store.

Whatever speaks HTTP passes: a client in Python, Rust or C, since it is given another address and nothing else. Each rank has an address of its own, so
that it is known who asks. :class:`FaultyEndpoint` is for anybody's tests; :func:`endpoints` and :func:`reach` are its form for the cases of a rig.

Time at these sites is real, in every world: a client's patience and its retries are its own.

Not modelled: TLS between the client and this address, and one client that several ranks share. A request that a rank of an earlier case left under way
may be taken for one of the next case's.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from ckpt_harness import runtime
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.effects import BitFlip, CutBody, Delay, Effect, Hang, Reset, Skip, StaleRead, Status, Throttle
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.injection.filesystem import damaged
from ckpt_harness.injection.injector import Arrival, Firing, Injector
from ckpt_harness.injection.s3 import Answer, Request, as_if_nothing_were_there, pretended, refused
from ckpt_harness.injection.wrapper import check_world

_HOPS = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "proxy-connection", "expect"}
"""Headers that are about one connection, or that the next server writes anew."""
_PATIENCE = 60.0
"""Seconds that a store may take to answer, and that a request hangs at most."""


class FaultyEndpoint:
    """A second address of an object store, where requests fail as a plan says. Use it as a context manager, and give ``url`` to the storage's client.

    Args:
        upstream: the store's address, such as ``http://127.0.0.1:9000``.
        plan: the faults, or their text, in which the ``http.`` prefix may be left out; empty to pass everything on.
        rank: the caller's rank in the world, where neither a process group nor the launcher says it.

    Attributes:
        url: the address to give to the client, while the endpoint is open.
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: a plan that is malformed, or that could never act here.
        UsageError: ``upstream`` is no address.

    Example:
        >>> with FaultyEndpoint("http://127.0.0.1:9000", "put(*.distcp)@0#1x2=status(503,SlowDown)") as store:
        ...     dcp.save(state, storage_writer=FsspecWriter("s3://bucket/step-1", endpoint_url=store.url, key="k", secret="s"))
        ...     assert store.fired
    """

    def __init__(self, upstream: str, plan: FaultPlan | str = "", *, rank: int | None = None) -> None:
        self.plan = as_plan(plan, side="http")
        for fault in self.plan:
            if fault.at.layer != "network":
                raise PlanError(f"FaultyEndpoint has no site {fault.site!r}; valid: http.put, http.get, http.head, http.copy, http.list, http.delete")
            if fault.operation is not None:
                raise PlanError(f"fault {fault}: a request does not tell its operation; leave it out")
        check_world(self.plan)
        self._upstream = _checked(upstream)
        self._rank = rank
        self._faults = Injector(self.plan)
        self._door: _Door | None = None

    @property
    def url(self) -> str:
        """The address, while the endpoint is open."""
        if self._door is None:
            raise UsageError("the endpoint has no address before it is opened: use it as a context manager")
        return self._door.url

    @property
    def fired(self) -> tuple[Firing, ...]:
        """The faults that fired so far, in order; empty, and so false, if none did."""
        return self._faults.fired

    def __enter__(self) -> FaultyEndpoint:  # noqa: PYI034  (Self is not in typing before Python 3.11)
        rank = runtime.current().rank() if self._rank is None else self._rank
        self._door = _Door()
        self._door.let_through(self._faults.of_rank(rank))
        self._door.upstream = self._upstream
        return self

    def __exit__(self, *_: object) -> None:
        door, self._door = self._door, None
        if door is not None:
            door.close()


_doors: dict[int, _Door] = {}
"""Rank -> its address, kept from case to case: clients and their connections are kept with it."""


@contextlib.contextmanager
def endpoints(injector: Injector, ranks: Iterable[int]) -> Iterator[None]:
    """While it lasts, :func:`reach` gives ranks addresses where the injector's faults strike, if it watches the network.

    Args:
        injector: of the case.
        ranks: those that run in this process.
    """
    opened = []
    for rank in ranks if injector.watches_network else ():
        door = _doors.get(rank) or _doors.setdefault(rank, _Door())
        door.let_through(injector.of_rank(rank))
        opened.append(door)
    try:
        yield
    finally:
        for door in opened:
            door.let_through(None)


def reach(upstream: str) -> str:
    """The address by which the client of the calling rank is to reach an object store.

    Args:
        upstream: the store's own address.

    Returns:
        One where the faults of the case strike that runs, if its network is watched; else the store's own.
    """
    door = _doors.get(runtime.current().rank())
    if door is None or door.injector is None:
        return upstream
    door.upstream = _checked(upstream)
    return door.url


def _checked(upstream: str) -> str:
    parts = urlsplit(upstream)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{upstream!r} is no address of a store; valid: http://host:port or https://host:port")
    return upstream


class _Door(ThreadingHTTPServer):
    """Listens on a free port of this host's loopback, from the moment it is made.

    Attributes:
        upstream: where requests are passed on to.
        injector: decides what fails; None while nobody watches.
        shut: set when requests that hang are to end.
    """

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = ""
        self.injector: Injector | None = None
        self.shut = threading.Event()
        self._resets: set[socket.socket] = set()
        self._start(self.serve_forever, 0.05)

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def let_through(self, injector: Injector | None) -> None:
        """From now on, what fails is for this injector to decide. Whatever hangs from before ends."""
        self.shut.set()
        self.injector, self.shut = injector, threading.Event()

    def close(self) -> None:
        """Closes the address; whatever hangs ends."""
        self.shut.set()
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection on a thread of its own."""
        self._start(self.process_request_thread, request, client_address)

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, name="ckpt-harness endpoint", daemon=True)
        runtime.serves(thread)
        thread.start()

    def reset(self, connection: socket.socket) -> None:
        """Will close a connection so that its other end sees a reset."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._resets.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """An orderly end, which says so to the other side first, unless it is to be a reset."""
        if request in self._resets:
            self._resets.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go when they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer: the second would wait for the first one's acknowledgement
    server: _Door

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name in the base class)
        """Says nothing."""

    def _serve(self) -> None:
        request = Request(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, self._body())
        injector, site = self.server.injector, request.site
        if injector is None or injector.over or site is None:
            self._send(self._pass_on(request), request)
            return
        arrival = injector.arrive(site, request.name)
        with injector.on_our_account(site):
            answer = self._struck(injector, arrival, request)
        if answer is not None:
            injector.answered(arrival, well=answer.status < 400)
            self._send(answer, request)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815  (so the base class looks for them)

    def _struck(self, injector: Injector, arrival: Arrival, request: Request) -> Answer | None:
        """The answer to a request that a fault may strike; None if there is none."""
        fault = arrival.fault
        if fault is None:
            return self._pass_on(request)
        answer = self._pass_on(request) if fault.after else None
        injector.fire(arrival)
        effect = fault.effect
        if isinstance(effect, (Reset, Hang)):
            if isinstance(effect, Hang):
                self._hang()
            self.server.reset(self.connection)
            self.close_connection = True
            return None
        if isinstance(effect, Status):
            return refused(request, effect.status, effect.told)
        if isinstance(effect, Skip):
            return pretended(request)
        if isinstance(effect, Delay):
            time.sleep(effect.seconds)
        if isinstance(effect, BitFlip) and request.site == "http.put":
            return self._pass_on(replace(request, body=damaged(request.body, effect)))
        return _distorted(request, self._pass_on(request) if answer is None else answer, effect)

    def _hang(self) -> None:
        """Answers nothing until the client goes, the case is over, or patience ends."""
        shut, until = self.server.shut, time.monotonic() + _PATIENCE
        with contextlib.suppress(OSError):
            while not shut.wait(0.02) and time.monotonic() < until:
                if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1, socket.MSG_PEEK):
                    return

    def handle_expect_100(self) -> bool:
        """Tells at once a client that waits with its body."""
        going = super().handle_expect_100()
        self.wfile.flush()
        return going

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while length := int(self.rfile.readline().partition(b";")[0], 16):
                parts.append(self.rfile.read(length))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _pass_on(self, request: Request) -> Answer:
        upstream = urlsplit(self.server.upstream)
        kind = http.client.HTTPSConnection if upstream.scheme == "https" else http.client.HTTPConnection
        with contextlib.closing(kind(upstream.netloc, timeout=_PATIENCE)) as connection:
            headers = {name: value for name, value in request.headers.items() if name not in _HOPS}
            if request.body or request.method in ("PUT", "POST"):
                headers["Content-Length"] = str(len(request.body))
            connection.request(request.method, request.target, request.body or None, headers)
            answer = connection.getresponse()
            body = answer.read()
            length = int(answer.headers.get("Content-Length", 0)) if request.method == "HEAD" else None
            kept = tuple((name, value) for name, value in answer.headers.items() if name.lower() not in _HOPS)
            return Answer(answer.status, kept, body, length)

    def _send(self, answer: Answer, request: Request) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        cut = answer.length is not None and request.method != "HEAD"
        if cut:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()


def _distorted(request: Request, answer: Answer, effect: Effect) -> Answer:
    """An answer as an effect lets it come back."""
    if isinstance(effect, Throttle):
        time.sleep((len(request.body) + len(answer.body)) / effect.bytes_per_second)
    if isinstance(effect, CutBody):
        return replace(answer, body=answer.body[: effect.keep_bytes], length=len(answer.body))
    if isinstance(effect, BitFlip):
        return replace(answer, body=damaged(answer.body, effect))
    return as_if_nothing_were_there(request, answer) if isinstance(effect, StaleRead) else answer
