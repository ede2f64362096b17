from __future__ import annotations

import base64
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.fields import (
    Tree,
    decode_base64,
    encode_text,
    get_array,
    get_bool,
    get_bytes,
    get_content,
    get_headers,
    get_int,
    get_json_array,
    get_object,
    get_reason,
    get_string,
    get_string_map,
    get_strings,
    has_member,
    is_object,
    parse_json,
    require_string,
)
from holdfast.grip.trees import ByteMap
from holdfast.wire.headers import Headers

GETTERS: list[tuple[str, Callable[[Tree, str, str], object], list[object]]] = [
    ("string", get_string, ["", "x"]),
    ("bool", get_bool, [True, False]),
    ("int", get_int, [0, 5, 5.0, "5", " 5 "]),
    ("object", get_object, [{}, {"a": 1}]),
    ("array", get_array, [[], [1]]),
    ("string map", get_string_map, [{}, {"a": "b"}]),
]
SAMPLES: list[object] = [None, True, 1, 1.5, "x", [], {}]
ACCEPTED = {
    "string": (str,),
    "bool": (bool,),
    "int": (),
    "object": (dict,),
    "array": (list,),
    "string map": (dict,),
}


@pytest.mark.parametrize(("name", "getter", "values"), GETTERS, ids=[name for name, _, _ in GETTERS])
def test_right_type_or_absent(name: str, getter: Callable[[Tree, str, str], object], values: list[object]) -> None:
    assert getter({}, "thing", "key") is None
    for value in values:
        got = getter({"key": value}, "thing", "key")
        assert got == (5 if name == "int" and value else value)


@pytest.mark.parametrize(("name", "getter", "values"), GETTERS, ids=[name for name, _, _ in GETTERS])
def test_wrong_type(name: str, getter: Callable[[Tree, str, str], object], values: list[object]) -> None:
    """grip-30: null is never absent, nor is any other type converted."""
    for sample in SAMPLES:
        if type(sample) in ACCEPTED[name] or (name == "int" and type(sample) is int):
            continue
        with pytest.raises(GripError, match=r"^thing contains 'key' with wrong type$"):
            getter({"key": sample}, "thing", "key")


def test_required_string() -> None:
    assert require_string({"key": ""}, "thing", "key") == ""
    with pytest.raises(GripError, match=r"^thing does not contain 'key'$"):
        require_string({}, "thing", "key")


@pytest.mark.parametrize(
    "value",
    [200.6, math.inf, math.nan, "abc", "", "1.5", True, 2**31, -(2**31) - 1, 1e300, "99999999999", "\ud800"],
)
def test_not_an_integer(value: object) -> None:
    with pytest.raises(GripError, match=r"^thing contains 'key' with wrong type$"):
        get_int({"key": value}, "thing", "key")


@pytest.mark.parametrize("value", [-1, "-1", -1.0, 1000, "1000"])
def test_integer_out_of_range(value: object) -> None:
    with pytest.raises(GripError, match=r"^thing contains 'key' with invalid value$"):
        get_int({"key": value}, "thing", "key", 999)


def test_array_of_strings() -> None:
    assert get_strings({}, "thing", "key", "no") is None
    assert get_strings({"key": ["a", "b"]}, "thing", "key", "no") == ("a", "b")
    with pytest.raises(GripError, match=r"^no$"):
        get_strings({"key": ["a", 1]}, "thing", "key", "no")


def test_string_map_names_the_offender() -> None:
    with pytest.raises(GripError, match=r"^'key' contains 'b' with wrong type$"):
        get_string_map({"key": {"a": "1", "b": 2}}, "thing", "key")


def test_binary_content_beats_text() -> None:
    """grip-35"""
    assert get_content({"body-bin": "AAE=", "body": "x"}, "thing", "body") == b"\0\1"
    assert get_content({"body-bin": "AAE=", "body": 5}, "thing", "body") == b"\0\1"
    assert get_content({"body": "é"}, "thing", "body") == "é".encode()
    assert get_content({"body": ""}, "thing", "body") == b""
    assert get_content({}, "thing", "body") is None
    with pytest.raises(GripError, match=r"^thing contains 'body-bin' with wrong type$"):
        get_content({"body-bin": None}, "thing", "body")


BASE64 = [
    (b"", b""),
    (b"aGk=", b"hi"),
    (b"aGk", b"hi"),
    (b"a G!k\r\n=", b"hi"),
    (b"aGk=aGk=", b"hi\x1a\x1a\x40"[:4]),
    (b"aGkhX", b"hi!"),
    (b"=", b""),
    (b"a", b""),
    (b"-_", b""),
    ("é".encode(), b""),
]


@pytest.mark.parametrize(("text", "data"), BASE64)
def test_lenient_base64(text: bytes, data: bytes) -> None:
    assert decode_base64(text) == data


@given(st.binary())
def test_base64_round_trip(data: bytes) -> None:
    assert decode_base64(base64.b64encode(data)) == data
    assert decode_base64(base64.b64encode(data).rstrip(b"=")) == data


@given(st.binary())
def test_base64_never_fails(text: bytes) -> None:
    assert isinstance(decode_base64(text), bytes)


@pytest.mark.parametrize("body", [b"", b"\xff", b"NaN", b"[1,]", b'"\\ud800"', b"[" * 5000, b"\xef\xbb\xbf", b"{} {}"])
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(body)


def test_json_with_byte_order_mark_and_duplicate_keys() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1, "a": 2}') == {"a": 2}


def test_is_object() -> None:
    assert is_object({})
    assert not is_object([])


def test_text_with_lone_surrogates_is_still_encoded() -> None:
    assert encode_text("a\ud800é") == "a?é".encode()


def test_reason() -> None:
    assert get_reason({}, "thing") is None
    assert get_reason({"reason": "Très bien"}, "thing") == "Très bien".encode()
    with pytest.raises(GripError, match=r"^thing contains 'reason' with wrong type$"):
        get_reason({"reason": None}, "thing")


@pytest.mark.parametrize("reason", ["a\r\nX: 1", "a\n", "\0"])
def test_reason_that_splits_the_response(reason: str) -> None:
    """grip-44"""
    with pytest.raises(GripError, match=r"^thing contains 'reason' with invalid value$"):
        get_reason({"reason": reason}, "thing")


HEADERS: list[tuple[str, object, Headers]] = [
    ("object", {"X-A": "1", "B": "é"}, [(b"X-A", b"1"), (b"B", "é".encode())]),
    ("grip-34: pairs with duplicates", [["X", "1"], ["X", "2"]], [(b"X", b"1"), (b"X", b"2")]),
    ("empty object", {}, []),
    ("empty array", [], []),
    ("empty value", {"X": ""}, [(b"X", b"")]),
    ("tab in a value", {"X": "a\tb"}, [(b"X", b"a\tb")]),
]


@pytest.mark.parametrize(("value", "headers"), [case[1:] for case in HEADERS], ids=[case[0] for case in HEADERS])
def test_headers(value: object, headers: Headers) -> None:
    assert get_headers({"headers": value}, "thing") == headers


def test_no_headers() -> None:
    assert get_headers({}, "thing") is None


BAD_HEADERS: list[tuple[object, str]] = [
    (None, "thing contains 'headers' with wrong type"),
    ("X: 1", "thing contains 'headers' with wrong type"),
    ({"X": 1}, "headers contains 'X' with wrong type"),
    ({"X": None}, "headers contains 'X' with wrong type"),
    (["X"], "headers contains element with wrong type"),
    ([{"X": "1"}], "headers contains element with wrong type"),
    ([["X"]], "headers contains list with wrong number of elements"),
    ([["X", "1", "2"]], "headers contains list with wrong number of elements"),
    ([[1, "1"]], "header contains name element with wrong type"),
    ([["X", 1]], "header contains value element with wrong type"),
]


@pytest.mark.parametrize(("value", "text"), BAD_HEADERS)
def test_headers_of_wrong_shape(value: object, text: str) -> None:
    with pytest.raises(GripError) as caught:
        get_headers({"headers": value}, "thing")
    assert str(caught.value) == text


SPLITTERS: list[object] = [
    {"X": "1\r\nSet-Cookie: a=b"},
    {"X": "1\n"},
    {"X": "\0"},
    {"X\r\nY": "1"},
    {"X:": "1"},
    {"Transfer-Encoding ": "chunked"},
    {"é": "1"},
    {"": "1"},
    [["X", "1"], ["Y", "\r"]],
]


@pytest.mark.parametrize("value", SPLITTERS)
def test_headers_that_split_the_response(value: object) -> None:
    """grip-44"""
    with pytest.raises(GripError, match=r"^thing contains 'headers' with invalid value$"):
        get_headers({"headers": value}, "thing")


def bytes_of(value: object) -> ByteMap:
    """A TNetString's map with this value under `key`."""
    return ByteMap({"key": value})


def test_strings_of_a_tnetstring() -> None:
    assert get_string(bytes_of(b"\xc3\xa9"), "thing", "key") == "é"
    assert get_string(bytes_of(None), "thing", "key") is None
    assert get_string(ByteMap(), "thing", "key") is None
    assert require_string(bytes_of(b""), "thing", "key") == ""
    assert get_strings(bytes_of([b"a", b"b"]), "thing", "key", "no") == ("a", "b")
    assert get_string_map(bytes_of(ByteMap({"a": b"1"})), "thing", "key") == {"a": "1"}


def test_null_where_no_string_or_object_may_be() -> None:
    assert get_object(bytes_of(None), "thing", "key") is None
    assert get_string_map(bytes_of(None), "thing", "key") is None
    for getter in (require_string, get_bool, get_int, get_array, get_bytes):
        with pytest.raises(GripError, match=r"^thing contains 'key' with wrong type$"):
            getter(bytes_of(None), "thing", "key")


@pytest.mark.parametrize(("tree", "has"), [({}, False), ({"key": None}, True), (bytes_of(None), False)])
def test_members(tree: Tree, has: bool) -> None:
    assert has_member(tree, "key") is has


def test_strings_that_are_no_text() -> None:
    for getter in (get_string, require_string):
        with pytest.raises(GripError, match=r"^thing contains 'key' with invalid value$"):
            getter(bytes_of(b"\xff"), "thing", "key")
    with pytest.raises(GripError, match=r"^no$"):
        get_strings(bytes_of([b"\xff"]), "thing", "key", "no")
    with pytest.raises(GripError, match=r"^'key' contains 'a' with wrong type$"):
        get_string_map(bytes_of(ByteMap({"a": b"\xff"})), "thing", "key")


@pytest.mark.parametrize("value", [b"5", b" 5 ", 5, 5.0])
def test_integers_of_a_tnetstring(value: object) -> None:
    assert get_int(bytes_of(value), "thing", "key") == 5


def test_contents_of_a_tnetstring() -> None:
    assert get_content(bytes_of(b"\xff"), "thing", "key") == b"\xff"
    assert get_content(ByteMap({"key-bin": b"AAE="}), "thing", "key") is None
    with pytest.raises(GripError, match=r"^thing contains 'key' with wrong type$"):
        get_content(bytes_of(5), "thing", "key")


def test_json_arrays() -> None:
    assert get_json_array({}, "thing", "key") is None
    assert get_json_array({"key": ["a", None]}, "thing", "key") == ["a", None]
    assert get_json_array(bytes_of([b"a", ByteMap({"b": [b"c"]})]), "thing", "key") == ["a", {"b": ["c"]}]
    with pytest.raises(GripError, match=r"^thing contains 'key' with invalid value$"):
        get_json_array(bytes_of([[b"\xff"]]), "thing", "key")


def test_reason_and_headers_of_a_tnetstring_are_bytes() -> None:
    assert get_reason(ByteMap({"reason": b"\xe9"}), "thing") == b"\xe9"
    assert get_reason(ByteMap({"reason": None}), "thing") is None
    assert get_headers(ByteMap({"headers": ByteMap({"X": b"\xe9"})}), "thing") == [(b"X", b"\xe9")]
    assert get_headers(ByteMap({"headers": [[b"X", b"\xe9"]]}), "thing") == [(b"X", b"\xe9")]
    for fields in (ByteMap({"X": b"a\r"}), [[b"X", b"\0"]], [[b"X:", b"a"]], [[b"", b"a"]], ByteMap({"\ufffd": b""})):
        with pytest.raises(GripError, match=r"^thing contains 'headers' with invalid value$"):
            get_headers(ByteMap({"headers": fields}), "thing")
