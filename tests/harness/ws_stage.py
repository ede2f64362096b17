"""A proxy with both kinds of WebSocket backends behind it, and items in the ``ws-message`` format."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from typing import Any

from tests.harness.backend import AnyReply, ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import fresh_channel
from tests.harness.proxy import ProxyUnderTest
from tests.harness.publish import Item, publish_ok
from tests.harness.timing import eventually
from tests.harness.websocket import Frame, Opcode, WebSocketClient, text
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_events import Event, EventsBackend, opening

_numbers = itertools.count(1)


def ws_item(channel: str, content: str | bytes | None = None, **fields: Any) -> Item:
    """An item with a ``ws-message`` format; bytes go as ``content-bin``; further ``fields`` belong to the format."""
    if isinstance(content, bytes):
        fields["content-bin"] = base64.b64encode(content).decode()
    elif content is not None:
        fields["content"] = content
    return {"channel": channel, "formats": {"ws-message": fields}}


def control(kind: str, **fields: Any) -> Frame:
    """A GRIP control message; an underscore in a field's name stands for a hyphen."""
    message = {"type": kind, **{name.replace("_", "-"): value for name, value in fields.items()}}
    return text("c:" + json.dumps(message))


class WebSocketStage:
    """WebSockets through one proxy: ``host`` chooses the route."""

    def __init__(
        self, proxy: ProxyUnderTest, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
    ) -> None:
        self.proxy = proxy
        self.backend = backend
        self.ws_backend = ws_backend
        self._connect = connect

    def client(self, **options: Any) -> WebSocketClient:
        """A new connection to the proxy; ``options`` are those of `RawClient`."""
        return WebSocketClient(self._connect(self.proxy.port, **options))

    def publish(self, *items: Item) -> None:
        """Publish items in one call, which must be accepted."""
        publish_ok(self.proxy.control_port, *items)

    # --- WebSocket backends ------------------------------------------------------------------------------------------

    def shake(
        self, *, host: str = "relay", headers: Sequence[tuple[str, str]] = (), query: str = "", **options: Any
    ) -> tuple[WebSocketClient, BackendPeer]:
        """Send a handshake and return both ends, the backend's not yet having answered."""
        path = f"/ws{next(_numbers)}"
        client = self.client(**options)
        client.handshake(path + query, host=host, headers=headers)
        return client, self.ws_backend.take(path)

    def relay(
        self, *, host: str = "relay", extension: str | None = None, **options: Any
    ) -> tuple[WebSocketClient, BackendPeer]:
        """An accepted WebSocket to the backend; ``extension`` is the backend's Sec-WebSocket-Extensions."""
        client, peer = self.shake(host=host, **options)
        peer.accept([] if extension is None else [("Sec-WebSocket-Extensions", extension)])
        client.accepted()
        return client, peer

    def grip(self, *channels: str, host: str = "relay", **options: Any) -> tuple[WebSocketClient, BackendPeer]:
        """An accepted WebSocket with the grip extension, subscribed to ``channels``."""
        client, peer = self.relay(host=host, extension="grip", **options)
        for channel in channels:
            self.subscribe(client, peer, channel)
        return client, peer

    def subscribe(self, client: WebSocketClient, peer: BackendPeer, channel: str, **fields: Any) -> None:
        """Subscribe by a control message and wait until that is in effect."""
        peer.send(control("subscribe", channel=channel, **fields))
        self.wait_subscribed(client, channel)

    # --- WebSocket-over-HTTP -----------------------------------------------------------------------------------------

    def over_http(
        self,
        *replies: AnyReply,
        first: AnyReply | None = None,
        host: str = "events",
        headers: Sequence[tuple[str, str]] = (),
        query: str = "",
        **options: Any,
    ) -> tuple[WebSocketClient, EventsBackend]:
        """An accepted WebSocket whose backend answers OPEN with ``first`` and the next requests with ``replies``."""
        script = EventsBackend(self.backend, opening() if first is None else first, *replies)
        client = self.client(**options)
        client.handshake(script.path + query, host=host, headers=headers)
        client.accepted()
        return client, script

    def grip_over_http(self, *channels: str, **options: Any) -> tuple[WebSocketClient, EventsBackend]:
        """An accepted WebSocket-over-HTTP connection with the grip extension, subscribed to ``channels``."""
        events = [frame_as_event(control("subscribe", channel=channel)) for channel in channels]
        client, script = self.over_http(first=opening(*events, grip=True), **options)
        for channel in channels:
            self.wait_subscribed(client, channel)
        return client, script

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def wait_subscribed(self, client: WebSocketClient, channel: str) -> None:
        """Publish probes until one arrives, and read them all away.

        A marker from the backend would not do: in Pushpin control messages take another way than data.
        """
        mark = fresh_channel()
        sent = itertools.count(1)

        def arrives() -> bool:
            self.publish(ws_item(channel, f"probe-{mark}-{next(sent)}"))
            try:
                first = client.read(0.1)
            except TimeoutError:
                return False
            assert first.payload.startswith(f"probe-{mark}-".encode()), first
            return True

        eventually(arrives, f"a subscription to {channel}")
        self.publish(ws_item(channel, f"end-{mark}"))
        client.skip_to(text(f"end-{mark}"))

    def assert_not_subscribed(self, client: WebSocketClient, channel: str, seconds: float = 0.3) -> None:
        """Assert that what is published to ``channel`` does not reach the client."""
        self.publish(ws_item(channel, "never"))
        client.assert_silent(seconds)


def frame_as_event(frame: Frame) -> Event:
    """The event that stands for a frame."""
    return Event(Opcode(frame.opcode).name, frame.payload)
