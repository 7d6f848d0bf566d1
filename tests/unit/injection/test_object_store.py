"""What a client sees of a store behind a :class:`FaultyEndpoint`, for each effect."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from ckpt_harness import FaultyEndpoint
from ckpt_harness.errors import PlanError, UsageError

BODY = b"0123456789"


class _Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    held: dict[str, bytes]

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def do_PUT(self) -> None:
        self.held[self.path] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(200)

    def do_GET(self) -> None:
        self._answer(200, self.held[self.path]) if self.path in self.held else self._answer(404)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def held() -> dict[str, bytes]:
    """The objects in the store: path -> bytes."""
    return {"/b/there": BODY}


@pytest.fixture
def store(held: dict[str, bytes]) -> Iterator[str]:
    """The address of a correct store."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Store,), {"held": held}))
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=60)


def _ask(url: str, method: str, key: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, f"/b/{key}", body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_without_a_plan_everything_passes(store: str, held: dict[str, bytes]) -> None:
    """In both directions, bit by bit; the answer to HEAD too."""
    with FaultyEndpoint(store) as faulty:
        assert _ask(faulty.url, "PUT", "new", BODY)[0] == 200
        assert _ask(faulty.url, "GET", "there") == (200, BODY)
        assert _ask(faulty.url, "HEAD", "there") == (200, b"")
        assert not faulty.fired
    assert held["/b/new"] == BODY


def test_a_status_is_returned_as_often_as_the_plan_says(store: str, held: dict[str, bytes]) -> None:
    """The store never receives those requests."""
    with FaultyEndpoint(store, "put(new)@0#1x2=status(503,SlowDown)") as faulty:
        answers = [_ask(faulty.url, "PUT", key, BODY) for key in ("other", "new", "new", "new")]
        assert [status for status, _ in answers] == [200, 503, 503, 200]
        assert b"<Code>SlowDown</Code>" in answers[1][1]
        assert [(firing.rank, firing.nth) for firing in faulty.fired] == [(0, 2), (0, 3)]


@pytest.mark.parametrize(("after", "stored"), [("", False), ("!after", True)])
def test_a_connection_is_reset_before_the_store_acts_or_after(store: str, held: dict[str, bytes], after: str, stored: bool) -> None:
    """A reset after the store acted is a lost acknowledgement."""
    with FaultyEndpoint(store, f"put@0{after}=reset") as faulty, pytest.raises(ConnectionError):
        _ask(faulty.url, "PUT", "new", BODY)
    assert ("/b/new" in held) == stored


def test_a_body_ends_before_its_announced_end(store: str) -> None:
    """HTTP lets the client detect the missing bytes."""
    with FaultyEndpoint(store, "get@0=cutbody(4)") as faulty, pytest.raises(http.client.IncompleteRead) as caught:
        _ask(faulty.url, "GET", "there")
    assert caught.value.partial == BODY[:4]


def test_bits_flip_on_the_way_there_and_on_the_way_back(store: str, held: dict[str, bytes]) -> None:
    """The damage is silent."""
    with FaultyEndpoint(store, "get@0=bitflip(1); put@0=bitflip(0)") as faulty:
        assert _ask(faulty.url, "GET", "there") == (200, b"0023456789")
        assert _ask(faulty.url, "PUT", "new", BODY)[0] == 200
    assert held["/b/new"] == b"1123456789"


def test_a_store_may_report_success_and_do_nothing(store: str, held: dict[str, bytes]) -> None:
    """With ``staleread``, it does not see an object that exists."""
    with FaultyEndpoint(store, "put@0=skip; get@0=staleread") as faulty:
        assert _ask(faulty.url, "PUT", "new", BODY)[0] == 200
        assert _ask(faulty.url, "GET", "there")[0] == 404
        assert _ask(faulty.url, "GET", "there")[0] == 200
    assert "/b/new" not in held


def test_a_request_that_hangs_ends_with_the_endpoint(store: str) -> None:
    """No client waits longer than the test."""
    faulty = FaultyEndpoint(store, "get@0=hang").__enter__()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            _ask(faulty.url, "GET", "there")
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not faulty.fired:
        thread.join(timeout=0.01)
    faulty.__exit__()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert isinstance(errors[0], ConnectionError)


@pytest.mark.parametrize(("plan", "rank", "hit"), [("get@1=status", 1, True), ("get@1=status", 0, False), ("get@all=status", 3, True)])
def test_a_fault_strikes_the_addressed_rank_only(store: str, plan: str, rank: int, hit: bool) -> None:
    """Each rank has its own endpoint, which knows the rank."""
    with FaultyEndpoint(store, plan, rank=rank) as faulty:
        assert (_ask(faulty.url, "GET", "there")[0] == 503) == hit


@pytest.mark.parametrize(
    ("upstream", "plan", "error", "message"),
    [
        ("localhost:9000", "", UsageError, "no address of a store; valid: http://host:port"),
        ("http://localhost:9000", "fs.write@0=diskerror", PlanError, "has no site 'fs.write'; valid: http.put"),
        ("http://localhost:9000", "save/put@0=status", PlanError, "a request does not show its operation"),
        ("http://localhost:9000", "put@0=status(200)", PlanError, "argument 200 of status; valid: 400 to 599"),
        ("http://localhost:9000", "put@0=kill", PlanError, "'kill' is illegal at http.put; legal there: delay, hang, skip"),
        ("http://localhost:9000", "put@0=throttle(0)", PlanError, "valid: 1 byte per second or more"),
        ("http://localhost:9000", "put@0=status(503,slow down)", PlanError, "valid: a word such as SlowDown"),
    ],
)
def test_a_plan_that_could_never_act_is_refused(upstream: str, plan: str, error: type[Exception], message: str) -> None:
    """The refusal comes before the address opens."""
    with pytest.raises(error, match=message):
        FaultyEndpoint(upstream, plan)


def test_an_endpoint_that_is_not_open_has_no_address() -> None:
    """The error says how to open it."""
    with pytest.raises(UsageError, match="use it as a context manager"):
        _ = FaultyEndpoint("http://localhost:9000").url
