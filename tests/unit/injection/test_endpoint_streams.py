"""How bytes pass a ``FaultyEndpoint``: as they come, in both directions; a connection that ends on one side ends on the other."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from ckpt_harness import FaultyEndpoint
from ckpt_harness.injection.http1 import Body, MalformedError, take_head

PUT = b"PUT /b/k HTTP/1.1\r\nhOsT:  there\r\nContent-Length: 8\r\n\r\n"
IN_CHUNKS = b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 All Right\r\ncontent-length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Go On\r\nX: y\r\n\r\n"


class End:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(60)

    def says(self, data: bytes) -> None:
        """Sends bytes."""
        self.socket.sendall(data)

    def hears(self, expected: bytes) -> None:
        """Asserts that exactly these bytes come next."""
        data = b""
        while len(data) < len(expected) and (piece := self.socket.recv(len(expected) - len(data))):
            data += piece
        assert data == expected

    def hears_the_end(self) -> None:
        """Asserts that the other side has ended its stream in order."""
        assert self.socket.recv(1) == b""


class Talk:
    """A client's end, and the store's end, which is there once the client's first bytes have come."""

    def __init__(self, listener: socket.socket, endpoint: FaultyEndpoint) -> None:
        self._listener, self.endpoint = listener, endpoint
        self.client = End(socket.create_connection(("127.0.0.1", int(endpoint.url.rpartition(":")[2]))))
        self._store: End | None = None

    @property
    def store(self) -> End:
        if self._store is None:
            self._store = End(self._listener.accept()[0])
        return self._store

    def close(self) -> None:
        self.client.socket.close()
        if self._store is not None:
            self._store.socket.close()


@pytest.fixture
def talk() -> Iterator[Callable[..., Talk]]:
    """Opens an endpoint with a plan, and a connection through it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        opened: list[Talk] = []

        def open_endpoint(plan: str = "") -> Talk:
            endpoint = FaultyEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", plan).__enter__()
            opened.append(Talk(listener, endpoint))
            return opened[-1]

        yield open_endpoint
        for made in opened:
            made.close()
            made.endpoint.__exit__()


def test_a_body_reaches_the_store_before_it_is_complete(talk: Callable[..., Talk]) -> None:
    """And the answer reaches the client before it is complete; the head passes as it is."""
    t = talk()
    t.client.says(PUT + b"data")
    t.store.hears(PUT + b"data")
    t.client.says(b"more")
    t.store.hears(b"more")
    t.store.says(OK[:-1])
    t.client.hears(OK[:-1])
    t.store.says(OK[-1:])
    t.client.hears(OK[-1:])


def test_chunks_pass_with_their_sizes_extensions_and_trailers(talk: Callable[..., Talk]) -> None:
    """In both directions; the connection is kept, and the next request uses it."""
    t = talk()
    for chunks in (b"04;a=b\r\ndata\r\n", b"0\r\nTrailer: 1\r\n\r\n"):
        t.client.says((IN_CHUNKS if chunks.startswith(b"04") else b"") + chunks)
        t.store.hears((IN_CHUNKS if chunks.startswith(b"04") else b"") + chunks)
    answer = b"HTTP/1.1 207 Multi-Status\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"
    t.store.says(answer)
    t.client.hears(answer)
    t.client.says(PUT + b"datamore")
    t.store.hears(PUT + b"datamore")


def test_a_client_waits_until_the_store_wants_its_body(talk: Callable[..., Talk]) -> None:
    """The "100 Continue" is the store's own."""
    t = talk()
    head = PUT.replace(b"hOsT", b"Expect: 100-continue\r\nhOsT")
    t.client.says(head)
    t.store.hears(head)
    t.store.says(CONTINUE)
    t.client.hears(CONTINUE)
    t.client.says(b"datamore")
    t.store.hears(b"datamore")
    t.store.says(OK)
    t.client.hears(OK)


def test_a_store_may_refuse_a_body_before_it_comes(talk: Callable[..., Talk]) -> None:
    """The refusal reaches the client, which never sends the body."""
    t = talk()
    head = PUT.replace(b"hOsT", b"Expect: 100-continue\r\nhOsT")
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
    t.client.says(head)
    t.store.hears(head)
    t.store.says(refusal)
    t.client.hears(refusal)
    t.client.hears_the_end()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut", b""])
def test_an_answer_ends_where_the_store_ends_it(answer: bytes, talk: Callable[..., Talk]) -> None:
    """Whether that is its announced end or not."""
    t = talk()
    t.client.says(b"GET /b/k HTTP/1.1\r\n\r\n")
    t.store.hears(b"GET /b/k HTTP/1.1\r\n\r\n")
    t.store.says(answer)
    t.store.socket.close()
    t.client.hears(answer)
    t.client.hears_the_end()


def test_a_client_that_leaves_is_seen_to_leave_by_the_store(talk: Callable[..., Talk]) -> None:
    """In the middle of its request, and between two requests."""
    t = talk()
    t.client.says(PUT + b"da")
    t.store.hears(PUT + b"da")
    t.client.socket.close()
    t.store.hears_the_end()


def test_requests_that_follow_each_other_without_waiting_are_answered_in_order(talk: Callable[..., Talk]) -> None:
    """The store gets the second once it has answered the first."""
    t = talk()
    first, second = b"GET /b/1 HTTP/1.1\r\n\r\n", b"DELETE /b/2 HTTP/1.1\r\n\r\n"
    t.client.says(first + second)
    t.store.hears(first)
    t.store.says(OK)
    t.store.hears(second)
    t.store.says(b"HTTP/1.1 204 Gone\r\n\r\n")
    t.client.hears(OK + b"HTTP/1.1 204 Gone\r\n\r\n")


def test_another_protocol_passes_once_both_sides_agree_on_it(talk: Callable[..., Talk]) -> None:
    """After "101 Switching Protocols", every byte passes."""
    t = talk()
    upgrade, agreed = b"GET /b HTTP/1.1\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    t.client.says(upgrade)
    t.store.hears(upgrade)
    t.store.says(agreed)
    t.client.hears(agreed)
    for data in (b"\x00one", b"\xfftwo\r\n\r\n"):
        t.client.says(data)
        t.store.hears(data)
        t.store.says(data)
        t.client.hears(data)


def test_a_fault_leaves_the_connection_usable(talk: Callable[..., Talk]) -> None:
    """The body of the refused request, in chunks, is not taken for the next request."""
    t = talk("put@0=status(503,SlowDown)")
    t.client.says(IN_CHUNKS + b"4\r\nGET \r\n0\r\n\r\n")
    t.client.hears(b"HTTP/1.1 503 Service Unavailable\r\n")
    t.client.says(PUT + b"datamore")
    t.store.hears(PUT + b"datamore")


def test_bits_flip_in_chunks_too(talk: Callable[..., Talk]) -> None:
    """A client that waits for "100 Continue" gets it once."""
    t = talk("put@0=bitflip(1)")
    head = IN_CHUNKS.replace(b"Tr", b"Expect: 100-continue\r\nTr", 1)
    t.client.says(head)
    t.client.hears(b"HTTP/1.1 100 Continue\r\n\r\n")
    t.client.says(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
    t.store.hears(head + b"4\r\naccd\r\n0\r\n\r\n")
    t.store.says(CONTINUE + OK)
    t.client.hears(OK)


def test_an_endpoint_that_closes_ends_its_connections(talk: Callable[..., Talk]) -> None:
    """Also those on which an answer is due."""
    t = talk()
    t.client.says(b"GET /b/k HTTP/1.1\r\n\r\n")
    t.store.hears(b"GET /b/k HTTP/1.1\r\n\r\n")
    t.endpoint.__exit__()
    t.client.hears_the_end()
    t.store.hears_the_end()


@pytest.mark.parametrize("stream", [b"hello\r\n\r\n", b"GET /b\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"x" * (1 << 19)])
def test_what_is_no_message_is_recognised(stream: bytes) -> None:
    """Another protocol, an older version, TLS, or a head without an end."""
    with pytest.raises(MalformedError):
        take_head(bytearray(stream))


@pytest.mark.parametrize("cut", range(1, 30))
def test_chunks_may_be_cut_anywhere(cut: int) -> None:
    """Content and end are found however the bytes arrive."""
    stream, body = b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\nGET ", Body(0, chunked=True)
    content, position = b"", 0
    for start in range(0, len(stream), cut):
        used, piece = body.feed(stream[start : start + cut])
        position, content = position + used, content + piece
    assert (content, body.done, stream[position:], body.size) == (b"abc0123456789", True, b"GET ", 13)
