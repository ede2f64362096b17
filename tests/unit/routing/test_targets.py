"""Targets (routes spec §1.5)."""

from __future__ import annotations

import pytest

from holdfast.errors import RouteError
from holdfast.routing.authority import Authority
from holdfast.routing.lines import Section
from holdfast.routing.rules import Target, TargetKind
from holdfast.routing.targets import parse_target


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        ("h:80", "h", 80),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("[::1]:8080", "::1", 8080),
        (":80", "", 80),
    ],
)
def test_host_targets(value: str, host: str, port: int) -> None:
    assert parse_target(Section(value, ())) == Target(TargetKind.HOST, value, host, port)


@pytest.mark.parametrize(
    ("value", "kind", "specs"),
    [
        ("test", TargetKind.TEST, ()),
        ("zhttpreq/tcp://127.0.0.1:10000", TargetKind.ZHTTPREQ, ("tcp://127.0.0.1:10000",)),
        ("zhttpreq/tcp://*:65535", TargetKind.ZHTTPREQ, ("tcp://*:65535",)),
        ("zhttpreq/ipc://x", TargetKind.ZHTTPREQ, ("ipc://x",)),
        ("zhttp/tcp://h:9999", TargetKind.ZHTTP, ("tcp://h:9999", "tcp://h:10000", "tcp://h:10001")),
        ("zhttp/tcp://[::1]:1", TargetKind.ZHTTP, ("tcp://[::1]:1", "tcp://[::1]:2", "tcp://[::1]:3")),
        ("zhttp/ipc:///run/x", TargetKind.ZHTTP, ("ipc:///run/x-out", "ipc:///run/x-out-stream", "ipc:///run/x-in")),
    ],
)
def test_other_targets(value: str, kind: TargetKind, specs: tuple[str, ...]) -> None:
    assert parse_target(Section(value, ())) == Target(kind, value, specs=specs)


@pytest.mark.parametrize(
    ("text", "mode"),
    [("600", 0o600), ("0660", 0o660), ("7", 7), ("", None), ("8", None), ("rw", None), ("-1", None), ("1777", None)],
)
def test_file_mode(text: str, mode: int | None) -> None:
    """A bad one does not count (routes spec §1.5)."""
    assert parse_target(Section("zhttpreq/ipc://x", (("ipc_file_mode", text),))).ipc_file_mode == mode


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("h", "target bad format"),
        ("", "target bad format"),
        ("file", "target bad format"),
        ("[::1]", "target bad format"),
        ("[::1]8080", "target bad format"),
        ("[::1", "target bad format"),
        ("[x]:80", "target bad format"),
        ("h:0", "target invalid port"),
        ("h:65536", "target invalid port"),
        ("h:80x", "target invalid port"),
        ("h:", "target invalid port"),
        ("h:+80", "target invalid port"),
        ("h:٨٠", "target invalid port"),
        ("::1:80", "target invalid port"),
        ("[::1]:x", "target invalid port"),
        ("ws/h:80x", "target invalid port"),
        ("zhttp/x:80", "zhttp target must name an address such as tcp://HOST:PORT or ipc://FILE"),
        ("zhttpreq/", "zhttpreq target must name an address such as tcp://HOST:PORT or ipc://FILE"),
        ("zhttpreq/ipc://", "zhttpreq target must name an address such as tcp://HOST:PORT or ipc://FILE"),
        ("zhttpreq/udp://h:80", "zhttpreq target must name an address such as tcp://HOST:PORT or ipc://FILE"),
        ("zhttpreq/tcp://h", "zhttpreq target must name an address such as tcp://HOST:PORT or ipc://FILE"),
        ("zhttpreq/tcp://h:0", "target invalid port"),
        ("zhttpreq/tcp://h:65536", "target invalid port"),
        ("zhttp/tcp://h:65534", "target invalid port"),
    ],
)
def test_bad_targets(value: str, text: str) -> None:
    """routes-10: `target bad format` without a port, `target invalid port` with a bad one."""
    with pytest.raises(RouteError) as caught:
        parse_target(Section(value, ()))
    assert str(caught.value) == text


def test_flags_are_on_by_presence() -> None:
    names = ("ssl", "untrusted", "trust_connect_host", "insecure", "over_http", "one_event")
    plain = parse_target(Section("h:80", (("unknown", "x"),)))
    flagged = parse_target(Section("h:80", tuple((name, "false") for name in names)))
    assert [getattr(plain, name) for name in names] == [False] * 6
    assert [getattr(flagged, name) for name in names] == [True] * 6


def test_host_and_subs() -> None:
    props = (("host", "a.com"), ("sub", "c"), ("sub", ""), ("host", "T.com:99"), ("sub", "b"))
    target = parse_target(Section("h:80", props))
    assert target.host_override == Authority("t.com", 99)
    assert target.subs == ("c", "b")


def test_bad_host() -> None:
    with pytest.raises(RouteError, match=r"^host must be set to HOST or HOST:PORT$"):
        parse_target(Section("h:80", (("host", "a b"),)))
