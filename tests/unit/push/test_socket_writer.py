"""What reaches a WebSocket's client, and in which order, as conversations: a backend talks, others do meanwhile."""

from __future__ import annotations

import pytest
from tests.unit.push.helpers import Mood, World, every, later, message, piece

from holdfast.grip.item import MessageKind
from holdfast.grip.values import Subscription
from holdfast.grip.ws_control import Message
from holdfast.push.dialects import SOCKJS, SOCKJS_HTTP
from holdfast.push.socket_writer import MAX_QUEUED_WRITES, MAX_WAITING_BYTES
from holdfast.statistics.routes import Drop
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data

TEXT, PING = MessageKind.TEXT, MessageKind.PING


class TestRelay:
    def test_pieces_become_frames(self) -> None:
        client = World().socket()
        for content in [piece("a", first=True), piece("b"), piece("", last=True)]:
            client.hold.relay(content)
        client.hold.relay(Data(Opcode.BINARY, b"whole"))
        assert client.outlet.written == [b"\x01\x01a", b"\x00\x01b", b"\x80\x00", b"\x82\x05whole"]
        assert client.messages == ["ab", "binary:whole"]

    @pytest.mark.spec("ws-85")
    def test_pieces_are_compressed_together(self) -> None:
        client = World().socket(is_compressed=True)
        varied = "".join(map(str, range(200)))
        for content in [piece(varied, first=True), piece(varied), piece("", last=True)]:
            client.hold.relay(content)
        client.hold.relay(Data(Opcode.TEXT, b"again"))
        client.hold.relay_control(Opcode.PING, b"not compressed")
        assert client.messages == [varied * 2, "again", "ping:not compressed"]
        assert len(client.outlet.written[1]) < len(client.outlet.written[0]) // 5

    @pytest.mark.spec("ws-66")
    def test_what_is_published_waits_for_the_end_of_a_message(self) -> None:
        world = World()
        client, other = world.socket("c"), world.socket("c")
        client.hold.relay(piece("a", first=True))
        receipts = world.publish(message("c", "1"))
        world.run()
        receipts += world.publish(message("c", "2", kind=PING))
        world.run()
        client.hold.relay(piece("b"))
        client.hold.relay_control(Opcode.PONG, b"p")
        assert client.frames == [["a"], ["b"], ["pong:p"]]
        assert other.messages == ["1", "ping:2"]
        client.hold.relay(piece("c", last=True))
        assert client.messages == ["pong:p", "abc", "1", "ping:2"]
        assert [receipt.receivers for receipt in receipts] == [2, 2]
        world.deliver(message("c", "3"))
        assert client.messages[-1] == "3"

    def test_what_waited_and_is_lost_then_is_counted(self) -> None:
        """Because the client is slow. The outlet counts one of them."""
        world = World()
        client = world.socket("c")
        client.hold.relay(piece("a", first=True))
        world.deliver(message("c", "1"))
        world.deliver(message("c", "2"), message("c", "3"))
        client.outlet.mood = Mood.REFUSES
        client.hold.relay(piece("b", last=True))
        assert (client.messages, world.counters.drops_outbox_full) == (["ab"], 3 - 1)

    def test_every_item_of_a_run_that_is_lost_is_counted(self) -> None:
        """The outlet counts one of them."""
        world = World()
        client = world.socket("c")
        client.outlet.mood = Mood.REFUSES
        world.deliver(message("c", "1"), message("c", "2"), message("c", "3"))
        assert (client.messages, world.counters.drops_outbox_full) == ([], 3 - 1)
        assert sum(counts.drops[Drop.OUTBOX_FULL] for counts in world.statistics.routes) == 3

    def test_every_item_is_counted_for_which_there_is_no_room_to_wait(self) -> None:
        world = World()
        client = world.socket("c")
        client.hold.relay(piece("", first=True))
        for number in range(MAX_QUEUED_WRITES):
            world.deliver(message("c", str(number)))
        world.deliver(message("c", "lost"), message("c", "lost, too"))
        assert world.counters.drops_queue_full == 2

    def test_only_so_much_waits(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        client = world.socket("c")
        client.hold.relay(piece("", first=True))
        for number in range(MAX_QUEUED_WRITES):
            assert world.deliver(message("c", str(number))) == [(1, 0)]
        assert world.deliver(message("c", "lost")) == [(0, 1)]
        assert world.counters.drops_queue_full == 1
        assert "items wait already" in caplog.messages[0]
        client.hold.relay(piece("", last=True))
        assert client.messages == ["", *map(str, range(MAX_QUEUED_WRITES))]

    def test_only_so_many_bytes_wait_but_a_single_large_write_does(self) -> None:
        world = World()
        client = world.socket()
        client.hold.relay(piece("", first=True))
        assert client.hold.write(b"\x81\x00" * MAX_WAITING_BYTES)
        assert client.hold.write(b"\x81\x00") is False
        assert (client.hold.waiting_items, world.counters.drops_queue_full) == (1, 1)

    def test_nothing_waits_any_more_after_the_end(self) -> None:
        """The rest of the backend's message may still go out, before its answer to the client's close."""
        world = World()
        client = world.socket("c")
        client.hold.relay(piece("a", first=True))
        world.deliver(message("c", "1"))
        client.hold.close()
        client.hold.relay(piece("b", last=True))
        assert client.messages == ["ab"]
        world.assert_empty()


class TestInAdvance:
    def test_relayed_filtered_and_given_in_advance(self) -> None:
        world = World()
        client = world.socket(Subscription("f", None, ("skip-self",)), dialect=SOCKJS_HTTP)
        client.hold.relay(piece("o", first=True))
        world.deliver(message("f", "1"))
        client.hold.send_delayed(later(1, "2"))
        client.hold.flush_delayed()
        client.hold.send_keep_alive(Message(TEXT, b"k"))
        client.hold.send_keep_alive(Message(TEXT, b"k"))
        client.hold.relay(piece("ne", last=True))
        client.hold.set_keep_alive(every(10))
        assert client.outlet.written == [b"o", b'a["one"]', b'a["1","2","k"]']
        assert client.hold.written_at_s == world.context.now()

    def test_heartbeats(self) -> None:
        world = World()
        client = world.socket(dialect=SOCKJS)
        client.outlet.mood = Mood.REFUSES
        client.hold.send_heartbeat()
        client.outlet.mood = Mood.TAKES
        client.hold.send_heartbeat()
        client.hold.relay(piece("a", first=True))
        client.hold.send_heartbeat()
        assert client.frames == [["o"], ["h"], ['a["a']]
        client.hold.flush_delayed()
        client.leave()
        client.hold.flush_delayed()
        client.hold.set_keep_alive(every(10))
        client.hold.send_delayed(later(1, "x"))
        world.assert_empty()
