"""The server behind a second address of an object store: passes requests on to the store, and lets the plan's faults strike them.

Bytes pass as they come, in both directions: methods, heads, chunks, "100 Continue", and whatever the two sides agree on about their connection. Only what
a fault changes is read as a whole.
"""

from __future__ import annotations

import contextlib
import functools
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from ckpt_harness import runtime
from ckpt_harness.errors import InternalError
from ckpt_harness.faults.effects import BitFlip, CutBody, Delay, Effect, Hang, Reset, Skip, StaleRead, Status, Throttle
from ckpt_harness.injection.arrival import Arrival
from ckpt_harness.injection.exchange import Exchange, Passing
from ckpt_harness.injection.http1 import Body, Head, MalformedError, body_of_request, take_head
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.results import damaged
from ckpt_harness.injection.s3 import Answer, Request, as_if_nothing_were_there, pretended, refused
from ckpt_harness.injection.wire import Wire

_PATIENCE = 60.0
"""Seconds that a request hangs at most."""


class Proxy(socketserver.ThreadingTCPServer):
    """Listens on a free port of the loopback interface, from its creation on.

    Attributes:
        upstream: the address of the store.
        injector: decides which requests fail; None passes every request on.
        shut: set when requests that hang should end.
    """

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.upstream = ""
        self.injector: Injector | None = None
        self.shut = threading.Event()
        self.wires: set[Wire] = set()
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
        """Closes the address and all connections. Requests that hang end."""
        self.shut.set()
        self.shutdown()
        self.server_close()
        for wire in list(self.wires):
            wire.wake()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection on its own thread."""
        self._start(_Connection(self, Wire(request)).serve)

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, name="ckpt-harness endpoint", daemon=True)
        runtime.serves(thread)
        thread.start()


class _Connection:
    """A client's connection, and the connection to the store that belongs to it.

    Args:
        proxy: the proxy.
        client: the client's end.
    """

    def __init__(self, proxy: Proxy, client: Wire) -> None:
        self._proxy, self._client = proxy, client
        self._store: Wire | None = None
        self._upstream = ""
        self._reset = False
        self._reaching: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext

    def serve(self) -> None:
        """Passes on requests until either side ends its connection; the other side then sees the same end."""
        self._proxy.wires.add(self._client)
        try:
            while self._serve_request():
                pass
        except (OSError, MalformedError, InternalError):
            self._reset = True
        finally:
            self._proxy.wires.discard(self._client)
            self._client.close(reset=self._reset)
            self._leave_store()

    # -- the connection to the store

    def _reach_store(self) -> Wire:
        if self._store is None or self._upstream != self._proxy.upstream:
            self._leave_store()
            self._upstream = self._proxy.upstream
            self._store = Wire.to(self._upstream)
            self._proxy.wires.add(self._store)
        return self._store

    def _leave_store(self) -> None:
        if self._store is not None:
            self._proxy.wires.discard(self._store)
            self._store.close(reset=self._reset)
            self._store = None

    # -- one request

    def _serve_request(self) -> bool:
        """Serves the next request. Returns whether the connection goes on."""
        head = self._next_head()
        if head is None:
            return False
        body = body_of_request(head)
        headers = {name.lower(): value for name, value in head.headers}
        request, passing = Request(head.words[0], head.words[1], headers), Passing(head, body, head.raw)
        injector, site = self._proxy.injector, request.site
        self._reaching = contextlib.nullcontext
        if injector is None or injector.over or site is None:
            return self._pass(passing) is not None
        if request.lists_keys:
            request = replace(request, body=self._take_body(passing, keep=True))
        arrival = injector.arrive(site, request.name)
        passing.on_answer = lambda answer: injector.answered(arrival, well=answer.status < 400)
        self._reaching = functools.partial(injector.on_our_account, site)  # a store that nobody can reach is no failure of the checkpoint
        return self._serve_struck(injector, arrival, request, passing)

    def _serve_struck(self, injector: Injector, arrival: Arrival, request: Request, passing: Passing) -> bool:
        """Serves a request that a fault may strike."""
        fault = arrival.fault
        if fault is None:
            return self._pass(passing) is not None
        effect, kept = fault.effect, None
        if fault.after:
            kept = self._captured(passing)
        elif not isinstance(effect, (Delay, CutBody, StaleRead, Throttle, BitFlip)) or (isinstance(effect, BitFlip) and request.site == "http.put"):
            request = replace(request, body=self._take_body(passing, keep=isinstance(effect, (Skip, BitFlip))))
        injector.fire(arrival)
        if isinstance(effect, (Reset, Hang)):
            if isinstance(effect, Hang):
                self._hang()
            self._reset = True
            return False
        if isinstance(effect, Delay):
            self._proxy.shut.wait(effect.seconds)
            if kept is None:
                return self._pass(passing) is not None
        if isinstance(effect, BitFlip) and request.site == "http.put":
            passing.begun = passing.request.raw + _framed(damaged(request.body, effect), passing.body)
            return self._pass(passing) is not None
        answer = _made_up(request, effect)
        if answer is None:
            kept = self._captured(passing) if kept is None else kept
            if isinstance(effect, Throttle):
                self._proxy.shut.wait((passing.body.size + len(kept.body)) / effect.bytes_per_second)
            with injector.on_our_account(arrival.site.name):
                answer = _distorted(request, kept, effect)
        injector.answered(arrival, well=answer.status < 400)
        return self._send(answer, request)

    def _next_head(self) -> Head | None:
        """The head of the next request; None when either side has ended the connection."""
        client = self._client
        while (head := take_head(client.incoming)) is None:
            idle = [client] if self._store is None else [client, self._store]
            if any(wire.ended for wire in idle):
                return None
            Wire.wait(idle)
            if self._store is not None and self._store.incoming:  # last words, such as "408 Request Timeout"
                client.outgoing += self._store.incoming
                self._store.incoming.clear()
                self._flush()
        return head

    def _take_body(self, passing: Passing, *, keep: bool) -> bytes:
        """Reads the body of a request here.

        Args:
            passing: the request.
            keep: whether the content is of interest.

        Returns:
            The content, if it is kept.

        Raises:
            ConnectionError: the client left before its end.
        """
        client, body, content, raw = self._client, passing.body, [], [passing.begun]
        if passing.request.expects_to_continue and not body.done:
            client.outgoing += b"HTTP/1.1 100 Continue\r\n\r\n"
            passing.promised = True
            self._flush()
        while not body.done:
            if not client.incoming:
                if client.ended:
                    raise ConnectionAbortedError
                Wire.wait([client])
            used, piece = body.feed(bytes(client.incoming))
            if keep:
                content.append(piece)
                raw.append(bytes(client.incoming[:used]))
            del client.incoming[:used]
        passing.begun = b"".join(raw)
        return b"".join(content)

    def _captured(self, passing: Passing) -> Answer:
        """The store's own answer to a request, which the client does not get."""
        passing.capture, passing.on_answer = True, None
        answer = self._pass(passing)
        if answer is None:
            raise ConnectionResetError
        return answer

    def _pass(self, passing: Passing) -> Answer | None:
        """Passes a request on to the store, and the answer to the client, both as they come.

        Returns:
            The answer, whose body is empty unless it is captured; None if the connection ends with it.
        """
        with self._reaching():
            store = self._reach_store()
        exchange = Exchange(self._client, store, passing)
        while not exchange.over:
            exchange.go_on()
        self._reset = exchange.reset
        answer = exchange.answer()
        if passing.capture and exchange.store_leaves:
            self._leave_store()  # the client does not know, and may send its next request
        return answer

    def _hang(self) -> None:
        """Answers nothing until the client closes the connection, the case is over, or the patience ends."""
        shut, until = self._proxy.shut, time.monotonic() + _PATIENCE
        with contextlib.suppress(OSError):
            while not shut.wait(0.02) and time.monotonic() < until and not self._client.ended:
                Wire.wait([self._client], 0)

    def _send(self, answer: Answer, request: Request) -> bool:
        """Sends an answer that is not the store's own. Returns whether the connection goes on."""
        cut = answer.length is not None and request.method != "HEAD"
        lines = [f"HTTP/1.1 {answer.status} {answer.phrase}", *(f"{name}: {value}" for name, value in answer.headers)]
        if answer.status != 204:
            lines.append(f"Content-Length: {len(answer.body) if answer.length is None else answer.length}")
        if cut:
            lines.append("Connection: close")
        self._client.outgoing += "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + answer.body
        self._flush()
        return not cut

    def _flush(self) -> None:
        while self._client.outgoing:
            Wire.wait([], sending=(self._client,))


def _framed(content: bytes, like: Body) -> bytes:
    """Content in the framing of another body of the same size."""
    if not like.chunked:
        return content
    return (b"%x\r\n%b\r\n" % (len(content), content) if content else b"") + b"0\r\n\r\n"


def _made_up(request: Request, effect: Effect) -> Answer | None:
    """The answer that an effect puts in the place of the store's; None for an effect that changes the store's answer."""
    if isinstance(effect, Status):
        return refused(request, effect.status, effect.error_code)
    return pretended(request) if isinstance(effect, Skip) else None


def _distorted(request: Request, answer: Answer, effect: Effect) -> Answer:
    """The store's answer after an effect has changed it."""
    if isinstance(effect, CutBody):
        return replace(answer, body=answer.body[: effect.keep_bytes], length=len(answer.body))
    if isinstance(effect, BitFlip):
        return replace(answer, body=damaged(answer.body, effect))
    return as_if_nothing_were_there(request, answer) if isinstance(effect, StaleRead) else answer
