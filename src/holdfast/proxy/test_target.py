"""The built-in `test` target: a backend for trying out a route (routes spec §3.15)."""

from __future__ import annotations

from urllib.parse import parse_qsl

from holdfast.grip.values import is_wire_safe
from holdfast.proxy.answers import TEXT_PLAIN
from holdfast.proxy.reply import WholeReply
from holdfast.wire.headers import Header
from holdfast.wire.reasons import reason_phrase

MAX_BODY_BYTES = 100_000

NO_SUCH_RESOURCE = b"no such test resource\n"


def answer_test_request(path_and_query: bytes, path_beg: bytes | None, body_bytes: int) -> WholeReply:
    """The test target's answer; `path_beg` is the route's, and cut from the path first."""
    path, _, query = path_and_query.partition(b"?")
    path = _own_path(path, path_beg)
    if body_bytes > MAX_BODY_BYTES:
        return _text(400, b"request too large\n")
    if path == b"/":
        return _text(200, b"Hello from the Pushpin test handler!\n")
    if path == b"/response":
        return _text(200, b"nothing for now\n", [(b"Grip-Hold", b"response"), *_channels(query)])
    if path == b"/stream":
        return _text(200, b"[stream opened]\n", [(b"Grip-Hold", b"stream"), *_channels(query)])
    return _text(404, NO_SUCH_RESOURCE)


def socket_channels(path: bytes, query: bytes | None, path_beg: bytes | None) -> list[str] | None:
    """The channels of a WebSocket with the test target; None if there is none at this path (ws spec §2.9)."""
    return channel_names(query or b"") if _own_path(path, path_beg) == b"/ws" else None


def channel_names(query: bytes) -> list[str]:
    """The values of `channel`, in the decoded form; by default the channel `test`."""
    pairs = parse_qsl(query.decode("ascii", "replace"))
    return [value for name, value in pairs if name == "channel" and is_wire_safe(value)] or ["test"]


def _own_path(path: bytes, path_beg: bytes | None) -> bytes:
    prefix = (path_beg or b"").removesuffix(b"/")
    return path.removeprefix(prefix).removesuffix(b"/") or b"/"


def _channels(query: bytes) -> list[Header]:
    return [(b"Grip-Channel", name.encode()) for name in channel_names(query)]


def _text(code: int, body: bytes, headers: list[Header] | None = None) -> WholeReply:
    return WholeReply(code, reason_phrase(code), [*TEXT_PLAIN, *(headers or [])], body, len(body))
