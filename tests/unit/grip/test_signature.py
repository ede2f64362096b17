"""Keys, Grip-Sig and trust (routes spec §3.6, §3.7)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from holdfast.errors import KeyMaterialError
from holdfast.grip.signature import Key, Signer, Verifier, parse_key, parse_url_key
from holdfast.wire.jwt import Algorithm, decode_jwt, encode_jwt

NOW_S = 1_700_000_000.25
SECRET = Key(Algorithm.HS256, b"changeme")
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
FILES = {
    "/etc/x/ec.pem": EC_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "/etc/x/ec.pub": EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "/etc/x/rsa.pem": RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "/etc/x/hex": b" 6368616e67656d65\r\n",
    "/abs/hex": b"01",
    "/etc/x/text": b"changeme",
    "/etc/x/empty": b"\n",
    "/etc/x/bad.pem": b"-----BEGIN PRIVATE KEY-----\n",
}


def read_file(path: str) -> bytes:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def parse(text: str) -> Key | None:
    return parse_key(text, "/etc/x", read_file)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        pytest.param("changeme", b"changeme", id="text"),
        pytest.param("pässword", "pässword".encode(), id="utf-8"),
        pytest.param("base64:Y2hhbmdlbWU=", b"changeme", id="routes-42"),
        pytest.param("base64:Y2hhbmdlbWU", b"changeme", id="base64-without-padding"),
        pytest.param("file:hex", b"changeme", id="routes-43-hex"),
        pytest.param("file:/abs/hex", b"\x01", id="absolute-path"),
    ],
)
def test_secrets(text: str, secret: bytes) -> None:
    assert parse(text) == Key(Algorithm.HS256, secret)


def test_no_text_is_no_key() -> None:
    """routes-44."""
    assert parse("") is None


@pytest.mark.parametrize(
    ("text", "algorithm"), [("file:ec.pem", Algorithm.ES256), ("file:rsa.pem", Algorithm.RS256)], ids=["ec", "rsa"]
)
def test_pem_files(text: str, algorithm: Algorithm) -> None:
    """routes-43."""
    key = parse(text)
    assert key is not None
    assert key.algorithm is algorithm


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file:gone", "cannot read key file /etc/x/gone: No such file or directory"),
        ("file:text", "key file /etc/x/text: neither a PEM key nor a hexadecimal secret"),
        ("file:empty", "key file /etc/x/empty: the secret is empty"),
        ("base64:", "the secret is empty"),
        ("base64:%%%%", "the text after base64: is not base64"),
        ("base64:ü", "the text after base64: is not base64"),
    ],
)
def test_unusable_keys(text: str, message: str) -> None:
    with pytest.raises(KeyMaterialError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_unusable_pem_names_its_file() -> None:
    with pytest.raises(KeyMaterialError, match=r"^key file /etc/x/bad\.pem: not a usable PEM key"):
        parse("file:bad.pem")


def test_an_error_without_text_is_still_told() -> None:
    def fail(path: str) -> bytes:
        raise OSError("strange")

    with pytest.raises(KeyMaterialError, match="strange"):
        parse_key("file:x", "/", fail)


@pytest.mark.parametrize("key_text", ["changeme", "file:ec.pem", "file:rsa.pem"])
def test_tokens_last_an_hour_and_are_made_once_a_second(key_text: str) -> None:
    """routes-41: `iss` and `exp`."""
    key = parse(key_text)
    assert key is not None
    signer = Signer("pushpin", key)
    first = signer.token(NOW_S)
    assert first is not None
    assert signer.token(NOW_S + 0.7) is first
    later = signer.token(NOW_S + 1)
    assert later is not None
    assert list(decode_jwt(first, key).items()) == [("exp", int(NOW_S) + 3600), ("iss", "pushpin")]
    assert decode_jwt(later, key)["exp"] == int(NOW_S) + 3601
    assert signer.error is None


def test_two_signers_make_the_same_bytes() -> None:
    assert Signer("a", SECRET).token(NOW_S) == Signer("a", SECRET).token(NOW_S + 0.5)


def test_a_key_that_cannot_sign_says_why() -> None:
    key = parse("file:ec.pub")
    assert key is not None
    signer = Signer("pushpin", key)
    assert [signer.token(NOW_S), signer.token(NOW_S), signer.token(NOW_S + 1)] == [None, None, None]
    assert signer.error == "a public key cannot sign"


TRUST = [
    pytest.param({"exp": NOW_S + 1}, True, id="routes-47-valid"),
    pytest.param({"exp": int(NOW_S) + 1, "iss": "anyone", "aud": "x", "nbf": NOW_S + 9}, True, id="only-exp-counts"),
    pytest.param({"exp": NOW_S}, False, id="expires-now"),
    pytest.param({"exp": NOW_S - 1}, False, id="routes-48-expired"),
    pytest.param({}, False, id="routes-48-no-exp"),
    pytest.param({"exp": 0}, False, id="zero"),
    pytest.param({"exp": -5}, False, id="negative"),
    pytest.param({"exp": True}, False, id="boolean"),
    pytest.param({"exp": str(int(NOW_S) + 60)}, False, id="text"),
    pytest.param({"exp": None}, False, id="null"),
    pytest.param({"exp": float("nan")}, False, id="nan"),
]


@pytest.mark.parametrize(("claims", "is_trusted"), TRUST)
def test_trust(claims: dict[str, object], is_trusted: bool) -> None:
    assert Verifier(SECRET).is_trusted(encode_jwt(claims, SECRET), NOW_S) is is_trusted


@pytest.mark.parametrize("token", [b"", b"a.b.c", encode_jwt({"exp": NOW_S + 60}, Key(Algorithm.HS256, b"other"))])
def test_no_trust_without_our_signature(token: bytes) -> None:
    """routes-48: a wrong key; routes-49 has no verifier at all, since the empty key is none."""
    assert Verifier(SECRET).is_trusted(token, NOW_S) is False


def test_public_key_checks_what_the_private_one_signed() -> None:
    private, public = parse("file:ec.pem"), parse("file:ec.pub")
    assert private is not None
    assert public is not None
    token = Signer("x", private).token(NOW_S)
    assert token is not None
    assert Verifier(public).is_trusted(token, NOW_S)
    assert not Verifier(public).is_trusted(encode_jwt({"exp": NOW_S + 60}, SECRET), NOW_S)


def test_a_known_token_still_expires() -> None:
    verifier = Verifier(SECRET)
    token = encode_jwt({"exp": NOW_S + 60}, SECRET)
    assert [verifier.is_trusted(token, NOW_S + at) for at in (0, 59, 60, 61)] == [True, True, False, False]


def test_a_known_token_vouches_for_no_other() -> None:
    verifier = Verifier(SECRET)
    good = encode_jwt({"exp": NOW_S + 60}, SECRET)
    assert verifier.is_trusted(good, NOW_S)
    assert not verifier.is_trusted(good[:-10] + good[-9:] + b"A", NOW_S)
    assert not verifier.is_trusted(b"", NOW_S)
    assert verifier.is_trusted(good, NOW_S)


@pytest.mark.parametrize(
    ("text", "secret"),
    [("changeme", b"changeme"), ("base64:AP8", b"\0\xff"), ("file:hex", b"file:hex"), ("kä", "kä".encode())],
)
def test_keys_of_urls(text: str, secret: bytes) -> None:
    """Read as the GRIP libraries read them, which know no files."""
    assert parse_url_key(text) == Key(Algorithm.HS256, secret)


def test_pem_keys_of_urls() -> None:
    assert parse_url_key(FILES["/etc/x/rsa.pem"].decode()).algorithm is Algorithm.RS256
    for text in ("base64:?", "base64:", "", "-----BEGIN"):
        with pytest.raises(KeyMaterialError):
            parse_url_key(text)
