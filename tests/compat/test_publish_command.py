"""``holdfast publish`` and ``pushpin-publish``: the exact request of each option, and each error."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.grip import Stage, fresh_channel
from tests.harness.messages import Request
from tests.harness.ports import free_port
from tests.harness.proxy import PROJECT, Launch, ProxyUnderTest, differs, selected_driver
from tests.harness.timing import scaled

COMMAND = selected_driver().publish_command()
PUBLISHED = Reply(body=b"Published\n", closes=True)


def run(*arguments: str, command: list[str] = COMMAND, **environment: str) -> tuple[int, str, str]:
    """Run the command; its exit code, standard output and standard error."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src"), **environment}
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, env=environment, timeout=scaled(15), check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def door() -> Iterator[ScriptedBackend]:
    """A control door that takes everything."""
    server = ScriptedBackend()
    server.serve(PUBLISHED, "/publish/")
    yield server
    server.stop()


def sent(door: ScriptedBackend, *arguments: str) -> Request:
    """Run the command, which must succeed, and return the request that it made."""
    result = run(*arguments, "--spec", f"http://127.0.0.1:{door.port}")
    assert result == (0, "Published\n", "")
    return door.request("/publish/")


def test_request(door: ScriptedBackend) -> None:
    """routes-111: byte for byte."""
    request = sent(door, "chan", "hello")
    body = (
        b'{"items":[{"channel":"chan","formats":{"http-response":{"body":"hello\\n","code":200},'
        b'"http-stream":{"content":"hello\\n"},"ws-message":{"content":"hello"}}}]}'
    )
    assert bytes(request.body) == body
    lines = request.raw_head.decode().split("\r\n")
    assert lines[0] == "POST /publish/ HTTP/1.0"
    assert {line.lower() for line in lines[1:] if line} == {
        f"host: 127.0.0.1:{door.port}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    }


def _formats(text: str) -> dict[str, Any]:
    return {
        "http-response": {"code": 200, "body": text + "\n"},
        "http-stream": {"content": text + "\n"},
        "ws-message": {"content": text},
    }


HINT = {"action": "hint"}
CLOSE = {"action": "close"}
OPTIONS: list[tuple[list[str], dict[str, Any]]] = [
    (["c", "x", "--id", "1", "--prev-id", "0"], {"id": "1", "prev-id": "0", "formats": _formats("x")}),
    (["c", "x", "--id=", "--prev-id="], {"formats": _formats("x")}),
    (["c", "x", "--sender", "bob"], {"meta": {"sender": "bob"}, "formats": _formats("x")}),
    (["c", "x", "--no-seq"], {"no-seq": True, "formats": _formats("x")}),
    (
        ["c", "x", "--no-eol"],
        {
            "formats": {
                "http-response": {"code": 200, "body": "x"},
                "http-stream": {"content": "x"},
                "ws-message": {"content": "x"},
            }
        },
    ),
    (["c", "--hint"], {"formats": {"http-response": HINT, "http-stream": HINT, "ws-message": HINT}}),
    (["c", "x", "--hint", "--close"], {"formats": {"http-response": HINT, "http-stream": HINT, "ws-message": HINT}}),
    (["c", "--close"], {"formats": {"http-stream": CLOSE, "ws-message": CLOSE}}),
    (
        ["c", '[{"op": "remove", "path": "/a"}]', "--patch"],
        {"formats": {"http-response": {"code": 200, "body-patch": [{"op": "remove", "path": "/a"}]}}},
    ),
    (["c", "wörld"], {"formats": _formats("wörld")}),
]


@pytest.mark.parametrize(("arguments", "expected"), OPTIONS, ids=[" ".join(case[0]) for case in OPTIONS])
def test_options(door: ScriptedBackend, arguments: list[str], expected: dict[str, Any]) -> None:
    """routes-112."""
    request = sent(door, *arguments)
    assert json.loads(request.body) == {"items": [{"channel": "c", **expected}]}


def test_headers_meta_and_code(door: ScriptedBackend) -> None:
    """routes-112: repeatable, in order, trimmed."""
    arguments = ["c", "x", "--code", "201", "-H", "X-A:  1 ", "--header", "X-B: b: c", "-M", "k= v ", "--meta", "l=w"]
    (item,) = json.loads(sent(door, *arguments).body)["items"]
    assert item["formats"]["http-response"] == {
        "code": 201,
        "headers": [["X-A", "1"], ["X-B", "b: c"]],
        "body": "x\n",
    }
    assert item["meta"] == {"k": "v", "l": "w"}


@differs("publish-options-first")
@pytest.mark.parametrize("option", [["-H", "X-A: 1"], ["-M", "k=v"]], ids=["-H", "-M"])
def test_options_before_the_channel(door: ScriptedBackend, option: list[str]) -> None:
    """Target of routes spec §5: they take one value."""
    (item,) = json.loads(sent(door, *option, "c", "x").body)["items"]
    assert item["channel"] == "c"


def test_meta_beats_sender(door: ScriptedBackend) -> None:
    arguments = ["-H", "X-A: 1", "-M", "sender=carol", "--sender", "bob", "c", "x"]
    (item,) = json.loads(sent(door, *arguments).body)["items"]
    assert item["formats"]["http-response"]["headers"] == [["X-A", "1"]]
    assert item["meta"] == {"sender": "carol"}


def test_file(door: ScriptedBackend, tmp_path: Path) -> None:
    """routes-113: bytes that are no text go as base64, and nothing is added to them."""
    (tmp_path / "data").write_bytes(b"\xff\xfe")
    (item,) = json.loads(sent(door, "c", f"@{tmp_path}/data").body)["items"]
    assert item["formats"]["http-response"]["body-bin"] == "//4="
    assert item["formats"]["http-stream"] == {"content-bin": "//4="}


def test_default_spec(door: ScriptedBackend) -> None:
    """routes-115: GRIP_URL."""
    assert run("c", "x", GRIP_URL=f"http://127.0.0.1:{door.port}") == (0, "Published\n", "")
    assert len(door.requests("/publish/")) == 1


def test_path_of_the_spec(door: ScriptedBackend) -> None:
    path = door.serve(PUBLISHED, "/base/publish/")
    assert run("c", "x", "--spec", f"http://127.0.0.1:{door.port}/base")[0] == 0
    assert len(door.requests(path)) == 1


def test_refused_item(door: ScriptedBackend) -> None:
    """routes-114: the body of the answer, trimmed."""
    door.serve(Reply(400, "Bad Request", body=b"bad\n", closes=True), "/publish/")
    code, output, error = run("c", "x", "--spec", f"http://127.0.0.1:{door.port}")
    assert (code, output, error.strip()) == (1, "", "Error: bad")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["c"], "must specify content"),
        (["c", "{}", "--patch"], "patch content must be a JSON array"),
        (["c", "x", "--code", "1000"], "code must be an integer between 0 and 999"),
        (["c", "x", "-H", "nocolon"], 'header must be in the form "name: value"'),
        (["c", "x", "-M", "noequals"], 'meta must be in the form "name=value"'),
        (["c", "x", "-u", "a:b", "--spec", "http://127.0.0.1:1"], "Authentication requires https"),
    ],
)
def test_errors(arguments: list[str], text: str) -> None:
    """routes-114 and the table of routes spec §5: exit code 1, standard error."""
    code, output, error = run(*arguments)
    assert (code, output, error.strip()) == (1, "", f"Error: {text}")


def test_unreadable_file(tmp_path: Path) -> None:
    code, _, error = run("c", f"@{tmp_path}/missing")
    assert code == 1
    assert error.startswith(f"Error: can't read file {tmp_path}/missing: ")


def test_nobody_listens() -> None:
    code, _, error = run("c", "x", "--spec", f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert error.startswith("Error: ")
    assert "Traceback" not in error


def test_usage_error() -> None:
    code, output, error = run("--no-such-option")
    assert (code > 0, output) == (True, "")
    assert "usage" in error.lower()


@differs("usage-exit-code")
def test_exit_code_of_a_usage_error() -> None:
    """One of its own, as usual."""
    assert run("--no-such-option")[0] == 2


class TestThroughTheProxy:
    @pytest.fixture(scope="class")
    @classmethod
    def proxy(cls, launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
        return launch(f"* 127.0.0.1:{backend.port}")

    def test_item_arrives(self, stage: Stage) -> None:
        """grip-115: the HTTP half."""
        channel = fresh_channel()
        stream, poll = stage.stream(channel), stage.poll(channel)
        assert run(channel, "hello", "--spec", f"http://localhost:{stage.proxy.control_port}")[0] == 0
        assert (stream.read_data(6), poll.read_response().text) == (b"hello\n", "hello\n")
