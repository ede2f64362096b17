from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import PacketError
from holdfast.wire.tnetstring import Map, encode_tnetstring
from holdfast.wire.zrpc import CommandRequest, encode_failure, encode_success, parse_command_request

REQUESTS: list[tuple[Map, CommandRequest]] = [
    ({b"method": b"recover"}, CommandRequest(None, b"recover")),
    ({b"id": b"\xff", b"method": b""}, CommandRequest(b"\xff", b"")),
    ({b"id": b"", b"method": b"x", b"args": {b"a": [1]}}, CommandRequest(b"", b"x", {b"a": [1]})),
    ({b"method": b"x", b"from": 5, b"unknown": None}, CommandRequest(None, b"x")),
]


@pytest.mark.parametrize(("fields", "request_value"), REQUESTS)
def test_requests(fields: Map, request_value: CommandRequest) -> None:
    assert parse_command_request(encode_tnetstring(fields)) == request_value
    assert parse_command_request(encode_tnetstring(fields) + b"more") == request_value


INVALID: list[tuple[bytes, str]] = [
    (b"", "TNetString is empty"),
    (b"T" + encode_tnetstring({b"method": b"recover"}), "TNetString without a length"),
    (b"0:]", "command is no map"),
    (encode_tnetstring({}), "'method'"),
    (encode_tnetstring({b"method": 5}), "'method'"),
    (encode_tnetstring({b"method": None}), "'method'"),
    (encode_tnetstring({b"method": b"x", b"id": 5}), "'id'"),
    (encode_tnetstring({b"method": b"x", b"id": None}), "'id'"),
    (encode_tnetstring({b"method": b"x", b"args": None}), "'args'"),
    (encode_tnetstring({b"method": b"x", b"args": []}), "'args'"),
]


@pytest.mark.parametrize(("frame", "text"), INVALID)
def test_what_gets_no_answer(frame: bytes, text: str) -> None:
    """As Pushpin 1.36 does."""
    with pytest.raises(PacketError, match=text):
        parse_command_request(frame)


@given(st.binary())
def test_any_frame_is_a_request_or_an_error(frame: bytes) -> None:
    try:
        parse_command_request(frame)
    except PacketError as exc:
        assert str(exc)


def test_successes() -> None:
    assert encode_success(b"1", None) == b"37:2:id,1:1,7:success,4:true!5:value,0:~}"
    assert encode_success(None, []) == b"28:7:success,4:true!5:value,0:]}"


def test_failures() -> None:
    assert encode_failure(None, b"bad-request") == b"45:7:success,5:false!9:condition,11:bad-request,}"
    assert encode_failure(b"", b"x", b"why") == b"56:2:id,0:,7:success,5:false!9:condition,1:x,5:value,3:why,}"
