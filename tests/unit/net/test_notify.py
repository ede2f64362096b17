"""What the service manager is told."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.net import notify
from holdfast.net.notify import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ServiceManager, socket.socket]]:
    """A `ServiceManager`, and the socket that gets what it tells."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@holdfast-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0", 1) if request.param == "abstract" else name)
        receiver.settimeout(5)
        yield ServiceManager(name), receiver


def test_messages(manager: tuple[ServiceManager, socket.socket]) -> None:
    tell, receiver = manager
    tell.ready()
    tell.reloading(1_234_567)
    tell.stopping(10)
    assert [receiver.recv(1000) for _ in range(3)] == [
        b"READY=1",
        b"RELOADING=1\nMONOTONIC_USEC=1234567",
        b"STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000",
    ]


@pytest.mark.parametrize("address", [None, ""])
def test_nobody_wants_to_know(address: str | None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        ServiceManager(address).ready()
    assert caplog.records == []


def test_who_cannot_be_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager(str(tmp_path / "none")).ready()
    assert [record.getMessage() for record in caplog.records] == [
        "the service manager cannot be told READY=1: No such file or directory"
    ]


def test_who_does_not_read_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "SEND_TIMEOUT_S", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        tell = ServiceManager(str(tmp_path / "notify"))
        for _ in range(5000):
            tell.ready()
            if caplog.records:
                break
    assert [record.getMessage() for record in caplog.records] == [
        "the service manager cannot be told READY=1: timed out"
    ]
