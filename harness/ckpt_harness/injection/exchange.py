"""One request on its way to an object store, and its answer on the way back: bytes pass as they come, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ckpt_harness.injection.http1 import Body, Head, body_of_answer, take_head
from ckpt_harness.injection.s3 import Answer
from ckpt_harness.injection.wire import Wire

_OF_FRAMING = {"connection", "keep-alive", "transfer-encoding", "content-length", "trailer"}
"""Headers of an answer that are written anew where the answer is another than the store's."""


@dataclass
class Passing:
    """How one request passes.

    Attributes:
        request: the head of the request.
        body: its body, as far as the client has not sent it yet.
        begun: raw bytes that go to the store first: the head, and what has been read of the body.
        capture: whether the answer is kept, and not sent to the client.
        on_answer: receives the head of the answer before the client does.
        promised: whether the client has been told to send its body already.
    """

    request: Head
    body: Body
    begun: bytes
    capture: bool = False
    on_answer: Callable[[Head], None] | None = None
    promised: bool = False


class Exchange:
    """A request on its way to the store, and the answer on its way to the client.

    Args:
        client: the client's end.
        store: the store's end.
        passing: how the request passes.

    Attributes:
        over: whether nothing more is to be passed.
        reset: whether the store reset the connection.
    """

    def __init__(self, client: Wire, store: Wire, passing: Passing) -> None:
        self._client, self._store, self._passing = client, store, passing
        self._head: Head | None = None
        self._body = Body(None)
        self._content = bytearray()
        self._continued = passing.promised or not passing.request.expects_to_continue
        self._half_closed = False
        self.over = False
        self.reset = False
        store.outgoing += passing.begun

    def go_on(self) -> None:
        """Passes on what has come, then waits until more comes, or until what has come can go."""
        self._pass_request()
        self._pass_answer()
        self.over = self._is_over()
        if self.over:
            return
        client, store = self._client, self._store
        receiving = [] if store.full or client.ended or self._request_is_over else [client]
        if not (client.full or store.ended):
            receiving.append(store)
        try:
            Wire.wait(receiving, sending=(client, store))
        except OSError:
            self.over = self.reset = True

    @property
    def store_leaves(self) -> bool:
        """Whether the store ends its connection after this answer."""
        keeps = self._head is not None and self._head.words[0] == "HTTP/1.1" and self._head["connection"].lower() != "close"
        return self._store.ended or not keeps

    @property
    def _request_is_over(self) -> bool:
        return self._passing.body.done and not (self._head is not None and self._body.endless)

    def _pass_request(self) -> None:
        client, store, body = self._client, self._store, self._passing.body
        if self._head is not None and self._body.endless and body.done:  # another protocol, or a client that says more before the end
            store.outgoing += client.incoming
            client.incoming.clear()
        elif client.incoming and not body.done:
            used, _ = body.feed(bytes(client.incoming))
            store.outgoing += client.incoming[:used]
            del client.incoming[:used]
            self._continued = True
        if client.ended and not self._half_closed and not store.outgoing:
            self._half_closed = True
            store.end()

    def _pass_answer(self) -> None:
        store, client = self._store, self._client
        while self._head is None and (head := take_head(store.incoming)) is not None:
            if head.status < 200 and head.status != 101:
                self._continued = True
                client.outgoing += b"" if self._passing.promised else head.raw
                continue
            self._head, self._body = head, body_of_answer(head, self._passing.request.words[0])
            if self._passing.on_answer is not None:
                self._passing.on_answer(head)
            if not self._passing.capture:
                client.outgoing += head.raw
        if self._head is not None and store.incoming and not self._body.done:
            used, content = self._body.feed(bytes(store.incoming))
            if self._passing.capture:
                self._content += content
            else:
                client.outgoing += store.incoming[:used]
            del store.incoming[:used]

    def _is_over(self) -> bool:
        if self._client.outgoing:
            return False
        if self._store.ended:
            return True
        return self._head is not None and self._body.done and (self._passing.body.done or not self._continued)

    @property
    def _is_whole(self) -> bool:
        return self._head is not None and (self._body.done or (self._body.endless and not self.reset))

    def answer(self) -> Answer | None:
        """The answer; None if the connection ends with it, and it is not captured whole."""
        if self._head is None or not (self._is_whole if self._passing.capture else self._body.done and self._passing.body.done):
            return None
        kept = tuple((name, value) for name, value in self._head.headers if name.lower() not in _OF_FRAMING)
        length = int(self._head["content-length"] or 0) if self._passing.request.words[0] == "HEAD" else None
        return Answer(self._head.status, kept, bytes(self._content), length, self._head.words[2])
