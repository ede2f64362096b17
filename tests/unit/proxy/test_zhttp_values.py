"""ZHTTP's requests, answers and failures in the proxy's own terms."""

from __future__ import annotations

import uuid

import pytest
from tests.unit.routing.helpers import make_defaults, make_rule

from holdfast.errors import AddressRefused, BackendError, BadResponse, ConnectError, LengthRequired
from holdfast.proxy.zhttp_values import (
    failure_error,
    final_code,
    make_exchange_id,
    make_request_head,
    make_socket_head,
    stated_length,
)
from holdfast.routing.authority import Authority
from holdfast.routing.forward import OriginRequest
from holdfast.wire.headers import Headers
from holdfast.wire.zhttp.packets import Condition
from holdfast.wire.zhttp.requests import TargetOptions
from holdfast.wire.zhttp.responses import ResponseHead

REQUEST = OriginRequest(b"PUT", b"/p?q", Authority("h.com", 8000), [(b"X-A", b"\xff")])


def test_ids_are_uuids() -> None:
    assert uuid.UUID(make_exchange_id().decode()).version == 4
    assert make_exchange_id() != make_exchange_id()


@pytest.mark.parametrize(
    ("props", "uri", "host", "options"),
    [
        ("", b"http://h.com:8000/p?q", b"h.com:8000", TargetOptions()),
        (",ssl,insecure", b"https://h.com:8000/p?q", b"h.com:8000", TargetOptions(ignore_tls_errors=True)),
        (",ssl,host=o.com:443", b"https://o.com/p?q", b"o.com", TargetOptions()),
        (",host=o.com:80,untrusted", b"http://o.com/p?q", b"o.com", TargetOptions(ignore_policies=False)),
        (",trust_connect_host", b"http://h.com:8000/p?q", b"h.com:8000", TargetOptions(trust_connect_host=True)),
    ],
)
def test_request_head(props: str, uri: bytes, host: bytes, options: TargetOptions) -> None:
    (target,) = make_rule(f"h.com zhttp/ipc://x{props}").targets
    head = make_request_head(REQUEST, target, None)
    assert (head.method, head.uri, head.options) == (b"PUT", uri, options)
    assert head.headers == [(b"Host", host), (b"X-A", b"\xff")]


def test_client_certificate() -> None:
    """The backend makes requests of its own, perhaps, and has to be told who we are."""
    defaults = make_defaults(files={"a.crt": b"cert", "a.key": b"not"})
    (target,) = make_rule("h.com zhttp/ipc://x,ssl,client_cert=a.crt,client_key=a.key", defaults).targets
    assert make_request_head(REQUEST, target, None).options == TargetOptions(client_cert=b"cert", client_key=b"not")
    assert make_socket_head(REQUEST, target, []).options == TargetOptions(client_cert=b"cert", client_key=b"not")


def test_length_of_a_request() -> None:
    (target,) = make_rule("h.com zhttp/ipc://x").targets
    assert make_request_head(REQUEST, target, 0).headers[-1] == (b"Content-Length", b"0")


@pytest.mark.parametrize(("props", "uri"), [("", b"ws://h.com:8000/p?q"), (",ssl", b"wss://h.com:8000/p?q")])
def test_socket_head(props: str, uri: bytes) -> None:
    (target,) = make_rule(f"h.com zhttp/ipc://x{props}").targets
    head = make_socket_head(REQUEST, target, [(b"X-B", b"2")])
    assert (head.method, head.uri) == (None, uri)
    assert head.headers == [(b"Host", b"h.com:8000"), (b"X-A", b"\xff"), (b"X-B", b"2")]


@pytest.mark.parametrize("code", [200, 404, 599, 999])
def test_codes(code: int) -> None:
    assert final_code(ResponseHead(code, b"", [(b"X", b"")] * 64)) == code


@pytest.mark.parametrize("code", [None, 0, 100, 101, 199])
def test_codes_that_are_no_answer(code: int | None) -> None:
    with pytest.raises(BadResponse, match=f"^backend answered with the status {code}$"):
        final_code(ResponseHead(code))


def test_too_many_headers() -> None:
    with pytest.raises(BadResponse, match=r"^backend answered with more than 64 headers$"):
        final_code(ResponseHead(200, b"", [(b"X", b"")] * 65))


@pytest.mark.parametrize(
    ("values", "length"),
    [([], None), ([b"5"], 5), ([b"0"], 0), ([b"5", b"5"], 5), ([b"5", b"6"], None), ([b"x"], None), ([b"-1"], None)],
)
def test_stated_length(values: list[bytes], length: int | None) -> None:
    headers: Headers = [(b"content-LENGTH", value) for value in values]
    assert stated_length(headers) == length


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (Condition.REMOTE_CONNECTION_FAILED, ConnectError),
        (Condition.CONNECTION_TIMEOUT, ConnectError),
        (Condition.TLS_ERROR, ConnectError),
        (Condition.LENGTH_REQUIRED, LengthRequired),
        (Condition.POLICY_VIOLATION, AddressRefused),
        (Condition.REJECTED, BadResponse),
        (None, BadResponse),
    ],
)
def test_failures(condition: Condition | None, error: type[BackendError]) -> None:
    assert type(failure_error(condition)) is error
