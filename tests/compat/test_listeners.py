"""Where clients can connect: IPv6 addresses and Unix sockets (ws spec §5.1)."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from pathlib import Path

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import DEFAULT_TIMEOUT_S, RawClient, RawConnection, encode_request
from tests.harness.grip import fresh_channel, poll_reply, stream_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyConfig, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, response_item, stream_item
from tests.harness.timing import eventually, scaled
from tests.harness.tls import TlsClient, make_certificate

V6_PORT, V6_TLS_PORT = free_port("::1"), free_port("::1")


class UnixClient(RawConnection):
    """A client on a Unix socket."""

    def __init__(self, path: Path) -> None:
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(scaled(DEFAULT_TIMEOUT_S))
        try:
            connected.connect(str(path))
        except OSError:
            connected.close()
            raise
        super().__init__(connected)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("u")  # short: the path of a socket has at most 107 bytes


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, directory: Path) -> ProxyUnderTest:
    stale = directory / "stale"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(stale))
    return launch(
        f"* 127.0.0.1:{backend.port}",
        http_ports="127.0.0.1:{port}" + f",[::1]:{V6_PORT}",
        settings={
            "runner": {"https_ports": f"[::1]:{V6_TLS_PORT}", "local_ports": f"{stale},{directory / 'plain'}"},
            "proxy": {"log_from": "true", "x_forwarded_for": "append"},
        },
        files=make_certificate("six").files(f"default_{V6_TLS_PORT}"),
    )


def connected(path: Path) -> UnixClient:
    """A client, as soon as somebody listens."""
    eventually(lambda: is_listening(path), f"the socket {path}")
    return UnixClient(path)


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.mark.spec("ws-101")
@pytest.mark.parametrize("is_tls", [False, True])
def test_ipv6(proxy: ProxyUnderTest, backend: ScriptedBackend, is_tls: bool) -> None:
    path = backend.serve(Reply(body=b"ok"))
    client = TlsClient(V6_TLS_PORT, "::1") if is_tls else RawClient(V6_PORT, "::1")
    with client:
        client.request(path)
        assert client.read_response().text == "ok"
    assert backend.request(path).header("X-Forwarded-For") == "::1"


@pytest.mark.spec("ws-101")
@pytest.mark.parametrize("name", ["plain", "stale"])
def test_unix_socket(proxy: ProxyUnderTest, backend: ScriptedBackend, directory: Path, name: str) -> None:
    """The client has no address: X-Forwarded-For gets an empty one."""
    path = backend.serve(Reply(body=b"ok"))
    with connected(directory / name) as client:
        for number in range(2):
            client.send(encode_request(f"{path}?{number}", headers=[("X-Forwarded-For", "1.1.1.1")]))
            assert client.read_response().text == "ok"
    assert [request.header("X-Forwarded-For") for request in backend.requests(path)] == ["1.1.1.1,"] * 2


def test_log_of_a_unix_client(proxy: ProxyUnderTest, backend: ScriptedBackend, directory: Path) -> None:
    path = backend.serve(Reply(body=b"ok"))
    with connected(directory / "plain") as client:
        client.send(encode_request(path))
        client.read_response()
    (line,) = proxy.wait_log(rf"GET http://localhost{path} ")
    assert "from=" not in line


def test_holds_of_unix_clients(proxy: ProxyUnderTest, backend: ScriptedBackend, directory: Path) -> None:
    """A stream, and after a long poll another request on the same connection."""
    channel = fresh_channel()
    stream_path, poll_path = backend.serve(stream_reply(channel)), backend.serve(poll_reply(channel))
    with connected(directory / "plain") as stream, connected(directory / "plain") as poll:
        stream.send(encode_request(stream_path))
        proxy.wait_held(stream_path)
        stream.read_head()
        for number in range(1, 3):
            poll.send(encode_request(poll_path))
            proxy.wait_held(poll_path, number)
            item = stream_item(channel, f"item {number}")
            item["formats"].update(response_item(channel, f"answer {number}")["formats"])
            publish_ok(proxy.control_port, item)
            assert stream.read_data(6) == b"item %d" % number
            assert poll.read_response().text == f"answer {number}"


@differs("socket-mode")
@pytest.mark.spec("ws-101")
def test_mode_user_and_group(launch_once: Launch, backend: ScriptedBackend, directory: Path) -> None:
    path = directory / "owned"
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    proxy = launch_once(
        f"* 127.0.0.1:{backend.port}",
        settings={"runner": {"local_ports": f"{path}?mode=622&user={user}&group={group}"}},
    )
    connected(path).close()  # before that it may have the mode of all new files
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o622
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
    proxy.stop()


@differs("socket-removed")
def test_socket_is_removed_at_the_end(launch_once: Launch, directory: Path) -> None:
    path = directory / "removed"
    proxy = launch_once("* test", settings={"runner": {"local_ports": path}})
    connected(path).close()
    proxy.wait_log("started")  # until then, a signal ends it at once
    proxy.stop()
    assert not path.exists()


@differs("socket-in-the-way")
def test_other_files_are_left_alone(directory: Path) -> None:
    path = directory / "precious"
    path.write_text("data")
    proxy = ProxyUnderTest(ProxyConfig(["* test"], {"runner": {"local_ports": path}}))
    try:
        proxy.start(wait=False)
        eventually(lambda: proxy.exit_code() == 1, "the end of the proxy")
        assert f"cannot listen on {path}: the file exists and is not a socket" in proxy.log()
        assert path.read_text() == "data"
    finally:
        proxy.stop()
