"""What clients of WebSockets get because of time, as conversations (ws spec §2.5; routes spec §4.4)."""

from __future__ import annotations

import pytest
from tests.unit.push.helpers import Mood, SocketClient, World, every, later, message, piece

from holdfast.grip.item import MessageKind
from holdfast.grip.values import KeepAliveMode, Subscription
from holdfast.grip.ws_control import SetKeepAlive
from holdfast.push.dialects import SOCKJS
from holdfast.push.plan import RouteTerms
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data

BINARY = MessageKind.BINARY
IDLE, INTERVAL = KeepAliveMode.IDLE, KeepAliveMode.INTERVAL


class TestKeepAlive:
    @pytest.mark.spec("ws-59")
    def test_after_silence_towards_the_client(self) -> None:
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(every(10))
        world.pass_time(9.8)
        assert client.messages == []
        world.pass_time(0.4)
        assert client.messages == ["k"]
        world.pass_time(5)
        world.deliver(message("c", "1"))
        world.pass_time(9.8)
        assert client.messages == ["k", "1"]
        world.pass_time(0.4)
        assert client.messages == ["k", "1", "k"]
        assert world.counters.keep_alives_sent == 2
        client.leave()
        world.assert_empty()

    @pytest.mark.parametrize("what", ["plain", "filtered", "relayed", "control", "delayed"])
    def test_whatever_is_written_puts_it_off(self, what: str) -> None:
        world = World()
        client = world.socket("c", Subscription("f", None, ("skip-self",)))
        client.hold.set_keep_alive(every(10))
        world.pass_time(5)
        match what:
            case "plain":
                world.deliver(message("c", "x"))
            case "filtered":
                world.deliver(message("f", "x"))
            case "relayed":
                client.hold.relay(Data(Opcode.TEXT, b"x"))
            case "control":
                client.hold.relay_control(Opcode.PING, b"x")
            case "delayed":
                client.hold.send_delayed(later(100, "x"))
                client.hold.flush_delayed()
        world.pass_time(9.8)
        assert len(client.messages) == 1
        world.pass_time(0.4)
        assert client.messages[1:] == ["k"]

    @pytest.mark.spec("ws-60")
    def test_interval(self) -> None:
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(every(10, mode=INTERVAL))
        for _ in range(4):
            world.pass_time(5.1)
            world.deliver(message("c", "x"))
        assert client.messages == ["x", "k", "x", "x", "k", "x"]

    def test_jitter(self) -> None:
        """Each arming takes up to a second off."""
        world = World(jitter=[0.9, 0.0, 0.5])
        client = world.socket("c")
        client.hold.set_keep_alive(every(2))
        for quiet_s, count in [(1.0, 0), (0.2, 1), (1.8, 1), (0.2, 2), (1.3, 2), (0.2, 3)]:
            world.pass_time(quiet_s)
            assert len(client.messages) == count

    def test_kinds_and_empty_ones(self) -> None:
        world = World()
        client = world.socket(is_compressed=True)
        for kind in MessageKind:
            client.hold.set_keep_alive(every(1, "", kind=kind))
            world.pass_time(1.2)
        assert client.messages == ["", "binary:", "ping:", "pong:"]

    @pytest.mark.spec("ws-61")
    def test_disarmed(self) -> None:
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(SetKeepAlive(None, 55, IDLE))
        client.hold.set_keep_alive(every(10))
        client.hold.set_keep_alive(SetKeepAlive(None, 55, IDLE))
        world.pass_time(100)
        assert client.messages == []
        assert len(world.wheel) == 0

    def test_replaced(self) -> None:
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(every(10, "old"))
        world.pass_time(9)
        client.hold.set_keep_alive(every(10, "new"))
        world.pass_time(9.8)
        assert client.messages == []
        world.pass_time(0.4)
        assert client.messages == ["new"]
        assert len(world.wheel) == 1

    def test_left_out_while_the_client_takes_nothing(self) -> None:
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(every(10))
        client.outlet.is_blocked = True
        world.pass_time(25)
        client.outlet.is_blocked = False
        world.pass_time(5.2)
        assert client.messages == ["k"]
        assert world.counters.keep_alives_sent == 1

    def test_what_a_slow_client_loses_is_not_written(self) -> None:
        """It tells how long the connection is silent."""
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(every(10))
        armed_at_s = client.hold.written_at_s
        client.outlet.mood = Mood.REFUSES
        world.pass_time(25)
        client.hold.send_delayed(later(1, "d"))
        client.hold.flush_delayed()
        assert client.hold.written_at_s == armed_at_s
        client.outlet.mood = Mood.TAKES
        world.pass_time(10)
        assert client.hold.written_at_s > armed_at_s

    def test_waits_for_the_end_of_a_message(self) -> None:
        """ws spec §2.8"""
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(every(10))
        client.hold.relay(piece("a", first=True))
        world.pass_time(10.2)
        assert client.frames == [["a"]]
        client.hold.relay(piece("b", last=True))
        assert client.messages == ["ab", "k"]

    def test_a_client_that_turns_out_to_have_left(self) -> None:
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(every(10))
        client.outlet.mood = Mood.GONE
        world.pass_time(30)
        world.assert_empty()

    def test_not_after_the_end(self) -> None:
        """An answer to the client's close may order one."""
        world = World()
        client = world.socket("c")
        client.leave()
        client.hold.set_keep_alive(every(10))
        world.assert_empty()
        world.pass_time(30)
        assert client.messages == []

    def test_not_before_the_beginning(self) -> None:
        world = World()
        client = SocketClient(world.context, world.plans, RouteTerms())
        client.hold.set_keep_alive(every(10))
        client.hold.send_delayed(later(1, "x"))
        assert len(world.wheel) == 0


class TestDelayed:
    @pytest.mark.spec("ws-64")
    def test_sent_later(self) -> None:
        world = World(jitter=[0.9] * 5)
        client = world.socket()
        client.hold.send_delayed(later(2, "x", BINARY))
        world.pass_time(1.8)
        assert client.messages == []
        world.pass_time(0.4)
        assert client.messages == ["binary:x"]
        assert len(world.wheel) == 0
        world.pass_time(10)
        assert client.messages == ["binary:x"]

    @pytest.mark.spec("ws-64")
    def test_the_next_one_sends_it_now(self) -> None:
        world = World()
        client = world.socket()
        client.hold.send_delayed(later(2, "1"))
        world.pass_time(1)
        client.hold.send_delayed(later(2, "2"))
        assert client.messages == ["1"]
        world.pass_time(1.8)
        assert client.messages == ["1"]
        world.pass_time(0.4)
        assert client.messages == ["1", "2"]

    @pytest.mark.spec("ws-64")
    def test_flushed(self) -> None:
        world = World()
        client = world.socket(is_compressed=True)
        client.hold.flush_delayed()
        client.hold.send_delayed(later(2, "x"))
        client.hold.flush_delayed()
        client.hold.flush_delayed()
        world.pass_time(5)
        assert client.messages == ["x"]
        assert len(world.wheel) == 0

    def test_waits_for_the_end_of_a_message_and_is_sent_once(self) -> None:
        """ws spec §2.8"""
        world = World()
        client = world.socket("c")
        client.hold.relay(piece("a", first=True))
        client.hold.send_delayed(later(1, "delayed"))
        world.deliver(message("c", "1"))
        world.pass_time(1.2)
        world.deliver(message("c", "2"))
        client.hold.relay(piece("b", last=True))
        world.deliver(message("c", "3"))
        assert client.messages == ["ab", "1", "delayed", "2", "3"]

    def test_dies_with_the_connection(self) -> None:
        world = World()
        client = world.socket("c")
        client.hold.send_delayed(later(1, "x"))
        client.leave()
        world.assert_empty()
        client.hold.flush_delayed()
        client.hold.send_delayed(later(1, "y"))
        world.assert_empty()
        assert client.messages == []


@pytest.mark.spec("routes-101")
class TestHeartbeats:
    def test_every_25_seconds_whatever_else_is_sent(self) -> None:
        world = World()
        client = world.socket("c", dialect=SOCKJS)
        assert client.messages == ["o"]
        world.pass_time(24.9)
        world.deliver(message("c", "1"))
        assert client.messages == ["o", 'a["1"]']
        for _ in range(2):
            world.pass_time(0.3)
            world.pass_time(24.5)
        assert client.messages == ["o", 'a["1"]', "h", "h"]
        client.leave()
        world.assert_empty()

    def test_others_have_none(self) -> None:
        world = World()
        client = world.socket("c")
        world.pass_time(100)
        assert client.messages == []

    def test_left_out_while_a_message_is_relayed_or_the_client_takes_nothing(self) -> None:
        world = World()
        client = world.socket("c", dialect=SOCKJS)
        client.hold.relay(piece("a", first=True))
        world.pass_time(30)
        client.hold.relay(piece("b", last=True))
        client.outlet.is_blocked = True
        world.pass_time(25)
        client.outlet.is_blocked = False
        assert client.messages == ["o", 'a["ab"]']
        world.pass_time(25)
        assert client.messages == ["o", 'a["ab"]', "h"]

    def test_a_client_that_turns_out_to_have_left(self) -> None:
        world = World()
        client = world.socket("c", dialect=SOCKJS)
        client.outlet.mood = Mood.GONE
        world.pass_time(30)
        world.assert_empty()
