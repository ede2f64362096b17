"""JSON Web Tokens made and checked with nothing but `hmac`, so that short and empty secrets work."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make_token(claims: dict[str, Any], secret: bytes, algorithm: str = "HS256") -> str:
    """A token signed with HMAC; ``algorithm`` is HS256 or HS512."""
    header = {"typ": "JWT", "alg": algorithm}
    signed = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[algorithm]
    return f"{signed}.{_encode(hmac.digest(secret, signed.encode(), digest))}"


def token_header(token: str) -> dict[str, Any]:
    """The header of a token, unverified."""
    header: dict[str, Any] = json.loads(_decode(token.split(".")[0]))
    return header


def token_claims(token: str | None, secret: bytes) -> dict[str, Any]:
    """The claims of an HS256 token, in their order; a wrong signature (or no token) fails the test."""
    assert token is not None
    signed, _, signature = token.rpartition(".")
    assert _decode(signature) == hmac.digest(secret, signed.encode(), hashlib.sha256)
    claims: dict[str, Any] = json.loads(_decode(signed.split(".")[1]))
    return claims
