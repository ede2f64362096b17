"""The command door (grip spec §15.5), with a fake socket and a real registry behind it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import tnetstring
from tests.unit.control.zmq_fakes import FakeZmqSocket
from tests.unit.push.helpers import World

from holdfast.control.commands import CommandDoor, CommandTargets
from holdfast.push import fanout

ITEM = {b"channel": b"c", b"formats": {b"http-stream": {b"content": b"x"}}}


class Door:
    """A door with its world. `ask` sends a command as a REQ would, and returns the answer."""

    def __init__(self) -> None:
        self.world = World()
        self.recovered = 0
        self.refreshed: list[str] = []
        self.socket = FakeZmqSocket()
        self.door = CommandDoor(
            CommandTargets(
                publisher=self.world.publisher,
                registry=self.world.registry,
                uris={b"command": b"tcp://here:1"},
                recover=self.recover,
                has_connection=lambda name: name == "alive",
                refresh=self.refresh,
            )
        )
        self.door.socket = self.socket  # type: ignore[assignment]

    def recover(self) -> None:
        self.recovered += 1

    def refresh(self, name: str) -> bool:
        self.refreshed.append(name)
        return name == "alive"

    def ask(self, method: bytes, args: dict[bytes, Any] | None = None) -> Any:
        request = {b"id": b"1", b"method": method, b"args": args or {}}
        self.door.receive([b"peer", b"", tnetstring.dumps(request)])
        (answer,) = self.socket.sent
        self.socket.sent.clear()
        assert answer[:-1] == [b"peer", b""]
        fields = tnetstring.loads(answer[-1])
        assert fields.pop(b"id") == b"1"
        return fields


DONE = {b"success": True, b"value": None}


@pytest.mark.spec("grip-108")
class TestMethods:
    def test_uris(self) -> None:
        assert Door().ask(b"get-zmq-uris") == {b"success": True, b"value": {b"command": b"tcp://here:1"}}

    def test_publish(self) -> None:
        door = Door()
        client = door.world.stream("c")
        assert door.ask(b"publish", {b"items": [ITEM]}) == DONE
        door.world.run()
        assert client.content == "x"

    def test_publish_nothing_that_is_one(self) -> None:
        answer = Door().ask(b"publish", {b"items": [5]})
        assert answer == {
            b"success": False,
            b"condition": b"bad-request",
            b"value": b"Invalid format: publish item object is not an object",
        }

    def test_publishers_wait_for_each_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fanout, "BACKLOG_WRITES", 2)
        door = Door()
        for _ in range(3):
            door.world.stream("c")
        assert door.ask(b"publish", {b"items": [ITEM]}) == DONE
        assert door.socket.calls == ["pause"]
        door.world.run()
        assert door.socket.calls == ["pause", "resume"]

    def test_recover(self) -> None:
        door = Door()
        assert door.ask(b"recover") == DONE
        assert door.recovered == 1

    def test_conncheck(self) -> None:
        """grip-109."""
        answer = Door().ask(b"conncheck", {b"ids": [b"alive", b"dead"]})
        assert answer == {b"success": True, b"value": [b"alive"]}

    def test_refresh_of_a_session(self) -> None:
        """grip-109."""
        door = Door()
        assert door.ask(b"refresh", {b"cid": b"alive"}) == DONE
        assert door.ask(b"refresh", {b"cid": b"dead"}) == {b"success": False, b"condition": b"item-not-found"}
        assert door.refreshed == ["alive", "dead"]

    def test_refresh_of_a_channel(self) -> None:
        door = Door()
        clients = [door.world.socket("c"), door.world.socket("c"), door.world.socket("d")]
        assert door.ask(b"refresh", {b"channel": b"c"}) == DONE
        assert [client.refreshed for client in clients] == [1, 1, 0]
        assert door.ask(b"refresh", {b"channel": b"nobody"}) == DONE

    def test_other(self) -> None:
        assert Door().ask(b"sing") == {b"success": False, b"condition": b"method-not-found"}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([b"peer", b"0:}"], "with an unexpected number of parts"),
        ([b"peer", b"", b"0:}", b"0:}"], "with an unexpected number of parts"),
        ([b"peer", b"", b"x"], "with invalid format (TNetString without a length)"),
        ([b"peer", b"", b"0:}"], "with invalid format (command without a 'method' that is a string)"),
    ],
)
def test_what_is_no_command_is_not_answered(parts: list[bytes], text: str, caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    door.door.receive(parts)
    assert door.socket.sent == []
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, f"IN command: received message {text}, skipping")
