"""When the head of an answer is known because it came before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from holdfast.net.exchange import ClientExchange
from holdfast.proxy.relayed_head import RelayedHead
from holdfast.proxy.reply import WholeReply
from holdfast.wire.headers import Headers

BODY = b"hello"
PLAIN: Headers = [(b"X-A", b"1"), (b"Content-Length", b"5"), (b"Connection", b"keep-alive, x-b"), (b"X-B", b"2")]
EXPECTED = b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nContent-Length: 5\r\n\r\n"


def reply(headers: Headers = PLAIN, body: bytes = BODY, code: int = 200) -> WholeReply:
    return WholeReply(code, b"Fine", headers, body, len(BODY))


def told(*replies: WholeReply) -> RelayedHead:
    relayed = RelayedHead()
    for each in replies:
        relayed.note(each)
    return relayed


def find(relayed: RelayedHead, answer: WholeReply | None = None, *, is_plain: bool = True) -> bytes | None:
    client = cast(ClientExchange, SimpleNamespace(is_plain=is_plain))
    return relayed.find(answer if answer is not None else reply(), client)


def test_the_third_time() -> None:
    relayed = told()
    assert find(relayed) is None
    relayed.note(reply())
    assert find(relayed) is None
    relayed.note(reply())
    assert find(relayed) == EXPECTED
    relayed.note(reply())
    assert find(relayed) == EXPECTED


def test_another_one_between() -> None:
    other: Headers = [*PLAIN]
    assert find(told(reply(), reply(other), reply())) is None
    relayed = told(reply(), reply(), reply(other))
    assert find(relayed) is find(relayed, reply(other)) is None
    relayed.note(reply(other))
    assert find(relayed, reply(other)) == EXPECTED


def test_a_client_that_gets_another_head() -> None:
    assert find(told(reply(), reply()), is_plain=False) is None


def test_a_body_of_another_length() -> None:
    """That of an answer to HEAD."""
    assert find(told(reply(), reply()), reply(body=b"")) is None


@pytest.mark.parametrize("code", [100, 204, 304])
def test_answers_without_a_body(code: int) -> None:
    """Even if they should come with one."""
    assert find(told(*[reply(code=code)] * 3), reply(code=code)) is None


@pytest.mark.parametrize("field", [(b"Grip-Hold", b"stream"), (b"Content-Type", b"application/grip-instruct")])
def test_what_is_an_instruct_for_others(field: tuple[bytes, bytes]) -> None:
    headers: Headers = [*PLAIN, field]
    assert find(told(*[reply(headers)] * 3), reply(headers)) is None
