"""What real clients and stores say to each other passes a ``FaultyEndpoint`` without a fault byte for byte, and means the same as without it."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exchange_recorder import Recorder, echo_server

from ckpt_harness import FaultyEndpoint

BIG = bytes(range(256)) * 1024 * 24  # more than one part of an upload in parts
PASSES_ALL, STRIKES_ELSEWHERE = "", "put(nobody asks for this)@0=status"


@pytest.fixture
def recorders() -> Iterator[tuple[Recorder, Recorder]]:
    """The address that clients use, and the address behind the endpoint."""
    front, back = Recorder(), Recorder()
    yield front, back
    front.close()
    back.close()


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a store that answers every method with what it received."""
    server = echo_server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=60)


def same_both_ways(recorders: tuple[Recorder, Recorder], store: str, plan: str, use: Callable[[str], Any]) -> list[tuple[bytes, bytes]]:
    """Uses the store directly and through an endpoint, from the same address; asserts that both are alike, and returns the recording at the store."""
    front, back = recorders
    front.upstream = store
    direct = use(front.url)
    assert direct
    front.take()
    with FaultyEndpoint(back.url, plan) as endpoint:
        back.upstream, front.upstream = store, endpoint.url
        assert use(front.url) == direct
        said, heard = front.take(), back.take()
        assert heard == said
        assert not endpoint.fired
    return heard


def methods(recording: list[tuple[bytes, bytes]]) -> set[str]:
    """The methods of the requests in a recording."""
    return {method.decode() for sent, _ in recording for method in re.findall(rb"([A-Z-]+) /\S* HTTP/1\.1\r\n", sent)}


@pytest.mark.parametrize("plan", [PASSES_ALL, STRIKES_ELSEWHERE])
def test_boto3_on_moto(plan: str, recorders: tuple[Recorder, Recorder]) -> None:
    """Puts that wait for "100 Continue", uploads in parts, copies, ranges, listings, errors, and several objects deleted at once."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")

    def use(url: str) -> Any:
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=url, config=boto3.session.Config(retries={"max_attempts": 0}), **keys)
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="small", Body=b"data")
        client.upload_fileobj(io.BytesIO(BIG * 2), "bucket", "big", Config=boto3.s3.transfer.TransferConfig(use_threads=False))
        client.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/small")
        with pytest.raises(client.exceptions.ClientError, match="404"):
            client.head_object(Bucket="bucket", Key="absent")
        seen = [client.get_object(Bucket="bucket", Key=key)["Body"].read() for key in ("small", "big", "copy")]
        seen.append(client.get_object(Bucket="bucket", Key="big", Range="bytes=5-9")["Body"].read())
        listed = [entry["Key"] for entry in client.list_objects_v2(Bucket="bucket")["Contents"]]
        client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": key} for key in listed]})
        client.delete_bucket(Bucket="bucket")
        client.close()
        return seen, listed

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        recording = same_both_ways(recorders, "http://{}:{}".format(*server.get_host_and_port()), plan, use)
    finally:
        server.stop()
    assert methods(recording) == {"PUT", "POST", "GET", "HEAD", "DELETE"}
    assert any(b"Expect: 100-continue" in sent and b"HTTP/1.1 100 Continue" in received for sent, received in recording)


@pytest.mark.parametrize("plan", [PASSES_ALL, STRIKES_ELSEWHERE])
def test_webdav4_on_wsgidav(plan: str, recorders: tuple[Recorder, Recorder], tmp_path: Path) -> None:
    """PROPFIND, MKCOL, MOVE, COPY and OPTIONS: what a storage on WebDAV does. The client is httpx."""
    client_package = pytest.importorskip("webdav4.client")
    application = pytest.importorskip("wsgidav.wsgidav_app")
    serving = pytest.importorskip("werkzeug.serving")
    folder = tmp_path / "store"
    folder.mkdir()
    settings = {"provider_mapping": {"/": str(folder)}, "simple_dc": {"user_mapping": {"*": True}}, "logging": {"enable": False}, "verbose": 0}

    def use(url: str) -> Any:
        client = client_package.Client(url, timeout=300)
        client.mkdir("step-1")
        client.upload_fileobj(io.BytesIO(BIG), "step-1/.metadata.tmp", size=len(BIG))
        client.move("step-1/.metadata.tmp", "step-1/.metadata")
        client.copy("step-1/.metadata", "step-1/copy")
        listed = sorted(client.ls("step-1", detail=False))
        read = io.BytesIO()
        client.download_fileobj("step-1/.metadata", read)
        options = client.http.request("OPTIONS", "/step-1").headers["dav"]
        client.remove("step-1")
        there = client.exists("step-1")
        client.http.close()
        return listed, read.getvalue() == BIG, options, there

    class Quiet(serving.WSGIRequestHandler):  # type: ignore[misc, name-defined]
        def log(self, *_: object) -> None:
            pass

    dav = application.WsgiDAVApp(settings)

    def serve(environ: dict[str, Any], start: Any) -> Any:
        return dav({**environ, "wsgi.input": io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))}, start)

    server = serving.make_server("127.0.0.1", 0, serve, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        recording = same_both_ways(recorders, f"http://127.0.0.1:{server.port}", plan, use)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=60)
    assert methods(recording) >= {"PROPFIND", "MKCOL", "PUT", "MOVE", "COPY", "OPTIONS", "GET", "DELETE"}


@pytest.mark.parametrize("plan", [PASSES_ALL, STRIKES_ELSEWHERE])
def test_requests_on_any_store(plan: str, recorders: tuple[Recorder, Recorder], echo: str) -> None:
    """Every method; bodies with a length, in chunks and without; answers with a length, in chunks with trailers, and until the end."""
    requests = pytest.importorskip("requests")

    def use(url: str) -> Any:
        seen = []
        with requests.Session() as session:
            for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "MOVE", "LOCK", "X-OWN"):
                for path in ("/b/k", "/b/chunked?a=%20b", "/b/until-close"):
                    for body in (None, b"data", (piece for piece in (b"da", BIG[:5000]))):
                        answer = session.request(method, url + path, data=body, headers={"X-oDD": "1", "Destination": f"{url}/b/there"})
                        seen.append((answer.status_code, answer.reason, answer.content))
        return seen

    recording = same_both_ways(recorders, echo, plan, use)
    assert any(sent.count(b"HTTP/1.1\r\n") > 5 for sent, _ in recording), "the connection was not kept"
    assert len(methods(recording)) == 12


@pytest.mark.parametrize("plan", [PASSES_ALL, STRIKES_ELSEWHERE])
def test_aiohttp_on_any_store(plan: str, recorders: tuple[Recorder, Recorder], echo: str) -> None:
    """Uploads in chunks that wait for "100 Continue", several requests at once, and large bodies in both directions."""
    aiohttp = pytest.importorskip("aiohttp")

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BIG), 1 << 20):
            yield BIG[start : start + (1 << 20)]

    async def exchange(url: str) -> Any:
        async with aiohttp.ClientSession() as session:

            async def ask(method: str, path: str, **settings: Any) -> Any:
                async with session.request(method, url + path, **settings) as answer:
                    return answer.status, await answer.read()

            together = await asyncio.gather(*(ask("GET", f"/b/k{number}") for number in range(4)))
            return [*together, await ask("PUT", "/b/chunked", data=pieces(), expect100=True), await ask("PUT", "/b/k", data=BIG, expect100=True)]

    recording = same_both_ways(recorders, echo, plan, lambda url: asyncio.run(exchange(url)))
    assert methods(recording) == {"GET", "PUT"}
    assert sum(received.count(b"HTTP/1.1 100 Continue") for _, received in recording) == 2
