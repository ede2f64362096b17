"""What the parts of the server are built from."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config.derive import forward_policy, publish_verifier, read_file, route_defaults, upstream_verifier
from holdfast.config.load import Loaded
from holdfast.config.settings import HoldfastSettings, ProxySettings, Settings
from holdfast.errors import ConfigError
from holdfast.grip.publish_auth import INVALID, WRONG_ISSUER, PublishVerifier
from holdfast.grip.signature import parse_key
from holdfast.routing.forward import ForwardPolicy, SetForwardedProto
from holdfast.routing.xff import XffRule
from holdfast.wire.jwt import Algorithm, Key, encode_jwt


def loaded(**proxy: str) -> Loaded:
    return Loaded(Settings(proxy=ProxySettings(**proxy)), (), None, Path("/conf"))  # type: ignore[arg-type]


def test_forward_policy() -> None:
    settings = ProxySettings(
        accept_x_forwarded_protocol=True,
        set_x_forwarded_protocol=SetForwardedProto.TRUE,
        x_forwarded_for=XffRule(1),
        x_forwarded_for_trusted=XffRule(None, True),
        orig_headers_need_mark=("X-A",),
        accept_pushpin_route=True,
        cdn_loop="me",
    )
    assert forward_policy(settings) == ForwardPolicy(
        accept_x_forwarded_protocol=True,
        set_x_forwarded_protocol=SetForwardedProto.TRUE,
        x_forwarded_for=XffRule(1),
        x_forwarded_for_trusted=XffRule(None, True),
        orig_headers_need_mark=frozenset({b"x-a"}),
        accept_pushpin_route=True,
        cdn_loop=b"me",
    )


def test_keys_of_routes_are_relative_to_the_routes_file_and_others_to_the_configuration() -> None:
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        return b"6162"

    defaults = route_defaults(loaded(sig_key="file:k", routesfile="sub/routes"), read)
    assert asked == ["/conf/k"]
    assert defaults.sig_key == parse_key("ab", "/", read)
    assert (defaults.sig_iss, defaults.debug, defaults.keys_dir) == ("pushpin", False, "/conf/sub")
    assert defaults.read_file is read


def test_who_is_trusted() -> None:
    assert upstream_verifier(loaded(upstream_key="")) is None
    assert upstream_verifier(loaded(upstream_key="secret")) is not None


def test_keys_that_cannot_be_used_are_named() -> None:
    with pytest.raises(ConfigError, match=r"^proxy/sig_key: cannot read key file /conf/none: "):
        route_defaults(loaded(sig_key="file:none"))
    with pytest.raises(ConfigError, match=r"^proxy/upstream_key: "):
        upstream_verifier(loaded(upstream_key="base64:?"))


def test_who_may_publish() -> None:
    def verifier(**ours: str) -> PublishVerifier | None:
        settings = Settings(holdfast=HoldfastSettings(**ours))  # type: ignore[arg-type]
        return publish_verifier(Loaded(settings, (), None, Path("/conf")), lambda _path: b"6162")

    assert verifier() is None
    assert verifier(publish_iss="me") is None
    token = b"Bearer " + encode_jwt({"exp": 2, "iss": "me"}, Key(Algorithm.HS256, b"ab"))
    for ours, expected in [
        ({"publish_key": "file:k"}, None),
        ({"publish_key": "ab", "publish_iss": "me"}, None),
        ({"publish_key": "ab", "publish_iss": "you"}, WRONG_ISSUER),
        ({"publish_token": "ab"}, INVALID),
    ]:
        found = verifier(**ours)
        assert found is not None
        assert found.refusal([token], 1) == expected
    found = verifier(publish_token="t\u00f6")
    assert found is not None
    assert found.refusal([b"Bearer t\xc3\xb6"], 1) is None
    with pytest.raises(ConfigError, match=r"^holdfast/publish_key: the secret is empty$"):
        verifier(publish_key="base64:")


def test_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"x\n")
    assert read_file(str(tmp_path / "k")) == b"x\n"
