"""What stands before a control door: who is refused is answered, counted and named in the log, and goes no further."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import cast

import pytest
from tests.harness.tokens import make_token

from holdfast.control.guard import Guard, GuardedDoor
from holdfast.counters import Counters, counter_values
from holdfast.errors import WireError
from holdfast.grip.publish_auth import PublishCredentials, PublishVerifier
from holdfast.net.exchange import ClientExchange
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import HeadLimits, RequestHead
from holdfast.wire.jwt import Algorithm, Key

NOW_S = 1_800_000_000.0
AUTHORIZATION = b"Bearer " + make_token({"exp": NOW_S + 60}, b"key").encode()


Answer = tuple[int, bytes, Headers, bytes]


@dataclass
class FakeExchange:
    head: RequestHead
    answers: list[Answer] = field(default_factory=list)
    client_address: str = "192.0.2.1"

    def respond(self, code: int, reason: bytes, headers: Headers, body: bytes) -> None:
        self.answers.append((code, reason, headers, body))


class Service:
    """Keeps what reaches it."""

    def __init__(self) -> None:
        self.limits = HeadLimits(123)
        self.served: list[ClientExchange] = []

    def serve(self, exchange: ClientExchange) -> None:
        self.served.append(exchange)

    def describe_refusal(self, error: WireError) -> Answer:
        return error.status, b"", [], error.text.encode()


class Door:
    def __init__(self, *, has_key: bool = True) -> None:
        self.counters = Counters()
        self.service = Service()
        verifier = PublishVerifier(PublishCredentials(Key(Algorithm.HS256, b"key"))) if has_key else None
        guard = Guard(self.counters, ["Holdfast.example"], verifier, wall_clock=lambda: NOW_S)
        self.door = GuardedDoor(self.service, guard)

    def ask(self, *headers: tuple[bytes, bytes], target: bytes = b"/publish/") -> list[Answer]:
        exchange = FakeExchange(RequestHead(b"POST", target, True, list(headers), b"localhost"))
        assert self.door.serve(cast(ClientExchange, exchange)) is None
        assert len(self.service.served) + len(exchange.answers) == 1
        return exchange.answers


@pytest.mark.parametrize("target", [b"/publish/", b"/publish", b"/recover", b"//", b"/x", b"/?", b"http://h/"])
def test_without_credentials(target: bytes, caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    assert door.ask(target=target) == [
        (
            401,
            b"Unauthorized",
            [(b"WWW-Authenticate", b'Bearer realm="publish"'), (b"Content-Type", b"text/plain")],
            b"Unauthorized: credentials are missing.\n",
        )
    ]
    assert (door.counters.publishes_unauthorized, door.counters.control_pages_refused) == (1, 0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "control request from 192.0.2.1 refused: credentials are missing"
    assert record.__dict__["is_limited"]


def test_with_credentials() -> None:
    door = Door()
    assert door.ask((b"Authorization", AUTHORIZATION)) == []
    assert counter_values(door.counters) == counter_values(Counters())


def test_the_root_is_open() -> None:
    assert Door().ask(target=b"/") == []


def test_a_door_that_asks_nobody() -> None:
    assert Door(has_key=False).ask() == []


@pytest.mark.parametrize("target", [b"/publish/", b"/"])
@pytest.mark.parametrize("has_key", [True, False])
def test_web_pages_are_refused_even_with_credentials(
    has_key: bool, target: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(has_key=has_key)
    origin = (b"Origin", b"https://evil.example")
    assert door.ask(origin, (b"Authorization", AUTHORIZATION), target=target) == [
        (403, b"Forbidden", [(b"Content-Type", b"text/plain")], b"Forbidden: a page of another site asks.\n")
    ]
    assert (door.counters.publishes_unauthorized, door.counters.control_pages_refused) == (0, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "control request from 192.0.2.1 refused: a page of another site asks"
    ]


def test_the_door_behind_it() -> None:
    door = Door()
    assert door.door.limits == HeadLimits(123)
    assert door.door.describe_refusal(WireError(400, "text")) == (400, b"", [], b"text")
