from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.instruct_json import apply_json
from holdfast.grip.values import (
    NO_META,
    BackendResponse,
    HoldMode,
    Instruct,
    KeepAlive,
    KeepAliveMode,
    NextLink,
    Subscription,
)
from holdfast.wire.headers import Headers

BASE = Instruct(None, (), 55, None, NO_META, None, None, BackendResponse(200, b"Fine", [], b""))

FROM_HEADERS = Instruct(
    HoldMode.STREAM,
    (Subscription("a", "1"), Subscription("b")),
    70,
    KeepAlive(b"x", 5, KeepAliveMode.IDLE),
    {"user": "alice", "a": None},
    NextLink("/n", 5),
    "/g",
    BackendResponse(404, b"Nope", [], b""),
)


def apply(tree: object, base: Instruct = BASE) -> Instruct:
    return apply_json(base, 200, json.dumps(tree).encode())


def hold_of(**hold: object) -> Instruct:
    return apply({"hold": {"channels": [], **{key.replace("_", "-"): value for key, value in hold.items()}}})


def response_of(**response: object) -> BackendResponse:
    return apply({"response": {key.replace("_", "-"): value for key, value in response.items()}}).response


def test_whole() -> None:
    tree = {
        "hold": {
            "mode": "stream",
            "timeout": 60,
            "channels": [{"name": "c", "prev-id": "1", "filters": ["skip-self"], "x": None}],
            "keep-alive": {"content": "\n", "content-bin": "Cg0=", "timeout": 20},
            "meta": {"user": "bob"},
            "unknown": None,
        },
        "response": {
            "code": 404,
            "reason": "Nope",
            "headers": {"Content-Type": "text/plain"},
            "body": "text",
            "body-bin": "aGk=",
        },
        "unknown": None,
    }
    assert apply(tree) == Instruct(
        HoldMode.STREAM,
        (Subscription("c", "1", ("skip-self",)),),
        60,
        KeepAlive(b"\n\r", 20, KeepAliveMode.INTERVAL),
        {"user": "bob"},
        None,
        None,
        BackendResponse(404, b"Nope", [(b"Content-Type", b"text/plain")], b"hi"),
    )


def test_nothing_asked_is_an_empty_response_with_the_status_so_far() -> None:
    """grip-36: no hold and no body is legal."""
    assert apply({}) == BASE
    assert apply({"response": {}}) == BASE
    assert apply({"response": {"body": ""}}) == BASE


@pytest.mark.parametrize("code", [199, 201, 404])
def test_code_must_be_200(code: int) -> None:
    """grip-29"""
    with pytest.raises(GripError, match=r"^response code for application/grip-instruct content must be 200$"):
        apply_json(BASE, code, b"not even JSON")


@pytest.mark.parametrize("body", [b"", b"{", b"1", b"null", b'"x"', b"true", b"NaN", b'{"a": "\xff"}'])
def test_not_an_object(body: bytes) -> None:
    with pytest.raises(GripError, match=r"^failed to parse application/grip-instruct content as JSON$"):
        apply_json(BASE, 200, body)


def test_array() -> None:
    with pytest.raises(GripError, match=r"^instruct must be an object$"):
        apply_json(BASE, 200, b"[]")


ERRORS: list[tuple[object, str]] = [
    ({"hold": None}, "instruct contains 'hold' with wrong type"),
    ({"hold": []}, "instruct contains 'hold' with wrong type"),
    ({"hold": {"mode": None}}, "hold contains 'mode' with wrong type"),
    ({"hold": {"mode": "Stream"}}, "hold 'mode' must be set to either 'response' or 'stream'"),
    ({"hold": {}}, "hold does not contain 'channels'"),
    ({"hold": {"channels": None}}, "hold contains 'channels' with wrong type"),
    ({"hold": {"channels": {}}}, "hold contains 'channels' with wrong type"),
    ({"hold": {"channels": ["c"]}}, "channel is not an object"),
    ({"hold": {"channels": [{}]}}, "channel does not contain 'name'"),
    ({"hold": {"channels": [{"name": 1}]}}, "channel contains 'name' with wrong type"),
    ({"hold": {"channels": [{"name": "c", "prev-id": 1}]}}, "channel contains 'prev-id' with wrong type"),
    ({"hold": {"channels": [{"name": "c", "prev-id": None}]}}, "channel contains 'prev-id' with wrong type"),
    ({"hold": {"channels": [{"name": "c", "filters": "x"}]}}, "channel contains 'filters' with wrong type"),
    ({"hold": {"channels": [{"name": "c", "filters": [1]}]}}, "filters contains value with wrong type"),
    ({"hold": {"channels": [{"name": "c", "filters": ["x"] * 6}]}}, "too many filters for channel 'c'"),
    ({"hold": {"channels": [{"name": "c\r\n"}]}}, "channel contains 'name' with invalid value"),
    ({"hold": {"channels": [{"name": "c", "prev-id": "\n"}]}}, "channel contains 'prev-id' with invalid value"),
    ({"hold": {"channels": [], "timeout": None}}, "hold contains 'timeout' with wrong type"),
    ({"hold": {"channels": [], "timeout": True}}, "hold contains 'timeout' with wrong type"),
    ({"hold": {"channels": [], "timeout": "abc"}}, "hold contains 'timeout' with wrong type"),
    ({"hold": {"channels": [], "timeout": -1}}, "hold contains 'timeout' with invalid value"),
    ({"hold": {"channels": [], "keep-alive": "x"}}, "hold contains 'keep-alive' with wrong type"),
    ({"hold": {"channels": [], "keep-alive": {"content": 1}}}, "keep-alive contains 'content' with wrong type"),
    ({"hold": {"channels": [], "keep-alive": {"content-bin": 1}}}, "keep-alive contains 'content-bin' with wrong type"),
    ({"hold": {"channels": [], "keep-alive": {"timeout": None}}}, "keep-alive contains 'timeout' with wrong type"),
    ({"hold": {"channels": [], "keep-alive": {"timeout": -1}}}, "keep-alive contains 'timeout' with invalid value"),
    ({"hold": {"channels": [], "meta": []}}, "hold contains 'meta' with wrong type"),
    ({"hold": {"channels": [], "meta": {"a": "1", "b": 2}}}, "'meta' contains 'b' with wrong type"),
    ({"response": None}, ""),
    ({"response": "x"}, ""),
    ({"response": {"code": None}}, "response contains 'code' with wrong type"),
    ({"response": {"code": "abc"}}, "response contains 'code' with wrong type"),
    ({"response": {"code": 200.6}}, "response contains 'code' with wrong type"),
    ({"response": {"code": -1}}, "response contains 'code' with invalid value"),
    ({"response": {"code": 1000}}, "response contains 'code' with invalid value"),
    ({"response": {"reason": None}}, "response contains 'reason' with wrong type"),
    ({"response": {"reason": "a\r\nb"}}, "response contains 'reason' with invalid value"),
    ({"response": {"headers": "x"}}, "response contains 'headers' with wrong type"),
    ({"response": {"headers": ["x"]}}, "headers contains element with wrong type"),
    ({"response": {"headers": [["x"]]}}, "headers contains list with wrong number of elements"),
    ({"response": {"headers": [[1, "x"]]}}, "header contains name element with wrong type"),
    ({"response": {"headers": [["x", 1]]}}, "header contains value element with wrong type"),
    ({"response": {"headers": {"K": 1}}}, "headers contains 'K' with wrong type"),
    ({"response": {"headers": {"K": "a\nb"}}}, "response contains 'headers' with invalid value"),
    ({"response": {"body": None}}, "response contains 'body' with wrong type"),
    ({"response": {"body-bin": 1}}, "response contains 'body-bin' with wrong type"),
    ({"hold": None, "response": None}, "instruct contains 'hold' with wrong type"),
]


@pytest.mark.parametrize(("tree", "text"), ERRORS, ids=[json.dumps(tree) for tree, _ in ERRORS])
def test_errors(tree: object, text: str) -> None:
    """grip-16, grip-30, grip-31"""
    with pytest.raises(GripError) as caught:
        apply(tree)
    assert str(caught.value) == text


def test_hold_defaults() -> None:
    """grip-31: a response hold, whatever the headers said."""
    instruct = apply({"hold": {"channels": []}}, FROM_HEADERS)
    assert instruct.mode is HoldMode.RESPONSE
    assert instruct.timeout_s == 70
    assert instruct.keep_alive == KeepAlive(b"x", 5, KeepAliveMode.IDLE)
    assert instruct.meta == {"user": "alice", "a": None}
    assert instruct.next_link == NextLink("/n", 5)
    assert instruct.gone_link == "/g"
    assert instruct.response == BackendResponse(404, b"Nope", [], b"")


def test_json_adds_to_the_headers() -> None:
    """grip-32, grip-33: channels are added, of equal ones the later counts; links stay."""
    hold = {"timeout": 1, "channels": [{"name": "c"}, {"name": "a", "filters": ["x"]}], "meta": {"user": "bob"}}
    instruct = apply({"hold": {**hold, "keep-alive": {"content": "y"}}}, FROM_HEADERS)
    assert instruct.subscriptions == (Subscription("a", None, ("x",)), Subscription("b"), Subscription("c"))
    assert instruct.timeout_s == 5
    assert instruct.keep_alive == KeepAlive(b"y", 55, KeepAliveMode.INTERVAL)
    assert instruct.meta == {"user": "bob", "a": None}
    assert instruct.next_link == NextLink("/n", 5)


@pytest.mark.parametrize(("timeout", "timeout_s"), [(0, 5), (6, 6), (7.0, 7), ("8", 8)])
def test_timeout(timeout: object, timeout_s: int) -> None:
    assert hold_of(timeout=timeout).timeout_s == timeout_s


def test_keep_alive() -> None:
    """grip-21, grip-23"""
    assert hold_of(keep_alive={"timeout": 0}).keep_alive == KeepAlive(b"", 1, KeepAliveMode.INTERVAL)
    assert hold_of(keep_alive={"content": "é"}).keep_alive == KeepAlive("é".encode(), 55, KeepAliveMode.INTERVAL)


def test_status_of_the_response() -> None:
    assert response_of(code=404) == BackendResponse(404, b"Not Found", [], b"")
    assert response_of(code="404", reason="") == BackendResponse(404, b"", [], b"")
    assert response_of(reason="Nope") == BackendResponse(200, b"Nope", [], b"")
    assert response_of(code=0).reason == b"Undefined Reason"


HEADERS: list[tuple[object, Headers]] = [
    ({"X": "1"}, [(b"X", b"1")]),
    ([["X", "1"], ["X", "2"]], [(b"X", b"1"), (b"X", b"2")]),
    ({"Grip-Hold": "stream", "Content-Length": "5", "connection": "x", "X": "1"}, [(b"X", b"1")]),
    ({"Grip-Expose-Headers": "Y", "X": "1"}, [(b"X", b"1")]),
]


@pytest.mark.parametrize(("headers", "expected"), HEADERS)
def test_headers_of_the_response(headers: object, expected: Headers) -> None:
    """grip-34"""
    assert response_of(headers=headers).headers == expected


def test_binary_body_wins() -> None:
    """grip-35"""
    assert response_of(body="text", body_bin="aGk=").body == b"hi"


scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=5) | st.sampled_from(["stream", "response", "\r\n", "5", "aGk="])
KEYS = ["hold", "mode", "channels", "name", "prev-id", "filters", "timeout", "keep-alive", "content", "content-bin"]
KEYS += ["meta", "response", "code", "reason", "headers", "body", "body-bin"]
trees = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=8,
)
channels = st.lists(st.dictionaries(st.sampled_from(["name", "prev-id", "filters"]), trees), max_size=3)
holds = st.fixed_dictionaries(
    {"channels": channels},
    optional={
        "mode": st.sampled_from(["stream", "response"]) | trees,
        "timeout": trees,
        "keep-alive": trees,
        "meta": st.dictionaries(st.text(max_size=3), st.text(max_size=3)) | trees,
    },
)
responses = st.dictionaries(st.sampled_from(["code", "reason", "headers", "body", "body-bin"]), trees)


@given(st.fixed_dictionaries({}, optional={"hold": holds | trees, "response": responses | trees}) | trees)
def test_any_json_is_an_instruct_or_a_grip_error(tree: object) -> None:
    try:
        instruct = apply_json(BASE, 200, orjson.dumps(tree))
    except GripError:
        return
    assert instruct.timeout_s >= 5
    assert 0 <= instruct.response.code <= 999
    lines = [instruct.response.reason, *[name + value for name, value in instruct.response.headers]]
    assert not any(breaker in line for line in lines for breaker in b"\r\n\0")


@given(st.binary())
def test_any_body_is_an_instruct_or_a_grip_error(body: bytes) -> None:
    try:
        assert apply_json(BASE, 200, body).response.code == 200
    except GripError as exc:
        assert str(exc)
