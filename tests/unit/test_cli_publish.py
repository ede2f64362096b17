"""The command line of `holdfast publish` and `pushpin-publish` (routes spec §5, checklist routes-111 to routes-115)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from holdfast import __version__, cli_publish
from holdfast.cli_publish import make_parser, parse_arguments
from holdfast.control.publish_client import PublishError, PublishUrl
from holdfast.control.publish_item import Action, PublishArguments


@dataclass
class Door:
    """Stands in for the server: keeps what is published, or refuses it."""

    refusal: str | None = None
    calls: list[tuple[PublishUrl, bytes, str | None]] = field(default_factory=list)

    def publish(self, url: PublishUrl, body: bytes, authorization: str | None = None) -> None:
        if self.refusal is not None:
            raise PublishError(self.refusal)
        self.calls.append((url, body, authorization))


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    door = Door()
    monkeypatch.setattr(cli_publish, "publish", door.publish)
    return door


def run(*argv: str, environ: dict[str, str] | None = None) -> int:
    return cli_publish.run(argv, "prog", environ or {})


def parsed(*argv: str) -> PublishArguments:
    return parse_arguments(make_parser("prog").parse_args(argv))


def test_published(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    """routes-111."""
    assert run("chan", "hello") == 0
    ((url, body, authorization),) = door.calls
    assert (url.authority, url.target, authorization) == ("localhost:5561", "/publish/", None)
    assert body == (
        b'{"items":[{"channel":"chan","formats":{"http-response":{"body":"hello\\n","code":200},'
        b'"http-stream":{"content":"hello\\n"},"ws-message":{"content":"hello"}}}]}'
    )
    assert capsys.readouterr() == ("Published\n", "")


@pytest.mark.parametrize(
    ("argv", "changes"),
    [
        pytest.param(["c", "x"], {}, id="content"),
        pytest.param(["--hint", "c"], {"action": Action.HINT, "content": b""}, id="hint"),
        pytest.param(["--close", "c"], {"action": Action.CLOSE, "content": b""}, id="close"),
        pytest.param(["--hint", "--close", "c", "@/none"], {"action": Action.HINT, "content": b""}, id="hint wins"),
        pytest.param(["--patch", "c", "[]"], {"content": b"[]", "is_patch": True}, id="patch"),
        pytest.param(["--id=2", "--prev-id", "1", "c", "x"], {"id": "2", "prev_id": "1"}, id="ids"),
        pytest.param(["--id=", "--prev-id=", "c", "x"], {}, id="empty ids are left out"),
        pytest.param(["--sender", "bob", "c", "x"], {"meta": {"sender": "bob"}}, id="sender"),
        pytest.param(
            ["--sender=bob", "-M", "a=1", "--meta", "sender= eve = ", "c", "x"],
            {"meta": {"sender": "eve =", "a": "1"}},
            id="meta wins over sender",
        ),
        pytest.param(
            ["-H", "A: b", "--header=A:c:d", "c", "x"], {"headers": (("A", "b"), ("A", "c:d"))}, id="one value each"
        ),
        pytest.param(["--code", "999", "c", "x"], {"code": 999}, id="code"),
        pytest.param(["--no-seq", "c", "x"], {"is_unsequenced": True}, id="no-seq"),
        pytest.param(["--no-eol", "c", "x"], {"has_newline": False}, id="no-eol"),
        pytest.param(["c", "--", "-x"], {"content": b"-x"}, id="content that looks like an option"),
        pytest.param(["c", "\udcff"], {"content": b"\xff"}, id="bytes"),
    ],
)
def test_options(argv: list[str], changes: dict[str, Any]) -> None:
    """routes-112."""
    assert parsed(*argv) == PublishArguments(**({"channel": "c", "content": b"x"} | changes))


def test_files_are_sent_as_they_are(tmp_path: Path, door: Door) -> None:
    """routes-113."""
    (tmp_path / "f").write_bytes(b"\xff\xfe")
    assert run("c", f"@{tmp_path}/f") == 0
    ((_, body, _),) = door.calls
    assert b'"body-bin":"//4="' in body
    assert body.count(b'"content-bin":"//4="') == 2


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["c"], "must specify content"),
        (["c", "x", "--code", "1000"], "code must be an integer between 0 and 999"),
        (["c", "x", "--code=-1"], "code must be an integer between 0 and 999"),
        (["c", "x", "--code=abc"], 'failed to parse code: "abc" is not a number'),
        (["c", "x", "-H", "bad"], 'header must be in the form "name: value"'),
        (["c", "x", "-H", ": v"], 'header must be in the form "name: value"'),
        (["c", "x", "-M", "bad"], 'meta must be in the form "name=value"'),
        (["c", "{}", "--patch"], "patch content must be a JSON array"),
        (["c", "@/none"], "can't read file /none: No such file or directory"),
        (["c", "x", "--spec=http:///"], "invalid URL"),
        (["c", "x", "-u", "a:b", "-B", "t"], "only one authentication method can be specified"),
        (["c", "x", "-u", "ab"], 'user must be in the form "user:pass"'),
        (["c", "x", "--spec=udp:"], "cannot connect to udp:: Invalid argument"),
        (["c", "x", "--spec=tcp://127.0.0.1:1", "-u", "a:b"], "Authentication requires https"),
        (
            ["c", f"[{2**64}]", "--patch", "--spec=tcp://127.0.0.1:1"],
            "patch content cannot be sent over ZeroMQ: integer of more than 64 bits",
        ),
        (["\udcff", "x"], "only CONTENT may be other than UTF-8"),
    ],
    ids=repr,
)
def test_errors(argv: list[str], text: str, door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*argv) == 1
    assert capsys.readouterr() == ("", f"Error: {text}\n")
    assert door.calls == []


def test_a_refusal_is_shown(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    """routes-114."""
    door.refusal = "bad"
    assert run("c", "x") == 1
    assert capsys.readouterr().err == "Error: bad\n"


def test_credentials_need_https(capsys: pytest.CaptureFixture[str]) -> None:
    """routes-114."""
    assert run("--user=a:b", "c", "x", "--spec=http://127.0.0.1:1") == 1
    assert capsys.readouterr().err == "Error: Authentication requires https\n"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["-u", "a:b:c"], f"Basic {base64.b64encode(b'a:b:c').decode()}"),
        (["--bearer", "tok"], "Bearer tok"),
    ],
)
def test_credentials(argv: list[str], expected: str, door: Door) -> None:
    assert run(*argv, "c", "x", "--spec=https://h") == 0
    assert door.calls[0][2] == expected


@pytest.mark.parametrize(
    ("argv", "environ", "authority"),
    [
        ([], {}, "localhost:5561"),
        ([], {"GRIP_URL": "http://g:1"}, "g:1"),
        ([], {"GRIP_URL": ""}, "localhost:5561"),
        (["--spec=http://s:2"], {"GRIP_URL": "http://g:1"}, "s:2"),
    ],
)
def test_where_to_publish(argv: list[str], environ: dict[str, str], authority: str, door: Door) -> None:
    """routes-115."""
    assert run(*argv, "c", "x", environ=environ) == 0
    assert door.calls[0][0].authority == authority


@pytest.mark.parametrize("argv", [[], ["c", "x", "y"], ["c", "x", "--nonsense"]])
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*argv) == 2
    assert "usage: prog " in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-V") == 0
    assert capsys.readouterr().out == f"prog {__version__}\n"


def test_the_alias(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pushpin-publish", "c", "x"])
    monkeypatch.setenv("GRIP_URL", "http://from-environment")
    assert cli_publish.main() == 0
    assert door.calls[0][0].host == "from-environment"
