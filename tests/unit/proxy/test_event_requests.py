"""Requests that carry events: exactly what the backend sees (ws spec §1.2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.proxy.helpers import make_context
from tests.unit.routing.helpers import make_rule

from holdfast.counters import Counters
from holdfast.errors import ConnectError
from holdfast.net.endpoint import Endpoint
from holdfast.net.runtime import Runtime
from holdfast.proxy.answers import ErrorAnswer
from holdfast.proxy.event_requests import EventRequests, for_target
from holdfast.proxy.socket_request import SocketRequest
from holdfast.routing.uri import parse_client_uri
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import HeadLimits, ResponseHead, parse_request_head

CONNECTION_ID = "c278a616-985f-469c-ab67-75eb61bb028f"
HANDSHAKE = b"""GET /chat?room=1 HTTP/1.1
Host: example.com
Upgrade: websocket
Connection: Upgrade, X-Hop
X-Hop: dropped
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Protocol: chat
Sec-WebSocket-Extensions: permessage-deflate
Accept: text/html
Accept-Encoding: gzip
Connection-Id: forged
Content-Length: 0
Content-Type: text/forged
Meta-User: forged
Grip-Sig: forged
Cookie: a=1
Origin: http://example.com

""".replace(b"\n", b"\r\n")


class FakeConnection:
    """Notes what is sent, and answers with nothing."""

    has_received = True
    head_bytes = 0
    is_response_complete = True
    head_bytes = 0

    def __init__(self) -> None:
        self.sent = b""

    def send_request(self, method: bytes, data: bytes) -> None:
        self.sent += data

    async def read_head(self) -> ResponseHead:
        return ResponseHead(204, b"No Content", is_http11=True, headers=[])


class FakePool:
    """Connects to one `FakeConnection` after the other, or not."""

    def __init__(self, *, is_up: bool) -> None:
        self.connections: list[FakeConnection] = []
        self.released: list[FakeConnection] = []
        self._is_up = is_up

    def take_idle(self, endpoint: Endpoint, *, is_repeatable: bool) -> None:
        return None

    async def connect(self, endpoint: Endpoint) -> FakeConnection:
        if not self._is_up:
            raise ConnectError("refused")
        self.connections.append(FakeConnection())
        return self.connections[-1]

    def release(self, connection: FakeConnection) -> None:
        self.released.append(connection)


async def post(
    body: bytes = b"",
    meta: Headers | None = None,
    replayed_bytes: int = 0,
    *,
    line: str = "* h:1,over_http",
    is_tls: bool = False,
    is_trusted: bool = False,
    is_up: bool = True,
) -> tuple[list[str], bytes]:
    """The lines of the request's head, and its body."""
    runtime = Runtime(asyncio.get_running_loop(), Counters())
    pool = FakePool(is_up=is_up)
    fake: Any = pool
    rule = make_rule(line)
    parsed = parse_request_head(HANDSHAKE, HeadLimits())
    assert parsed is not None
    asked = SocketRequest(
        rule,
        parse_client_uri(b"/chat?room=1", b"example.com", is_tls=is_tls),
        parsed[0].headers,
        client_address="192.0.2.1",
        is_tls=is_tls,
        is_trusted=is_trusted,
        connection_id=CONNECTION_ID,
    )
    requests = EventRequests.of(make_context(runtime, pool=fake), asked, rule.targets[0])
    try:
        async with requests.post(body, meta or [], replayed_bytes) as reply:
            assert (reply.code, pool.released) == (204, [])
    finally:
        runtime.close()
    (connection,) = pool.connections
    assert pool.released == [connection]
    head, _, content = connection.sent.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), content


COMMON = [
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: chat",
    "Cookie: a=1",
    "Origin: http://example.com",
    "Accept: application/websocket-events",
    f"Connection-Id: {CONNECTION_ID}",
    "Content-Type: application/websocket-events",
]


@pytest.mark.spec("ws 2", "ws 3", "ws 4")
async def test_head_and_body() -> None:
    head, body = await post(b"OPEN\r\n")
    assert head[0] == "POST /chat?room=1 HTTP/1.1"
    own = ["Host: example.com", "Sec-WebSocket-Extensions: grip", "Content-Length: 6"]
    others = [field for field in head[1:] if not field.startswith(("Grip-", "X-Forwarded-"))]
    assert sorted(others) == sorted([*COMMON, *own])
    assert [field.split(":")[0] for field in head if field.startswith("Grip-")] == ["Grip-Sig", "Grip-Feature"]
    assert "forged" not in "".join(head)
    assert body == b"OPEN\r\n"


async def test_nothing_to_say() -> None:
    head, body = await post()
    assert "Content-Length: 0" in head
    assert body == b""


async def test_what_is_known_of_the_session() -> None:
    head, _ = await post(b"TEXT\r\n", [(b"Meta-A", b"1"), (b"Meta-b", b"2")], 6)
    assert [field for field in head if field.startswith(("Content-Bytes", "Meta-"))] == [
        "Content-Bytes-Replayed: 6",
        "Meta-A: 1",
        "Meta-b: 2",
    ]


@pytest.mark.spec("ws 5")
@pytest.mark.parametrize(
    ("line", "is_trusted", "has_extension"),
    [("* h:1,over_http", False, True), ("*,no_grip h:1,over_http", False, False), ("* h:1,over_http", True, False)],
)
async def test_grip(line: str, is_trusted: bool, has_extension: bool) -> None:
    head, _ = await post(line=line, is_trusted=is_trusted)
    assert ("Sec-WebSocket-Extensions: grip" in head) is has_extension
    if "no_grip" in line:
        assert not [field for field in head if field.startswith("Grip-")]


async def test_signature() -> None:
    head, _ = await post(line="*,sig_iss=me,sig_key=secret h:1,over_http")
    (signature,) = [field for field in head if field.startswith("Grip-Sig: ")]
    assert signature.count(".") == 2


async def test_backend_that_is_not_there() -> None:
    with pytest.raises(ErrorAnswer) as caught:
        await post(is_up=False)
    assert isinstance(caught.value.__cause__, ConnectError)


def test_one_target_of_a_rule() -> None:
    rule = make_rule("* a:1 b:2")
    assert for_target(rule, rule.targets[1]).targets == (rule.targets[1],)


def test_a_rule_with_one_target_is_not_copied() -> None:
    rule = make_rule("* a:1")
    assert for_target(rule, rule.targets[0]) is rule
