"""`Grip-Sig`: proof towards a backend that a request came through this proxy, and from a proxy in front of us.

Invariants: without a key nothing is signed and nobody is trusted; the algorithm follows from the kind of key
(routes spec §3.6, §3.7).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from hmac import compare_digest
from pathlib import PurePosixPath

from holdfast.errors import KeyMaterialError, WireError
from holdfast.wire.jwt import Algorithm, Key, decode_jwt, encode_jwt, parse_pem_key

__all__ = ["TOKEN_LIFETIME_S", "Key", "Signer", "Verifier", "parse_key", "parse_url_key"]

TOKEN_LIFETIME_S = 3600


def parse_key(text: str, base_dir: str, read_file: Callable[[str], bytes]) -> Key | None:
    """The key that a setting describes (routes spec §3.6), or None for an empty text.

    Args:
        text: `base64:TEXT`, `file:PATH` (a PEM key, or a secret in hexadecimal), or the secret itself.
        base_dir: directory that a relative PATH starts from.
        read_file: gives the content of a file; may raise OSError.

    Raises:
        KeyMaterialError: the key cannot be read or used; the message never shows the secret.
    """
    if not text:
        return None
    if text.startswith("base64:"):
        return Key(Algorithm.HS256, _parse_base64(text.removeprefix("base64:")))
    if text.startswith("file:"):
        path = str(PurePosixPath(base_dir, text.removeprefix("file:")))
        try:
            return _parse_key_file(read_file(path))
        except OSError as exc:
            raise KeyMaterialError(f"cannot read key file {path}: {exc.strerror or exc}") from exc
        except KeyMaterialError as exc:
            raise KeyMaterialError(f"key file {path}: {exc}") from exc
    return Key(Algorithm.HS256, text.encode())


def parse_url_key(text: str) -> Key:
    """The key in a GRIP URL, as the GRIP libraries read it: `base64:TEXT`, a PEM key, or the secret itself.

    Raises:
        KeyMaterialError: the key cannot be used.
    """
    if text.startswith("base64:"):
        return Key(Algorithm.HS256, _parse_base64(text.removeprefix("base64:")))
    if text.startswith("-----BEGIN"):
        return parse_pem_key(text.encode())
    return Key(Algorithm.HS256, text.encode())


def _parse_base64(text: str) -> bytes:
    """The bytes of `text`; padding may be missing, as in tokens and in what Qt accepts."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise KeyMaterialError("the text after base64: is not base64") from exc


def _parse_key_file(content: bytes) -> Key:
    if content.startswith(b"-----BEGIN"):
        return parse_pem_key(content)
    try:
        return Key(Algorithm.HS256, binascii.unhexlify(content.strip()))
    except binascii.Error as exc:
        raise KeyMaterialError("neither a PEM key nor a hexadecimal secret") from exc


class Signer:
    """Makes the tokens of one issuer and key; those asked for within one second are the same bytes.

    Attributes:
        error: why this key cannot sign, once that was tried, for the log; None while it can.
    """

    __slots__ = ("_issuer", "_key", "_second", "_token", "error")

    def __init__(self, issuer: str, key: Key) -> None:
        self._issuer = issuer
        self._key = key
        self._second: int | None = None
        self._token: bytes | None = None
        self.error: str | None = None

    def token(self, now_s: float) -> bytes | None:
        """The token to send at `now_s` (seconds since 1970), good for an hour; None if the key cannot sign."""
        second = int(now_s)
        if second != self._second:
            self._second = second
            self._token = self._sign(second)
        return self._token

    def _sign(self, second: int) -> bytes | None:
        if self.error is not None:
            return None
        try:
            return encode_jwt({"exp": second + TOKEN_LIFETIME_S, "iss": self._issuer}, self._key)
        except KeyMaterialError as exc:
            self.error = str(exc)
            return None


class Verifier:
    """Says which requests come from a proxy that knows `key`."""

    __slots__ = ("_exp", "_key", "_known")

    def __init__(self, key: Key) -> None:
        self._key = key
        # A proxy in front of us may send one token many times: a check costs 20 to 140 µs, remembering it 0.2 µs.
        self._known = b""
        self._exp: float = 0

    def is_trusted(self, token: bytes, now_s: float) -> bool:
        """Whether `token` is signed with the key and its `exp` is positive and later than `now_s`.

        `iss`, `aud` and `nbf` are not looked at (routes spec §3.7).
        """
        if not self._known or not compare_digest(token, self._known):
            exp = self._checked_exp(token)
            if exp is None:
                return False
            self._known, self._exp = token, exp
        return self._exp > now_s

    def _checked_exp(self, token: bytes) -> float | None:
        try:
            exp = decode_jwt(token, self._key).get("exp")
        except WireError:
            return None
        if isinstance(exp, bool) or not isinstance(exp, (int, float)) or exp <= 0:
            return None
        return exp
