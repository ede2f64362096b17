"""WebSockets without sockets: both sides are in the test's hand, and the answers of a web server are scripted.

Clients, backends, holds, registry and timers are real. Time passes only when everybody waits.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.unit.proxy.helpers import BASE, HOME, Answer, ProxyWorld, now, settle

from holdfast.errors import ConnectError
from holdfast.net.duplex import DuplexOwner
from holdfast.net.outlets import Undirected
from holdfast.proxy.acceptance import Acceptance
from holdfast.proxy.answers import ErrorAnswer, origin_error
from holdfast.proxy.event_requests import EventRequests
from holdfast.proxy.origin import HoldOrigin
from holdfast.proxy.websocket_backend import BackendSide
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.proxy.websocket_echo import EchoBackend
from holdfast.proxy.websocket_over_http import EventsBackend
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.proxy.websocket_relay import RelayBackend
from holdfast.push.dialects import PLAIN, Dialect
from holdfast.push.plan import RouteTerms
from holdfast.push.socket_hold import SocketHold
from holdfast.statistics.connections import Presence
from holdfast.wire.headers import Headers
from holdfast.wire.statistics import ConnectionType
from holdfast.wire.websocket.close import CloseStatus, encode_close_payload
from holdfast.wire.websocket.frames import Opcode, encode_frame, encode_masked_frame
from holdfast.wire.websocket.stream import Close, Data, Event, FrameReader, Ping
from holdfast.wire.ws_events import Event as WebEvent
from holdfast.wire.ws_events import EventType, close_event, encode_events, read_events

ROUTE = RouteTerms(prefix="p-")
MASK = b"\x01\x02\x03\x04"


# --- the two ends -----------------------------------------------------------------------------------------------------


class FakeDuplex(Undirected):
    """A connection whose other end is the test: what it says waits while it is not read.

    Attributes:
        end: how the connection ended: "closed" in good order, "aborted", or the other end is "gone".
    """

    def __init__(self, owner: DuplexOwner, *, is_client: bool) -> None:
        self.is_blocked = False
        self.unsent_bytes = 0
        self.is_reading = False
        self.end: str | None = None
        self.ended_s = 0.0
        self.on_write: Callable[[], None] = lambda: None
        self.written: list[bytes] = []
        self._owner: DuplexOwner | None = owner
        self._mask = MASK if is_client else None
        self._unread: list[bytes] = []
        self._has_left = False

    # --- for the owner

    @property
    def peer_address(self) -> str:
        return "192.0.2.1"

    def write(self, data: bytes) -> bool | None:
        if self._owner is None or self._has_left:
            return None
        self.relay(data)
        return True

    def relay(self, data: bytes) -> None:
        if self._owner is not None and not self._has_left:
            assert data
            self.written.append(data)
            self.on_write()

    def pause_reading(self) -> None:
        if self._owner is not None:
            self.is_reading = False

    def resume_reading(self) -> None:
        if self._owner is not None and not self.is_reading:
            self.is_reading = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def close(self) -> None:
        self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def describe(self) -> str:
        return "192.0.2.1:5000"

    # --- for the test

    def say(self, *frames: bytes) -> None:
        """Send frames, in one piece."""
        self._unread.append(b"".join(frames))
        self._deliver()

    def text(self, content: str) -> None:
        self.say(self.frame(Opcode.TEXT, content.encode()))

    def shut(self, code: int | None = None, reason: str = "") -> None:
        """Send a close frame."""
        self.say(self.frame(Opcode.CLOSE, encode_close_payload(CloseStatus(code, reason))))

    def frame(self, opcode: Opcode, payload: bytes = b"", *, is_final: bool = True) -> bytes:
        if self._mask is None:
            return encode_frame(opcode, payload, is_final=is_final)
        return encode_masked_frame(opcode, payload, self._mask, is_final=is_final)

    def leave(self) -> None:
        """Close the connection without a close frame, which the owner is told when it has read everything."""
        self._has_left = True
        if self.is_blocked and not self.is_reading:
            self.drain()
        self._deliver()

    def drain(self) -> None:
        """Take everything."""
        self.is_blocked = False
        self.unsent_bytes = 0
        if self._owner is not None:
            self._owner.on_drained()

    @property
    def owner(self) -> DuplexOwner:
        assert self._owner is not None
        return self._owner

    @property
    def heard(self) -> list[str]:
        """Every piece and control frame that was written."""
        reader = FrameReader(is_masked=self._mask is None)
        return [describe_event(event) for event in reader.receive(b"".join(self.written))]

    def _deliver(self) -> None:
        while self.is_reading and self._unread and self._owner is not None:
            self._owner.on_data(self._unread.pop(0))
        if self.is_reading and self._has_left:
            owner = self._owner
            self._end("gone")
            if owner is not None:
                owner.on_gone()

    def _end(self, how: str) -> None:
        self._owner = None
        if self.end is None:
            self.end = how
            self.ended_s = now()


def describe_event(event: Event) -> str:
    """A short text: pieces of messages have dots where something comes before or after."""
    if isinstance(event, Close):
        return "close" if event.status.code is None else f"close {event.status.code} {event.status.reason}".strip()
    if isinstance(event, Data):
        kind = "" if event.opcode is Opcode.TEXT else f"{event.opcode.name.lower()} "
        dots = ("" if event.is_first else "..."), ("" if event.is_last else "...")
        return kind + dots[0] + event.payload.decode("latin-1") + dots[1]
    return f"{'ping' if isinstance(event, Ping) else 'pong'} {event.payload.decode()}".strip()


# --- a web server ----------------------------------------------------------------------------------------------------


def events(
    *happened: WebEvent | str,
    interval: str | None = None,
    accepted: int | None = None,
    headers: Headers | None = None,
    body: bytes | None = None,
    code: int = 200,
    media_type: bytes = b"application/websocket-events",
    delay_s: float = 0.0,
) -> Answer:
    """An answer with events; plain text stands for a text message."""
    fields: Headers = [(b"Content-Type", media_type), *(headers or [])]
    if interval is not None:
        fields.append((b"Keep-Alive-Interval", interval.encode()))
    if accepted is not None:
        fields.append((b"Content-Bytes-Accepted", b"%d" % accepted))
    listed = [WebEvent(EventType.TEXT, event.encode()) if isinstance(event, str) else event for event in happened]
    content = encode_events(listed) if body is None else body
    return Answer(code, fields, [content] if content else [], delay_s)


def closing(code: int | None = None, reason: str = "") -> WebEvent:
    return close_event(CloseStatus(code, reason))


def unreachable() -> ErrorAnswer:
    """What a request ends with when the backend cannot be connected to."""
    error = origin_error("refused")
    error.__cause__ = ConnectError("refused")
    return error


async def ask(backend: EventsBackend) -> Acceptance | Rejection | None:
    """What a backend says to OPEN."""
    async with backend.ask() as reply:
        return await backend.judge(reply)


class ScriptedPosts:
    """Gives the answers of a script; notes what was posted, with which meta, and when."""

    connection_id = "id"

    def __init__(self, *script: Answer | Exception, has_grip: bool) -> None:
        self.has_grip = has_grip
        self.script = list(script)
        self.posted: list[str] = []
        self.meta: list[Headers] = []
        self.replayed: list[int] = []
        self.times: list[float] = []
        self.open = 0

    @asynccontextmanager
    async def post(self, body: bytes, meta: Headers, replayed_bytes: int) -> AsyncIterator[Answer]:
        assert not self.open, "two requests at once"
        self.posted.append(describe_body(body))
        self.meta.append(meta)
        self.replayed.append(replayed_bytes)
        self.times.append(now())
        assert self.script, f"not expected: {self.posted[-1]}"
        answer = self.script.pop(0)
        self.open += 1
        try:
            if isinstance(answer, Exception):
                raise answer
            await asyncio.sleep(answer.delay_s)
            yield answer
        finally:
            self.open -= 1
            del answer  # what is raised refers to this frame


def describe_body(body: bytes) -> str:
    """The events of a request in short."""
    return ", ".join(map(_describe_web_event, filter(None, read_events(body))))


def _describe_web_event(event: WebEvent) -> str:
    if event.type is EventType.CLOSE:
        status = event.close_status
        return "CLOSE" if status.code is None else f"CLOSE {status.code} {status.reason}".strip()
    return f"{event.type.name} {event.content.decode('latin-1')}".strip()


# --- the world --------------------------------------------------------------------------------------------------------


class SocketWorld(ProxyWorld):
    """WebSockets of a proxy; whoever is still there at the end leaves, and nothing remains."""

    def __init__(self, *, jitter: float = 0.0) -> None:
        super().__init__(jitter=jitter)
        self._ends: list[FakeDuplex] = []
        self._posts: list[ScriptedPosts] = []

    def make_client(self, backend: Any, *, dialect: Dialect = PLAIN) -> WebSocketClient:
        """A client that has not had its 101."""
        side: BackendSide = backend
        client = backend.client = WebSocketClient(self.proxy, side)
        origin = HoldOrigin(HOME, BASE)
        plans = self.proxy.plans
        plan = plans.socket_plan(ROUTE, (), {})
        client.hold = SocketHold(self.context, plans, plan, client, dialect=dialect, origin=origin)
        return client

    def make_presence(self, client: WebSocketClient) -> Presence:
        """The client's connection, which begins."""
        counts = self.context.statistics.routes.unnamed
        return Presence(counts, counts.begin(), ConnectionType.WEBSOCKET, client, is_tls=False)

    def open(self, client: WebSocketClient) -> FakeDuplex:
        """Give the client its 101."""
        duplex = FakeDuplex(client, is_client=True)
        self._ends.append(duplex)
        client.open(duplex, self.make_presence(client))
        return duplex

    def relay(self, prefix: bytes | None = None) -> tuple[FakeDuplex, FakeDuplex]:
        """The client's end and the backend's of a WebSocket that is relayed."""
        backend = RelayBackend("h:1", prefix)
        client = self.open(self.make_client(backend))
        duplex = FakeDuplex(backend, is_client=False)
        self._ends.append(duplex)
        backend.begin(duplex)
        return client, duplex

    def echo(self) -> FakeDuplex:
        backend = EchoBackend()
        client = self.make_client(backend)
        duplex = self.open(client)
        client.go_on()
        return duplex

    def make_events_backend(
        self, *script: Answer | Exception, one_event: bool = False, has_grip: bool = True
    ) -> tuple[EventsBackend, ScriptedPosts]:
        posts = ScriptedPosts(*script, has_grip=has_grip)
        self._posts.append(posts)
        requests: Any = posts
        narrow: EventRequests = requests
        return EventsBackend(self.proxy, narrow, one_event=one_event), posts

    async def over_http(
        self, *script: Answer | Exception, first: Answer | None = None, one_event: bool = False, has_grip: bool = True
    ) -> tuple[FakeDuplex, ScriptedPosts]:
        """The client's end of a session, and the web server behind it, whose OPEN is left out of what was posted."""
        backend, posts = self.make_events_backend(first or opening(), *script, one_event=one_event, has_grip=has_grip)
        client = self.make_client(backend)
        acceptance = await ask(backend)
        assert isinstance(acceptance, Acceptance)
        assert posts.posted == ["OPEN"]
        for noted in (posts.posted, posts.meta, posts.replayed, posts.times):
            noted.clear()
        duplex = self.open(client)
        backend.begin(acceptance.events)
        await settle()
        return duplex, posts

    async def close(self) -> None:
        for duplex in self._ends:
            duplex.leave()
        for posts in self._posts:
            assert not posts.script, f"not asked for: {posts.script}"
            posts.script += [events() for _ in range(5)]
        await asyncio.sleep(700)
        assert len(self.proxy.farewells) == 0
        assert self.context.statistics.routes.unnamed.connections == 0
        assert not any(posts.open for posts in self._posts)
        assert len(self.proxy.plans) == 0, "a hold waits for a collection of garbage"
        await super().close()


def opening(*happened: WebEvent | str, grip: bool = False, **options: Any) -> Answer:
    """An answer that accepts."""
    fields: Headers = [(b"Sec-WebSocket-Extensions", b"grip")] if grip else []
    headers: Headers = [*fields, *options.pop("headers", [])]
    return events(WebEvent(EventType.OPEN), *happened, headers=headers, **options)


def order(kind: str, **fields: Any) -> str:
    """A control message; an underscore in a field's name stands for a hyphen."""
    return "c:" + json.dumps({"type": kind, **{key.replace("_", "-"): value for key, value in fields.items()}})


@asynccontextmanager
async def socket_world(*, jitter: float = 0.0) -> AsyncIterator[SocketWorld]:
    """A world at whose end nothing may be left."""
    world = SocketWorld(jitter=jitter)
    gc.disable()
    try:
        yield world
        await world.close()
    finally:
        gc.enable()
