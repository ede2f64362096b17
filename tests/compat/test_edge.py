"""The front end seen from a client's socket: framing, keep-alive and listeners."""

from __future__ import annotations

import random
import threading

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import Connect, encode_chunk, encode_request, fetch
from tests.harness.grip import Stage
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.timing import eventually

MEGABYTE = random.Random(1).randbytes(1_000_000)
SIZES = [9_999, 10_001, 65_535, 65_537, *range(100_000, 270_000, 10_000), 400_000]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


class TestConnections:
    def test_http_1_1_stays_open(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"again"))
        client = stage.client()
        for _ in range(3):
            client.request(path)
            assert client.read_response().text == "again"

    def test_connection_close_is_obeyed_and_said(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"bye"))
        client = stage.client()
        client.request(path, headers=[("Connection", "close")])
        response = client.read_response()
        assert (response.text, response.header("Connection")) == ("bye", "close")
        client.assert_closed()

    @differs("connection-case")
    def test_connection_close_in_another_case(self, stage: Stage) -> None:
        client = stage.client()
        client.request(stage.backend.serve(Reply(body=b"bye")), headers=[("Connection", "Close")])
        assert client.read_response().text == "bye"
        client.assert_closed(timeout_s=1)

    @pytest.mark.spec("ws-94")
    def test_http_1_0_closes(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"old"))
        client = stage.client()
        client.request(path, version="1.0")
        response = client.read_response()
        assert (response.version, response.text) == ("HTTP/1.0", "old")
        client.assert_closed()

    @pytest.mark.spec("ws-94")
    def test_http_1_0_with_keep_alive_stays_open(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"old"))
        client = stage.client()
        for _ in range(2):
            client.request(path, version="1.0", headers=[("Connection", "keep-alive")])
            response = client.read_response()
            assert (response.text, response.header("Connection")) == ("old", "keep-alive")

    def test_pipelined_requests_are_answered_in_order(self, stage: Stage) -> None:
        """routes-71, ws-98: although the first one takes longest."""
        gate = threading.Event()
        slow = stage.backend.serve(Reply(body=[b"sl", gate, b"ow"], framing=Framing.CHUNKED))
        quick = stage.backend.serve(Reply(body=b"quick"))
        client = stage.client()
        client.send(encode_request(slow) + encode_request(quick, method="POST", body=b"x") + encode_request(quick))
        client.read_head()
        assert client.read_data(2) == b"sl"
        client.assert_silent(0.1)
        gate.set()
        assert client.read_chunks() == b"ow"
        assert [client.read_response().text for _ in range(2)] == ["quick", "quick"]
        assert [request.method for request in stage.backend.requests(quick)] == ["POST", "GET"]

    def test_request_in_single_bytes(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        for byte in encode_request(path, method="POST", body=b"abc"):
            client.send(bytes([byte]))
        assert client.read_response().text == "ok"
        assert stage.backend.request(path).body == b"abc"

    def test_unknown_methods_are_passed_on(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        for method in ("PROPFIND", "BREW", "X-CUSTOM", "PATCH", "OPTIONS"):
            client.request(path, method=method)
            assert client.read_response().status == 200
            assert stage.backend.requests(path)[-1].method == method

    @differs("options-asterisk")
    def test_options_asterisk_is_refused(self, stage: Stage) -> None:
        """It gives no URI to route."""
        assert fetch(stage.proxy.port, "*", method="OPTIONS").status == 400

    @differs("absolute-target")
    def test_absolute_form_target(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        response = fetch(stage.proxy.port, f"http://absolute.example:8000{path}?q", host="other.example")
        assert response.status == 200
        request = stage.backend.request(path)
        assert (request.target, request.header("Host")) == (f"{path}?q", "absolute.example:8000")


class TestBodies:
    def test_sized_upload_of_a_megabyte(self, stage: Stage) -> None:
        """routes-63."""
        path = stage.backend.serve(Reply(body=b"ok"))
        assert fetch(stage.proxy.port, path, method="PUT", body=MEGABYTE).text == "ok"
        request = stage.backend.request(path)
        assert request.body == MEGABYTE
        assert request.header("Content-Length") == "1000000"

    def test_chunked_upload_of_a_megabyte(self, stage: Stage) -> None:
        """routes-63: with a chunk extension and a trailer, which do not arrive."""
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        client.request(path, method="POST", headers=[("Transfer-Encoding", "chunked")])
        for start in range(0, len(MEGABYTE), 100_000):
            piece = MEGABYTE[start : start + 100_000]
            client.send(b"%X;name=value\r\n%s\r\n" % (len(piece), piece))
        client.send(b"0\r\n\r\n")
        assert client.read_response().text == "ok"
        assert stage.backend.request(path).body == MEGABYTE

    def test_request_behind_trailers(self, stage: Stage) -> None:
        """ws-92: extensions and trailers are no part of the body."""
        path, second = stage.backend.serve(Reply(body=b"ok")), stage.backend.serve(Reply(body=b"next"))
        client = stage.client()
        upload = encode_request(path, method="POST", headers=[("Transfer-Encoding", "chunked")])
        body = b'5;name=value\r\nhello\r\n6;name="a;b"\r\n world\r\n0;last\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n'
        client.send(upload + body + encode_request(second))
        assert [client.read_response().text for _ in range(2)] == ["ok", "next"]
        request = stage.backend.request(path)
        assert request.body == b"hello world"
        assert not request.has("X-Trailer")

    @pytest.mark.parametrize("is_chunked", [False, True], ids=["sized", "chunked"])
    def test_uploads_around_buffer_sizes(self, stage: Stage, is_chunked: bool) -> None:
        """No size of a body and no size of its pieces makes it stop half-way."""
        path = stage.backend.serve(Reply(body=b"ok"))
        for size in SIZES * 2:
            client = stage.client()
            body = MEGABYTE[:size]
            if is_chunked:
                client.request(path, method="POST", headers=[("Transfer-Encoding", "chunked")])
                client.send(encode_chunk(body[:9000]) + encode_chunk(body[9000:]) + encode_chunk(b""))
            else:
                client.request(path, method="POST", body=body)
            assert client.read_response().text == "ok"
            assert stage.backend.requests(path)[-1].body == body

    @pytest.mark.parametrize("framing", [Framing.SIZED, Framing.CHUNKED])
    def test_downloads_around_buffer_sizes(self, stage: Stage, framing: Framing) -> None:
        """The same the other way."""
        client = stage.client()
        for size in SIZES:
            path = stage.backend.serve(Reply(body=MEGABYTE[:size], framing=framing))
            client.request(path)
            assert client.read_response().body == MEGABYTE[:size]

    @pytest.mark.parametrize("framing", [Framing.SIZED, Framing.CHUNKED, Framing.UNTIL_CLOSE])
    def test_download_of_a_megabyte(self, stage: Stage, framing: Framing) -> None:
        """routes-63, ws-109."""
        path = stage.backend.serve(Reply(body=MEGABYTE, framing=framing))
        client = stage.client()
        for _ in range(2):
            client.request(path)
            response = client.read_response(timeout_s=10)
            assert response.framing == ("sized" if framing is Framing.SIZED else "chunked")
            assert response.body == MEGABYTE

    @pytest.mark.parametrize("framing", [Framing.SIZED, Framing.CHUNKED])
    def test_download_is_streamed(self, stage: Stage, framing: Framing) -> None:
        """The first piece is at the client before the backend sends the last one."""
        gate = threading.Event()
        path = stage.backend.serve(Reply(body=[b"first", gate, b"last"], framing=framing))
        client = stage.client()
        client.request(path)
        head = client.read_head()
        read = client.read_data if head.framing == "chunked" else client.read_exactly
        assert read(5) == b"first"
        gate.set()
        assert read(4) == b"last"

    def test_upload_is_streamed(self, stage: Stage) -> None:
        """What the client has sent is at the backend before the client sends the rest."""
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        client.request(path, method="POST", headers=[("Transfer-Encoding", "chunked")])
        client.send(encode_chunk(b"a" * 20_000))
        eventually(lambda: len(stage.backend.request(path).body) == 20_000, "the first 20000 bytes at the backend")
        assert not stage.backend.request(path).complete
        client.send(encode_chunk(b"b") + encode_chunk(b""))
        assert client.read_response().text == "ok"
        assert stage.backend.request(path).body == b"a" * 20_000 + b"b"

    def test_answer_before_the_whole_upload(self, stage: Stage) -> None:
        """An answer that the backend gives early is relayed while the upload is unfinished."""
        path = stage.backend.serve(Reply(413, "Too Much", body=b"stop"), early=True)
        client = stage.client()
        client.request(path, method="POST", headers=[("Content-Length", "500000")])
        client.send(b"x" * 20_000)
        response = client.read_response()
        assert (response.status, response.text) == (413, "stop")

    def test_expect_100_continue(self, stage: Stage) -> None:
        """routes-65, ws-93: the front end itself sends 100, and the header does not reach the backend."""
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        client.request(path, method="POST", headers=[("Expect", "100-continue"), ("Content-Length", "4")])
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert stage.backend.requests(path) == []
        client.send(b"body")
        assert client.read_response().text == "ok"
        request = stage.backend.request(path)
        assert request.body == b"body"
        assert not request.has("Expect")

    def test_no_100_for_http_1_0(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        client.request(path, method="POST", version="1.0", headers=[("Expect", "100-continue")], body=b"body")
        assert client.read_response().status == 200

    @pytest.mark.parametrize("status", [204, 304])
    def test_statuses_without_a_body(self, stage: Stage, status: int) -> None:
        """routes-69, ws-96: neither body nor Content-Length, and the connection goes on."""
        path = stage.backend.serve(Reply(status, "X", headers=[("ETag", '"1"')]))
        client = stage.client()
        for _ in range(2):
            client.request(path)
            response = client.read_response()
            assert (response.status, response.header("ETag")) == (status, '"1"')
            assert not response.has("Content-Length")
            assert not response.has("Transfer-Encoding")

    def test_304_with_a_content_length_has_no_body(self, stage: Stage) -> None:
        reply = Reply(304, "Not Modified", headers=[("Content-Length", "10")], framing=Framing.AS_WRITTEN)
        path = stage.backend.serve(reply)
        client = stage.client()
        for _ in range(2):
            client.request(path)
            assert client.read_response().status == 304

    def test_head(self, stage: Stage) -> None:
        """routes-69, ws-97: Content-Length but no body, and the connection goes on."""
        reply = Reply(headers=[("Content-Length", "10")], framing=Framing.AS_WRITTEN)
        path = stage.backend.serve(reply)
        client = stage.client()
        for _ in range(2):
            client.request(path, method="HEAD")
            assert client.read_response("HEAD").header("Content-Length") == "10"
        client.assert_silent(0.05)


class TestListeners:
    def test_several_ports_and_ipv6(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
        second, sixth = free_port(), free_port("::1")
        ports = "127.0.0.1:{port}," + f"127.0.0.1:{second},[::1]:{sixth}"
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", http_ports=ports)
        proxy.wait_log("started")  # until then, only the first of them may be open
        path = backend.serve(Reply(body=b"ok"))
        for client in (connect(proxy.port), connect(second), connect(sixth, host="::1")):
            client.request(path)
            assert client.read_response().text == "ok"

    @differs("client-maxconn")
    def test_client_maxconn(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
        """ws-100: beyond the limit no more are accepted until one ends."""
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"runner": {"client_maxconn": 3}})
        path = backend.serve(Reply(body=b"ok"))
        clients = [connect(proxy.port) for _ in range(3)]
        for client in clients:
            client.request(path)
            assert client.read_response(timeout_s=2).text == "ok"
        late = connect(proxy.port)
        late.request(path)
        late.assert_silent(0.4)
        clients[0].close()
        assert late.read_response().text == "ok"
