"""Any body and patch: what jsonpatch makes of them as one patch, or GripError; neither input changes; bounded size."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import orjson
from hypothesis import strategies as st
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import GripError
from holdfast.grip.patch import MAX_COPIED_BYTES, apply_body_patch

BODIES = [
    b'{"a":{"b":[1,2,{"c":"d"}]},"e":1.0}\n',
    b'[1,[2,[3]],{"a~b":1,"c/d":2,"":3}]',
    b'{"s":"text","n":null,"t":true,"0":{"-":1}}\r\n',
]
BODY_TOKENS = [
    b"[]", b"{}", b"null", b"1e308", b"1e400", b"123456789012345678901234567890", b'"\\ud800"', b"[" * 60, b"\n",
]  # fmt: skip
POINTERS = st.sampled_from(
    ["", "/", "/a", "/a/b", "/a/b/0", "/a/b/-", "/a/b/2/c", "/a/x/y", "/0", "/1/1/0", "/-", "/a~0b", "/a~1b", "/~2",
     "/~", "a", "/s/0", "/s/x", "/00", "/-1", "/1e0", "/9999999999999999999999", "/n/a", "/e/0", "/2/", "/2/a~0b"]
)  # fmt: skip
ANY_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, 1.5, "", "x", [], {}, [1, [2]], {"a": {"b": []}}, 2**64, "/a"]
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]) | ANY_VALUES},
    optional={"path": POINTERS | ANY_VALUES, "from": POINTERS | ANY_VALUES, "value": ANY_VALUES, "x": ANY_VALUES},
)


@fuzz(mutated(BODIES, BODY_TOKENS), st.lists(OPERATIONS | ANY_VALUES, max_size=5), examples=400)
def test_any_patch(body: bytes, operations: list[Any]) -> None:
    before = copy.deepcopy(operations)
    try:
        patched = apply_body_patch(body, operations)
    except GripError as exc:
        str(exc).encode()
        return
    finally:
        assert operations == before
    assert apply_body_patch(body, operations) == patched
    assert len(patched) <= MAX_COPIED_BYTES + len(body) * 10 + 10_000
    assert patched.endswith(b"\n") == body.endswith(b"\n")
    document = orjson.loads(patched)
    assert isinstance(document, dict | list)
    assert apply_body_patch(patched, []) == patched
    if not any("/" in (operation["path"], operation.get("from")) for operation in operations):
        expected = jsonpatch.JsonPatch(operations).apply(orjson.loads(body))
        assert document == orjson.loads(orjson.dumps(expected))
