"""Any token: claims only if PyJWT takes the signature, too, else WireError 401. Any PEM: a key or KeyMaterialError."""

from __future__ import annotations

import base64
import contextlib
import json

import jwt
from hypothesis import strategies as st
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import KeyMaterialError, WireError
from holdfast.grip.publish_auth import PublishCredentials, PublishVerifier
from holdfast.grip.signature import Verifier, parse_key
from holdfast.wire.jwt import Algorithm, Key, decode_jwt, encode_jwt, parse_pem_key

SECRET = b"a secret of thirty-two bytes, or so"
KEY = Key(Algorithm.HS256, SECRET)
OTHER = Key(Algorithm.HS256, b"another")


def encoded(part: object) -> bytes:
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=")


TOKENS = [
    encode_jwt({"exp": 2_000_000_000, "iss": "pushpin"}, KEY),
    encode_jwt({"exp": 1e300}, KEY),
    encode_jwt({"exp": "soon"}, KEY),
    encode_jwt({"exp": True, "nested": [[[]]]}, KEY),
    encode_jwt({}, OTHER),
    b".".join([encoded({"alg": "none"}), encoded({"exp": 2_000_000_000}), b""]),
    b".".join([encoded({"alg": ["HS256"], "b64": False, "crit": ["b64"]}), encoded({}), b"x"]),
]
PARTS = [
    b".", b"..", encoded({"alg": "none"}), encoded({"alg": "HS256", "b64": False, "crit": ["b64"]}),
    encoded({"alg": None}), encoded({"alg": "HS256", "crit": [1]}), encoded({"alg": "HS256", "kid": 5}),
    encoded([]), encoded(b"[" * 9000), encoded(b"1" * 5000), encoded(b'{"alg":"\xff"}'), b"=", b"-", b"_", b"+",
    b"\xff",
]  # fmt: skip


@fuzz(mutated(TOKENS, PARTS), examples=300)
def test_any_token(token: bytes) -> None:
    try:
        claims = decode_jwt(token, KEY)
    except WireError as exc:
        assert exc.status == 401
        assert not Verifier(KEY).is_trusted(token, 0)
        return
    # The signature is over what stands before the last dot, so the same token again is all there can be.
    assert token.rpartition(b".")[0] in [known.rpartition(b".")[0] for known in TOKENS[:4]]
    assert claims == jwt.decode(
        token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iss": False, "verify_iat": False}
    )
    Verifier(KEY).is_trusted(token, 1_900_000_000)


CLAIMS = st.sampled_from(
    [b"{}", b"[]", b"1", b'"x"', b"null", b"NaN", b"[" * 100_000, b"1" * 5000, b'{"exp":' + b"9" * 5000 + b"}",
     b"\xff", b"", b'{"exp":Infinity}', b'{"exp":1e999}', b'{"exp":-1}', b'{"exp":[1]}', b'{"exp":9007199254740993}',
     b'{"exp":1,"exp":null}']
)  # fmt: skip


@fuzz(CLAIMS)
def test_any_claims_of_somebody_who_has_the_key(claims: bytes) -> None:
    token = jwt.PyJWS().encode(claims, SECRET, "HS256").encode()
    try:
        assert isinstance(decode_jwt(token, KEY), dict)
    except WireError as exc:
        assert exc.status == 401
    assert Verifier(KEY).is_trusted(token, 2.0) in (True, False)


PEMS = [
    b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
    b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n",
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIH=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    b"00ff",
]


@fuzz(mutated(PEMS, [b"-----", b"\n", b"EC ", b"RSA ", b"CERTIFICATE", b"AAAA"]))
def test_any_key(pem: bytes) -> None:
    with contextlib.suppress(KeyMaterialError):
        parse_pem_key(pem)
    try:
        parse_key("file:key", "/", lambda path: pem)
    except KeyMaterialError as exc:
        assert str(exc).startswith("key file /key: ")


@fuzz(st.text(max_size=8))
def test_any_setting_of_a_key(text: str) -> None:
    secret = f"QwErTy{text}"
    for setting in (text, secret, f"base64:{secret}", f"base64:{text}", f"file:{text}"):
        try:
            key = parse_key(setting, "/", lambda path: b"")
        except KeyMaterialError as exc:
            assert secret not in str(exc)
        else:
            assert key is None or key.material


CREDENTIALS = [
    b"Bearer " + encode_jwt({"exp": 2_000_000_000, "iss": "me"}, KEY),
    b"Bearer " + encode_jwt({"exp": 2_000_000_000, "iss": "me", "nbf": 1}, KEY),
    b"bearer the-token",
    b"Basic " + base64.b64encode(b"user:the-token"),
    b"Basic " + base64.b64encode(b"nobody"),
    b"Digest x",
]
MAY_PUBLISH = {credentials.partition(b" ")[2].strip(b" ") for credentials in CREDENTIALS[:4]}


@fuzz(st.lists(mutated(CREDENTIALS, [b" ", b"Bearer ", b"Basic ", b"=", b":", *PARTS[:6]]), max_size=2), examples=200)
def test_any_credentials_of_publishers(authorization: list[bytes]) -> None:
    """Only those that were given out let anybody publish, in whatever they are wrapped."""
    verifier = PublishVerifier(PublishCredentials(KEY, "me", b"the-token"))
    refusal = verifier.refusal(authorization, 1_900_000_000)
    if refusal is not None:
        assert refusal.isprintable()
        return
    (value,) = authorization
    scheme, _, token = value.partition(b" ")
    if scheme.lower() == b"basic":
        assert base64.b64decode(token.strip(b" ")).endswith(b":the-token")
    else:
        stripped = token.strip(b" ")
        assert stripped in MAY_PUBLISH or jwt.decode(
            stripped, SECRET, algorithms=["HS256"], options={"verify_exp": False}
        )
