"""Body patches: RFC 6902 operations on the JSON body that a held response keeps (grip spec §12)."""

from __future__ import annotations

from collections.abc import Sequence

import jsonpatch
import jsonpointer
import orjson

from holdfast.errors import GripError
from holdfast.grip.fields import is_object, parse_json

# A kept body has at most 100,000 bytes and a publish request 1,000,000; only `copy` makes more of them. All that it
# copies counts, also what is thrown away again: a patch is applied for each hold, while everybody else waits.
MAX_COPIED_BYTES = 4_000_000

# The integers that a JSON number can be trusted with (RFC 8259 §6); a larger one stays a float.
_MAX_EXACT_INT = 2**53


def apply_body_patch(body: bytes, operations: Sequence[object]) -> bytes:
    """`body` with `operations` applied in order.

    The result is compact with its keys sorted and numbers in their shortest form; a line end after `body` is kept. The
    path `/` means the whole document, as the empty one does.

    Raises GripError if `body` or the result is not a JSON object or array, if an operation is malformed or fails, and
    if more than `MAX_COPIED_BYTES` are copied in all.
    """
    newline = next((end for end in (b"\r\n", b"\n") if body.endswith(end)), b"")
    try:
        document = parse_json(body)
    except ValueError as exc:
        raise GripError("body patch: the kept body is not valid JSON") from exc
    _check_document(document, "the kept body")
    try:
        copied_bytes = 0
        for operation in operations:
            copied_bytes += _copied_bytes(document, operation)
            if copied_bytes > MAX_COPIED_BYTES:
                raise GripError(f"body patch: more than {MAX_COPIED_BYTES} bytes are copied")
            document = _apply_operation(document, operation)
        _check_document(document, "the result")
        return orjson.dumps(_normalise(document), option=orjson.OPT_SORT_KEYS) + newline
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as exc:
        raise GripError(f"body patch: {exc}") from exc
    except (TypeError, ValueError, RecursionError) as exc:
        # What jsonpatch lets through for members of odd types, and orjson for a result nested too deeply.
        raise GripError(f"body patch: cannot be applied: {exc}") from exc


def _check_document(value: object, what: str) -> None:
    if not isinstance(value, dict | list):
        raise GripError(f"body patch: {what} is not a JSON object or array")


def _apply_operation(document: object, operation: object) -> object:
    if not is_object(operation):
        raise GripError("body patch: an operation is not an object")
    # Compat: upstream spells the whole document `/`.
    normal = {key: "" if key in ("path", "from") and value == "/" else value for key, value in operation.items()}
    return jsonpatch.JsonPatch([normal]).apply(document, in_place=True)


def _copied_bytes(document: object, operation: object) -> int:
    """The size of what an operation copies; 0 if it copies nothing, or fails anyway."""
    if (
        not is_object(operation)
        or operation.get("op") != "copy"
        or not isinstance(source := operation.get("from"), str)
    ):
        return 0
    return len(orjson.dumps(jsonpointer.resolve_pointer(document, "" if source == "/" else source)))


def _normalise(value: object) -> object:
    """`value` with every integral float as an integer."""
    if isinstance(value, dict):
        return {key: _normalise(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_normalise(element) for element in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT_INT:
        return int(value)
    return value
