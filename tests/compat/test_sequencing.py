"""Items with ids: put in order by ``prev-id``, not delivered twice, and held back only so long."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, RawClient, fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import item, publish_ok, response_item, stream_item
from tests.harness.timing import scaled

WAIT_S = 1.0  # message_wait, in seconds
TTL_S = 2.0  # id_cache_ttl
LINGER_S = 1.0  # subscription_linger


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={"handler": {"message_wait": 1000, "id_cache_ttl": 2, "update_on_first_subscription": "false"}},
    )


@pytest.fixture(scope="module")
def forgetful(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    """A proxy that remembers no ids, lets items wait long, and lets channels linger hardly."""
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={
            "handler": {
                "message_wait": 5000,
                "id_cache_ttl": 0,
                "subscription_linger": 1,
                "update_on_first_subscription": "false",
            }
        },
    )


@pytest.fixture
def channel() -> str:
    return fresh_channel()


@pytest.fixture
def client(stage: Stage, channel: str) -> RawClient:
    """A stream on `channel`."""
    return stage.stream(channel)


def read_ids(client: RawClient, count: int, timeout_s: float = 5.0) -> list[str]:
    """The ids of the next ``count`` items."""
    ids: list[str] = []
    while len(ids) < count:
        text = b""
        while not text.endswith(b","):
            text += client.read_data(1, timeout_s)
        ids.append(text[:-1].decode())
    return ids


class TestOrder:
    def test_items_change_places(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip-78: 1, 3 and 2 in one call."""
        publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"), item(channel, "2", "1"))
        assert read_ids(client, 3) == ["1", "2", "3"]

    def test_over_several_calls(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip-78: 3 waits for 2, without a byte."""
        publish_ok(control_port, item(channel, "1"))
        publish_ok(control_port, item(channel, "3", "2"))
        assert read_ids(client, 1) == ["1"]
        client.assert_silent(0.3)
        publish_ok(control_port, item(channel, "2", "1"))
        assert read_ids(client, 2) == ["2", "3"]

    def test_backwards(self, client: RawClient, channel: str, control_port: int) -> None:
        """One item releases a long chain."""
        late = [item(channel, str(number), str(number - 1)) for number in range(20, 1, -1)]
        publish_ok(control_port, item(channel, "1"), *late)
        assert read_ids(client, 20) == [str(number) for number in range(1, 21)]

    @pytest.mark.parametrize("has_ids", [False, True], ids=["without ids", "with ids"])
    def test_twenty_in_one_call(self, client: RawClient, channel: str, control_port: int, has_ids: bool) -> None:
        """grip-87."""
        numbers = [str(number) for number in range(20)]
        items = [item(channel, number) if has_ids else stream_item(channel, f"{number},") for number in numbers]
        publish_ok(control_port, *items)
        assert read_ids(client, 20) == numbers

    def test_each_channel_has_its_own_order(self, stage: Stage, control_port: int) -> None:
        one, two = fresh_channel(), fresh_channel()
        first, second = stage.stream(one), stage.stream(two)
        publish_ok(control_port, item(one, "1"), item(two, "a"), item(one, "3", "2"), item(two, "b", "a"))
        assert read_ids(second, 2) == ["a", "b"]
        assert read_ids(first, 1) == ["1"]
        publish_ok(control_port, item(two, "2", "b"))
        first.assert_silent(0.2)
        publish_ok(control_port, item(one, "2", "1"))
        assert read_ids(first, 2) == ["2", "3"]

    def test_first_prev_id_is_believed(self, client: RawClient, channel: str, control_port: int) -> None:
        """There is nothing to compare the first one with; the second must follow it."""
        publish_ok(control_port, item(channel, "5", "4"), item(channel, "7", "6"), item(channel, "6", "5"))
        assert read_ids(client, 3) == ["5", "6", "7"]

    def test_item_without_prev_id_does_not_wait(self, client: RawClient, channel: str, control_port: int) -> None:
        """It is the last one from then on."""
        publish_ok(control_port, item(channel, "1"), item(channel, "5"), item(channel, "6", "5"))
        publish_ok(control_port, item(channel, "2", "1"))
        assert read_ids(client, 3) == ["1", "5", "6"]
        client.assert_silent(0.3)

    def test_item_without_id_clears(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip-83: what follows it is taken as it comes."""
        publish_ok(control_port, item(channel, "1"), item(channel, None), item(channel, "5", "4"))
        assert read_ids(client, 3) == ["1", "-", "5"]

    def test_item_without_id_may_wait(self, client: RawClient, channel: str, control_port: int) -> None:
        """A ``prev-id`` is enough; it clears only when its turn comes."""
        publish_ok(control_port, item(channel, "1"), item(channel, None, "2"), item(channel, "2", "1"))
        publish_ok(control_port, item(channel, "9", "8"))
        assert read_ids(client, 4) == ["1", "2", "-", "9"]

    def test_empty_id_is_an_id(self, client: RawClient, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "2", ""), item(channel, "", "1"))
        assert read_ids(client, 3) == ["1", "", "2"]

    def test_long_polls(self, stage: Stage, channel: str, control_port: int) -> None:
        """What answers one poll is what the next item must follow, though nobody is held in between."""
        first = stage.poll(channel)
        publish_ok(control_port, {**response_item(channel, "one"), "id": "1"})
        assert first.read_response().text == "one"
        second = stage.poll(channel)
        publish_ok(control_port, {**response_item(channel, "three"), "id": "3", "prev-id": "2"})
        second.assert_silent(0.2)
        publish_ok(control_port, {**response_item(channel, "two"), "id": "2", "prev-id": "1"})
        assert second.read_response().text == "two"

    def test_all_formats_wait(self, stage: Stage, client: RawClient, channel: str, control_port: int) -> None:
        poller = stage.poll(channel)
        publish_ok(control_port, item(channel, "1"))
        assert read_ids(client, 1) == ["1"]
        late = item(channel, "3", "2")
        late["formats"]["http-response"] = {"body": "three"}
        publish_ok(control_port, late)
        client.assert_silent(0.2)
        poller.assert_silent(0)
        publish_ok(control_port, item(channel, "2", "1"))
        assert read_ids(client, 2) == ["2", "3"]
        assert poller.read_response().text == "three"

    def test_recover_forgets_the_last_id(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip spec §9: but not what waits."""
        publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"))
        assert read_ids(client, 1) == ["1"]
        assert fetch(control_port, "/recover/", method="POST", body=b"").text == "Updated\n"
        publish_ok(control_port, item(channel, "9", "8"))
        assert read_ids(client, 2) == ["9", "3"]


class TestDuplicates:
    def test_repeated_id(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip-79: in one call and in another, whatever the rest of the item is; on its channel only."""
        other = fresh_channel()
        publish_ok(control_port, item(channel, "1"), item(channel, "1"))
        publish_ok(control_port, item(channel, "1", "0"), item(other, "1"), item(other, "2"), item(channel, "2"))
        assert read_ids(client, 2) == ["1", "2"]
        client.assert_silent(0.2)

    def test_same_id_on_two_channels(self, stage: Stage, control_port: int) -> None:
        one, two = fresh_channel(), fresh_channel()
        first, second = stage.stream(one), stage.stream(two)
        publish_ok(control_port, item(one, "1"), item(two, "1"))
        assert (read_ids(first, 1), read_ids(second, 1)) == (["1"], ["1"])

    def test_afterwards_it_passes(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip-79: ``id_cache_ttl`` after the first time; a repetition in between does not prolong that."""
        start = time.monotonic()
        publish_ok(control_port, item(channel, "1"))
        assert read_ids(client, 1) == ["1"]
        client.assert_silent(0.6 * TTL_S)
        publish_ok(control_port, item(channel, "1"))
        client.assert_silent(max(0, start + TTL_S + 0.1 - time.monotonic()))
        publish_ok(control_port, item(channel, "1"))
        assert read_ids(client, 1) == ["1"]

    def test_first_time_without_subscribers(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip-79."""
        publish_ok(control_port, item(channel, "1"))
        client = stage.stream(channel)
        publish_ok(control_port, item(channel, "1"), item(channel, "2"))
        assert read_ids(client, 1) == ["2"]

    def test_item_that_still_waits(self, client: RawClient, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"), item(channel, "3"))
        assert read_ids(client, 1) == ["1"]
        client.assert_silent(0.2)
        publish_ok(control_port, item(channel, "2", "1"))
        assert read_ids(client, 2) == ["2", "3"]
        client.assert_silent(0.2)

    def test_no_seq_is_no_excuse(self, client: RawClient, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "1", no_seq=True), item(channel, "2", no_seq=True))
        publish_ok(control_port, item(channel, "2"), item(channel, "3"))
        assert read_ids(client, 3) == ["1", "2", "3"]

    def test_without_ids_nothing_repeats(self, client: RawClient, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, None), item(channel, None))
        assert read_ids(client, 2) == ["-", "-"]

    def test_they_may_be_allowed(
        self, forgetful: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, channel: str
    ) -> None:
        """``id_cache_ttl=0``."""
        client = Stage(forgetful, backend, connect).stream(channel)
        publish_ok(forgetful.control_port, item(channel, "1"), item(channel, "1"))
        assert read_ids(client, 2) == ["1", "1"]


class TestWait:
    def test_unknown_prev_id(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip-80: after ``message_wait`` and up to a second; it then is the last one."""
        start = time.monotonic()
        publish_ok(control_port, item(channel, "1"), item(channel, "7", "6"))
        assert read_ids(client, 1) == ["1"]
        assert read_ids(client, 1) == ["7"]
        assert WAIT_S - 0.05 < time.monotonic() - start < WAIT_S + scaled(1.2)
        publish_ok(control_port, item(channel, "8", "7"), item(channel, "2", "1"))
        assert read_ids(client, 1) == ["8"]
        client.assert_silent(0.3)

    @differs("order-of-arrival")
    def test_what_follows_comes_along(self, client: RawClient, channel: str, control_port: int) -> None:
        """In order, though the time of all is up at once."""
        publish_ok(control_port, *(item(channel, str(number), str(number - 1)) for number in (1, *range(7, 27))))
        assert read_ids(client, 21) == ["1", *map(str, range(7, 27))]

    def test_late_item_sets_the_last_id_back(self, client: RawClient, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "5"), item(channel, "2", "1"))
        assert read_ids(client, 2) == ["1", "5"]
        assert read_ids(client, 1) == ["2"]
        publish_ok(control_port, item(channel, "6", "5"), item(channel, "3", "2"))
        assert read_ids(client, 1) == ["3"]
        client.assert_silent(0.3)

    @pytest.mark.parametrize(
        "pause_s", [0.01, pytest.param(0, marks=differs("order-of-arrival"))], ids=["calls", "one call"]
    )
    def test_in_order_of_arrival(self, client: RawClient, channel: str, control_port: int, pause_s: float) -> None:
        """Items that have nothing to do with each other; deviation of grip spec §9 for those of one call."""
        ids = list("fbeadclgkhji")
        items = [item(channel, item_id, f"before {item_id}") for item_id in ids]
        publish_ok(control_port, item(channel, "1"))
        if pause_s:
            for each in items:
                publish_ok(control_port, each)
                time.sleep(pause_s)
        else:
            publish_ok(control_port, *items)
        assert read_ids(client, 13) == ["1", *ids]

    def test_waiting_items_end_with_the_subscription(
        self, stage: Stage, client: RawClient, channel: str, control_port: int
    ) -> None:
        """And so does the last id: a channel that is left starts anew."""
        publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"))
        assert read_ids(client, 1) == ["1"]
        client.close()
        time.sleep(0.2)
        again = stage.stream(channel)
        publish_ok(control_port, item(channel, "9", "8"))
        assert read_ids(again, 1) == ["9"]
        again.assert_silent(WAIT_S + 1.2)

    def test_they_outlast_one_of_two_subscribers(
        self, stage: Stage, client: RawClient, channel: str, control_port: int
    ) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"))
        assert read_ids(client, 1) == ["1"]
        other = stage.stream(channel)
        client.close()
        time.sleep(0.2)
        publish_ok(control_port, item(channel, "2", "1"))
        assert read_ids(other, 2) == ["2", "3"]

    def test_they_outlast_a_poll_while_it_lingers(self, stage: Stage, channel: str, control_port: int) -> None:
        poller = stage.poll(channel)
        publish_ok(control_port, {**response_item(channel, "one"), "id": "1"})
        assert poller.read_response().text == "one"
        publish_ok(control_port, item(channel, "3", "2"))
        client = stage.stream(channel)
        publish_ok(control_port, item(channel, "2", "1"))
        assert read_ids(client, 2) == ["2", "3"]

    def test_but_not_the_linger(
        self, forgetful: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, channel: str
    ) -> None:
        """``subscription_linger`` seconds after the last poll, nothing is left to follow or to be released."""
        stage = Stage(forgetful, backend, connect)
        poller = stage.poll(channel)
        publish_ok(forgetful.control_port, {**response_item(channel, "one"), "id": "1"})
        assert poller.read_response().text == "one"
        publish_ok(forgetful.control_port, item(channel, "3", "2"))
        time.sleep(LINGER_S + 1)
        client = stage.stream(channel)
        publish_ok(forgetful.control_port, item(channel, "9", "8"), item(channel, "2", "9"), item(channel, "10", "2"))
        assert read_ids(client, 3) == ["9", "2", "10"]


class TestNoSeq:
    def test_it_is_delivered_at_once(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip-81: it neither waits nor moves the last id."""
        publish_ok(control_port, item(channel, "1"), item(channel, "9", "8", no_seq=True), item(channel, "2", "1"))
        assert read_ids(client, 3) == ["1", "9", "2"]
        publish_ok(control_port, item(channel, "10", "9"))
        client.assert_silent(0.3)

    def test_it_releases_nothing(self, client: RawClient, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"), item(channel, "2", "1", no_seq=True))
        assert read_ids(client, 2) == ["1", "2"]
        client.assert_silent(0.3)

    def test_without_an_id_it_clears_nothing(self, client: RawClient, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, None, no_seq=True), item(channel, "9", "8"))
        assert read_ids(client, 2) == ["1", "-"]
        client.assert_silent(0.3)


def test_without_subscribers_nothing_is_remembered(stage: Stage, channel: str, control_port: int) -> None:
    """grip-82: neither what was last, nor what would have had to wait."""
    publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"))
    client = stage.stream(channel)
    publish_ok(control_port, item(channel, "7", "6"))
    assert read_ids(client, 1) == ["7"]
    client.assert_silent(WAIT_S + 1.2)


class TestRefused:
    def test_second_with_one_prev_id(self, client: RawClient, channel: str, control_port: int) -> None:
        """grip-84: of two that would follow the same item, the later one is lost."""
        publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"), item(channel, "3b", "2"))
        publish_ok(control_port, item(channel, "2", "1"))
        assert read_ids(client, 3) == ["1", "2", "3"]
        client.assert_silent(WAIT_S + 1.2)

    def test_second_is_welcome_when_the_first_is_gone(self, client: RawClient, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "3", "2"), item(channel, "2", "1"))
        publish_ok(control_port, item(channel, "5", "4"))
        publish_ok(control_port, item(channel, "3b", "2"), item(channel, "4", "3"))
        assert read_ids(client, 5) == ["1", "2", "3", "4", "5"]
        assert read_ids(client, 1) == ["3b"]

    def test_more_than_a_hundred(self, stage: Stage, client: RawClient, channel: str, control_port: int) -> None:
        """grip-85: of 101 waiting items of a channel the last is lost; another channel has its own hundred."""
        other = fresh_channel()
        others = stage.stream(other)
        ids = [str(number) for number in range(101)]
        publish_ok(control_port, item(channel, "first"), *(item(channel, each, f"before {each}") for each in ids))
        publish_ok(control_port, item(other, "1"), item(other, "3", "2"), item(other, "2", "1"))
        assert read_ids(others, 3) == ["1", "2", "3"]
        assert read_ids(client, 1) == ["first"]
        assert sorted(read_ids(client, 100)) == sorted(ids[:100])
        client.assert_silent(0.3)
