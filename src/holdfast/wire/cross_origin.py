"""What responses become for scripts of other origins: CORS headers (Fetch §3.3, routes spec §3.12), or JSON-P.

A `Transform` is made for one request and applied to whatever answers it. It is a plain value: two that are equal make
the same of a response, so that held clients can share what was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from holdfast.wire.headers import Headers, get_all, get_first, split_commas

WholeResponse = tuple[int, bytes, Headers, bytes]
"""Code, reason, headers without framing, and body."""

_DEFAULT_METHODS = b"OPTIONS, HEAD, GET, POST, PUT, DELETE"
_MAX_AGE_S = b"3600"

# What scripts may read anyway, and what is not for them.
_NEVER_EXPOSED = frozenset(
    b"cache-control content-language content-length content-type expires last-modified pragma".split()
)
_NEVER_EXPOSED_PREFIXES = (b"access-control-", b"grip-")


class Pieces(Protocol):
    """A body that is changed while it passes. Nothing is collected: what is kept back is a few bytes.

    Attributes:
        prefix: what comes first.
    """

    prefix: bytes

    def piece(self, content: bytes) -> bytes:
        """What goes out for a piece of the body, maybe nothing."""
        ...

    def end(self) -> bytes:
        """What goes out at the end."""
        ...


class BegunResponse(NamedTuple):
    """The head of a response whose body follows.

    Attributes:
        length: of its body, None if that is not known.
        pieces: changes the body; None leaves it as it is.
    """

    code: int
    reason: bytes
    headers: Headers
    length: int | None
    pieces: Pieces | None


class Transform(Protocol):
    """What is made of the responses to one request."""

    @property
    def cors(self) -> Cors:
        """What is made of streams that are held."""
        ...

    def whole(self, code: int, reason: bytes, headers: Headers, body: bytes, length: int | None) -> WholeResponse:
        """What is made of a whole response; `length` is the Content-Length that it came with, None for none."""
        ...

    def begin(self, code: int, reason: bytes, headers: Headers, length: int | None) -> BegunResponse:
        """What is made of a response whose body follows."""
        ...

    def held(self, code: int, reason: bytes, headers: Headers, body: bytes) -> WholeResponse:
        """What is made of the response of a long poll."""
        ...


@dataclass(frozen=True, slots=True)
class Cors:
    """What a request says for the CORS headers of its response.

    There is no answer to preflights of our own: OPTIONS goes to the backend like everything else.

    Attributes:
        methods, allowed: the values of `Access-Control-Allow-Methods` and `Access-Control-Allow-Headers`; b"" for none
            of the latter.
    """

    origin: bytes
    methods: bytes
    allowed: bytes

    @classmethod
    def of(cls, headers: Headers) -> Cors:
        """That of a request with these headers."""
        return cls(
            get_first(headers, b"origin") or b"*",
            get_first(headers, b"access-control-request-method") or _DEFAULT_METHODS,
            b", ".join(split_commas(get_all(headers, b"access-control-request-headers"))),
        )

    @property
    def cors(self) -> Cors:
        """See `Transform`."""
        return self

    def with_headers(self, headers: Headers) -> Headers:
        """The headers of a response with those of CORS after them, each only if the response does not have it."""
        spelled: dict[bytes, bytes] = {}
        for name, _ in headers:
            spelled.setdefault(name.lower(), name)
        exposed = b", ".join(
            name
            for lower, name in spelled.items()
            if lower not in _NEVER_EXPOSED and not lower.startswith(_NEVER_EXPOSED_PREFIXES)
        )
        added = (
            (b"Access-Control-Allow-Methods", self.methods),
            (b"Access-Control-Allow-Headers", self.allowed),
            (b"Access-Control-Expose-Headers", exposed),
            (b"Access-Control-Allow-Credentials", b"true"),
            (b"Access-Control-Allow-Origin", self.origin),
            (b"Access-Control-Max-Age", _MAX_AGE_S),
        )
        return [*headers, *(header for header in added if header[1] and header[0].lower() not in spelled)]

    def whole(self, code: int, reason: bytes, headers: Headers, body: bytes, length: int | None) -> WholeResponse:
        """See `Transform`."""
        return code, reason, self.with_headers(headers), body

    def begin(self, code: int, reason: bytes, headers: Headers, length: int | None) -> BegunResponse:
        """See `Transform`."""
        return BegunResponse(code, reason, self.with_headers(headers), length, None)

    def held(self, code: int, reason: bytes, headers: Headers, body: bytes) -> WholeResponse:
        """See `Transform`."""
        return code, reason, self.with_headers(headers), body
