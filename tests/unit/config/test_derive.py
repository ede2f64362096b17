"""What the parts of the server are built from."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config.derive import forward_policy, read_file, route_defaults, upstream_verifier
from holdfast.config.load import Loaded
from holdfast.config.settings import ProxySettings, Settings
from holdfast.errors import ConfigError
from holdfast.grip.signature import parse_key
from holdfast.routing.forward import ForwardPolicy, SetForwardedProto
from holdfast.routing.xff import XffRule


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


def test_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"x\n")
    assert read_file(str(tmp_path / "k")) == b"x\n"
