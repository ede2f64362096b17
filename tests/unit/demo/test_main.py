"""The demo's command line: what Holdfast is started with, and what the user reads."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator

import pytest
from tests.harness.ports import free_port

from holdfast.config.listen import Listen
from holdfast.config.load import Start
from holdfast.demo import main
from holdfast.demo.main import demo_start, greeting, run

PUBLISHERS = Listen("127.0.0.1", 5561)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Start]:
    """What `serve` was called with, instead of serving."""
    starts: list[Start] = []

    def serve(start: Start) -> int:
        starts.append(start)
        return 0

    monkeypatch.setattr(main, "serve", serve)
    return starts


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        yield listener.getsockname()[1]


def test_files_and_environment_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("elsewhere")
    (directory / "pushpin.conf").write_text("[runner]\nhttp_port=1\n")
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOLDFAST_RUNNER_HTTP_PORT", "2")
    settings = demo_start(Listen("127.0.0.1", 8080), Listen("127.0.0.1", 8081), 9000).loaded.settings
    assert settings.runner.http_port == (Listen("127.0.0.1", 8080),)
    assert settings.publish_listen == Listen("127.0.0.1", 8081)


def test_everything_is_routed_to_the_backend(served: list[Start]) -> None:
    assert run(["--port", str(free_port()), "--control-port", str(free_port())]) == 0
    (start,) = served
    assert start.route_lines is not None
    (line,) = start.route_lines
    assert line.startswith("* 127.0.0.1:")
    assert line.endswith(",over_http")


@pytest.mark.parametrize("option", ["--port", "--control-port"])
def test_a_port_that_is_taken(
    option: str, taken_port: int, served: list[Start], capsys: pytest.CaptureFixture[str]
) -> None:
    ports = {"--port": str(free_port()), "--control-port": str(free_port())} | {option: str(taken_port)}
    assert run([word for pair in ports.items() for word in pair]) == 1
    problem = f"cannot listen at 127.0.0.1:{taken_port}: address already in use; {option} chooses another place"
    assert capsys.readouterr().err == f"holdfast demo: {problem}\n"
    assert not served


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_a_port_that_is_none(port: str, served: list[Start]) -> None:
    with pytest.raises(SystemExit):
        run(["--port", port])
    assert not served


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://localhost:7999/"),
        ("0.0.0.0", "http://localhost:7999/"),
        ("192.0.2.1", "http://192.0.2.1:7999/"),
        ("2001:db8::1", "http://[2001:db8::1]:7999/"),
    ],
)
def test_the_first_line_says_where_the_page_is(host: str, url: str) -> None:
    assert greeting(Listen(host, 7999), PUBLISHERS).splitlines()[0] == f"Holdfast demo: {url}"


def test_the_publish_command_is_one_that_can_be_pasted() -> None:
    text = greeting(Listen("127.0.0.1", 7999), PUBLISHERS)
    command = text[text.index("  curl http://localhost:5561") :].partition("\n\n")[0]
    assert shlex.split(command.replace("\\\n", "")) == [
        "curl",
        "http://localhost:5561/publish/",
        "-d",
        '{"items": [{"channel": "demo", "formats": {"http-stream": {"content": "hello\\n"}}}]}',
    ]
