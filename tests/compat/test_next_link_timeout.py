"""Next links that are asked because a stream was quiet for their timeout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import RawClient
from tests.harness.grip import Stage
from tests.harness.links import NextLink
from tests.harness.messages import Request
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import scaled

LAST = Reply(body=b"last")
LATE_S = 0.5
TICK_S = 0.02  # a timer of whole milliseconds may be early by one
PAUSE_S = 0.3


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


def begin(stage: Stage, reply: Reply) -> tuple[RawClient, float]:
    """The client of a held stream, and when the backend was asked for it: the hold cannot have begun before."""
    times = []

    def answer(_request: Request) -> Reply:
        times.append(time.monotonic())
        return reply

    path = stage.backend.serve(answer)
    client = stage.client()
    client.request(path)
    stage.proxy.wait_held(path)
    client.read_head()
    return client, times[0]


class TestQuiet:
    @pytest.mark.spec("grip-71")
    @pytest.mark.parametrize("timeout_s", [1, 2])
    def test_it_is_asked(self, stage: Stage, link: NextLink, channel: str, timeout_s: int) -> None:
        link.answers(LAST)
        client, start = begin(stage, link.holds(channel, timeout_s=timeout_s))
        assert client.read_chunks() == b"last"
        assert timeout_s - TICK_S <= link.times[0] - start < timeout_s + LATE_S + scaled(0.3)
        link.asked(1)

    def test_again_and_again(self, stage: Stage, link: NextLink, channel: str) -> None:
        """The time of an answer counts from its end, and an answer may have another timeout."""
        headers = link.holds(channel, timeout_s=2).headers
        link.answers(Reply(headers=headers, body=[0.4, b"next "], length=5), LAST)
        client, _ = begin(stage, link.holds(channel, timeout_s=1))
        assert client.read_chunks() == b"next last"
        assert 2.4 - TICK_S <= link.times[1] - link.times[0] < 2.4 + LATE_S + scaled(0.5)

    def test_keep_alive_is_no_activity(self, stage: Stage, link: NextLink, channel: str) -> None:
        link.answers(LAST)
        client, start = begin(stage, link.holds(channel, headers=[("Grip-Keep-Alive", "-; timeout=1")], timeout_s=2))
        data = client.read_chunks()
        assert data.startswith(b"-")
        assert data.endswith(b"last")
        assert 2 - TICK_S <= link.times[0] - start < 2 + LATE_S + scaled(0.3)

    def test_no_timeout_at_all(self, stage: Stage, link: NextLink, channel: str) -> None:
        """grip spec §6.8: with 0 again and again, as quickly as low priority allows."""
        link.answers(link.holds(channel, b"x", timeout_s=0))
        client, start = begin(stage, link.holds(channel, timeout_s=0))
        assert client.read_data(8) == b"x" * 8
        assert 0.5 < time.monotonic() - start < 1 + scaled(1)
        assert all(after - before > 0.04 for before, after in pairwise(link.times))

    @pytest.mark.spec("grip-71", "grip-64")
    def test_together(self, stage: Stage, link: NextLink, channel: str) -> None:
        """Streams that begin at the same time and have the same link ask it once."""
        link.answers(Reply(body=[0.3, b"last"], length=4), Reply(body=b"second"))
        path = stage.backend.serve(link.holds(channel, timeout_s=1))
        clients = [stage.client() for _ in range(10)]
        for client in clients:
            client.request(path)
        assert [client.read_response().text for client in clients] == ["last"] * 10
        link.asked(1)

    def test_with_an_older_one(self, stage: Stage, link: NextLink, channel: str) -> None:
        """Streams that have the same link ask it together: who comes later is early (grip spec §6.8)."""
        link.answers(LAST)
        older, start = begin(stage, link.holds(channel, timeout_s=2))
        time.sleep(1)
        client, _ = begin(stage, link.holds(channel, timeout_s=2))
        assert [older.read_chunks(), client.read_chunks()] == [b"last"] * 2
        link.asked(1)
        assert 2 - TICK_S <= link.times[-1] - start < 2 + LATE_S + scaled(0.3)

    def test_who_leaves(self, stage: Stage, link: NextLink, channel: str) -> None:
        client, _ = begin(stage, link.holds(channel, timeout_s=1))
        client.close()
        time.sleep(1.7)
        link.asked(0)


class TestActivity:
    """Items on all channels of a stream show that nothing is amiss."""

    def publishing(self, client: RawClient, publish: Callable[[], None], count: int) -> float:
        """Publish eight times over 2.1 seconds, each time reading the bytes that come; return when it was last done."""
        for turn in range(8):
            if turn:
                time.sleep(PAUSE_S)
            last = time.monotonic()
            publish()
            assert client.read_data(count) == b"x" * count
        return last

    @pytest.mark.spec("grip-71")
    def test_it_postpones(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        link.answers(LAST)
        client, _ = begin(stage, link.holds(channel, timeout_s=1))
        last = self.publishing(client, lambda: publish_ok(control_port, stream_item(channel, "x")), 1)
        assert client.read_chunks() == b"last"
        assert 1 - TICK_S <= link.times[0] - last < 2 + scaled(0.5)
        link.asked(1)

    @pytest.mark.spec("grip-71")
    def test_all_channels(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        one, two = next(names), next(names)
        link.answers(LAST)
        client, _ = begin(stage, link.holds(f"{one}, {two}", timeout_s=1))
        items = [stream_item(one, "x"), stream_item(two, "x")]
        last = self.publishing(client, lambda: publish_ok(control_port, *items), 2)
        assert client.read_chunks() == b"last"
        assert 1 - TICK_S <= link.times[0] - last < 2 + scaled(0.5)

    def test_one_of_two_channels(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """It tells nothing of the other one."""
        one, two = next(names), next(names)
        link.answers(LAST)
        client, start = begin(stage, link.holds(f"{one}, {two}", timeout_s=2))
        for _ in range(4):
            publish_ok(control_port, stream_item(one, "x"))
            time.sleep(PAUSE_S)
        assert client.read_chunks().strip(b"x") == b"last"
        assert 2 - TICK_S <= link.times[0] - start < 2 + LATE_S + scaled(0.3)
