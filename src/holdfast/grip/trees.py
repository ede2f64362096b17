"""The tree of a TNetString, in the shape that a JSON text has (grip spec §8.4).

The names of its members are text as in JSON, but its strings are bytes: whoever reads one knows whether it is text. Its
maps are of a class of their own, because null means less there than in JSON, and contents are spelled differently.
"""

from __future__ import annotations

from holdfast.wire.tnetstring import Value


class ByteMap(dict[str, object]):
    """A map whose strings are bytes."""

    __slots__ = ()


def make_tree(value: Value) -> object:
    """The tree of a parsed TNetString. Names that are not UTF-8 are repaired: none of them is known."""
    if isinstance(value, dict):
        tree = ByteMap()
        for name, member in value.items():
            # the call is worth avoiding: most members are strings
            tree[name.decode("utf-8", "replace")] = member if isinstance(member, bytes) else make_tree(member)
        return tree
    if isinstance(value, list):
        return [make_tree(element) for element in value]
    return value


def make_json(tree: object) -> object:
    """The JSON value that a part of the tree spells. Raises UnicodeDecodeError for a string that is not UTF-8."""
    if isinstance(tree, dict):
        return {name: make_json(member) for name, member in tree.items()}
    if isinstance(tree, list):
        return [make_json(element) for element in tree]
    return tree.decode() if isinstance(tree, bytes) else tree
