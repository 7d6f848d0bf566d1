"""The server behind a second address of an object store: passes requests on to the store, and lets the plan's faults strike them."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from ckpt_harness import runtime
from ckpt_harness.faults.effects import BitFlip, CutBody, Delay, Effect, Hang, Reset, Skip, StaleRead, Status, Throttle
from ckpt_harness.injection.arrival import Arrival
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.results import damaged
from ckpt_harness.injection.s3 import Answer, Request, as_if_nothing_were_there, pretended, refused

_HOPS = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "proxy-connection", "expect"}
"""Headers that describe one connection, or that the next server writes anew."""
_PATIENCE = 60.0
"""Seconds that the store may take to answer, and that a request hangs at most."""


class Proxy(ThreadingHTTPServer):
    """Listens on a free port of the loopback interface, from its creation on.

    Attributes:
        upstream: the address of the store.
        injector: decides which requests fail; None passes every request on.
        shut: set when requests that hang should end.
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
        """The address of this proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve_for(self, injector: Injector | None) -> None:
        """Lets ``injector`` decide from now on which requests fail. Requests that hang since before end."""
        self.shut.set()
        self.injector, self.shut = injector, threading.Event()

    def close(self) -> None:
        """Closes the address. Requests that hang end."""
        self.shut.set()
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection on its own thread."""
        self._start(self.process_request_thread, request, client_address)

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, name="ckpt-harness endpoint", daemon=True)
        runtime.serves(thread)
        thread.start()

    def reset(self, connection: socket.socket) -> None:
        """Lets the end of a connection appear as a reset to the client."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._resets.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection: in order, which announces the end to the client first, unless a reset is due."""
        if request in self._resets:
            self._resets.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stays silent: a client may leave at any time."""


class _Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet per answer: a second packet would wait until the first is acknowledged
    server: Proxy

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name in the base class)
        """Prints nothing."""

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

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815  (the base class looks for these names)

    def _struck(self, injector: Injector, arrival: Arrival, request: Request) -> Answer | None:
        """The answer to a request that a fault may strike; None for no answer."""
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
            return refused(request, effect.status, effect.error_code)
        if isinstance(effect, Skip):
            return pretended(request)
        if isinstance(effect, Delay):
            time.sleep(effect.seconds)
        if isinstance(effect, BitFlip) and request.site == "http.put":
            return self._pass_on(replace(request, body=damaged(request.body, effect)))
        return _distorted(request, self._pass_on(request) if answer is None else answer, effect)

    def _hang(self) -> None:
        """Answers nothing until the client closes the connection, the case is over, or the patience ends."""
        shut, until = self.server.shut, time.monotonic() + _PATIENCE
        with contextlib.suppress(OSError):
            while not shut.wait(0.02) and time.monotonic() < until:
                if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1, socket.MSG_PEEK):
                    return

    def handle_expect_100(self) -> bool:
        """Answers at once to a client that waits before it sends its body."""
        going = super().handle_expect_100()
        self.wfile.flush()
        return going

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while length := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(chunks)

    def _pass_on(self, request: Request) -> Answer:
        """The store's own answer to a request."""
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
    """An answer after an effect has changed or delayed it."""
    if isinstance(effect, Throttle):
        time.sleep((len(request.body) + len(answer.body)) / effect.bytes_per_second)
    if isinstance(effect, CutBody):
        return replace(answer, body=answer.body[: effect.keep_bytes], length=len(answer.body))
    if isinstance(effect, BitFlip):
        return replace(answer, body=damaged(answer.body, effect))
    return as_if_nothing_were_there(request, answer) if isinstance(effect, StaleRead) else answer
