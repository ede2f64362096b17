"""The control doors under connections that mix who may with who may not, and bodies of all kinds."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, encode_chunk, encode_request
from tests.harness.grip import Stage, fresh_channel
from tests.harness.messages import HeaderList
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import stream_item

TOKEN = "s3cret-token"
GOOD: HeaderList = [("authorization", f"bEaReR {TOKEN}")]

pytestmark = pytest.mark.usefixtures("lets_go")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"},
            "holdfast": {"publish_token": TOKEN, "publish_key": "key of publishers: 32 bytes or so"},
        },
    )


def body_of(channel: str, content: str) -> bytes:
    return json.dumps({"items": [stream_item(channel, content)]}).encode()


def test_each_request_is_asked_for_its_own_credentials(stage: Stage, connect: Connect) -> None:
    """Pipelined on one connection: the door does not remember who was let in."""
    channel = fresh_channel()
    client, door = stage.stream(channel), connect(stage.proxy.control_port)
    chunked = encode_chunk(body_of(channel, "chunked")) + encode_chunk(b"")
    door.send(
        encode_request("/publish/", method="POST", headers=GOOD, body=body_of(channel, "one"))
        + encode_request("/publish/", method="POST", body=body_of(channel, "never"))
        + encode_request("/publish/", method="POST", headers=[*GOOD, *GOOD], body=body_of(channel, "never"))
        + encode_request("/publish/", method="POST", headers=[*GOOD, ("Transfer-Encoding", "chunked")])
        + chunked
        + encode_request("/publish/", method="POST", headers=[("Authorization", "Bearer x")], body=b"{")
        + encode_request("/publish/", method="POST", headers=GOOD, body=body_of(channel, "two"))
    )
    assert [door.read_response().status for _ in range(6)] == [200, 401, 401, 200, 401, 200]
    assert client.read_data(13) == b"onechunkedtwo"
    client.assert_silent(0.1)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_refused_in_the_middle_of_a_body(stage: Stage, connect: Connect, is_chunked: bool) -> None:
    """The answer comes first, and what was in the body is never taken for a request."""
    channel = fresh_channel()
    client, door = stage.stream(channel), connect(stage.proxy.control_port)
    inner = encode_request("/publish/", method="POST", headers=GOOD, body=body_of(channel, "smuggled"))
    framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(len(inner) + 5))
    door.send(encode_request("/publish/", method="POST", headers=[framing]))
    assert door.read_response().status == 401
    door.send(encode_chunk(inner) if is_chunked else inner)
    door.read_to_close()
    client.assert_silent(0.2)


def post(*headers: tuple[str, str], target: str = "/publish/", body: bytes | None = b"{}") -> bytes:
    return encode_request(target, method="POST", headers=list(headers), body=body)


def authorized_by(value: str) -> bytes:
    return post(("Authorization", value))


REQUESTS = {
    "HEAD": (encode_request("/publish/", method="HEAD"), 401),
    "OPTIONS": (encode_request("/publish/", method="OPTIONS"), 401),
    "HEAD of the root": (encode_request("/", method="HEAD"), 200),
    "let in": (encode_request("/publish/", method="HEAD", headers=GOOD), 405),
    "DELETE": (encode_request("/publish/", method="DELETE", headers=GOOD), 405),
    "websocket": (encode_request("/publish/", headers=[("Upgrade", "websocket"), ("Connection", "Upgrade")]), 401),
    "large": (post(*GOOD, ("Content-Length", "99999999999"), body=None), 400),
    "no length": (post(*GOOD, body=None), 411),
    "expects": (post(("Expect", "100-continue")), 401),
    "long credentials": (authorized_by("Bearer " + "a.b." * 1500), 401),
    "no space": (authorized_by(f"Bearer{TOKEN}"), 401),
    "basic": (authorized_by("Basic " + base64.b64encode(f":{TOKEN}".encode()).decode()), 400),
    "basic, not text": (authorized_by("Basic \xff\xff=="), 401),
    "comma": (authorized_by(f"Bearer x, Bearer {TOKEN}"), 401),
    "absolute": (post(*GOOD, target="http://localhost/publish/"), 404),
    "for a proxy": (post(("Proxy-Authorization", f"Bearer {TOKEN}")), 401),
}
"""By what is special about it a request, and the status of its answer."""


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(proxy: ProxyUnderTest, connect: Connect, name: str) -> None:
    data, status = REQUESTS[name]
    client = connect(proxy.control_port)
    client.send(data)
    response = client.read_response(data.split()[0].decode())
    assert response.status == status
    challenge = 'Bearer realm="publish", Basic realm="publish"' if status == 401 else None
    assert response.header("WWW-Authenticate") == challenge


def encode_part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_tokens_of_all_shapes(proxy: ProxyUnderTest, connect: Connect) -> None:
    """Whatever a token's header is made of, the answer is 401, on the same connection."""
    odd: list[object] = [
        None,
        True,
        0,
        -1,
        1e308,
        "",
        "none",
        "HS256",
        [],
        {},
        ["HS256"],
        {"alg": "HS256"},
        "\ud800",
        "x" * 3000,
    ]
    client = connect(proxy.control_port)
    headers: list[object] = [{name: value} for name in ("alg", "typ", "kid", "b64", "crit") for value in odd]
    headers += [{"alg": "HS256", name: value} for name in ("typ", "kid", "b64", "crit", "jwk") for value in odd]
    headers += [*odd, {"alg": "HS256", "b64": False, "crit": ["b64"]}, {"alg": "HS256", "crit": ["exp"]}]
    bodies: list[object] = [{"exp": 9e9}, None, []]
    for header, claims in itertools.product(headers, bodies):
        token = f"{encode_part(header)}.{encode_part(claims)}.{encode_part('x')}"
        client.request("/publish/", method="POST", headers=[("Authorization", f"Bearer {token}")], body=b"{}")
        assert client.read_response().status == 401, header
    for token in ("..", ".", "a..b", "." * 5000, "a" * 5000, "ey.ey.ey", "=.=.="):
        client.request("/publish/", method="POST", headers=[("Authorization", f"Bearer {token}")], body=b"{}")
        assert client.read_response().status == 401, token


METRICS = [
    encode_request("/metrics", method=method, headers=[("Accept", accept)])
    for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE")
    for accept in ("*/*", "application/openmetrics-text; version=1.0.0", "x" * 2000)
]


def test_metrics_door(metrics_port: int, connect: Connect) -> None:
    """Whatever is asked in whatever way, it answers, and ends what is no HTTP."""
    client = connect(metrics_port)
    for data in METRICS:
        client.send(data)
        response = client.read_response(data.split()[0].decode())
        assert response.status in (200, 405), response
        if response.header("Connection") == "close":
            client = connect(metrics_port)
    for data in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /" + b"a" * 70_000):
        client = connect(metrics_port)
        client.send(data)
        client.read_to_close()
    pipeline = connect(metrics_port)
    pipeline.send(encode_request("/metrics") * 30)
    assert [pipeline.read_response().status for _ in range(30)] == [200] * 30
