"""JSON-P: the script that wraps an answer, in both modes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

SCRIPT = ("Content-Type", "application/javascript")
COULD_NOT = "Upstream response could not be JSON-P encoded.\n"


def compact(value: Any) -> str:
    """JSON without blanks, its keys sorted, and nothing escaped that need not be."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def extended(
    body: str, headers: Mapping[str, str], *, callback: str = "cb", status: int = 200, reason: str = "OK"
) -> str:
    """The script for an answer that the proxy relays, or gives itself."""
    return (
        prefix(headers, callback=callback, status=status, reason=reason)
        + json.dumps(body, ensure_ascii=False)[1:]
        + "});\n"
    )


def prefix(headers: Mapping[str, str], *, callback: str = "cb", status: int = 200, reason: str = "OK") -> str:
    """Such a script up to the quote before its body."""
    return f'/**/{callback}({{"code": {status}, "reason": {compact(reason)}, "headers": {compact(headers)}, "body": "'


def extended_hold(
    body: str, headers: Mapping[str, str], *, callback: str = "cb", status: int = 200, reason: str = "OK"
) -> str:
    """The script for what a long poll ends with, which is written in another way."""
    content = {"body": body, "code": status, "headers": headers, "reason": reason}
    return f"/**/{callback}({compact(content)});\n"
