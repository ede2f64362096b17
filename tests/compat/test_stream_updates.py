"""Streams that may have missed something: they ask their next link when told to recover, and for a new channel."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import Stage, fresh_channel
from tests.harness.links import NextLink, follows
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import hint_item, item, publish_ok, recover, stream_item
from tests.harness.timing import scaled

LAST = Reply(body=b"last")
LOW_PRIORITY_S = 0.04  # at least; a batch every tenth of a second
SOON_S = 0.6


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


@pytest.fixture(scope="module")
def updating(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    """A proxy that asks again after the first subscription of a channel."""
    settings = {"handler": {"update_on_first_subscription": "true"}}
    return launch(f"* 127.0.0.1:{backend.port}", settings=settings)


class TestRecover:
    @pytest.mark.spec("grip-50")
    def test_low_priority(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """All streams with a next link, whatever their channels; last ids are forgotten."""
        one, two = next(names), next(names)
        publish_ok(control_port, item(one, "2"))
        other = NextLink(stage.backend)
        for each, channel in ((link, one), (other, two)):
            each.answers(each.holds(channel, b"next "))
        clients = [link.stream(stage, one), other.stream(stage, follows(two, "7")), stage.stream(one)]
        start = time.monotonic()
        recover(control_port)
        assert [client.read_data(5) for client in clients[:2]] == [b"next "] * 2
        for each in (link, other):
            assert LOW_PRIORITY_S < each.times[0] - start < scaled(SOON_S)
        clients[2].assert_silent(0.3)
        assert link.asked(1)[0].all("Grip-Last") == []
        assert other.asked(1)[0].all("Grip-Last") == [f"{two}; last-id=7"]
        third = NextLink(stage.backend)
        third.stream(stage, follows(one, "1")).assert_silent(0.3)
        third.asked(0)

    def test_hint_before_the_link_is_asked(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """It waits for its turn like any item, and then asks once more, at once."""
        link.answers(link.holds(channel, b"next "))
        client = link.stream(stage, channel)
        start = time.monotonic()
        recover(control_port)
        publish_ok(control_port, stream_item(channel, "1 "), hint_item(channel), stream_item(channel, "2 "))
        assert client.read_data(12) == b"next 1 next "
        client.assert_silent(0.3)
        link.asked(2)
        assert link.times[0] - start > LOW_PRIORITY_S

    def test_items_before_the_link_is_asked(
        self, stage: Stage, link: NextLink, channel: str, control_port: int
    ) -> None:
        """They wait: what is asked for comes first."""
        link.answers(link.holds(channel, b"next "))
        client = link.stream(stage, channel)
        recover(control_port)
        publish_ok(control_port, stream_item(channel, "item"))
        assert client.read_data(9) == b"next item"

    def test_client_that_has_left(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        client = link.stream(stage, channel)
        recover(control_port)
        client.close()
        time.sleep(0.4)
        link.asked(0)

    @differs("many-links")
    def test_many_streams(self, stage: Stage, backend: ScriptedBackend, channel: str, control_port: int) -> None:
        """All links of a batch at once, each for all its streams."""
        links = [NextLink(backend) for _ in range(6)]
        clients = []
        for link in links:
            link.answers(Reply(body=[0.05, b"last"], length=4))
            clients += [link.stream(stage, channel) for _ in range(3)]
        start = time.monotonic()
        recover(control_port)
        assert [client.read_chunks() for client in clients] == [b"last"] * len(clients)
        times = sorted(link.times[0] - start for link in links)
        for link in links:
            link.asked(1)
        assert times[0] > LOW_PRIORITY_S
        assert times[-1] - times[0] < 0.3


class TestFirstSubscription:
    """A channel that nobody was subscribed to: there may have been an item that its publisher did not send here."""

    @pytest.fixture
    def stage(self, updating: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> Stage:
        return Stage(updating, backend, connect)

    @pytest.mark.spec("grip-51")
    def test_link_is_asked(self, stage: Stage, link: NextLink) -> None:
        """About a second later; a channel of the answer that is new counts as well, and no channel counts twice."""
        one, two = fresh_channel(), fresh_channel()
        link.answers(link.holds(f"{one}, {two}", b"next "))
        start = time.monotonic()
        client = link.stream(stage, one)
        assert client.read_data(10) == b"next next "
        client.assert_silent(1.4)
        link.asked(2)
        first, second = link.times[0] - start, link.times[1] - link.times[0]
        assert 1 <= first < 1.2 + scaled(0.5)
        assert 1 <= second < 1.2 + scaled(0.5)

    @pytest.mark.spec("grip-51")
    def test_only_the_first(self, stage: Stage, link: NextLink) -> None:
        """All who are there by then; who comes later is not."""
        channel = fresh_channel()
        other, late = NextLink(stage.backend), NextLink(stage.backend)
        for each in (link, other, late):
            each.answers(each.holds(channel, b"next "))
        clients = [link.stream(stage, channel), other.stream(stage, channel)]
        assert [client.read_data(5) for client in clients] == [b"next "] * 2
        late.stream(stage, channel).assert_silent(1.4)
        assert [len(each.requests()) for each in (link, other, late)] == [1, 1, 0]

    def test_channel_of_a_stream_that_left(self, stage: Stage, link: NextLink) -> None:
        """It is new again: streams do not linger."""
        channel = fresh_channel()
        stage.stream(channel).close()
        time.sleep(0.3)
        link.answers(LAST)
        assert link.stream(stage, channel).read_chunks() == b"last"

    @differs("first-subscription-setting")
    @pytest.mark.spec("grip-51")
    def test_it_may_be_switched_off(self, proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
        """``update_on_first_subscription=false``, as for the other tests of this module."""
        link = NextLink(backend)
        link.stream(Stage(proxy, backend, connect), fresh_channel()).assert_silent(1.5)
        link.asked(0)
