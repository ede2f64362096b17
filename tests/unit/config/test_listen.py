"""Addresses to listen at (routes spec §2.4)."""

from __future__ import annotations

import pytest

from holdfast.config.listen import Listen, parse_listen, parse_socket_file
from holdfast.net.sockets import SocketFile


@pytest.mark.parametrize(
    ("text", "expected", "written"),
    [
        pytest.param("80", Listen("0.0.0.0", 80), "0.0.0.0:80", id="port"),
        pytest.param("127.0.0.1:65535", Listen("127.0.0.1", 65535), "127.0.0.1:65535", id="address"),
        pytest.param("localhost:1", Listen("localhost", 1), "localhost:1", id="name"),
        pytest.param("[::1]:80", Listen("::1", 80), "[::1]:80", id="IPv6"),
        pytest.param("[0:0::1]:80", Listen("::1", 80), "[::1]:80", id="IPv6 in another spelling"),
    ],
)
def test_valid(text: str, expected: Listen, written: str) -> None:
    assert parse_listen(text) == expected
    assert str(expected) == written
    assert parse_listen(written) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0",
        "65536",
        "-1",
        "+1",
        "1_0",
        "٣",
        "000080",
        ":80",
        "a:",
        "a:b",
        "::1:80",
        "[::1]",
        "[x]:80",
        "a b:80",
    ],
)
def test_invalid(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/run/x", SocketFile("/run/x")),
        ("x", SocketFile("x")),
        ("x?mode=0660", SocketFile("x", 0o660)),
        ("x?group=www-data&mode=7&user=1000", SocketFile("x", 7, "1000", "www-data")),
    ],
)
def test_valid_socket_files(text: str, expected: SocketFile) -> None:
    assert parse_socket_file(text) == expected


@pytest.mark.parametrize(
    "text", ["", "?mode=660", "x?", "x?mode", "x?mode=", "x?mode=8", "x?mode=07777", "x?owner=u", "x?user=", "x?a?b"]
)
def test_invalid_socket_files(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_socket_file(text)
