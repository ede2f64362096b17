from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.patch import apply_body_patch


def operation(op: str, path: str, **members: object) -> dict[str, object]:
    return {"op": op, "path": path, **members}


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


PATCHES: list[tuple[str, bytes, list[object], bytes]] = [
    ("grip-95: add, newline kept", b'{"a":1}\n', [operation("add", "/b", value=2)], b'{"a":1,"b":2}\n'),
    ("CR LF kept", b'{"a":1}\r\n', [], b'{"a":1}\r\n'),
    ("only one line end kept", b'{"a":1}\n\n', [], b'{"a":1}\n'),
    ("no line end", b" [1, 2 ] ", [], b"[1,2]"),
    ("keys sorted at every depth", b'{"b":{"d":1,"c":2},"a":1}', [], b'{"a":1,"b":{"c":2,"d":1}}'),
    ("numbers normalised", b"[1.50, 3.0, -0.0, 1e2, 1e30, [2.0]]", [], b"[1.5,3,0,100,1e+30,[2]]"),
    ("non-ASCII as it is", b'["\\u00e9"]', [], '["é"]'.encode()),
    ("add inserts into arrays", b"[1,3]", [operation("add", "/1", value=2)], b"[1,2,3]"),
    ("add at the length of an array", b"[1]", [operation("add", "/1", value=2)], b"[1,2]"),
    ("append", b"[1]", [operation("add", "/-", value=2)], b"[1,2]"),
    ("remove", b'{"a":1,"b":2}', [operation("remove", "/a")], b'{"b":2}'),
    ("replace", b'{"a":1}', [operation("replace", "/a", value=[1.0])], b'{"a":[1]}'),
    ("move", b'{"a":1}', [operation("move", "/b", **{"from": "/a"})], b'{"b":1}'),
    ("copy", b'{"a":1}', [operation("copy", "/b", **{"from": "/a"})], b'{"a":1,"b":1}'),
    ("test passes", b'{"a":1}', [operation("test", "/a", value=1), operation("remove", "/a")], b"{}"),
    ("whole document", b'{"a":1}', [operation("replace", "", value=[])], b"[]"),
    ("whole document as a slash", b'{"a":1}', [operation("replace", "/", value=[])], b"[]"),
    (
        "from the whole document as a slash",
        b'{"a":1}',
        [operation("copy", "/b", **{"from": "/"})],
        b'{"a":1,"b":{"a":1}}',
    ),
    ("a slash elsewhere is text", b"[]", [operation("add", "/0", value="/")], b'["/"]'),
]


@pytest.mark.parametrize(
    ("body", "operations", "expected"), [case[1:] for case in PATCHES], ids=[case[0] for case in PATCHES]
)
def test_patches(body: bytes, operations: list[object], expected: bytes) -> None:
    """grip-95"""
    assert apply_body_patch(body, operations) == expected


FAILURES: list[tuple[str, bytes, list[object]]] = [
    ("empty body", b"", []),
    ("body not JSON", b"hello", []),
    ("body a scalar", b"1", []),
    ("result a scalar", b"{}", [operation("replace", "", value=1)]),
    ("path not there", b"{}", [operation("remove", "/a")]),
    ("beyond the array", b"[]", [operation("add", "/1", value=1)]),
    ("test fails", b'{"a":1}', [operation("test", "/a", value=2)]),
    ("test compares types", b'{"a":1}', [operation("test", "/a", value=True)]),
    ("move into itself", b'{"a":{}}', [operation("move", "/a/b", **{"from": "/a"})]),
    ("operation not an object", b"{}", ["remove"]),
    ("operation without op", b"{}", [{}]),
    ("unknown operation", b"{}", [operation("frobnicate", "/a")]),
    ("odd op", b"{}", [{"op": [], "path": "/a"}]),
    ("odd path", b"{}", [{"op": "remove", "path": 5}]),
    ("path without slash", b"{}", [operation("add", "a", value=1)]),
    ("no value", b"{}", [operation("add", "/a")]),
    ("no from", b"{}", [operation("copy", "/a")]),
    ("body nested too deeply to write", b"[" * 400 + b"]" * 400, []),
    ("value nested too deeply to walk", b"[]", [operation("add", "/0", value=nested(5000))]),
]


@pytest.mark.parametrize(("body", "operations"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_failures(body: bytes, operations: list[object]) -> None:
    """grip-96, as far as it is decided here"""
    with pytest.raises(GripError, match=r"^body patch: ."):
        apply_body_patch(body, operations)


def test_copies_cannot_grow_the_document_without_end() -> None:
    body = orjson.dumps({"a": ["x" * 1000] * 90})
    doubling: list[object] = [operation("copy", "/a/-", **{"from": "/a"})] * 60
    with pytest.raises(GripError, match=r"^body patch: more than 4000000 bytes are copied$"):
        apply_body_patch(body, doubling)


def test_copying_the_same_again_and_again_costs_as_much_as_keeping_it() -> None:
    """A patch is applied for each hold: 25,000 copies of a large body would stop the proxy for minutes."""
    body = orjson.dumps({"a": ["x" * 1000] * 90})
    repeated: list[object] = [operation("copy", "/b", **{"from": "/a"})] * 45
    assert len(apply_body_patch(body, repeated[:44])) < 2 * len(body)
    with pytest.raises(GripError, match=r"^body patch: more than 4000000 bytes are copied$"):
        apply_body_patch(body, [*repeated, operation("remove", "/nothing")])


def test_a_patch_does_not_change_itself() -> None:
    """It is applied to the body of every hold; jsonpatch 1.33 added its own list, and changed that."""
    operations = [operation("add", "/a", value=[]), operation("add", "/a/-", value=1)]
    assert [apply_body_patch(b"{}", operations) for _ in range(2)] == [b'{"a":[1]}'] * 2


paths = st.sampled_from(["", "/", "/a", "/b", "/0", "/-", "/a/0", "/a/b", "a", "/~2", "/1e1", "/-1"]) | st.integers()
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", ""]), inner, max_size=2),
    max_leaves=5,
)
operations_lists = st.lists(
    values
    | st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": paths},
        optional={"value": values, "from": paths},
    ),
    max_size=4,
)


@given(values, operations_lists)
def test_any_patch_gives_json_or_a_grip_error(document: object, operations: list[object]) -> None:
    try:
        patched = apply_body_patch(orjson.dumps(document) + b"\n", operations)
    except GripError:
        return
    assert patched.endswith(b"\n")
    assert isinstance(orjson.loads(patched), dict | list)
    assert apply_body_patch(patched, []) == patched
