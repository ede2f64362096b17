"""The settings of ``[proxy]`` that change what a backend receives: trust, X-Forwarded-*, original headers."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect, fetch
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.tokens import make_token

SECRET = "a secret of the proxy in front that is long enough"


def sign(secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    """A token as a proxy in front of us would send it."""
    return make_token(claims or {"exp": int(time.time()) + 60, "iss": "x"}, secret.encode(), algorithm)


@differs("empty-key")
def test_empty_key_means_no_key(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """routes-44: nothing is signed, and GRIP is announced all the same."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"proxy": {"sig_key": ""}})
    request = Stage(proxy, backend, connect).received()
    assert request.has("Grip-Feature")
    assert not request.has("Grip-Sig")


@differs("empty-upstream-key")
def test_empty_upstream_key_trusts_nobody(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """routes-49: also not a token signed with the empty key."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"proxy": {"upstream_key": ""}})
    token = make_token({"exp": int(time.time()) + 60}, b"")
    request = Stage(proxy, backend, connect).received(headers=[("Grip-Sig", token), ("Grip-Test", "x")])
    assert not request.has("Grip-Test")
    assert request.header("Grip-Sig") != token


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    settings = {
        "upstream_key": SECRET,
        "x_forwarded_for": "append",
        "accept_x_forwarded_protocol": "true",
        "set_x_forwarded_protocol": "true",
        "orig_headers_need_mark": "X-A",
        "cdn_loop": "me",
    }
    return launch(
        f"* {target}", f"tls,ssl=yes {target}", f"original,orig_headers {target}", settings={"proxy": settings}
    )


def test_trusted_client(stage: Stage) -> None:
    """routes-47: everything of GRIP passes, both ways."""
    path = stage.backend.serve(Reply(headers=[("Grip-Hold", "stream"), ("Grip-Channel", "a")], body=b"x"))
    token = sign()
    sent = [("Grip-Sig", token), ("Grip-Feature", "theirs"), ("Grip-Last", "a; last-id=1")]
    response = fetch(stage.proxy.port, path, headers=sent)
    assert (response.header("Grip-Hold"), response.header("Grip-Channel"), response.text) == ("stream", "a", "x")
    request = stage.backend.request(path)
    assert [header for header in request.headers if header[0].startswith("Grip-")] == sent


@differs("distant-exp")
def test_token_that_outlasts_2038(stage: Stage) -> None:
    token = sign(exp=4_000_000_000)
    assert stage.received(headers=[("Grip-Sig", token)]).header("Grip-Sig") == token


@pytest.mark.parametrize(
    "token",
    [
        sign(exp=int(time.time()) - 10),
        sign(iss="x"),
        sign(secret="another secret that is long enough too"),
        sign(algorithm="HS512", exp=int(time.time()) + 600),
        "nonsense",
    ],
    ids=["expired", "no exp", "wrong key", "HS512", "nonsense"],
)
def test_untrusted_client(stage: Stage, token: str) -> None:
    """routes-48."""
    request = stage.received(headers=[("Grip-Sig", token), ("Grip-Last", "a; last-id=1")])
    assert request.header("Grip-Sig") != token
    assert not request.has("Grip-Last")
    assert request.has("Grip-Feature")


def test_forwarded_for_is_appended(stage: Stage) -> None:
    """routes-53."""
    sent = [("X-Forwarded-For", "1.1.1.1, 2.2.2.2"), ("X-Forwarded-For", "3.3.3.3")]
    assert stage.received(headers=sent).all("X-Forwarded-For") == ["1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"]
    assert stage.received().all("X-Forwarded-For") == ["127.0.0.1"]


def test_forwarded_proto_is_accepted(stage: Stage) -> None:
    """routes-24, routes-51: it is a TLS request for the routes and for the backend."""
    assert fetch(stage.proxy.port, "/", host="tls").status == 502
    request = stage.received(host="tls", headers=[("X-Forwarded-Proto", "https")])
    assert (request.header("X-Forwarded-Proto"), request.header("X-Forwarded-Protocol")) == ("https", "https")


def test_forwarded_proto_is_compared_exactly(stage: Stage) -> None:
    """routes-52."""
    request = stage.received(headers=[("X-Forwarded-Proto", "HTTPS")])
    assert not request.has("X-Forwarded-Proto")


def test_marked_original_headers(stage: Stage) -> None:
    """routes-58."""
    request = stage.received(host="original", headers=[("X-A", "1"), ("X-B", "1")])
    assert (request.header("eb9bf0f5-X-B"), request.header("eb9bf0f5-X-A")) == ("1", None)
    request = stage.received(host="original", headers=[("eb9bf0f5-X-A", "2")])
    assert request.header("eb9bf0f5-X-A") == "2"


@differs("cdn-loop")
def test_cdn_loop(stage: Stage) -> None:
    """routes-59."""
    assert stage.received(headers=[("CDN-Loop", "a")]).all("CDN-Loop") == ["a, me"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("truncate:0,append", ["127.0.0.1"]),
        ("truncate:1", ["3.3.3.3"]),
        ("truncate:0", []),
        ('"truncate:0,append"', ["1.1.1.1, 2.2.2.2, 3.3.3.3"]),
    ],
)
def test_forwarded_for_rules(
    launch_once: Launch, backend: ScriptedBackend, connect: Connect, rule: str, expected: list[str]
) -> None:
    """routes-54, routes-55: in quotes the rule is one unknown item."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"proxy": {"x_forwarded_for": rule}})
    sent = [("X-Forwarded-For", "1.1.1.1, 2.2.2.2"), ("X-Forwarded-For", "3.3.3.3")]
    assert Stage(proxy, backend, connect).received(headers=sent).all("X-Forwarded-For") == expected
