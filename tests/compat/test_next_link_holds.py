"""Next links whose answer holds the stream again: what each answer changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend, held_back
from tests.harness.client import RawClient
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.links import NextLink, deliver
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import hint_item, publish_ok, stream_item


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}", f"debug,debug {target}", f"prefix,prefix=p- {target}", f"implicit {target},sub=implicit-channel"
    )


class TestHold:
    """What an answer with ``Grip-Hold: stream`` changes."""

    def test_after_a_chain(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """The stream is held as if the first answer had said so; items may come once its body is written."""
        gate = threading.Event()
        link.answers(Reply(body=[b"one", gate, b" two"], headers=link.holds(channel).headers))
        client = stage.client()
        client.request(stage.backend.serve(link.leads_on(b"first ")))
        client.read_head()
        assert client.read_data(9) == b"first one"
        publish_ok(control_port, stream_item(channel, "early"))
        gate.set()
        assert client.read_data(4) == b" two"
        deliver(client, control_port, stream_item(channel, "item"), b"item")

    def test_answer_without_hold_ends_it(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """grip spec §6.7: neither hold nor link: the body ends, and the connection goes on."""
        link.answers(Reply(body=b"last"))
        client = link.stream(stage, channel)
        publish_ok(control_port, stream_item(channel, "item "), hint_item(channel))
        assert client.read_chunks() == b"item last"
        client.request(stage.backend.serve(Reply(body=b"plain")))
        assert client.read_response().text == "plain"

    @pytest.mark.spec("grip-68")
    def test_channels_are_replaced(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        old, kept, new = next(names), next(names), next(names)
        link.answers(link.holds(f"{kept}, {new}", b"next "))
        client = link.stream(stage, f"{old}, {kept}")
        publish_ok(control_port, stream_item(old, "old "), stream_item(new, "no"), hint_item(kept))
        assert client.read_data(9) == b"old next "
        deliver(client, control_port, stream_item(new, "new"), b"new")
        publish_ok(control_port, stream_item(old, "no"), stream_item(kept, "kept"), stream_item(new, "new"))
        assert client.read_data(7) == b"keptnew"
        client.assert_silent(0.1)

    @pytest.mark.spec("grip-68")
    def test_no_channels(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """Nothing can reach it any more, but it stays."""
        link.answers(Reply(headers=[("Grip-Hold", "stream"), link.header()], body=b"next"))
        client = link.stream(stage, channel)
        publish_ok(control_port, hint_item(channel))
        assert client.read_data(4) == b"next"
        time.sleep(0.1)
        publish_ok(control_port, stream_item(channel, "no"), hint_item(channel))
        client.assert_silent(0.3)
        link.asked(1)

    def test_prefix(self, stage: Stage, link: NextLink, control_port: int) -> None:
        channel, other = fresh_channel(), fresh_channel()
        link.answers(link.holds(other, b"next "))
        client = link.stream(stage, channel, host="prefix")
        publish_ok(control_port, hint_item(f"p-{channel}"))
        assert client.read_data(5) == b"next "
        deliver(client, control_port, stream_item(f"p-{other}", "item"), b"item")
        publish_ok(control_port, stream_item(other, "no"))
        client.assert_silent(0.1)

    @pytest.mark.spec("grip-14")
    def test_implicit_channels_stay(
        self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int
    ) -> None:
        """grip spec §3.2: what the route subscribes to is not the backend's to remove."""
        first, second = next(names), next(names)
        link.answers(link.holds(second, b"next "))
        client = link.stream(stage, first, host="implicit")
        publish_ok(control_port, stream_item("implicit-channel", "one "), hint_item(first))
        assert client.read_data(9) == b"one next "
        deliver(client, control_port, stream_item("implicit-channel", "two"), b"two")

    def test_filters_and_meta_are_replaced(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        bob = {**stream_item(channel, "<bob>"), "meta": {"sender": "bob"}}
        carol = {**stream_item(channel, "<carol>"), "meta": {"sender": "carol"}}
        filtered = f"{channel}; filter=skip-self"
        link.answers(
            link.holds(filtered, b"1", [("Grip-Set-Meta", "user=carol")]),
            link.holds(filtered, b"2"),
            link.holds(channel),
        )
        client = stage.hold(link.holds(filtered, headers=[("Grip-Set-Meta", "user=bob")]))
        client.read_head()
        publish_ok(control_port, bob, carol, hint_item(channel))
        assert client.read_data(8) == b"<carol>1"
        publish_ok(control_port, bob, carol, hint_item(channel))
        assert client.read_data(6) == b"<bob>2"
        publish_ok(control_port, bob, carol)
        assert client.read_data(12) == b"<bob><carol>"

    @pytest.mark.spec("grip-57")
    def test_prev_id_needs_another_link(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """Also in the answer of a next link: the stream ends after its body."""
        link.answers(stream_reply(f"{channel}; prev-id=1", b"next"))
        for host, text in [
            ("localhost", ""),
            ("debug", f"\n\nchannel '{channel}' specifies prev-id, but no next link found\n"),
        ]:
            client = link.stream(stage, channel, host=host)
            publish_ok(control_port, hint_item(channel))
            assert client.read_chunks() == b"next" + text.encode()

    def test_link_may_be_left_out(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """Nothing is ever asked again; a hint then does nothing."""
        link.answers(stream_reply(channel, b"next "))
        client = link.stream(stage, channel)
        publish_ok(control_port, hint_item(channel))
        assert client.read_data(5) == b"next "
        publish_ok(control_port, hint_item(channel), stream_item(channel, "item"))
        assert client.read_data(4) == b"item"
        client.assert_silent(0.2)
        link.asked(1)


class TestBuildId:
    """Bodies of next links go through ``build-id`` of the answer they belong to."""

    META = ("Grip-Set-Meta", 'id_format="A"')

    @differs("link-filters")
    def test_filter_of_the_answer(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """grip spec §6.7; without a hold as well."""
        link.answers(
            link.holds(f"{channel}; filter=build-id", b"<%(x)I>", [self.META]),
            Reply(headers=[("Grip-Channel", f"{channel}; filter=build-id"), self.META], body=b"<%(y)I>"),
        )
        client = link.stream(stage, channel)
        publish_ok(control_port, hint_item(channel))
        assert client.read_data(3) == b"<x>"
        publish_ok(control_port, hint_item(channel))
        assert client.read_chunks() == b"<y>"

    @differs("link-filters")
    def test_filter_of_the_answer_before(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """It is over with that answer."""
        link.answers(link.holds(channel, b"<%(y)I>"))
        first = link.holds(f"{channel}; filter=build-id", b"<%(x)I>", [self.META])
        client = stage.hold(first)
        client.read_head()
        publish_ok(control_port, hint_item(channel))
        assert client.read_data(10) == b"<x><%(y)I>"

    @differs("link-filters")
    def test_directive_in_two_pieces(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        gate = threading.Event()
        headers = link.holds(f"{channel}; filter=build-id", headers=[self.META]).headers
        link.answers(Reply(headers=headers, body=[b"<%(a", gate, b"b)I>"]))
        client = link.stream(stage, channel)
        publish_ok(control_port, hint_item(channel))
        assert client.read_data(1) == b"<"
        client.assert_silent(0.1)
        gate.set()
        assert client.read_data(3) == b"ab>"

    @differs("link-filters")
    def test_failure(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """It ends the stream: there is no id to put in."""
        link.answers(link.holds(f"{channel}; filter=build-id", b"<%I>", [self.META]))
        client = link.stream(stage, channel, host="debug")
        publish_ok(control_port, hint_item(channel))
        assert b"\n\nfilter error: build-id: " in client.read_chunks()


class TestKeepAlive:
    """What is sent while nothing else is, around the request for a next link."""

    OLD = ("Grip-Keep-Alive", "-; timeout=1")
    NEW = ("Grip-Keep-Alive", "+; timeout=1; mode=interval")

    @pytest.fixture
    def client(self, stage: Stage, link: NextLink, channel: str) -> RawClient:
        """A stream with the keep-alive `OLD`, which may have come by now."""
        client = stage.hold(link.holds(channel, headers=[self.OLD]))
        client.read_head()
        return client

    def read(self, client: RawClient, expected: bytes) -> None:
        """Read what is expected, and `OLD` any number of times in between."""
        data = b""
        while len(data) < len(expected):
            data += client.read_data(1).strip(b"-")
        assert data == expected

    @pytest.mark.spec("grip-70")
    def test_during_the_request(self, client: RawClient, link: NextLink, channel: str, control_port: int) -> None:
        """It goes on; then the one of the answer starts, after a time of its own."""
        gate = threading.Event()
        link.answers(held_back(gate, link.holds(channel, b"next", [self.NEW])))
        publish_ok(control_port, stream_item(channel, "item"), hint_item(channel))
        self.read(client, b"item")
        link.asked(1)
        assert client.read_data(2) == b"--"
        gate.set()
        self.read(client, b"next")
        assert client.read_data(2) == b"++"

    def test_not_in_the_middle_of_an_answer(
        self, client: RawClient, link: NextLink, channel: str, control_port: int
    ) -> None:
        """grip spec §6.2: from its first byte on, until the hold resumes."""
        gate = threading.Event()
        headers = link.holds(channel, headers=[self.NEW]).headers
        link.answers(Reply(headers=headers, body=[b"one ", gate, b"two "]))
        publish_ok(control_port, stream_item(channel, "item "), hint_item(channel))
        self.read(client, b"item one ")
        client.assert_silent(1.3)
        gate.set()
        assert client.read_data(5) == b"two +"

    def test_off_without_one(self, client: RawClient, link: NextLink, channel: str, control_port: int) -> None:
        link.answers(link.holds(channel, b"next"))
        publish_ok(control_port, stream_item(channel, "item"), hint_item(channel))
        self.read(client, b"itemnext")
        client.assert_silent(1.3)

    def test_none_before_the_first_hold(self, stage: Stage, link: NextLink) -> None:
        """A chain without a hold has no keep-alive, whatever its answers say."""
        gate = threading.Event()
        link.answers(held_back(gate, Reply(body=b"last")))
        client = stage.client()
        client.request(stage.backend.serve(link.leads_on(b"first", headers=[self.OLD])))
        client.read_head()
        assert client.read_data(5) == b"first"
        client.assert_silent(1.3)
        gate.set()
        assert client.read_chunks() == b"last"
