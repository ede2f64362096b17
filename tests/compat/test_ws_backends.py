"""WebSockets of backends that were written for Pushpin, unmodified: django-grip, and serve-grip with Express.

The client is the ``websockets`` package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.client import fetch
from tests.harness.grip import fresh_channel
from tests.harness.ports import free_port, is_open
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually, scaled
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

HERE = Path(__file__).parent


def start_django(port: int, proxy: ProxyUnderTest, _directory: Path) -> list[str]:
    """The command that runs the Django project."""
    return [sys.executable, str(HERE / "django_app" / "manage.py"), "runserver", "--noreload", f"127.0.0.1:{port}"]


def start_express(port: int, proxy: ProxyUnderTest, directory: Path) -> list[str]:
    """The command that runs the Express program, its packages installed beside it."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("npm is missing")
        pytest.skip("npm is missing")
    for name in ("package.json", "server.js"):
        shutil.copy(HERE / "express_app" / name, directory)
    install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(install, cwd=directory, check=True, timeout=90)
    return ["node", str(directory / "server.js"), str(port), f"http://127.0.0.1:{proxy.control_port}"]


@pytest.fixture(scope="module", params=[start_django, start_express], ids=["django", "express"])
def proxy(
    request: pytest.FixtureRequest, launch: Launch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyUnderTest]:
    """A proxy with the backend behind it."""
    port = free_port()
    proxy = launch(f"* 127.0.0.1:{port},over_http")
    command = request.param(port, proxy, tmp_path_factory.mktemp("backend"))
    environment = {**os.environ, "GRIP_CONTROL_URI": f"http://127.0.0.1:{proxy.control_port}"}
    with (proxy.directory / "backend.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: is_open(port), "the backend to listen", timeout_s=15)
        yield proxy
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def channel() -> str:
    return fresh_channel()


@pytest.fixture
def client(proxy: ProxyUnderTest, channel: str) -> Iterator[ClientConnection]:
    with connect(url(proxy, channel), open_timeout=scaled(5), close_timeout=scaled(5)) as connection:
        yield connection


def url(proxy: ProxyUnderTest, channel: str) -> str:
    """The address of a channel's WebSocket."""
    return f"ws://127.0.0.1:{proxy.port}/talk/{channel}"


def tell(proxy: ProxyUnderTest, channel: str, text: str) -> None:
    """Let the backend publish."""
    headers = [("Content-Type", "text/plain")]
    response = fetch(proxy.port, f"/tell/{channel}", method="POST", headers=headers, body=text.encode())
    assert (response.status, response.text) == (200, "told\n")


def test_echo(client: ClientConnection) -> None:
    for message in ("hello", "", "wörld", b"\0\xff", "m:x", "c:{}", "x" * 10_000):
        client.send(message)
        assert client.recv(scaled(5)) == message


def test_many_at_once(client: ClientConnection) -> None:
    """More than go into one request."""
    for number in range(200):
        client.send(str(number))
    assert [client.recv(scaled(5)) for _ in range(200)] == [str(number) for number in range(200)]


def test_publish(proxy: ProxyUnderTest, client: ClientConnection, channel: str) -> None:
    client.send("ready")
    assert client.recv(scaled(5)) == "ready"
    with connect(url(proxy, channel)) as other:
        other.send("ready")
        assert other.recv(scaled(5)) == "ready"
        proxy.settle()
        for number in range(5):
            tell(proxy, channel, f"item {number}")
        for each in (client, other):
            assert [each.recv(scaled(5)) for _ in range(5)] == [f"item {number}" for number in range(5)]


def test_meta(client: ClientConnection) -> None:
    """The backend keeps nothing: what it knows of a connection comes with each request."""
    for expected in ("1", "2", "3"):
        client.send("count?")
        assert client.recv(scaled(5)) == expected


def test_ping(client: ClientConnection) -> None:
    """The libraries answer a ping with a pong when there is something else to read."""
    client.ping()
    client.send("x")
    assert client.recv(scaled(5)) == "x"


@pytest.mark.parametrize("code", [1000, 4000])
def test_client_closes(client: ClientConnection, code: int) -> None:
    client.close(code)
    assert client.close_code == code


def test_backend_closes(client: ClientConnection) -> None:
    client.send("leave me")
    with pytest.raises(ConnectionClosed):
        client.recv(scaled(5))
    assert client.close_code == 4001


def test_detach(proxy: ProxyUnderTest, client: ClientConnection, channel: str) -> None:
    """The backend hears nothing more, and its publishes still arrive."""
    for message in ("detach", "nobody hears this"):
        client.send(message)
        with pytest.raises(TimeoutError):
            client.recv(0.3)
    tell(proxy, channel, "still there")
    assert client.recv(scaled(5)) == "still there"


def test_refused(proxy: ProxyUnderTest, request: pytest.FixtureRequest) -> None:
    """Django refuses a channel; Express knows no such path."""
    path = "talk/closed" if "django" in request.node.callspec.id else "other"
    with pytest.raises(InvalidStatus) as refusal, connect(f"ws://127.0.0.1:{proxy.port}/{path}"):
        pass
    assert refusal.value.response.status_code == 404
    assert b"no room of that name" in refusal.value.response.body or path == "other"
