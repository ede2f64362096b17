"""The parameter `timeout` of Grip headers, in seconds (grip spec §3.4, §3.8)."""

from __future__ import annotations

from holdfast.errors import GripError
from holdfast.wire.params import Params, parse_int


def parse_timeout(params: Params, header: str, default_s: int) -> int:
    """The timeout that a header gives, or what holds without one.

    Args:
        header: its name, for the error.

    Raises GripError with the protocol's text.
    """
    text = params.get(b"timeout")
    if text is None:
        return default_s
    timeout_s = parse_int(text)
    if timeout_s is None:
        raise GripError(f"failed to parse {header} timeout value")
    if timeout_s < 0:
        raise GripError(f"{header} timeout has invalid value")
    return timeout_s
