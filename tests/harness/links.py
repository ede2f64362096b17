"""Next links as a test scripts them: what they answer, and when and with what they were asked."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tests.harness.backend import AnyReply, Piece, Reply, ScriptedBackend
from tests.harness.client import RawClient
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.messages import HeaderList, Request
from tests.harness.proxy import IS_PUSHPIN, ProxyUnderTest
from tests.harness.publish import Item, publish_ok
from tests.harness.timing import eventually, scaled

CHANNELS_PER_HOLD = 20


def next_link(uri: str, timeout_s: int | None = None) -> tuple[str, str]:
    """The header that names the next link of a stream."""
    timeout = "" if timeout_s is None else f"; timeout={timeout_s}"
    return "Grip-Link", f"<{uri}>; rel=next{timeout}"


def gone_link(uri: str) -> tuple[str, str]:
    """The header that names what is told when a client is gone."""
    return "Grip-Link", f"<{uri}>; rel=gone"


def lasts(request: Request) -> list[str]:
    """The `Grip-Last` lines, whose order means nothing."""
    return sorted(request.all("Grip-Last"))


class NextLink:
    """A path of the backend that streams name as their next link.

    Its answers come in turn and the last one is repeated; ``times`` tells when it was asked.
    """

    def __init__(self, backend: ScriptedBackend) -> None:
        self._backend = backend
        self._replies: tuple[AnyReply, ...] = (Reply(),)
        self._numbers = itertools.count()
        self.times: list[float] = []
        self.path = backend.serve(self._answer)

    def _answer(self, _request: Request) -> AnyReply:
        self.times.append(time.monotonic())
        return self._replies[min(next(self._numbers), len(self._replies) - 1)]

    def answers(self, *replies: AnyReply) -> None:
        """Set what it answers from now on."""
        self._replies = replies
        self._numbers = itertools.count()

    def header(self, timeout_s: int | None = None, query: str = "") -> tuple[str, str]:
        """The header that names it."""
        return next_link(self.path + query, timeout_s)

    def leads_on(
        self, body: bytes | Iterable[Piece] = b"", status: int = 200, headers: HeaderList | None = None
    ) -> Reply:
        """A reply without a hold that names it."""
        return Reply(status, headers=[self.header(), *(headers or [])], body=body)

    def holds(
        self, channel: str, body: bytes = b"", headers: HeaderList | None = None, timeout_s: int | None = None
    ) -> Reply:
        """A reply that holds a stream on ``channel`` (the whole value of Grip-Channel) and names it."""
        return stream_reply(channel, body, [self.header(timeout_s), *(headers or [])])

    def requests(self) -> list[Request]:
        """The requests so far, oldest first."""
        return self._backend.requests(self.path)

    def asked(self, count: int, timeout_s: float = 5.0) -> list[Request]:
        """The requests, once there are ``count`` of them; more are a failure."""
        eventually(lambda: len(self.requests()) >= count, f"{count} requests for {self.path}", timeout_s)
        requests = self.requests()
        assert len(requests) == count, requests
        return requests

    def stream(self, stage: Stage, channel: str, *, host: str = "localhost", timeout_s: int | None = None) -> RawClient:
        """Hold a stream on ``channel`` with this next link and an empty initial body, and read its head."""
        client = stage.hold(self.holds(channel, timeout_s=timeout_s), host=host)
        assert client.read_head().status == 200
        return client


def deliver(client: RawClient, control_port: int, item: Item, expected: bytes) -> None:
    """Publish until the client, whose stream is about to be subscribed, gets the item; a copy may come later."""
    deadline = time.monotonic() + scaled(5)
    while True:
        publish_ok(control_port, item)
        try:
            assert client.read_data(len(expected), timeout_s=0.3) == expected
            return
        except TimeoutError:
            if time.monotonic() > deadline:
                raise


@contextmanager
def kept_channels(proxy: ProxyUnderTest, backend: ScriptedBackend, count: int = 80) -> Iterator[Iterator[str]]:
    """Names of channels that streams without a next link stay subscribed to.

    So 1.36, which cannot be told not to, has nothing to repeat a second after the first subscription, and what is
    published is remembered without any hold of the test.
    """
    names = [fresh_channel() for _ in range(count)]
    with ExitStack() as clients:
        for start in range(0, count, CHANNELS_PER_HOLD):
            path = backend.serve(stream_reply(", ".join(names[start : start + CHANNELS_PER_HOLD])))
            clients.enter_context(client := RawClient(proxy.port))
            client.request(path)
            proxy.wait_held(path)
        if IS_PUSHPIN:
            time.sleep(1.3)
        yield iter(names)


def follows(channel: str, item_id: str) -> str:
    """The value of Grip-Channel for a client that has seen ``item_id``."""
    return f"{channel}; prev-id={item_id}"
