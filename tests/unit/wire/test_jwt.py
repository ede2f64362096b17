"""JSON Web Tokens with one fixed algorithm (RFC 7519, RFC 7515)."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256, sha512

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import KeyMaterialError, WireError
from holdfast.wire.jwt import Algorithm, Key, decode_jwt, encode_jwt, parse_pem_key

SECRET = Key(Algorithm.HS256, b"changeme")
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


def pem_of(key: PrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(password) if password else NoEncryption())


def public_pem_of(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def forge(header: object, claims: object, secret: bytes = b"changeme") -> bytes:
    """A token made by hand, so that the code under test does not check itself."""
    signed = b64(json.dumps(header).encode()) + b"." + b64(json.dumps(claims).encode())
    return signed + b"." + b64(hmac.new(secret, signed, sha256).digest())


def test_encode_is_byte_exact() -> None:
    """routes-41: `typ` before `alg`, claims in the order given, no blanks."""
    token = encode_jwt({"exp": 1_000_003_600, "iss": "pushpin"}, SECRET)
    signed, _, signature = token.rpartition(b".")
    header, claims = (urlsafe_b64decode(part + b"===") for part in signed.split(b"."))
    assert header == b'{"typ":"JWT","alg":"HS256"}'
    assert claims == b'{"exp":1000003600,"iss":"pushpin"}'
    assert signature == b64(hmac.new(b"changeme", signed, sha256).digest())
    assert encode_jwt({"iss": "a", "exp": 1}, SECRET) != encode_jwt({"exp": 1, "iss": "a"}, SECRET)


PEMS = [
    pytest.param(pem_of(EC_KEY), public_pem_of(EC_KEY), Algorithm.ES256, id="ec-pkcs8"),
    pytest.param(
        pem_of(EC_KEY, PrivateFormat.TraditionalOpenSSL), public_pem_of(EC_KEY), Algorithm.ES256, id="ec-traditional"
    ),
    pytest.param(pem_of(RSA_KEY), public_pem_of(RSA_KEY), Algorithm.RS256, id="rsa-pkcs8"),
    pytest.param(
        pem_of(RSA_KEY, PrivateFormat.TraditionalOpenSSL), public_pem_of(RSA_KEY), Algorithm.RS256, id="rsa-pkcs1"
    ),
]


@pytest.mark.parametrize(("private_pem", "public_pem", "algorithm"), PEMS)
def test_key_pairs(private_pem: bytes, public_pem: bytes, algorithm: Algorithm) -> None:
    """routes-43: the kind of key decides the algorithm; the private half checks as well."""
    private, public = parse_pem_key(private_pem), parse_pem_key(public_pem)
    assert private.algorithm is public.algorithm is algorithm
    token = encode_jwt({"exp": 1}, private)
    assert json.loads(urlsafe_b64decode(token.split(b".")[0] + b"==")) == {"typ": "JWT", "alg": algorithm.value}
    assert decode_jwt(token, public) == decode_jwt(token, private) == {"exp": 1}
    with pytest.raises(KeyMaterialError, match=r"^a public key cannot sign$"):
        encode_jwt({"exp": 1}, public)


@pytest.mark.parametrize(
    ("pem", "text"),
    [
        pytest.param(b"-----BEGIN NONSENSE", "not a usable PEM key", id="nonsense"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a usable", id="broken"),
        pytest.param(pem_of(EC_KEY, password=b"pw"), "not a usable PEM key", id="password"),
        pytest.param(pem_of(ec.generate_private_key(ec.SECP384R1())), "EC key on secp384r1", id="other-curve"),
        pytest.param(pem_of(ed25519.Ed25519PrivateKey.generate()), "neither EC nor RSA", id="ed25519"),
        pytest.param(pem_of(rsa.generate_private_key(65537, 1024)), "RSA key of 1024 bits", id="short-rsa"),
    ],
)
def test_unusable_pem(pem: bytes, text: str) -> None:
    with pytest.raises(KeyMaterialError, match=text):
        parse_pem_key(pem)


def test_the_empty_secret_is_no_key() -> None:
    with pytest.raises(KeyMaterialError, match=r"^the secret is empty$"):
        Key(Algorithm.HS256, b"")


def test_the_repr_keeps_the_secret() -> None:
    assert "changeme" not in repr(SECRET)


@pytest.mark.parametrize("secret", [b"x", b'{"kty":"oct"}', b"-----BEGIN PUBLIC KEY-----", b"\x00\xff"])
def test_a_secret_may_be_any_bytes(secret: bytes) -> None:
    key = Key(Algorithm.HS256, secret)
    assert decode_jwt(forge({"alg": "HS256"}, {"a": 1}, secret), key) == {"a": 1}
    assert decode_jwt(encode_jwt({"a": 1}, key), key) == {"a": 1}


def sign_hs512() -> bytes:
    signed = b64(b'{"alg":"HS512"}') + b"." + b64(b'{"exp":1}')
    return signed + b"." + b64(hmac.new(b"changeme", signed, sha512).digest())


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x", id="text"),
        pytest.param(b"\xff.\xff.\xff", id="not-ascii"),
        pytest.param(forge({"alg": "HS256"}, {"exp": 1}, b"other"), id="wrong-key"),
        pytest.param(forge({"alg": "HS256"}, {"exp": 1}) + b"A", id="tail"),
        pytest.param(forge({"alg": "none"}, {"exp": 1}), id="alg-none"),
        pytest.param(b64(b'{"alg":"none"}') + b"." + b64(b'{"exp":1}') + b".", id="alg-none-unsigned"),
        pytest.param(forge({"alg": "RS256"}, {"exp": 1}), id="other-alg"),
        pytest.param(sign_hs512(), id="hs512"),
        pytest.param(forge({}, {"exp": 1}), id="no-alg"),
        pytest.param(forge([], {"exp": 1}), id="header-no-object"),
        pytest.param(forge({"alg": "HS256"}, [1]), id="claims-no-object"),
        pytest.param(b64(b"[" * 5000) + b".e30.AA", id="deep-header"),
    ],
)
def test_refused_token(token: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode_jwt(token, SECRET)
    assert caught.value.status == 401
    assert caught.value.text.startswith("Invalid token: ")


def test_a_public_key_is_no_secret() -> None:
    """The classic confusion: a token signed HS256 with the text of the public key."""
    public_pem = public_pem_of(RSA_KEY)
    with pytest.raises(WireError):
        decode_jwt(forge({"alg": "HS256"}, {"exp": 1}, public_pem), parse_pem_key(public_pem))


@given(st.binary(max_size=60) | st.lists(st.binary(max_size=30).map(b64), min_size=3, max_size=3).map(b".".join))
def test_any_bytes_are_refused_with_the_documented_error(token: bytes) -> None:
    with pytest.raises(WireError):
        decode_jwt(token, SECRET)
