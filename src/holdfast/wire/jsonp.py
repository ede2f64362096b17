"""JSON-P: a response as a script that calls a function with it (routes spec §3.13, grip spec §3.10).

Invariants: nothing of the callback reaches a header; in extended mode whatever the backend says stays inside a string
of JSON that is valid JavaScript, too. In basic mode the body is the backend's script, as it is.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from dataclasses import dataclass

import orjson

from holdfast.wire.cross_origin import BegunResponse, Cors, Pieces, WholeResponse
from holdfast.wire.headers import Headers, without

_CONTENT_TYPE = (b"Content-Type", b"application/javascript")
_BASIC_SUFFIX = b");\n"
_EXTENDED_SUFFIX = b'"});\n'

# These describe what is inside now.
_OF_THE_CONTENT = frozenset({b"content-type", b"content-encoding"})

_UNENCODABLE = (
    500,
    b"Internal Server Error",
    [(b"Content-Type", b"text/plain")],
    b"Upstream response could not be JSON-P encoded.\n",
)

_Utf8Decoder = getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class Jsonp:
    """A request by JSON-P: its responses call `callback`.

    Args:
        callback: any text, not empty.
        is_extended: the function gets an object of status, headers and body; otherwise the body alone.
        cors: for streams that are held, which are never JSON-P.
    """

    callback: bytes
    is_extended: bool
    cors: Cors

    def whole(self, code: int, reason: bytes, headers: Headers, body: bytes, length: int | None) -> WholeResponse:
        """See `Transform`. Basic mode has nothing to call the function with for an empty body."""
        if not self.is_extended and not body:
            return _UNENCODABLE
        outer = [_CONTENT_TYPE, *(header for header in headers if header[0].lower() == b"cache-control")]
        if self.is_extended:
            content = _string_content(_text(body))
            script = self._extended_prefix(code, reason, headers, length) + content + _EXTENDED_SUFFIX
        else:
            script = self._basic(body)
        return 200, b"OK", outer, script

    def begin(self, code: int, reason: bytes, headers: Headers, length: int | None) -> BegunResponse:
        """See `Transform`."""
        pieces: Pieces
        if self.is_extended:
            pieces = _ExtendedPieces(self._extended_prefix(code, reason, headers, length))
        else:
            pieces = _BasicPieces(self._basic_prefix)
        return BegunResponse(200, b"OK", [_CONTENT_TYPE], None, pieces)

    def held(self, code: int, reason: bytes, headers: Headers, body: bytes) -> WholeResponse:
        """See `Transform`. Compat: Pushpin's handler writes its own form, with the members in order of their names."""
        outer = [*without(headers, _OF_THE_CONTENT), _CONTENT_TYPE]
        if not self.is_extended:
            return 200, b"OK", outer, self._basic(body)
        response = {
            "body": _text(body),
            "code": code,
            "headers": _joined(headers),
            "reason": _text(reason),
        }
        return 200, b"OK", outer, self._basic_prefix + _json(response) + _BASIC_SUFFIX

    @property
    def _basic_prefix(self) -> bytes:
        # The comment keeps the callback from being the very first bytes, which a plug-in could take for its own format.
        return b"/**/%b(" % self.callback

    def _basic(self, body: bytes) -> bytes:
        return self._basic_prefix + body[: _newline_start(body)] + _BASIC_SUFFIX

    def _extended_prefix(self, code: int, reason: bytes, headers: Headers, length: int | None) -> bytes:
        """Everything before the body; of headers with one name the first counts."""
        members: dict[str, str] = {}
        for name, value in headers:
            members.setdefault(_text(name), _text(value))
        if length is not None:
            members["Content-Length"] = str(length)
        return b'%b{"code": %d, "reason": %b, "headers": %b, "body": "' % (
            self._basic_prefix,
            code,
            _json(_text(reason)),
            _json(members),
        )


class _ExtendedPieces:
    """A body as the content of a JSON string; a character that is split over pieces is put together."""

    __slots__ = ("_decoder", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self._decoder = _Utf8Decoder("replace")

    def piece(self, content: bytes) -> bytes:
        """See `Pieces`."""
        return _string_content(self._decoder.decode(content))

    def end(self) -> bytes:
        """See `Pieces`."""
        return _string_content(self._decoder.decode(b"", True)) + _EXTENDED_SUFFIX


class _BasicPieces:
    """A body without its last line end, which is kept back until more follows."""

    __slots__ = ("_kept_back", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self._kept_back = b""

    def piece(self, content: bytes) -> bytes:
        """See `Pieces`."""
        content = self._kept_back + content
        start = len(content) - 1 if content.endswith(b"\r") else _newline_start(content)
        self._kept_back = content[start:]
        return content[:start]

    def end(self) -> bytes:
        """See `Pieces`."""
        return (self._kept_back if self._kept_back == b"\r" else b"") + _BASIC_SUFFIX


def _newline_start(content: bytes) -> int:
    """Where the line end begins that `content` ends in; its length if there is none."""
    if content.endswith(b"\r\n"):
        return len(content) - 2
    return len(content) - content.endswith(b"\n")


def _joined(headers: Headers) -> dict[str, str]:
    """The headers as an object: names in the spelling that comes first, values of one name joined."""
    spelled: dict[bytes, str] = {}
    joined: dict[str, str] = {}
    for name, value in headers:
        key = spelled.setdefault(name.lower(), _text(name))
        text = _text(value)
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _json(value: object) -> bytes:
    """Compact JSON, members in order of their names. Two characters of JSON end a line of JavaScript before ES2019."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


def _string_content(text: str) -> bytes:
    return _json(text)[1:-1]
