"""Publishing from a command line (routes spec §5), against a scripted server on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import zmq
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.harness.tokens import token_claims

from holdfast.control import publish_client
from holdfast.control.publish_client import PublishError, PublishUrl, parse_publish_url, publish, push
from holdfast.wire.jwt import decode_jwt, parse_pem_key


class ScriptedServer:
    """Answers one connection with given bytes and keeps what it was asked."""

    def __init__(self, answer: bytes) -> None:
        self.asked = b""
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except TimeoutError:
            return
        with connection:
            connection.settimeout(10)
            self.asked = connection.recv(65536)
            if self.asked.endswith(b"\r\n\r\n"):  # the body comes by itself
                self.asked += connection.recv(65536)
            connection.sendall(self._answer)

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer(request.param)
    yield scripted
    scripted.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nPublished\n"


@pytest.mark.parametrize("server", [OK], indirect=True)
def test_the_request_is_exactly_that_of_pushpin_publish(server: ScriptedServer) -> None:
    """routes-111."""
    publish(parse_publish_url(f"http://127.0.0.1:{server.port}/base"), b"{}")
    assert server.asked == (
        b"POST /base/publish/ HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n\r\n{}" % server.port
    )


@pytest.mark.parametrize(
    ("server", "text"),
    [
        pytest.param(b"HTTP/1.0 400 Bad Request\r\n\r\nbad\n", "bad", id="routes-114 status"),
        pytest.param(b"HTTP/1.0 201 Created\r\n\r\n x \n", "x", id="only 200 will do"),
        pytest.param(b"HTTP/1.0 500 X\r\n\r\n\xff", "\ufffd", id="body that is not text"),
        pytest.param(b"nonsense\r\n", "the answer is not HTTP: BadStatusLine('nonsense\\r\\n')", id="not HTTP"),
        pytest.param(b"", "Remote end closed connection without response", id="no answer"),
    ],
    indirect=["server"],
)
def test_anything_else_is_an_error(server: ScriptedServer, text: str) -> None:
    with pytest.raises(PublishError) as caught:
        publish(parse_publish_url(f"http://127.0.0.1:{server.port}"), b"{}")
    assert str(caught.value).startswith(text)


def test_the_text_of_the_system_tells_why_there_is_no_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = parse_publish_url(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(PublishError, match=r"^Connection refused$"):
            publish(url, b"{}")


@pytest.mark.parametrize("server", [b"not TLS"], indirect=True)
def test_credentials_go_over_tls_only(server: ScriptedServer) -> None:
    """routes-114."""
    with pytest.raises(PublishError, match=r"^Authentication requires https$"):
        publish(parse_publish_url(f"http://127.0.0.1:{server.port}"), b"{}", "Bearer s3cret")
    with pytest.raises(PublishError, match="no header can carry"):
        publish(parse_publish_url(f"https://127.0.0.1:{server.port}"), b"{}", "Bearer a\nb")
    with pytest.raises(PublishError):
        publish(parse_publish_url(f"https://127.0.0.1:{server.port}"), b"{}", "Bearer s3cret")
    assert server.asked.startswith(b"\x16\x03")  # a TLS handshake
    assert b"s3cret" not in server.asked


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param("http://localhost", PublishUrl(False, "localhost", "localhost", None, "/publish/"), id="host"),
        pytest.param("https://h:1/a", PublishUrl(True, "h:1", "h", 1, "/a/publish/"), id="port and path"),
        pytest.param("http://h/a/", PublishUrl(False, "h", "h", None, "/a//publish/"), id="final slash"),
        pytest.param("http://[::1]:80", PublishUrl(False, "[::1]:80", "::1", 80, "/publish/"), id="IPv6"),
    ],
)
def test_urls(spec: str, expected: PublishUrl) -> None:
    assert parse_publish_url(spec) == expected


@pytest.mark.parametrize(
    "spec",
    ["http:", "http:///a", "http://h:x", "http://h:99999", "http://u:p@h", "http://h/a b", "http://h/ü", "ftp://h"],
)
def test_bad_urls(spec: str) -> None:
    with pytest.raises(PublishError, match=r"^invalid URL$"):
        parse_publish_url(spec)


@pytest.mark.parametrize(
    ("parameters", "issuer", "key"),
    [
        ("iss=a&key=b", "a", "b"),
        ("key=b", None, "b"),
        ("iss=a", "a", None),
        ("iss=&key=", None, None),
        ("key=base64:a+b%2Fc%3D&verify-iss=x&verify-key=y", None, "base64:a+b/c="),
        ("key=1&key=2", None, "1"),
    ],
)
def test_parameters_of_a_url(parameters: str, issuer: str | None, key: str | None) -> None:
    """Those of GRIP_URL; the key does not show where the URL is printed."""
    url = parse_publish_url(f"http://h/p?{parameters}")
    assert (url.target, url.issuer, url.key) == ("/p/publish/", issuer, key)
    assert key is None or repr(key) not in repr(url)


@pytest.mark.parametrize("url", ["http://h?a=b", "http://h?iss=a&x=1", "http://h#iss=a"])
def test_other_parameters_are_refused_rather_than_forgotten(url: str) -> None:
    with pytest.raises(PublishError, match=r"^invalid URL: (unknown parameter [ax]$|there is something after a #)"):
        parse_publish_url(url)


class TestKeyOfAUrl:
    @staticmethod
    def authorization(url: str) -> str | None:
        return parse_publish_url(url).authorization(1000.7)

    @pytest.mark.parametrize(("key", "secret"), [("s3cret", b"s3cret"), ("base64:AP8", b"\0\xff")])
    def test_a_token_of_an_issuer(self, key: str, secret: bytes) -> None:
        """It is signed, so it may go where TLS is not, as with the other libraries."""
        value = self.authorization(f"http://proxy.example?iss=me&key={key}")
        assert value is not None
        assert token_claims(value.removeprefix("Bearer "), secret) == {"iss": "me", "exp": 1600}

    def test_a_private_key(self) -> None:
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        value = self.authorization(f"http://h?iss=me&key={quote(pem)}")
        assert value is not None
        assert decode_jwt(value.removeprefix("Bearer ").encode(), parse_pem_key(pem))["iss"] == "me"

    @pytest.mark.parametrize("base", ["http://localhost", "http://127.0.0.1:5561", "http://[::1]", "https://h"])
    def test_without_an_issuer_the_key_itself(self, base: str) -> None:
        assert self.authorization(f"{base}?key=base64:AP8=") == "Bearer base64:AP8="

    @pytest.mark.parametrize("base", ["http://h", "http://localhost.example", "http://192.0.2.1"])
    def test_which_nobody_may_overhear(self, base: str) -> None:
        with pytest.raises(PublishError, match=r"^Authentication requires https$"):
            self.authorization(f"{base}?key=s3cret")

    @pytest.mark.parametrize("key", ["base64:?", "base64:", "-----BEGIN", "-----BEGIN PRIVATE KEY-----"])
    def test_a_key_that_cannot_sign(self, key: str) -> None:
        with pytest.raises(PublishError, match=r"^the key of the URL cannot be used: "):
            self.authorization(f"http://h?iss=me&key={quote(key)}")

    def test_none(self) -> None:
        assert self.authorization("http://h?iss=me") is None

    @pytest.mark.parametrize("server", [OK], indirect=True)
    def test_is_sent(self, server: ScriptedServer) -> None:
        publish(parse_publish_url(f"http://127.0.0.1:{server.port}?key=s3cret"), b"{}")
        assert b"\r\nAuthorization: Bearer s3cret\r\n" in server.asked

    def test_a_line_break_is_not(self) -> None:
        with pytest.raises(PublishError, match="no header can carry"):
            publish(parse_publish_url("http://127.0.0.1:1?key=a%0d%0ab"), b"{}")


def test_a_message_is_pushed() -> None:
    """routes-114, grip-115: one message, and it is sent when the call returns."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        push(f"tcp://127.0.0.1:{port}", b"frame")
        assert pull.poll(5000)
        assert pull.recv_multipart() == [b"frame"]


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_client, "TIMEOUT_S", 0.1)
    with pytest.raises(PublishError, match=r"^nobody listened at ipc://nobody for 0 seconds$"):
        push("ipc://nobody", b"frame")
