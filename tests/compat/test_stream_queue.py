"""Items that come while a stream asks its next link: they wait for the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend, held_back
from tests.harness.client import RawClient
from tests.harness.grip import Stage
from tests.harness.links import NextLink, follows
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import close_item, hint_item, item, publish_ok, recover, stream_item

LAST = Reply(body=b"last")
QUEUE_ITEMS = 100


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


class TestQueue:
    """Items that come while the link is asked."""

    def fetching(self, stage: Stage, link: NextLink, channels: str, hinted: str) -> RawClient:
        """A stream that is waiting for the answer of its next link."""
        client = link.stream(stage, channels)
        publish_ok(stage.proxy.control_port, hint_item(hinted))
        link.asked(1)
        time.sleep(0.05)
        return client

    @pytest.mark.spec("grip-69")
    def test_what_the_answer_covers_is_left_out(
        self, stage: Stage, link: NextLink, gate: threading.Event, names: Iterator[str], control_port: int
    ) -> None:
        channel, other = next(names), next(names)
        link.answers(held_back(gate, link.holds(follows(channel, "3"), b"up to 3,")))
        client = self.fetching(stage, link, f"{follows(channel, '1')}, {other}", other)
        for number in range(2, 6):
            publish_ok(control_port, item(channel, str(number), str(number - 1)))
        client.assert_silent(0.2)
        gate.set()
        assert client.read_data(12) == b"up to 3,4,5,"
        publish_ok(control_port, item(channel, "6", "5"))
        assert client.read_data(2) == b"6,"
        link.asked(1)

    def test_during_the_body(
        self, stage: Stage, link: NextLink, gate: threading.Event, names: Iterator[str], control_port: int
    ) -> None:
        """Not in between, but after it."""
        channel, other = next(names), next(names)
        headers = link.holds(follows(channel, "2")).headers
        link.answers(Reply(headers=headers, body=[b"up ", gate, b"to 2,"]))
        client = self.fetching(stage, link, f"{follows(channel, '1')}, {other}", other)
        assert client.read_data(3) == b"up "
        publish_ok(control_port, item(channel, "2", "1"), item(channel, "3", "2"))
        client.assert_silent(0.2)
        gate.set()
        assert client.read_data(7) == b"to 2,3,"

    def test_answer_without_ids(
        self, stage: Stage, link: NextLink, gate: threading.Event, names: Iterator[str], control_port: int
    ) -> None:
        """Everything is delivered."""
        channel, other = next(names), next(names)
        link.answers(held_back(gate, link.holds(f"{channel}, {other}", b"next,")))
        client = self.fetching(stage, link, f"{follows(channel, '1')}, {other}", other)
        publish_ok(control_port, item(channel, "2", "1"), stream_item(other, "other,"), item(channel, "3", "2"))
        gate.set()
        assert client.read_data(15) == b"next,2,other,3,"

    @pytest.mark.spec("grip-68")
    def test_channel_that_is_left_out(
        self, stage: Stage, link: NextLink, gate: threading.Event, names: Iterator[str], control_port: int
    ) -> None:
        """Its items are, too, at the front and in the middle."""
        left, kept = next(names), next(names)
        link.answers(held_back(gate, link.holds(kept, b"next,")))
        client = self.fetching(stage, link, f"{left}, {kept}", kept)
        publish_ok(control_port, stream_item(left, "no"), stream_item(kept, "1,"), stream_item(left, "no"))
        publish_ok(control_port, stream_item(kept, "2,"))
        gate.set()
        assert client.read_data(9) == b"next,1,2,"
        client.assert_silent(0.2)

    @differs("queue-covered-by-nothing")
    def test_nothing_fits(
        self, stage: Stage, link: NextLink, gate: threading.Event, names: Iterator[str], control_port: int
    ) -> None:
        """Nothing tells whether the backend knows of what came, so it is asked once more."""
        channel, other = next(names), next(names)
        link.answers(held_back(gate, link.holds(follows(channel, "9"), b"next,")))
        client = self.fetching(stage, link, f"{follows(channel, '1')}, {other}", other)
        publish_ok(control_port, item(channel, "2", "1"), item(channel, "3", "2"))
        gate.set()
        assert client.read_data(10) == b"next,next,"
        client.assert_silent(0.4)
        link.asked(2)

    def test_gap_in_the_queue(
        self, stage: Stage, link: NextLink, gate: threading.Event, names: Iterator[str], control_port: int
    ) -> None:
        """After the first item that fits, one that does not is a gap."""
        channel, other = next(names), next(names)
        link.answers(held_back(gate, link.holds(follows(channel, "2"), b"next,")), LAST)
        client = self.fetching(stage, link, f"{follows(channel, '1')}, {other}", other)
        publish_ok(control_port, item(channel, "2", "1"), item(channel, "3", "2"), item(channel, "9"))
        gate.set()
        assert client.read_chunks() == b"next,3,last"
        assert link.asked(2)[1].all("Grip-Last") == [f"{channel}; last-id=3"]

    def test_close(self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int) -> None:
        """It acts when its turn comes."""
        link.answers(held_back(gate, link.holds(channel, b"next,")))
        client = self.fetching(stage, link, channel, channel)
        publish_ok(control_port, stream_item(channel, "1,"), close_item(channel), stream_item(channel, "2,"))
        client.assert_silent(0.2)
        gate.set()
        assert client.read_chunks() == b"next,1,"
        link.asked(1)

    def test_hint(self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int) -> None:
        """It acts when its turn comes, and what waits behind it is expected from the answer."""
        link.answers(held_back(gate, link.holds(channel, b"next,")), link.holds(channel, b"more,"))
        client = self.fetching(stage, link, channel, channel)
        publish_ok(control_port, stream_item(channel, "1,"), hint_item(channel), stream_item(channel, "2,"))
        gate.set()
        assert client.read_data(12) == b"next,1,more,"
        client.assert_silent(0.2)
        link.asked(2)

    def test_recover(
        self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int
    ) -> None:
        """It is remembered, and the link is asked once more."""
        link.answers(held_back(gate, link.holds(channel, b"next,")), link.holds(channel, b"more,"))
        client = self.fetching(stage, link, channel, channel)
        recover(control_port)
        recover(control_port)
        client.assert_silent(0.3)
        gate.set()
        assert client.read_data(10) == b"next,more,"
        client.assert_silent(0.4)
        link.asked(2)

    def test_answer_that_ends_the_stream(
        self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int
    ) -> None:
        """What waits is for a hold, and there is none any more."""
        link.answers(held_back(gate, LAST))
        client = self.fetching(stage, link, channel, channel)
        publish_ok(control_port, stream_item(channel, "1,"))
        gate.set()
        assert client.read_chunks() == b"last"

    def test_its_end(
        self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int
    ) -> None:
        """grip spec §10.1: a hundred items; the newest are dropped."""
        link.answers(held_back(gate, link.holds(channel, b"next,")))
        client = self.fetching(stage, link, channel, channel)
        publish_ok(control_port, *(stream_item(channel, f"{number},") for number in range(QUEUE_ITEMS + 20)))
        gate.set()
        expected = b"next," + b"".join(b"%d," % number for number in range(QUEUE_ITEMS))
        assert client.read_data(len(expected)) == expected
        client.assert_silent(0.2)
        publish_ok(control_port, stream_item(channel, "more"))
        assert client.read_data(4) == b"more"

    def test_its_end_is_a_gap(
        self, stage: Stage, link: NextLink, gate: threading.Event, names: Iterator[str], control_port: int
    ) -> None:
        """With ids, what was dropped is noticed by the next item, and asked for."""
        channel, other = next(names), next(names)
        link.answers(held_back(gate, link.holds(follows(channel, "0"), b"next,")), LAST)
        client = self.fetching(stage, link, f"{follows(channel, '0')}, {other}", other)
        publish_ok(control_port, *(item(channel, str(n), str(n - 1)) for n in range(1, QUEUE_ITEMS + 21)))
        gate.set()
        expected = b"next," + b"".join(b"%d," % number for number in range(1, QUEUE_ITEMS + 1))
        assert client.read_data(len(expected)) == expected
        client.assert_silent(0.2)
        publish_ok(control_port, item(channel, str(QUEUE_ITEMS + 21), str(QUEUE_ITEMS + 20)))
        assert client.read_chunks() == b"last"
        assert link.asked(2)[1].all("Grip-Last") == [f"{channel}; last-id={QUEUE_ITEMS}"]

    @differs("queue-full")
    def test_its_end_is_told(
        self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int
    ) -> None:
        """Deviation of grip spec §10.1: never in silence."""
        link.answers(held_back(gate, link.holds(channel)))
        self.fetching(stage, link, channel, channel)
        publish_ok(control_port, *(stream_item(channel, f"{number},") for number in range(QUEUE_ITEMS + 1)))
        stage.proxy.wait_log(r"\[WARN\]")
        gate.set()
