"""Who may publish: the `Authorization` header of a publishing request, as the GRIP libraries send it.

Invariants: without credentials to compare with nothing can be made here, so an open door is the absence of this
object, never a state of it; secrets are compared in constant time; why a token is refused is told only in as far as
who sent it knows already.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from hmac import compare_digest

from holdfast.errors import WireError
from holdfast.wire.jwt import Key, decode_jwt

MISSING = "credentials are missing"
MALFORMED = "the Authorization header is not understood"
INVALID = "the credentials are not valid"
EXPIRED = "the token has expired"
NOT_YET_VALID = "the token is not valid yet"
WRONG_ISSUER = "the token is of another issuer"
WRONG_AUDIENCE = "the token is for somebody else"
WITHOUT_EXPIRY = "the token does not say when it expires"


@dataclass(frozen=True, slots=True)
class PublishCredentials:
    """What publishers are asked for.

    Args:
        key: that signs their tokens.
        issuer: that the tokens must name; None for any.
        token: accepted as it stands, as a bearer token or as the password of Basic authentication.
    """

    key: Key | None = None
    issuer: str | None = None
    token: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.key is None and not self.token:
            raise ValueError("neither a key nor a token")

    @property
    def challenge(self) -> bytes:
        """The value of `WWW-Authenticate` (RFC 9110 §11.6.1)."""
        return b'Bearer realm="publish", Basic realm="publish"' if self.token else b'Bearer realm="publish"'


class PublishVerifier:
    """Tells publishers from others."""

    __slots__ = ("_credentials", "_token_digest")

    def __init__(self, credentials: PublishCredentials) -> None:
        self._credentials = credentials
        self._token_digest = None if credentials.token is None else _digest(credentials.token)

    @property
    def challenge(self) -> bytes:
        """See `PublishCredentials`."""
        return self._credentials.challenge

    def refusal(self, authorization: list[bytes], now_s: float) -> str | None:
        """Why a request is refused; None if it may publish.

        Args:
            authorization: the values of all its Authorization headers.
            now_s: seconds since 1970.
        """
        if not authorization:
            return MISSING
        if len(authorization) > 1:
            return MALFORMED
        scheme, _, rest = authorization[0].partition(b" ")
        value = rest.strip(b" ")
        if not value:
            return MALFORMED
        if scheme.lower() == b"bearer":
            return None if self._is_the_token(value) else self._refusal_of_jwt(value, now_s)
        if scheme.lower() == b"basic" and self._token_digest is not None:
            password = _password(value)
            return None if password is not None and self._is_the_token(password) else INVALID
        return MALFORMED

    def _is_the_token(self, value: bytes) -> bool:
        # Digests have one length: not even that of the token shows in the time that a comparison takes.
        return self._token_digest is not None and compare_digest(_digest(value), self._token_digest)

    def _refusal_of_jwt(self, token: bytes, now_s: float) -> str | None:
        credentials = self._credentials
        if credentials.key is None:
            return INVALID
        try:
            claims = decode_jwt(token, credentials.key)
        except WireError:
            return INVALID
        exp, nbf = _time(claims.get("exp")), _time(claims.get("nbf", 0))
        if exp is None:
            return WITHOUT_EXPIRY
        if exp <= now_s:
            return EXPIRED
        if nbf is None or nbf > now_s:
            return NOT_YET_VALID
        if credentials.issuer is not None and claims.get("iss") != credentials.issuer:
            return WRONG_ISSUER
        # RFC 7519 §4.1.3: who is not named as its audience must not accept a token; nobody could name us.
        return WRONG_AUDIENCE if "aud" in claims else None


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _password(value: bytes) -> bytes | None:
    """The password in the value of Basic authentication (RFC 7617); the user may have any name."""
    try:
        _, colon, password = base64.b64decode(value, validate=True).partition(b":")
    except binascii.Error:
        return None
    return password if colon else None


def _time(value: object) -> float | None:
    """A claim that is a time (RFC 7519 §2); None for NaN, which JSON as Python reads it knows, and anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Not by math.isnan, which cannot take an integer that is larger than any float.
    return None if value != value else value
