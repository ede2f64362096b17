"""Streams that missed something, or are told so by a hint: they ask their next link."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.grip import Stage
from tests.harness.links import NextLink, follows
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import close_item, hint_item, item, publish_ok, response_item, stream_item, with_ids
from tests.harness.timing import scaled

LAST = Reply(body=b"last")
LOW_PRIORITY_S = 0.04  # at least; a batch every tenth of a second
SOON_S = 0.6
MESSAGE_WAIT_S = 1


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}", settings={"handler": {"message_wait": MESSAGE_WAIT_S * 1000}})


class TestHint:
    @pytest.mark.spec("grip-50")
    def test_at_once(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """What came before it is delivered, what comes after it follows the answer."""
        link.answers(link.holds(channel, b"(next)"))
        client = link.stream(stage, channel)
        delays = []
        for turn in range(1, 6):
            start = time.monotonic()
            publish_ok(control_port, stream_item(channel, "1"), hint_item(channel), stream_item(channel, "2"))
            assert client.read_data(8) == b"1(next)2"
            assert len(link.asked(turn)) == turn
            delays.append(link.times[-1] - start)
        assert min(delays) < 0.05

    def test_only_its_channel(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        hinted, other = next(names), next(names)
        link.answers(LAST)
        clients = [link.stream(stage, hinted), link.stream(stage, other)]
        publish_ok(control_port, hint_item(hinted))
        assert clients[0].read_chunks() == b"last"
        clients[1].assert_silent(0.3)
        link.asked(1)

    def test_dropped_by_a_filter(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        link.answers(LAST)
        client = stage.hold(link.holds(f"{channel}; filter=skip-self", headers=[("Grip-Set-Meta", "user=bob")]))
        client.read_head()
        publish_ok(control_port, {**hint_item(channel), "meta": {"sender": "bob"}})
        client.assert_silent(0.3)
        publish_ok(control_port, {**hint_item(channel), "meta": {"sender": "carol"}})
        assert client.read_chunks() == b"last"

    def test_without_next_link(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip spec §6.3: nothing happens, to the items either."""
        client = stage.stream(channel)
        publish_ok(control_port, stream_item(channel, "1"), hint_item(channel), stream_item(channel, "2"))
        assert client.read_data(2) == b"12"
        client.assert_silent(0.2)


class TestStaleAnswer:
    """The first answer has a ``prev-id`` that is not the last id any more (grip spec §6.4)."""

    @pytest.mark.spec("grip-46")
    def test_it_is_asked_again(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "2", "1"))
        link.answers(link.holds(follows(channel, "2"), b"2,"))
        client = link.stream(stage, follows(channel, "1"))
        assert client.read_data(2) == b"2,"
        assert link.asked(1)[0].all("Grip-Last") == [f"{channel}; last-id=1"]
        publish_ok(control_port, item(channel, "3", "2"))
        assert client.read_data(2) == b"3,"
        link.asked(1)

    def test_initial_body_comes_first(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "2"))
        link.answers(LAST)
        client = stage.hold(link.holds(follows(channel, "1"), b"initial "))
        start = time.monotonic()
        client.read_head()
        assert client.read_chunks() == b"initial last"
        assert time.monotonic() - start < scaled(SOON_S)

    def test_last_id_is_fine(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """And so is one that nothing is known of."""
        known, unknown = next(names), next(names)
        publish_ok(control_port, item(known, "2"))
        client = link.stream(stage, f"{follows(known, '2')}, {follows(unknown, '7')}")
        client.assert_silent(0.4)
        link.asked(0)
        publish_ok(control_port, item(known, "3", "2"), item(unknown, "8", "7"))
        assert client.read_data(4) == b"3,8,"

    @pytest.mark.spec("grip-48")
    def test_backend_insists(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """What does not fit is forgotten, so the same answer does not ask twice, and later ones are not compared."""
        one, two = next(names), next(names)
        publish_ok(control_port, item(one, "5"), item(two, "6"))
        channels = f"{follows(one, '1')}, {follows(two, '2')}"
        link.answers(link.holds(channels, b"next "))
        client = link.stream(stage, channels)
        assert client.read_data(5) == b"next "
        client.assert_silent(0.4)
        (request,) = link.asked(1)
        assert sorted(request.all("Grip-Last")) == sorted([f"{one}; last-id=1", f"{two}; last-id=2"])
        other = NextLink(stage.backend)
        other.stream(stage, channels).assert_silent(0.4)
        other.asked(0)

    def test_item_before_the_link_is_asked(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """It waits for the answer like one that comes during the request."""
        publish_ok(control_port, item(channel, "2"))
        link.answers(link.holds(follows(channel, "2"), b"2,"))
        client = stage.hold(link.holds(follows(channel, "1")))
        publish_ok(control_port, item(channel, "3", "2"))
        client.read_head()
        assert client.read_data(4) == b"2,3,"
        link.asked(1)

    @pytest.mark.spec("grip-52")
    def test_channel_of_a_poll(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """Ids are remembered whatever holds the channel."""
        channel = f"{next(names)}-of-a-poll"
        poll = stage.poll(channel)
        publish_ok(control_port, with_ids(response_item(channel, "x"), "1"))
        assert poll.read_response().text == "x"
        publish_ok(control_port, item(channel, "2", "1"))
        link.answers(LAST)
        client = link.stream(stage, follows(channel, "1"))
        assert client.read_chunks() == b"last"
        assert link.asked(1)[0].all("Grip-Last") == [f"{channel}; last-id=1"]

    @pytest.mark.spec("grip-53")
    def test_stream_leaves_nothing(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """The last id of a channel is forgotten as soon as its last stream leaves."""
        channel = f"{next(names)}-left"
        client = stage.stream(channel)
        publish_ok(control_port, item(channel, "2"))
        assert client.read_data(2) == b"2,"
        client.close()
        time.sleep(0.3)
        link.stream(stage, follows(channel, "1")).assert_silent(0.4)
        link.asked(0)

    @differs("ids-after-a-chain")
    def test_after_a_chain(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """The first hold is what counts: nothing of the channel can be waiting before it."""
        publish_ok(control_port, item(channel, "2"))
        link.answers(link.holds(follows(channel, "1"), b"held "), LAST)
        client = stage.client()
        client.request(stage.backend.serve(link.leads_on(b"first ")))
        client.read_head()
        assert client.read_chunks() == b"first held last"
        assert link.asked(2)[1].all("Grip-Last") == [f"{channel}; last-id=1"]


class TestGap:
    """An item that does not follow what the client has (grip spec §10.3)."""

    @pytest.mark.spec("grip-86")
    @pytest.mark.parametrize("prev_id", ["8", None], ids=["other", "absent"])
    def test_link_is_asked_instead(
        self, stage: Stage, link: NextLink, channel: str, control_port: int, prev_id: str | None
    ) -> None:
        """After the delay of low priority; what follows it waits for the answer."""
        link.answers(link.holds(follows(channel, "9"), b"up to 9,"))
        client = link.stream(stage, follows(channel, "1"))
        start = time.monotonic()
        publish_ok(control_port, item(channel, "9", prev_id), item(channel, "10", "9"))
        assert client.read_data(11) == b"up to 9,10,"
        assert LOW_PRIORITY_S < link.times[0] - start < scaled(SOON_S)
        assert link.asked(1)[0].all("Grip-Last") == [f"{channel}; last-id=1"]
        publish_ok(control_port, item(channel, "11", "10"))
        assert client.read_data(3) == b"11,"
        client.assert_silent(0.2)
        link.asked(1)

    @pytest.mark.spec("grip-80", "grip-86")
    def test_after_waiting_for_the_one_between(
        self, stage: Stage, link: NextLink, channel: str, control_port: int
    ) -> None:
        """An item that had to wait and was delivered anyway is a gap."""
        link.answers(LAST)
        client = link.stream(stage, follows(channel, "0"))
        publish_ok(control_port, item(channel, "1", "0"), item(channel, "3", "2"))
        start = time.monotonic()
        assert client.read_chunks() == b"1,last"
        assert MESSAGE_WAIT_S - 0.1 < time.monotonic() - start < MESSAGE_WAIT_S + 1 + scaled(1)
        assert link.asked(1)[0].all("Grip-Last") == [f"{channel}; last-id=1"]

    @pytest.mark.spec("grip-78")
    def test_order_is_restored_first(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        client = link.stream(stage, follows(channel, "0"))
        publish_ok(control_port, item(channel, "1", "0"), item(channel, "3", "2"), item(channel, "2", "1"))
        assert client.read_data(6) == b"1,2,3,"
        link.asked(0)

    def test_last_id_is_forgotten(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """So what follows the answer is delivered, whatever was published last."""
        link.answers(link.holds(follows(channel, "1"), b"next "))
        client = link.stream(stage, follows(channel, "1"))
        publish_ok(control_port, item(channel, "9", "8"))
        assert client.read_data(5) == b"next "
        publish_ok(control_port, item(channel, "2", "1"))
        assert client.read_data(2) == b"2,"
        link.asked(1)

    @pytest.mark.parametrize("ids", [("9", "8"), ("9", None), (None, None)], ids=["other", "absent", "no ids"])
    def test_close(
        self, stage: Stage, link: NextLink, channel: str, control_port: int, ids: tuple[str | None, str | None]
    ) -> None:
        """Also an item that would end the stream must follow."""
        link.answers(link.holds(channel, b"next "))
        client = link.stream(stage, follows(channel, "1"))
        publish_ok(control_port, with_ids(close_item(channel), *ids))
        assert client.read_data(5) == b"next "
        link.asked(1)
        publish_ok(control_port, close_item(channel))
        assert client.read_chunks() == b""

    def test_hint(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """One that does not follow is a gap like any other, and not as quick as a hint."""
        link.answers(link.holds(follows(channel, "1"), b"next "))
        client = link.stream(stage, follows(channel, "1"))
        for turn in (1, 2):
            start = time.monotonic()
            publish_ok(control_port, hint_item(channel))
            assert client.read_data(5) == b"next "
            assert LOW_PRIORITY_S < link.times[-1] - start < scaled(SOON_S)
            link.asked(turn)

    @pytest.mark.spec("grip-83")
    def test_item_without_id(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """From then on the stream takes everything."""
        client = link.stream(stage, follows(channel, "1"))
        publish_ok(control_port, item(channel, None, "1"), item(channel, "9", "8"), item(channel, "5"))
        assert client.read_data(6) == b"-,9,5,"
        client.assert_silent(0.2)
        link.asked(0)

    @pytest.mark.spec("grip-93")
    def test_dropped_by_a_filter(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """An item that is dropped is no gap to the next one."""
        meta = [("Grip-Set-Meta", "user=bob")]
        client = stage.hold(link.holds(f"{follows(channel, '1')}; filter=skip-self", headers=meta))
        client.read_head()
        own = {**item(channel, "2", "1"), "meta": {"sender": "bob"}}
        publish_ok(control_port, own, item(channel, "3", "2"))
        assert client.read_data(2) == b"3,"
        link.asked(0)

    def test_other_format(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """An item that has nothing for streams is a gap only when the next one comes."""
        link.answers(LAST)
        client = link.stream(stage, follows(channel, "1"))
        publish_ok(control_port, with_ids(response_item(channel, "x"), "2", "1"))
        client.assert_silent(0.3)
        publish_ok(control_port, item(channel, "3", "2"))
        assert client.read_chunks() == b"last"

    def test_other_stream_is_not_concerned(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """Each stream has its own last id."""
        plain = stage.stream(channel)
        link.answers(LAST)
        stale, fresh = link.stream(stage, follows(channel, "1")), link.stream(stage, follows(channel, "2"))
        publish_ok(control_port, item(channel, "3", "2"))
        assert (plain.read_data(2), fresh.read_data(2), stale.read_chunks()) == (b"3,", b"3,", b"last")
        link.asked(1)
