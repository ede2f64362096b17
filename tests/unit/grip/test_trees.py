from __future__ import annotations

import pytest

from holdfast.grip.trees import ByteMap, make_json, make_tree
from holdfast.wire.tnetstring import Value

VALUES: list[tuple[Value, object]] = [
    (b"\xff", b"\xff"),
    (None, None),
    (1, 1),
    ([b"a", [True]], [b"a", [True]]),
    ({b"a": b"b", "é".encode(): {b"c": [{}]}}, ByteMap({"a": b"b", "é": ByteMap({"c": [ByteMap()]})})),
    ({b"\xff": 1}, ByteMap({"\ufffd": 1})),
]


def types_of(tree: object) -> object:
    if isinstance(tree, dict):
        return type(tree), [types_of(member) for member in tree.values()]
    return [types_of(element) for element in tree] if isinstance(tree, list) else type(tree)


@pytest.mark.parametrize(("value", "tree"), VALUES)
def test_trees(value: Value, tree: object) -> None:
    made = make_tree(value)
    assert made == tree
    assert types_of(made) == types_of(tree)


def test_json_of_a_tree() -> None:
    tree = make_tree({b"op": b"add", b"value": [b"\xc3\xa9", {b"a": None}, 1, True, 1.5]})
    made = make_json(tree)
    assert made == {"op": "add", "value": ["é", {"a": None}, 1, True, 1.5]}
    assert type(made) is dict


def test_no_json_without_text() -> None:
    with pytest.raises(UnicodeDecodeError):
        make_json([{"a": b"\xff"}])
