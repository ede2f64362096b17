"""JSON Web Tokens (RFC 7519): a thin layer over PyJWT that fixes the algorithm to the key.

Invariants: a `Key` is never empty and always names the one algorithm it is used with, so the `alg` of a token chooses
nothing. Claims are not looked at here: what `exp` or `iss` mean is decided where the token is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt import PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import PyJWTError

from holdfast.errors import KeyMaterialError, WireError

KeyMaterial = bytes | EllipticCurvePrivateKey | EllipticCurvePublicKey | RSAPrivateKey | RSAPublicKey

MIN_RSA_BITS = 2048  # RFC 7518 §3.3: a larger or equal size is a MUST


class Algorithm(Enum):
    """The signature algorithms of RFC 7518 §3.1 that are understood."""

    HS256 = "HS256"
    ES256 = "ES256"
    RS256 = "RS256"


@dataclass(frozen=True, slots=True)
class Key:
    """Key material together with the one algorithm it is used for; its repr does not show the material."""

    algorithm: Algorithm
    material: KeyMaterial = field(repr=False)

    def __post_init__(self) -> None:
        # An empty secret would let anyone sign; it is the classic hole of "no key configured".
        if not self.material:
            raise KeyMaterialError("the secret is empty")


def parse_pem_key(pem: bytes) -> Key:
    """The key in a PEM block: EC on P-256 is for ES256, RSA for RS256; private or public.

    Raises:
        KeyMaterialError: it is no such key, is protected by a password, or is an RSA key of less than 2048 bits.
    """
    try:
        loaded = load_pem_private_key(pem, None) if b"PRIVATE KEY-----" in pem else load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyMaterialError(f"not a usable PEM key: {exc}") from exc
    if isinstance(loaded, (EllipticCurvePrivateKey, EllipticCurvePublicKey)):
        if not isinstance(loaded.curve, SECP256R1):
            raise KeyMaterialError(f"EC key on {loaded.curve.name}, expected P-256")
        return Key(Algorithm.ES256, loaded)
    if isinstance(loaded, (RSAPrivateKey, RSAPublicKey)):
        if loaded.key_size < MIN_RSA_BITS:
            raise KeyMaterialError(f"RSA key of {loaded.key_size} bits, expected at least {MIN_RSA_BITS}")
        return Key(Algorithm.RS256, loaded)
    raise KeyMaterialError("PEM key is neither EC nor RSA")


def encode_jwt(claims: Mapping[str, object], key: Key) -> bytes:
    """The signed token; header and claims keep their order and have no blanks.

    Raises:
        KeyMaterialError: `key` cannot sign.
    """
    material = key.material
    if isinstance(material, (EllipticCurvePublicKey, RSAPublicKey)):
        raise KeyMaterialError("a public key cannot sign")
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return _JWS.encode(payload, material, key.algorithm.value, sort_headers=False).encode()


def decode_jwt(token: bytes, key: Key) -> dict[str, Any]:
    """The claims of a token that `key` signed, or its private half did.

    Raises:
        WireError: 401, the token is malformed, names another algorithm, is not signed by `key` or holds no JSON object.
    """
    material = key.material
    if isinstance(material, (EllipticCurvePrivateKey, RSAPrivateKey)):
        material = material.public_key()
    try:
        claims = json.loads(_JWS.decode(token, material, algorithms=[key.algorithm.value]))
    # json gives up on deep nesting with RecursionError, and a peer may send such a token header.
    except (PyJWTError, ValueError, RecursionError) as exc:
        raise WireError(401, f"Invalid token: {exc}") from exc
    if not isinstance(claims, dict):
        raise WireError(401, "Invalid token: claims are not an object")
    return claims


class _SharedSecret(HMACAlgorithm):
    """HS256 on the bytes as they are.

    PyJWT refuses secrets that look like some other kind of key and warns about short ones. Here a `Key` already says
    what its bytes are, and `changeme` is a secret that existing installations use.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()

    def check_key_length(self, key: bytes) -> str | None:
        return None


def _make_jws() -> PyJWS:
    jws = PyJWS(algorithms=[Algorithm.ES256.value, Algorithm.RS256.value])
    jws.register_algorithm(Algorithm.HS256.value, _SharedSecret(HMACAlgorithm.SHA256))
    return jws


_JWS = _make_jws()
