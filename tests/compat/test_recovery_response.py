"""Long polls that missed something: asked again at the backend, so that the client need not know."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.backend import AnyReply, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, encode_chunk, fetch
from tests.harness.grip import Stage, fresh_channel, instruct_reply, poll_reply, stream_reply
from tests.harness.messages import Request
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import Item, publish_ok, response_item, with_ids
from tests.harness.timing import eventually, scaled

LINGER_S = 2.0
ANSWER = Reply(body=b"answered by the backend")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"prefix,prefix=p- {target}",
        settings={"handler": {"connection_subscription_max": 100, "update_on_first_subscription": "false"}},
    )


@pytest.fixture(scope="module")
def updating(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    """A proxy that asks again after the first subscription of a channel, and lets channels linger briefly."""
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={"handler": {"subscription_linger": int(LINGER_S), "update_on_first_subscription": "true"}},
    )


@pytest.fixture(scope="module")
def subscribed(proxy: ProxyUnderTest, backend: ScriptedBackend) -> Iterator[Iterator[str]]:
    """Names of channels that a stream stays subscribed to.

    So 1.36, which cannot be told not to, has nothing to repeat a second after the first subscription, and what is
    published is remembered without any poll.
    """
    names = [*(fresh_channel() for _ in range(60)), "p-prefixed"]
    path = backend.serve(stream_reply(", ".join(names)))
    with RawClient(proxy.port) as keeper:
        keeper.request(path)
        proxy.wait_held(path)
        proxy.settle_first_subscriptions()
        yield iter(names[:-1])


@pytest.fixture
def channel(subscribed: Iterator[str]) -> str:
    """A channel of one's own that is subscribed to."""
    return next(subscribed)


class Turns:
    """Backend answers, one after the other (the last one is repeated), and when they were asked for."""

    def __init__(self, *replies: AnyReply) -> None:
        self._replies = replies
        self._numbers = itertools.count()
        self.times: list[float] = []

    def __call__(self, _request: Request) -> AnyReply:
        self.times.append(time.monotonic())
        return self._replies[min(next(self._numbers), len(self._replies) - 1)]


def item(channel: str, item_id: str | None = None, prev_id: str | None = None) -> Item:
    """A response item whose body is ``item`` and its id."""
    return with_ids(response_item(channel, f"item {item_id}"), item_id, prev_id)


def hint(channel: str) -> Item:
    """An item that has the polls of ``channel`` asked again."""
    return {"channel": channel, "formats": {"http-response": {"action": "hint"}}}


def follows(channel: str, item_id: str, **options: Any) -> Reply:
    """A poll that has seen ``item_id``."""
    return poll_reply(f"{channel}; prev-id={item_id}", **options)


def recover(control_port: int) -> None:
    """Have everybody asked again."""
    response = fetch(control_port, "/recover/", method="POST", body=b"")
    assert (response.status, response.text) == (200, "Updated\n")


def asks(stage: Stage, path: str, count: int, timeout_s: float = 5.0) -> list[Request]:
    """The requests for ``path``, once there are ``count`` of them; more are a failure."""
    eventually(lambda: len(stage.backend.requests(path)) >= count, f"{count} requests for {path}", timeout_s)
    requests = stage.backend.requests(path)
    assert len(requests) == count, requests
    return requests


class TestConflict:
    """The backend answered with a ``prev-id`` that is not the last id any more."""

    def test_it_is_asked_again_at_once(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip-46: without the delay of other retries; the connection then goes on."""
        publish_ok(control_port, item(channel, "1"), item(channel, "2", "1"))
        turns = Turns(follows(channel, "1"), ANSWER)
        path = stage.backend.serve(turns)
        client = stage.client()
        client.request(path)
        assert client.read_response().text == "answered by the backend"
        first, second = asks(stage, path, 2)
        assert (first.all("Grip-Last"), second.all("Grip-Last")) == ([], [f"{channel}; last-id=1"])
        assert turns.times[1] - turns.times[0] < scaled(0.08)
        client.assert_silent(0.1)
        client.request(stage.backend.serve(Reply(body=b"next")))
        assert client.read_response().text == "next"

    def test_instruct_in_json(self, stage: Stage, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "2"))
        hold = {"mode": "response", "channels": [{"name": channel, "prev-id": "1"}]}
        path = stage.backend.serve(Turns(instruct_reply({"hold": hold}), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"
        assert asks(stage, path, 2)[1].all("Grip-Last") == [f"{channel}; last-id=1"]

    def test_last_id_is_no_conflict(self, stage: Stage, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "1"), item(channel, "2", "1"))
        client = stage.hold(follows(channel, "2"))
        publish_ok(control_port, item(channel, "3", "2"))
        assert client.read_response().text == "item 3"

    def test_nor_is_an_unknown_one(self, stage: Stage, channel: str, control_port: int) -> None:
        client = stage.hold(follows(channel, "7"))
        publish_ok(control_port, item(channel, "8", "7"))
        assert client.read_response().text == "item 8"

    def test_empty_id_is_an_id(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip-12."""
        publish_ok(control_port, item(channel, "1"))
        path = stage.backend.serve(Turns(follows(channel, ""), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"
        (last,) = asks(stage, path, 2)[1].all("Grip-Last")
        assert last.startswith(f"{channel}; last-id")

    def test_parameter_without_a_value_is_no_id(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip-12."""
        publish_ok(control_port, item(channel, "1"))
        client = stage.hold(poll_reply(f"{channel}; prev-id"))
        publish_ok(control_port, item(channel, "9", "8"), item(channel, "2", "1"))
        assert client.read_response().text == "item 2"

    def test_quoted_id(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip-11: the quotes are not part of it."""
        publish_ok(control_port, item(channel, "1;2"))
        client = stage.hold(follows(channel, '"1;2"'))
        publish_ok(control_port, item(channel, "3", "1;2"))
        assert client.read_response().text == "item 3"

    @pytest.mark.parametrize("is_chunked", [False, True], ids=["sized", "chunked"])
    def test_request_is_the_original(self, stage: Stage, channel: str, control_port: int, is_chunked: bool) -> None:
        """grip-47: method, target, headers and body; it is signed and announces GRIP like the first."""
        publish_ok(control_port, item(channel, "2"))
        path = stage.backend.serve(Turns(follows(channel, "1"), ANSWER))
        body = bytes(range(256)) * 20
        headers = [("X-A", "1"), ("Cookie", "a=b"), ("x-a", "2"), ("Content-Type", "application/octet-stream")]
        client = stage.client()
        if is_chunked:
            headers.append(("Transfer-Encoding", "chunked"))
            client.request(f"{path}?q=%20a&b", method="PUT", headers=headers)
            client.send(encode_chunk(body[:1000]) + encode_chunk(body[1000:]) + encode_chunk(b""))
        else:
            client.request(f"{path}?q=%20a&b", method="PUT", headers=headers, body=body)
        assert client.read_response().text == "answered by the backend"
        first, second = asks(stage, path, 2)
        assert (second.method, second.target, bytes(second.body)) == ("PUT", f"{path}?q=%20a&b", body)
        assert second.all("X-A") == ["1", "2"]
        assert (second.header("Cookie"), second.header("Host")) == ("a=b", "localhost")
        own = {"grip-last", "grip-sig", "content-length", "transfer-encoding"}
        assert sorted(h for h in second.headers if h[0].lower() not in own) == sorted(
            h for h in first.headers if h[0].lower() not in own
        )
        assert second.header("Grip-Sig")
        assert second.header("Grip-Feature")

    def test_client_cannot_send_the_header(self, stage: Stage, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "2"))
        path = stage.backend.serve(Turns(follows(channel, "1"), ANSWER))
        fetch(stage.proxy.port, path, headers=[("Grip-Last", "other; last-id=9")])
        first, second = asks(stage, path, 2)
        assert (first.all("Grip-Last"), second.all("Grip-Last")) == ([], [f"{channel}; last-id=1"])

    def test_same_stale_id_is_held(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip-48: the backend insists."""
        publish_ok(control_port, item(channel, "2"))
        path = stage.backend.serve(follows(channel, "1"))
        client = stage.client()
        client.request(path)
        asks(stage, path, 2)
        client.assert_silent(0.4)
        asks(stage, path, 2)
        publish_ok(control_port, item(channel, "5", "1"))
        assert client.read_response().text == "item 5"

    def test_error_is_passed_on(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip-49."""
        publish_ok(control_port, item(channel, "2"))
        down = Reply(503, "Sorry", headers=[("Retry-After", "7"), ("X-B", "b")], body=b"down")
        path = stage.backend.serve(Turns(follows(channel, "1", headers=[("X-A", "kept")]), down))
        response = fetch(stage.proxy.port, path)
        assert (response.status, response.reason, response.text) == (503, "Sorry", "down")
        assert (response.header("Retry-After"), response.header("X-B"), response.has("X-A")) == ("7", "b", False)

    def test_long_answer_is_passed_on(self, stage: Stage, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "2"))
        path = stage.backend.serve(Turns(follows(channel, "1"), Reply(body=b"x" * 2_000_000)))
        assert fetch(stage.proxy.port, path).body == b"x" * 2_000_000

    def test_all_channels_with_an_id_are_told(self, stage: Stage, subscribed: Iterator[str], control_port: int) -> None:
        """One line each, also for those without conflict; none for a channel without ``prev-id``."""
        stale, fresh, unknown, plain = (next(subscribed) for _ in range(4))
        publish_ok(control_port, item(stale, "2"), item(fresh, "f"), item(plain, "p"))
        channels = f"{stale}; prev-id=1, {fresh}; prev-id=f, {unknown}; prev-id=u, {plain}"
        path = stage.backend.serve(Turns(poll_reply(channels), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"
        lasts = asks(stage, path, 2)[1].all("Grip-Last")
        assert sorted(lasts) == sorted([f"{stale}; last-id=1", f"{fresh}; last-id=f", f"{unknown}; last-id=u"])

    def test_every_conflict_is_settled_at_once(
        self, stage: Stage, subscribed: Iterator[str], control_port: int
    ) -> None:
        """Two stale channels cost one retry, and what had no conflict is still remembered."""
        one, two, fresh = (next(subscribed) for _ in range(3))
        publish_ok(control_port, item(one, "2"), item(two, "2"), item(fresh, "f"))
        path = stage.backend.serve(poll_reply(f"{one}; prev-id=1, {two}; prev-id=1, {fresh}; prev-id=f"))
        client = stage.client()
        client.request(path)
        asks(stage, path, 2)
        client.assert_silent(0.3)
        asks(stage, path, 2)
        again = stage.backend.serve(Turns(follows(fresh, "e"), ANSWER))
        assert fetch(stage.proxy.port, again).text == "answered by the backend"

    def test_prefix_is_not_told(self, stage: Stage, subscribed: Iterator[str], control_port: int) -> None:
        """The backend knows its channel by its bare name."""
        publish_ok(control_port, item("p-prefixed", "2"))
        path = stage.backend.serve(Turns(follows("prefixed", "1"), ANSWER))
        assert fetch(stage.proxy.port, path, host="prefix").text == "answered by the backend"
        assert asks(stage, path, 2)[1].all("Grip-Last") == ["prefixed; last-id=1"]

    def test_conflict_of_the_second_answer(self, stage: Stage, subscribed: Iterator[str], control_port: int) -> None:
        """It is judged like the first."""
        one, two = next(subscribed), next(subscribed)
        publish_ok(control_port, item(one, "2"), item(two, "2"))
        path = stage.backend.serve(Turns(follows(one, "1"), follows(two, "1"), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"
        first, second, third = (request.all("Grip-Last") for request in asks(stage, path, 3))
        assert (first, second) == ([], [f"{one}; last-id=1"])
        assert f"{two}; last-id=1" in third

    @differs("retry-of-a-retry")
    def test_only_the_last_answer_is_told(self, stage: Stage, subscribed: Iterator[str], control_port: int) -> None:
        """A channel that it does not hold is nobody's any more."""
        one, two = next(subscribed), next(subscribed)
        publish_ok(control_port, item(one, "2"), item(two, "2"))
        path = stage.backend.serve(Turns(follows(one, "1"), follows(two, "1"), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"
        assert asks(stage, path, 3)[2].all("Grip-Last") == [f"{two}; last-id=1"]


class TestHint:
    def test_within_an_instant(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip-50: and without `Grip-Last` if the poll named no id."""
        turns = Turns(poll_reply(channel), ANSWER)
        path = stage.backend.serve(turns)
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        start = time.monotonic()
        publish_ok(control_port, hint(channel))
        assert client.read_response().text == "answered by the backend"
        assert turns.times[1] - start < scaled(0.05)
        assert asks(stage, path, 2)[1].all("Grip-Last") == []

    @differs("hint-with-id")
    def test_last_id_is_the_one_of_the_hold(self, stage: Stage, channel: str, control_port: int) -> None:
        """What the client has, and not what the hint says that there is."""
        path = stage.backend.serve(Turns(follows(channel, "1"), ANSWER))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        publish_ok(control_port, {**hint(channel), "id": "2", "prev-id": "1"})
        assert client.read_response().text == "answered by the backend"
        assert asks(stage, path, 2)[1].all("Grip-Last") == [f"{channel}; last-id=1"]

    def test_others_are_left_alone(self, stage: Stage, subscribed: Iterator[str], control_port: int) -> None:
        hinted, other = next(subscribed), next(subscribed)
        path, other_path = (
            stage.backend.serve(Turns(poll_reply(hinted), ANSWER)),
            stage.backend.serve(poll_reply(other)),
        )
        clients = [stage.client(), stage.client()]
        for client, each in zip(clients, (path, other_path), strict=True):
            client.request(each)
            stage.proxy.wait_held(each)
        publish_ok(control_port, hint(hinted))
        assert clients[0].read_response().text == "answered by the backend"
        clients[1].assert_silent(0.3)
        asks(stage, other_path, 1)

    def test_again_and_again(self, stage: Stage, subscribed: Iterator[str], control_port: int) -> None:
        """The new answer counts in full: its channels replace the old ones, and it is what the timeout sends."""
        names = [next(subscribed) for _ in range(4)]
        path = stage.backend.serve(Turns(*(poll_reply(name, headers=[("X-Kept", name)]) for name in names)))
        client = stage.client()
        client.request(path)
        for count, name in enumerate(names[:-1], 1):
            stage.proxy.wait_held(path, count)
            publish_ok(control_port, hint(name))
        stage.proxy.wait_held(path, len(names))
        publish_ok(control_port, item(names[0]), item(names[1]), item(names[2]), hint(names[0]))
        client.assert_silent(0.2)
        publish_ok(control_port, item(names[3], "now"))
        response = client.read_response()
        assert (response.text, response.all("X-Kept")) == ("item now", [names[3]])
        asks(stage, path, 4)

    def test_timeout_starts_anew(self, stage: Stage, channel: str, control_port: int) -> None:
        """With what the second answer says."""
        turns = Turns(
            poll_reply(channel, b"first", [("Grip-Timeout", "5")]),
            poll_reply(channel, b"second", [("Grip-Timeout", "5")]),
        )
        path = stage.backend.serve(turns)
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        client.assert_silent(1.5)
        publish_ok(control_port, hint(channel))
        assert client.read_response(timeout_s=8).text == "second"
        assert 4.9 < time.monotonic() - turns.times[1] < 5 + scaled(1)

    def test_stream_as_second_answer(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve(Turns(poll_reply(channel), stream_reply(channel, b"begun")))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        publish_ok(control_port, hint(channel))
        assert client.read_head().status == 200
        assert client.read_data(5) == b"begun"
        stage.proxy.wait_held(path, 2)
        publish_ok(control_port, {"channel": channel, "formats": {"http-stream": {"content": " and on"}}})
        assert client.read_data(7) == b" and on"

    def test_bad_instruct_as_second_answer(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve(Turns(poll_reply(channel), Reply(headers=[("Grip-Hold", "nonsense")])))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        publish_ok(control_port, hint(channel))
        response = client.read_response()
        assert (response.status, response.text) == (502, "Error while proxying to origin.\n")

    def test_pipelined_request_goes_on_waiting(self, stage: Stage, channel: str, control_port: int) -> None:
        path, plain = stage.backend.serve(Turns(poll_reply(channel), ANSWER)), stage.backend.serve(Reply(body=b"plain"))
        client = stage.client()
        client.request(path)
        client.request(plain)
        stage.proxy.wait_held(path)
        publish_ok(control_port, hint(channel))
        assert [client.read_response().text for _ in range(2)] == ["answered by the backend", "plain"]


class TestRecover:
    def test_after_a_tenth_of_a_second(self, stage: Stage, subscribed: Iterator[str], control_port: int) -> None:
        """grip-50: whatever the channel; with the id of the hold, if there is one."""
        one, two = next(subscribed), next(subscribed)
        turns = [Turns(poll_reply(one), ANSWER), Turns(follows(two, "7"), ANSWER)]
        paths = [stage.backend.serve(each) for each in turns]
        clients = [stage.client(), stage.client()]
        for client, path in zip(clients, paths, strict=True):
            client.request(path)
            stage.proxy.wait_held(path)
        start = time.monotonic()
        recover(control_port)
        assert [client.read_response().text for client in clients] == ["answered by the backend"] * 2
        assert all(0.04 < each.times[1] - start < scaled(0.25) for each in turns), [each.times for each in turns]
        assert asks(stage, paths[0], 2)[1].all("Grip-Last") == []
        assert asks(stage, paths[1], 2)[1].all("Grip-Last") == [f"{two}; last-id=7"]

    def test_last_ids_are_forgotten(self, stage: Stage, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "2"))
        recover(control_port)
        path = stage.backend.serve(follows(channel, "1"))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        client.assert_silent(0.3)
        asks(stage, path, 1)

    @differs("item-before-update")
    def test_item_may_come_first(self, stage: Stage, channel: str, control_port: int) -> None:
        """A hold that an item ended has nothing left to ask for."""
        path = stage.backend.serve(poll_reply(channel))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        recover(control_port)
        publish_ok(control_port, item(channel, "1"))
        assert client.read_response(timeout_s=1).text == "item 1"
        client.assert_silent(0.3)
        asks(stage, path, 1)

    @differs("hint-before-update")
    def test_hint_is_quicker(self, stage: Stage, channel: str, control_port: int) -> None:
        """A retry that waits for its turn is made at once, and only once."""
        turns = Turns(poll_reply(channel))
        path = stage.backend.serve(turns)
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        start = time.monotonic()
        recover(control_port)
        publish_ok(control_port, hint(channel))
        stage.proxy.wait_held(path, 2)
        assert turns.times[1] - start < scaled(0.06)
        client.assert_silent(0.3)
        asks(stage, path, 2)

    def test_client_that_has_left(self, stage: Stage, channel: str, control_port: int) -> None:
        """Nobody asks for it any more."""
        path = stage.backend.serve(poll_reply(channel))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        recover(control_port)
        client.close()
        time.sleep(0.4)
        asks(stage, path, 1)


class TestGap:
    """An item that does not follow the ``prev-id`` of the hold."""

    @pytest.mark.parametrize("prev_id", ["8", None], ids=["other", "absent"])
    def test_it_is_asked_for_instead(self, stage: Stage, channel: str, control_port: int, prev_id: str | None) -> None:
        """grip spec §10.3: not delivered; the backend is asked after the delay of low priority."""
        turns = Turns(follows(channel, "1"), ANSWER)
        path = stage.backend.serve(turns)
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        start = time.monotonic()
        publish_ok(control_port, item(channel, "9", prev_id))
        assert client.read_response().text == "answered by the backend"
        assert 0.04 < turns.times[1] - start < scaled(0.25)
        assert asks(stage, path, 2)[1].all("Grip-Last") == [f"{channel}; last-id=1"]

    def test_last_id_is_forgotten(self, stage: Stage, channel: str, control_port: int) -> None:
        """So the second answer may name the same id, is held, and receives what follows that."""
        path = stage.backend.serve(follows(channel, "1"))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        publish_ok(control_port, item(channel, "9", "8"))
        asks(stage, path, 2)
        client.assert_silent(0.3)
        asks(stage, path, 2)
        publish_ok(control_port, item(channel, "2", "1"))
        assert client.read_response().text == "item 2"

    def test_following_items_do_not_rush_in(self, stage: Stage, channel: str, control_port: int) -> None:
        """The backend is expected to know what was published before it is asked."""
        path = stage.backend.serve(Turns(follows(channel, "1"), ANSWER))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        publish_ok(control_port, item(channel, "9", "8"), item(channel, "10", "9"))
        assert client.read_response().text == "answered by the backend"
        asks(stage, path, 2)

    def test_poll_without_id_takes_everything(self, stage: Stage, channel: str, control_port: int) -> None:
        publish_ok(control_port, item(channel, "8"))
        client = stage.poll(channel)
        publish_ok(control_port, item(channel, "9", "8"))
        assert client.read_response().text == "item 9"


def release(clients: list[RawClient], body: str) -> None:
    """Read the answers of all ``clients``, which must be ``body``."""
    assert [client.read_response().text for client in clients] == [body] * len(clients)


class TestManyPolls:
    """When the backend is asked; 1.36 drops some clients of such a burst, so it need not be asked for all."""

    @staticmethod
    def hold(stage: Stage, channel: str, count: int) -> Turns:
        """Polls of one path and channel, whose second answer is an ordinary one."""
        turns = Turns(*[poll_reply(channel)] * count, ANSWER)
        path = stage.backend.serve(turns)
        for number in range(1, count + 1):
            stage.client().request(path)
            if number % 10 == 0:
                stage.proxy.wait_held(path, number)
        return turns

    @staticmethod
    def asked_again(turns: Turns, start: float, held: int, fewest: int) -> list[float]:
        """The times of the second requests, since ``start``."""
        eventually(lambda: len(turns.times) >= held + fewest, "most polls to be asked again")
        time.sleep(0.3)
        return sorted(each - start for each in turns.times[held:])

    def test_hint(self, stage: Stage, channel: str, control_port: int) -> None:
        """All at once."""
        turns = self.hold(stage, channel, 30)
        start = time.monotonic()
        publish_ok(control_port, hint(channel))
        assert self.asked_again(turns, start, 30, 15)[-1] < scaled(0.8)

    def test_recover(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip spec §7.2: a hundred every tenth of a second."""
        turns = self.hold(stage, channel, 140)
        start = time.monotonic()
        recover(control_port)
        times = self.asked_again(turns, start, 140, 105)
        assert times[0] > 0.04
        assert times[100] - times[0] > 0.06
        assert times[-1] < scaled(0.7)


class TestLeaving:
    def test_client_that_leaves_during_a_retry(self, stage: Stage, channel: str, control_port: int) -> None:
        """The backend's answer then holds nobody."""
        may_answer = threading.Event()
        slow = Reply(
            headers=[("Grip-Hold", "response"), ("Grip-Channel", channel), ("Content-Type", "text/plain")],
            body=[may_answer, b"late"],
        )
        path = stage.backend.serve(Turns(poll_reply(channel), slow))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        publish_ok(control_port, hint(channel))
        asks(stage, path, 2)
        client.close()
        time.sleep(0.2)
        may_answer.set()
        time.sleep(0.2)
        asks(stage, path, 2)
        other = stage.poll(channel)
        publish_ok(control_port, item(channel, "1"))
        stage.proxy.wait_log(rf"publish channel={channel} receivers=1$")
        assert other.read_response().text == "item 1"

    def test_item_during_a_retry(self, stage: Stage, channel: str, control_port: int) -> None:
        """grip spec §13.7: the poll is not held meanwhile; the backend's second answer is what counts."""
        may_answer = threading.Event()
        path = stage.backend.serve(Turns(poll_reply(channel), Reply(body=[may_answer, b"up to date"], length=10)))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        publish_ok(control_port, hint(channel))
        asks(stage, path, 2)
        publish_ok(control_port, item(channel, "1"), hint(channel))
        may_answer.set()
        assert client.read_response().text == "up to date"
        asks(stage, path, 2)

    def test_item_during_a_retry_that_is_held_again(self, stage: Stage, channel: str, control_port: int) -> None:
        """An item that the second answer knows nothing of is noticed by its id, and asked for."""
        may_answer = threading.Event()
        stale = Reply(
            headers=[("Grip-Hold", "response"), ("Grip-Channel", f"{channel}; prev-id=1")], body=[may_answer, b"x"]
        )
        path = stage.backend.serve(Turns(follows(channel, "1"), stale, ANSWER))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        publish_ok(control_port, hint(channel))
        asks(stage, path, 2)
        publish_ok(control_port, item(channel, "2", "1"))
        may_answer.set()
        assert client.read_response().text == "answered by the backend"
        asks(stage, path, 3)


class TestRoutes:
    def test_backend_that_is_down(self, launch_once: Launch, connect: Connect) -> None:
        """502, as for a first request; the connection goes on."""
        own = ScriptedBackend()
        proxy = launch_once(f"* 127.0.0.1:{own.port}")
        stage = Stage(proxy, own, connect)
        channel = fresh_channel()
        client = stage.poll(channel)
        own.stop()
        publish_ok(proxy.control_port, hint(channel))
        response = client.read_response()
        assert (response.status, response.reason) == (502, "Bad Gateway")
        assert response.text == "Error while proxying to origin.\n"
        own.start()
        client.request(own.serve(Reply(body=b"back")))
        assert client.read_response().text == "back"
        own.stop()

    @pytest.mark.parametrize(
        "stays",
        [pytest.param(True, id="id stays"), pytest.param(False, id="id goes", marks=differs("retry-without-route"))],
    )
    def test_route_id(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect, stays: bool) -> None:
        """grip spec §5.6: by the route of the first pass, if that still exists, whatever now comes before it."""
        other = ScriptedBackend()
        try:
            kept = f"*,id=kept 127.0.0.1:{backend.port}"
            proxy = launch_once(kept)
            stage = Stage(proxy, backend, connect)
            channel = fresh_channel()
            path = backend.serve(Turns(poll_reply(channel), Reply(body=b"old backend")))
            other.serve(Reply(body=b"new backend"), path)
            client = stage.client()
            client.request(path)
            proxy.wait_held(path)
            proxy.write_routes([f"localhost,id=new 127.0.0.1:{other.port}", *([kept] if stays else [])])
            probe = other.serve(Reply(body=b"probed"), "/probe")
            backend.serve(Reply(404), probe)
            eventually(lambda: fetch(proxy.port, probe).text == "probed", "the new routes")
            publish_ok(proxy.control_port, hint(channel))
            assert client.read_response().text == ("old backend" if stays else "new backend")
        finally:
            other.stop()


class TestFirstSubscription:
    def test_it_is_asked_again(self, updating: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
        """grip-51: 1.1 s after the first subscription of a channel, once; a second subscriber later is not."""
        stage = Stage(updating, backend, connect)
        channel = fresh_channel()
        turns = Turns(poll_reply(channel))
        path = backend.serve(turns)
        client = stage.client()
        client.request(path)
        updating.wait_held(path, 2)
        assert 1.0 < turns.times[1] - turns.times[0] < 1.2 + scaled(0.3)
        second_path = backend.serve(poll_reply(channel))
        second = stage.client()
        second.request(second_path)
        second.assert_silent(1.5)
        asks(stage, second_path, 1)
        assert [request.all("Grip-Last") for request in asks(stage, path, 2)] == [[], []]
        publish_ok(updating.control_port, item(channel, "1"))
        release([client, second], "item 1")

    def test_all_who_are_there_by_then(
        self, updating: ProxyUnderTest, backend: ScriptedBackend, connect: Connect
    ) -> None:
        stage = Stage(updating, backend, connect)
        channel = fresh_channel()
        paths = [backend.serve(Turns(poll_reply(channel), ANSWER)) for _ in range(2)]
        clients = []
        for path in paths:
            clients.append(stage.client())
            clients[-1].request(path)
            time.sleep(0.4)
        release(clients, "answered by the backend")
        for path in paths:
            asks(stage, path, 2)

    def test_not_while_the_channel_lingers(
        self, updating: ProxyUnderTest, backend: ScriptedBackend, connect: Connect
    ) -> None:
        """A poll that is followed by another in time is no first subscription."""
        stage = Stage(updating, backend, connect)
        channel = fresh_channel()
        first_path = backend.serve(poll_reply(channel))
        first = stage.client()
        first.request(first_path)
        updating.wait_held(first_path, 2)
        publish_ok(updating.control_port, item(channel, "1"))
        assert first.read_response().text == "item 1"
        time.sleep(0.5)
        second_path = backend.serve(poll_reply(channel))
        second = stage.client()
        second.request(second_path)
        second.assert_silent(1.5)
        asks(stage, second_path, 1)

    @differs("first-subscription-setting")
    def test_it_may_be_switched_off(self, stage: Stage) -> None:
        """grip-51: ``update_on_first_subscription=false``."""
        path = stage.backend.serve(poll_reply(fresh_channel()))
        client = stage.client()
        client.request(path)
        client.assert_silent(1.5)
        asks(stage, path, 1)


class TestLinger:
    """Between two polls of a client, its channel still counts as subscribed for a while."""

    @pytest.fixture
    def stage(self, updating: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> Stage:
        return Stage(updating, backend, connect)

    @pytest.fixture
    def channel(self, stage: Stage) -> str:
        """A channel that a poll has just left, with the item 1."""
        channel = fresh_channel()
        client = stage.poll(channel)
        publish_ok(stage.proxy.control_port, item(channel, "1"))
        assert client.read_response().text == "item 1"
        return channel

    def test_item_between_two_polls(self, stage: Stage, channel: str) -> None:
        """grip-52."""
        time.sleep(LINGER_S - 0.5)
        publish_ok(stage.proxy.control_port, item(channel, "2", "1"))
        path = stage.backend.serve(Turns(follows(channel, "1"), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"
        asks(stage, path, 2)

    def test_client_that_gave_up(self, stage: Stage) -> None:
        """It makes no difference how the last poll ended."""
        channel = fresh_channel()
        stage.poll(channel).close()
        time.sleep(0.3)
        publish_ok(stage.proxy.control_port, item(channel, "2", "1"))
        path = stage.backend.serve(Turns(follows(channel, "1"), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"

    def test_each_poll_starts_it_anew(self, stage: Stage, channel: str) -> None:
        time.sleep(LINGER_S - 0.7)
        stage.poll(channel).close()
        publish_ok(stage.proxy.control_port, item(channel, "2", "1"))
        time.sleep(LINGER_S - 0.7)
        path = stage.backend.serve(Turns(follows(channel, "1"), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"

    def test_afterwards_the_id_is_forgotten(self, stage: Stage, channel: str) -> None:
        """grip-53: there is no conflict any more."""
        publish_ok(stage.proxy.control_port, item(channel, "2", "1"))
        time.sleep(LINGER_S + 1)
        path = stage.backend.serve(follows(channel, "1"))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        client.assert_silent(0.3)
        asks(stage, path, 1)

    def test_stream_does_not_end_it(self, stage: Stage, channel: str) -> None:
        """Deviation of grip spec §5.8 from later versions."""
        stage.stream(channel).close()
        time.sleep(0.3)
        publish_ok(stage.proxy.control_port, item(channel, "2", "1"))
        path = stage.backend.serve(Turns(follows(channel, "1"), ANSWER))
        assert fetch(stage.proxy.port, path).text == "answered by the backend"
