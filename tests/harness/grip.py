"""Backend replies that speak GRIP, channel names, and holds that are known to be subscribed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from tests.harness.backend import AnyReply, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, fetch
from tests.harness.messages import HeaderList, Request
from tests.harness.proxy import ProxyUnderTest

_numbers = itertools.count(1)


def fresh_channel() -> str:
    """A channel name that no other test uses."""
    return f"channel-{next(_numbers)}"


def stream_reply(channel: str, body: bytes = b"", headers: HeaderList | None = None, **fields: Any) -> Reply:
    """A reply that holds a stream on ``channel`` (the whole value of Grip-Channel)."""
    grip = [("Grip-Hold", "stream"), ("Grip-Channel", channel)]
    return Reply(headers=[("Content-Type", "text/plain"), *grip, *(headers or [])], body=body, **fields)


def poll_reply(channel: str, body: bytes = b"timeout\n", headers: HeaderList | None = None, **fields: Any) -> Reply:
    """A reply that holds a long poll on ``channel`` (the whole value of Grip-Channel)."""
    grip = [("Grip-Hold", "response"), ("Grip-Channel", channel)]
    return Reply(headers=[("Content-Type", "text/plain"), *grip, *(headers or [])], body=body, **fields)


def instruct_reply(instruct: Any, headers: HeaderList | None = None, **fields: Any) -> Reply:
    """A reply with an ``application/grip-instruct`` body; bytes are sent as they are, anything else as JSON."""
    body = instruct if isinstance(instruct, bytes) else json.dumps(instruct).encode()
    return Reply(headers=[("Content-Type", "application/grip-instruct"), *(headers or [])], body=body, **fields)


class Stage:
    """A proxy, a backend behind it, and clients that are closed when the test ends."""

    def __init__(self, proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
        self.proxy = proxy
        self.backend = backend
        self._connect = connect

    def client(self, source: str | None = None) -> RawClient:
        """A new connection to the proxy, from the loopback address ``source``."""
        return self._connect(self.proxy.port, source=source)

    def received(self, query: str = "", **options: Any) -> Request:
        """Make a request (see `fetch`) that is answered with 200, and return it as the backend received it."""
        path = self.backend.serve(Reply(body=b"ok"))
        response = fetch(self.proxy.port, path + query, **options)
        assert response.status == 200, response
        return self.backend.request(path)

    def hold(
        self, reply: AnyReply, *, host: str = "localhost", method: str = "GET", headers: Sequence[tuple[str, str]] = ()
    ) -> RawClient:
        """Make a request that ``reply`` turns into a hold, and return its client once it is subscribed.

        For a stream, its head and initial body are still to be read.
        """
        path = self.backend.serve(reply)
        client = self.client()
        client.request(path, method=method, host=host, headers=list(headers))
        self.proxy.wait_held(path)
        return client

    def warm_up(self, channel: str) -> None:
        """Subscribe to a channel with a poll that stays, so that the next one is not the first."""
        self.poll(channel)
        self.proxy.settle_first_subscriptions()

    def stream(self, channel: str, *, host: str = "localhost") -> RawClient:
        """Hold a stream with an empty initial body on ``channel`` and read its head."""
        client = self.hold(stream_reply(channel), host=host)
        assert client.read_head().status == 200
        return client

    def poll(self, channel: str, *, host: str = "localhost") -> RawClient:
        """Hold a long poll on ``channel``."""
        return self.hold(poll_reply(channel), host=host)
