"""TLS for clients: which certificate they get, and what the backend is told (routes spec §2.9, ws spec §5.6)."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import Stage, fresh_channel
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, response_item, stream_item
from tests.harness.timing import eventually
from tests.harness.tls import TlsClient, client_context, make_certificate, refusal, wait_tls_port
from tests.harness.websocket import text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage, ws_item

PORT, BARE_PORT = free_port(), free_port()
"""With a default certificate, and without."""

OLD = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1


@pytest.fixture(scope="module")
def tls_port() -> int:
    return PORT


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    files = {
        **make_certificate("exact.test").files("exact.test"),
        **make_certificate("wild.test").files("_.wild.test"),
        **make_certificate("default.test").files(f"default_{PORT}"),
    }
    proxy = launch(
        f"* {target}",
        f"secure.test,ssl=yes {target}",
        f"plain.test,ssl=no {target}",
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events {target},over_http",
        settings={
            "runner": {"https_ports": f"127.0.0.1:{PORT},127.0.0.1:{BARE_PORT}"},
            "proxy": {"log_from": "true", "x_forwarded_for": "append"},
        },
        files=files,
    )
    for port in (PORT, BARE_PORT):
        wait_tls_port(proxy, port)
    return proxy


def subject(port: int, server_name: str | None) -> str:
    with TlsClient(port, server_name=server_name) as client:
        return client.subject


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.spec("ws-102")
@pytest.mark.parametrize(
    ("server_name", "expected"),
    [
        pytest.param("exact.test", "exact.test", id="exact"),
        pytest.param("EXACT.Test", "exact.test", id="no case"),
        pytest.param("a.wild.test", "wild.test", id="one label more"),
        pytest.param("a.b.wild.test", None, id="two labels more"),
        pytest.param("wild.test", None, id="no label more"),
        pytest.param("other.test", None, id="unknown"),
        pytest.param("x" * 254, None, id="too long"),
        pytest.param("certs/../exact.test", None, id="a path"),
        pytest.param("a\x01b.test", None, id="control character"),
        pytest.param(None, None, id="none"),
    ],
)
def test_certificate_by_name(proxy: ProxyUnderTest, server_name: str | None, expected: str | None) -> None:
    assert subject(PORT, server_name) == (expected or "default.test")
    if expected is not None:
        assert subject(BARE_PORT, server_name) == expected
    else:
        assert refusal(lambda: TlsClient(BARE_PORT, server_name=server_name)) == "TLSV1_UNRECOGNIZED_NAME"


@pytest.mark.spec("ws-103")
def test_replaced_and_removed(proxy: ProxyUnderTest) -> None:
    """The next handshake has the new pair, an unusable one changes nothing, and so does its removal."""
    directory, name = proxy.directory / "runner" / "certs", "changing.test"
    assert subject(PORT, name) == "default.test"
    files = make_certificate("first").write(directory, name)
    assert subject(PORT, name) == "first"
    with TlsClient(PORT, server_name=name) as client:
        make_certificate("second").write(directory, name)
        assert subject(PORT, name) == "second"
        client.request("/", host="plain.test")  # the old connection goes on, to where it has no route
        assert client.read_response().status == 502
    files[1].write_bytes(make_certificate("third").key)
    assert subject(PORT, name) == "second"
    for file in files:
        file.unlink()
    assert subject(PORT, name) == "second"


@pytest.mark.spec("ws-104")
@pytest.mark.parametrize("version", OLD)
def test_old_versions_are_refused(proxy: ProxyUnderTest, version: ssl.TLSVersion) -> None:
    with pytest.warns(DeprecationWarning):
        context = client_context(oldest=version, newest=version)
    with pytest.raises(OSError, match=r"\S"):
        TlsClient(PORT, context=context)


def test_tls_1_2(proxy: ProxyUnderTest) -> None:
    with TlsClient(PORT, context=client_context(newest=ssl.TLSVersion.TLSv1_2)) as client:
        assert client.tls.version() == "TLSv1.2"


@differs("tls-1.3")
def test_tls_1_3(proxy: ProxyUnderTest) -> None:
    with TlsClient(PORT) as client:
        assert client.tls.version() == "TLSv1.3"


@differs("tls-ciphers")
def test_ciphers_without_authentication_are_refused(proxy: ProxyUnderTest) -> None:
    context = client_context(newest=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:AES128-SHA:@SECLEVEL=0")
    assert refusal(lambda: TlsClient(PORT, context=context).close()) == "SSLV3_ALERT_HANDSHAKE_FAILURE"


# --- what the backend is told -----------------------------------------------------------------------------------------


@pytest.mark.spec("routes-51")
def test_forwarded_proto(tls: Stage) -> None:
    path = tls.backend.serve(Reply(body=b"ok"))
    client = tls.client()
    client.request(path, headers=[("X-Forwarded-Proto", "http"), ("X-Forwarded-Protocol", "x")])
    assert client.read_response().text == "ok"
    request = tls.backend.request(path)
    assert request.header("X-Forwarded-Proto") == "https"
    assert not request.has("X-Forwarded-Protocol")
    assert request.header("X-Forwarded-For") == "127.0.0.1"


@pytest.mark.spec("routes-51")
@pytest.mark.parametrize(("value", "names"), [("true", ["X-Forwarded-Proto", "X-Forwarded-Protocol"]), ("false", [])])
def test_forwarded_proto_setting(launch_once: Launch, backend: ScriptedBackend, value: str, names: list[str]) -> None:
    port = free_port()
    proxy = launch_once(
        f"* 127.0.0.1:{backend.port}",
        settings={"runner": {"https_ports": f"127.0.0.1:{port}"}, "proxy": {"set_x_forwarded_protocol": value}},
        files=make_certificate("x").files(f"default_{port}"),
    )
    wait_tls_port(proxy, port)
    path = backend.serve(Reply(body=b"ok"))
    with TlsClient(port) as client:
        client.request(path)
        client.read_response()
    request = backend.request(path)
    forwarded = [(name, value) for name, value in request.headers if name.startswith("X-Forwarded-Proto")]
    assert sorted(forwarded) == [(name, "https") for name in names]


def test_log(tls: Stage) -> None:
    path = tls.backend.serve(Reply(body=b"ok"))
    client = tls.client()
    client.request(path, host="exact.test")
    client.read_response()
    (line,) = tls.proxy.wait_log(rf"GET https://exact\.test{path} ")
    assert "from=127.0.0.1" in line


@pytest.mark.spec("routes-24")
@pytest.mark.parametrize(
    ("host", "is_tls", "is_found"),
    [
        ("secure.test", True, True),
        ("secure.test", False, False),
        ("plain.test", True, False),
        ("plain.test", False, True),
    ],
)
def test_routes_by_tls(stage: Stage, tls: Stage, host: str, is_tls: bool, is_found: bool) -> None:
    path = stage.backend.serve(Reply(body=b"ok"))
    client = (tls if is_tls else stage).client()
    client.request(path, host=host)
    assert (client.read_response().text == "ok") is is_found


# --- holds ------------------------------------------------------------------------------------------------------------


def test_stream(tls: Stage) -> None:
    channel = fresh_channel()
    client = tls.stream(channel)
    for content in ("one", "two", "x" * 100_000):
        publish_ok(tls.proxy.control_port, stream_item(channel, content))
        assert client.read_data(len(content)) == content.encode()


def test_long_polls_on_one_connection(tls: Stage) -> None:
    client = tls.client()
    for number in range(3):
        channel = fresh_channel()
        path = tls.backend.serve(Reply(headers=[("Grip-Hold", "response"), ("Grip-Channel", channel)]))
        client.request(path)
        tls.proxy.wait_held(path)
        publish_ok(tls.proxy.control_port, response_item(channel, f"news {number}"))
        assert client.read_response().text == f"news {number}"


def test_upload(tls: Stage) -> None:
    body = bytes(range(256)) * 4000
    path = tls.backend.serve(Reply(body=body))
    client = tls.client()
    client.request(path, method="POST", body=body)
    assert client.read_response().body == body
    assert tls.backend.request(path).body == body


def test_websockets(
    proxy: ProxyUnderTest, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect_tls: Connect
) -> None:
    ws = WebSocketStage(proxy, backend, ws_backend, connect_tls)
    channel = fresh_channel()
    client, peer = ws.grip(channel)
    assert peer.request.header("X-Forwarded-Proto") == "wss"
    client.send_text("hello")
    peer.expect_text("hello")
    ws.publish(ws_item(channel, "to all"))
    client.expect_text("to all")
    other, script = ws.grip_over_http(channel)
    ws.publish(ws_item(channel, "to both"))
    client.skip_to(text("to both"))
    other.expect_text("to both")
    assert backend.requests(script.path)[0].header("X-Forwarded-Proto") == "wss"


def test_client_leaves(tls: Stage) -> None:
    """In whatever way: others get what is published, and the next one can come."""
    channel = fresh_channel()
    stays, says_goodbye, vanishes, resets = (tls.stream(channel) for _ in range(4))
    assert isinstance(says_goodbye, TlsClient)
    with contextlib.suppress(ssl.SSLEOFError):  # 1.36 does not answer it
        says_goodbye.close_notify()
    vanishes.close()
    resets.reset()
    for content in ("one", "two", "three"):
        publish_ok(tls.proxy.control_port, stream_item(channel, content))
        assert stays.read_data(len(content)) == content.encode()
    eventually(lambda: tls.stream(channel) is not None, "another client")


def test_not_tls(proxy: ProxyUnderTest, connect: Connect) -> None:
    """Somebody who speaks HTTP to a TLS port is let go, and nobody else notices."""
    client = connect(PORT)
    client.request("/")
    assert b"HTTP" not in client.read_to_close()
    assert subject(PORT, "exact.test") == "exact.test"
    assert not proxy.log_lines("Traceback|Error")
