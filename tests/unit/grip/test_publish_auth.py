"""Who may publish: what the GRIP libraries send, and what nobody may send."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.harness.tokens import make_token

from holdfast.grip.publish_auth import (
    EXPIRED,
    INVALID,
    MALFORMED,
    MISSING,
    NOT_YET_VALID,
    WITHOUT_EXPIRY,
    WRONG_AUDIENCE,
    WRONG_ISSUER,
    PublishCredentials,
    PublishVerifier,
)
from holdfast.wire.jwt import Algorithm, Key, encode_jwt, parse_pem_key

NOW_S = 1_800_000_000
SECRET = b"key of publishers"
KEY = Key(Algorithm.HS256, SECRET)
TOKEN = b"s3cret"


def bearer(claims: dict[str, Any], secret: bytes = SECRET, algorithm: str = "HS256") -> bytes:
    return b"Bearer " + make_token(claims, secret, algorithm).encode()


def basic(text: bytes) -> bytes:
    return b"Basic " + base64.b64encode(text)


def unsigned(claims: dict[str, Any]) -> bytes:
    """A token of the algorithm that is none."""
    parts = [{"alg": "none"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b"Bearer " + b".".join([*encoded, b""])


GOOD = {"exp": NOW_S + 600, "iss": "me"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(bearer(GOOD), None, id="token"),
        pytest.param(bearer(GOOD).replace(b"Bearer", b"bEARER"), None, id="the scheme has no case"),
        pytest.param(bearer(GOOD).replace(b" ", b"   "), None, id="blanks"),
        pytest.param(bearer({"exp": NOW_S + 0.5}), None, id="half a second"),
        pytest.param(bearer({"exp": 10**400}), None, id="later than any float"),
        pytest.param(bearer(GOOD | {"nbf": NOW_S}), None, id="nbf now"),
        pytest.param(bearer(GOOD, b"other"), INVALID, id="another key"),
        pytest.param(bearer(GOOD, b""), INVALID, id="empty key"),
        pytest.param(bearer(GOOD, algorithm="HS512"), INVALID, id="another algorithm"),
        pytest.param(unsigned(GOOD), INVALID, id="no algorithm"),
        pytest.param(bearer(GOOD)[:-2], INVALID, id="cut off"),
        pytest.param(b"Bearer x", INVALID, id="no token"),
        pytest.param(b"Bearer \xff\xfe", INVALID, id="no text"),
        pytest.param(b"Bearer " + SECRET, INVALID, id="the key itself"),
        pytest.param(bearer({"iss": "me"}), WITHOUT_EXPIRY, id="no exp"),
        pytest.param(bearer({"exp": True}), WITHOUT_EXPIRY, id="exp true"),
        pytest.param(bearer({"exp": "9999999999"}), WITHOUT_EXPIRY, id="exp text"),
        pytest.param(bearer({"exp": float("nan")}), WITHOUT_EXPIRY, id="exp NaN"),
        pytest.param(bearer({"exp": NOW_S}), EXPIRED, id="exp now"),
        pytest.param(bearer({"exp": -1}), EXPIRED, id="exp negative"),
        pytest.param(bearer(GOOD | {"nbf": NOW_S + 1}), NOT_YET_VALID, id="nbf later"),
        pytest.param(bearer(GOOD | {"nbf": "x"}), NOT_YET_VALID, id="nbf no time"),
        pytest.param(bearer(GOOD | {"aud": "you"}), WRONG_AUDIENCE, id="aud"),
        pytest.param(b"Bearer", MALFORMED, id="nothing"),
        pytest.param(b"Bearer  ", MALFORMED, id="blank"),
        pytest.param(b"", MALFORMED, id="empty"),
        pytest.param(b"Digest x", MALFORMED, id="another scheme"),
        pytest.param(basic(b"me:" + SECRET), MALFORMED, id="no Basic with a key"),
    ],
)
def test_key(value: bytes, expected: str | None) -> None:
    assert PublishVerifier(PublishCredentials(KEY)).refusal([value], NOW_S) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"Bearer s3cret", None, id="bearer"),
        pytest.param(basic(b":s3cret"), None, id="no user"),
        pytest.param(basic(b"anybody:s3cret"), None, id="any user"),
        pytest.param(b"Bearer s3cre", INVALID, id="shorter"),
        pytest.param(b"Bearer s3crett", INVALID, id="longer"),
        pytest.param(b"Bearer S3CRET", INVALID, id="case"),
        pytest.param(bearer(GOOD), INVALID, id="a token is not asked for"),
        pytest.param(basic(b"s3cret"), INVALID, id="no colon"),
        pytest.param(basic(b"s3cret:"), INVALID, id="as the user"),
        pytest.param(basic(b"a:s3cret "), INVALID, id="more"),
        pytest.param(b"Basic *", INVALID, id="no base64"),
        pytest.param(b"s3cret", MALFORMED, id="without a scheme"),
    ],
)
def test_token(value: bytes, expected: str | None) -> None:
    assert PublishVerifier(PublishCredentials(token=TOKEN)).refusal([value], NOW_S) == expected


def test_either_will_do() -> None:
    verifier = PublishVerifier(PublishCredentials(KEY, token=TOKEN))
    assert verifier.refusal([bearer(GOOD)], NOW_S) is None
    assert verifier.refusal([b"Bearer s3cret"], NOW_S) is None
    assert verifier.refusal([basic(b"a:s3cret")], NOW_S) is None


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (GOOD, None),
        (GOOD | {"iss": "you"}, WRONG_ISSUER),
        (GOOD | {"iss": ["me"]}, WRONG_ISSUER),
        ({"exp": NOW_S + 1}, WRONG_ISSUER),
    ],
)
def test_issuer(claims: dict[str, Any], expected: str | None) -> None:
    assert PublishVerifier(PublishCredentials(KEY, "me")).refusal([bearer(claims)], NOW_S) == expected


def test_there_is_one_header() -> None:
    """Two could be read in two ways by whoever stands between."""
    verifier = PublishVerifier(PublishCredentials(KEY))
    assert verifier.refusal([], NOW_S) == MISSING
    assert verifier.refusal([bearer(GOOD), bearer(GOOD)], NOW_S) == MALFORMED


@pytest.mark.parametrize("private", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_a_public_key_is_not_a_secret(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    """What everybody may know must not sign with HS256: the classic confusion of algorithms."""
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    verifier = PublishVerifier(PublishCredentials(parse_pem_key(public)))
    assert verifier.refusal([b"Bearer " + encode_jwt(GOOD, parse_pem_key(pem))], NOW_S) is None
    assert verifier.refusal([bearer(GOOD, public)], NOW_S) == INVALID
    assert verifier.refusal([bearer(GOOD, public.strip())], NOW_S) == INVALID


def test_a_door_cannot_be_open_by_mistake() -> None:
    for token in (None, b""):
        with pytest.raises(ValueError, match="neither"):
            PublishCredentials(token=token)


def test_challenges() -> None:
    """Basic is offered where it is understood."""
    assert PublishVerifier(PublishCredentials(KEY)).challenge == b'Bearer realm="publish"'
    assert PublishVerifier(PublishCredentials(token=TOKEN)).challenge.endswith(b', Basic realm="publish"')


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(PublishCredentials(KEY, token=TOKEN))
    assert SECRET.decode() not in repr(PublishCredentials(KEY, token=TOKEN))
