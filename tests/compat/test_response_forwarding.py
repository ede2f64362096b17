"""What a client gets of a backend's answer: headers, framing, interim answers, and answers that are broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from tests.harness.backend import Framing, RawReply, Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, fetch
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs

BAD_GATEWAY = "Error while proxying to origin.\n"
OK = b"HTTP/1.1 200 OK\r\n"
ONE_BYTE = b"Content-Length: 1\r\n\r\nx"


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


class TestResponses:
    def test_hop_by_hop_headers_stay_here(self, stage: Stage) -> None:
        """routes-67."""
        headers = [("Keep-Alive", "timeout=5"), ("Set-Cookie", "a=1"), ("Server", "s"), ("Set-Cookie", "b=2")]
        path = stage.backend.serve(Reply(headers=[*headers, ("Connection", "keep-alive"), ("Vary", "*")], body=b"x"))
        response = fetch(stage.proxy.port, path)
        assert not response.has("Keep-Alive")
        assert response.header("Connection") in (None, "close")
        assert response.all("Set-Cookie") == ["a=1", "b=2"]
        assert [name for name in response.names() if name != "Content-Length"] == [
            "Set-Cookie",
            "Server",
            "Set-Cookie",
            "Vary",
        ]

    @differs("response-hop-by-hop")
    @pytest.mark.parametrize("name", ["Trailer", "Proxy-Connection", "Upgrade"])
    def test_more_hop_by_hop_headers(self, stage: Stage, name: str) -> None:
        path = stage.backend.serve(Reply(headers=[(name, "x")], body=b"x"))
        assert not fetch(stage.proxy.port, path).has(name)

    @differs("pushpin-check")
    def test_notice_of_another_product(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        assert fetch(stage.proxy.port, path, headers=[("Pushpin-Check", "1")]).text == "ok"

    def test_status_and_reason_are_passed(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(299, "Quite Fine", body=b"x"))
        response = fetch(stage.proxy.port, path)
        assert (response.status, response.reason) == (299, "Quite Fine")

    def test_redirect_is_passed_on(self, stage: Stage) -> None:
        """routes-70, ws-107."""
        path = stage.backend.serve(Reply(302, "Found", headers=[("Location", "/elsewhere")]))
        response = fetch(stage.proxy.port, path)
        assert (response.status, response.header("Location")) == (302, "/elsewhere")

    def test_slow_chunked_answer(self, stage: Stage) -> None:
        """routes-68, ws-95: first half."""
        gate = threading.Event()
        path = stage.backend.serve(Reply(body=[b"a", gate, b"b"], framing=Framing.CHUNKED))
        client = stage.client()
        client.request(path)
        response = client.read_head()
        assert response.headers[-2:] == [("Connection", "Transfer-Encoding"), ("Transfer-Encoding", "chunked")]
        gate.set()
        assert client.read_chunks() == b"ab"

    def test_chunked_answer_for_http_1_0(self, stage: Stage) -> None:
        """routes-68: second half."""
        path = stage.backend.serve(Reply(body=[b"a", 0.1, b"b"], framing=Framing.CHUNKED))
        client = stage.client()
        client.request(path, version="1.0")
        response = client.read_response()
        assert (response.framing, response.body) == ("close", b"ab")

    @pytest.mark.spec("ws-108")
    @pytest.mark.parametrize(
        "interim",
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", marks=differs("interim-103")),
        ],
        ids=["100", "103"],
    )
    def test_interim_answers_are_skipped(self, stage: Stage, interim: bytes) -> None:
        final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        path = stage.backend.serve(RawReply([interim, interim, 0.05, final], keeps=True))
        client = stage.client()
        for _ in range(2):
            client.request(path)
            response = client.read_response()
            assert (response.status, response.text, response.has("Link")) == (200, "ok", False)

    @differs("content-encoding")
    def test_content_encoding_is_kept(self, stage: Stage) -> None:
        """Target of routes spec §3.10."""
        path = stage.backend.serve(Reply(headers=[("Content-Encoding", "gzip")], body=b"\x1f\x8bbytes"))
        response = fetch(stage.proxy.port, path)
        assert (response.header("Content-Encoding"), response.body) == ("gzip", b"\x1f\x8bbytes")

    @differs("truncated-answer")
    @pytest.mark.parametrize(
        "reply",
        [
            Reply(body=[b"half"], framing=Framing.CHUNKED, breaks_off=True),
            Reply(body=b"half", length=10, breaks_off=True),
            RawReply([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"]),
            RawReply([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"], keeps=True),
            RawReply([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0x1\r\na\r\n0\r\n\r\n"]),
        ],
        ids=["chunked", "sized", "within a chunk", "bad chunk size", "chunk size 0x1"],
    )
    def test_truncated_answer_is_shown_as_truncated(self, stage: Stage, reply: Reply | RawReply) -> None:
        """routes-78."""
        path = stage.backend.serve(reply)
        client = stage.client()
        client.request(path)
        with pytest.raises(ClosedByServer):
            client.read_response(timeout_s=2)

    @differs("truncated-answer")
    def test_truncated_answer_by_reset(self, stage: Stage) -> None:
        """routes-78."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        path = stage.backend.serve(RawReply([head, 0.1], resets=True))
        client = stage.client()
        client.request(path)
        with pytest.raises(ClosedByServer):
            client.read_response(timeout_s=2)

    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: ", id="half a header", marks=differs("backend-head")),
            pytest.param(b"nonsense\r\n\r\n", id="no status line"),
            pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="bad status"),
            pytest.param(OK + b"X : 1\r\n" + ONE_BYTE, id="space before colon", marks=differs("backend-head")),
            pytest.param(
                OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", id="two lengths", marks=differs("two-lengths")
            ),
            pytest.param(OK + b"Content-Length: -1\r\n\r\n", id="negative length"),
            pytest.param(OK + b"Content-Length: x\r\n\r\n", id="bad length"),
            pytest.param(
                OK + b"X: " + b"x" * 9000 + b"\r\n" + ONE_BYTE, id="long header", marks=differs("backend-head")
            ),
            pytest.param(OK + b"X: 1\r\n" * 65 + ONE_BYTE, id="65 headers", marks=differs("backend-head")),
            pytest.param(OK + b"X: a\x00b\r\n" + ONE_BYTE, id="NUL"),
        ],
    )
    def test_bad_answer(self, stage: Stage, sent: bytes) -> None:
        """ws-110, ws-111; target of routes spec §3.10, and §3.9."""
        path = stage.backend.serve(RawReply([sent]))
        client = stage.client()
        client.request(path, method="POST", body=b"x")
        response = client.read_response(timeout_s=2)
        assert (response.status, response.text) == (502, BAD_GATEWAY)

    @differs("backend-101")
    def test_101_that_nobody_asked_for(self, stage: Stage) -> None:
        switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
        path = stage.backend.serve(RawReply([switch, 0.5], keeps=True))
        response = fetch(stage.proxy.port, path, timeout_s=2)
        assert (response.status, response.text) == (502, BAD_GATEWAY)

    @differs("chunked-and-length")
    def test_chunked_beats_a_length(self, stage: Stage) -> None:
        """Target of routes spec §3.10: RFC 9112 §6.3."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
        path = stage.backend.serve(RawReply([head + b"4\r\nfour\r\n0\r\n\r\n"]))
        response = fetch(stage.proxy.port, path)
        assert response.text == "four"

    def test_bytes_behind_an_answer_are_nobodys(self, stage: Stage) -> None:
        """What a backend sends too much is never taken for the answer of the next request."""
        extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        bad = stage.backend.serve(RawReply([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra], keeps=True))
        good = stage.backend.serve(Reply(body=b"good"))
        for _ in range(3):
            assert fetch(stage.proxy.port, bad).text == "ok"
            assert fetch(stage.proxy.port, good).text == "good"

    def test_slow_client_slows_the_backend_down(self, stage: Stage) -> None:
        """A client that does not read does not fill the proxy's memory: the backend is made to wait."""
        sent: list[int] = []
        piece = b"x" * 1_000_000

        def pieces() -> Iterator[bytes]:
            for number in range(40):
                sent.append(number)
                yield piece

        path = stage.backend.serve(Reply(body=pieces(), framing=Framing.CHUNKED))
        client = stage.client()
        client.request(path)
        client.read_head()
        time.sleep(0.7)
        assert len(sent) < 35
        total = 0
        while data := client.read_chunk(timeout_s=10):
            total += len(data)
        assert total == 40_000_000
