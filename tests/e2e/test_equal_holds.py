"""Very many clients that get the same instruct are held alike; one that differs in anything is held in its own way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from tests.harness.backend import AnyReply, Reply, ScriptedBackend, in_one_write
from tests.harness.client import RawClient, fetch
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.messages import Request
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, response_item, stream_item
from tests.harness.timing import eventually
from tests.harness.watch import scrape


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"prefix,prefix=p- {target}",
        settings={
            "handler": {
                "update_on_first_subscription": "false",
                "connection_subscription_max": 3,
                "prometheus_port": f"127.0.0.1:{metrics_port}",
            }
        },
    )


@pytest.fixture(autouse=True)
def idle_connection(stage: Stage) -> None:
    """Holds begin without a task only where a connection to the backend is idle."""
    stage.received()


def hold(stage: Stage, reply: Reply, *, host: str = "localhost", version: str = "1.1") -> RawClient:
    """A client that is held by an answer which comes in one write, as most do."""
    path = stage.backend.serve(in_one_write(reply))
    client = stage.client()
    client.request(path, host=host, version=version)
    stage.proxy.wait_held(path)
    return client


def test_streams(stage: Stage) -> None:
    """Each gets the beginning, and everything after that."""
    channel = fresh_channel()
    clients = [hold(stage, stream_reply(channel, b"welcome", [("X-A", "1")])) for _ in range(4)]
    heads = [client.read_head() for client in clients]
    assert [head.headers for head in heads] == [heads[0].headers] * 4
    assert ("X-A", "1") in heads[0].headers
    assert [client.read_data(7) for client in clients] == [b"welcome"] * 4
    publish_ok(stage.proxy.control_port, stream_item(channel, "news"))
    assert [client.read_data(4) for client in clients] == [b"news"] * 4


def test_polls(stage: Stage) -> None:
    """Also the one whose answer comes first, and those that ask again on the same connection."""
    channel = fresh_channel()
    path = stage.backend.serve(in_one_write(poll_reply(channel)))
    clients = [stage.client() for _ in range(4)]
    for number in range(3):
        for client in clients:
            client.request(path)
        stage.proxy.wait_held(path, 4 * (number + 1))
        publish_ok(stage.proxy.control_port, response_item(channel, f"news {number}"))
        assert [client.read_response().text for client in clients] == [f"news {number}"] * 4


DIFFERENT: list[tuple[str, Callable[[str], Reply]]] = [
    ("another body", lambda channel: stream_reply(channel, b"Welcome")),
    ("another field", lambda channel: stream_reply(channel, b"welcome", [("X-A", "1")])),
    ("another channel", lambda channel: stream_reply(f"{channel}-2", b"welcome")),
    ("another mode", lambda channel: poll_reply(channel, b"welcome")),
    ("a keep-alive", lambda channel: stream_reply(channel, b"welcome", [("Grip-Keep-Alive", "x; timeout=20")])),
    ("too many channels", lambda channel: stream_reply(f"{channel}, b, c, d", b"welcome")),
]


@pytest.mark.parametrize("make", [case[1] for case in DIFFERENT], ids=[case[0] for case in DIFFERENT])
def test_another_answer(stage: Stage, make: Callable[[str], Reply]) -> None:
    """Between two that are equal, and twice."""
    channel = fresh_channel()
    plain, other = stream_reply(channel, b"welcome"), make(channel)
    replies = [plain, other, plain, plain, other, other, plain]
    clients = [(reply, hold(stage, reply)) for reply in replies]
    publish_ok(stage.proxy.control_port, stream_item(channel, "news"), response_item(channel, "news"))
    publish_ok(stage.proxy.control_port, stream_item(f"{channel}-2", "news"))
    for reply, client in clients:
        if ("Grip-Hold", "response") in reply.headers:
            assert client.read_response().text == "news"
            continue
        head = client.read_head()
        assert (("X-A", "1") in head.headers) is (("X-A", "1") in reply.headers)
        assert client.read_data(11) == bytes(reply.body) + b"news"  # type: ignore[arg-type]


def test_another_route(stage: Stage) -> None:
    """Its prefix makes other channels of the same answer."""
    channel = fresh_channel()
    reply = stream_reply(channel, b"welcome")
    plain, prefixed = hold(stage, reply), hold(stage, reply, host="prefix")
    for client in (plain, prefixed):
        client.read_head()
        assert client.read_data(7) == b"welcome"
    publish_ok(stage.proxy.control_port, stream_item(f"p-{channel}", "prefixed"))
    publish_ok(stage.proxy.control_port, stream_item(channel, "plain"))
    assert (plain.read_data(5), prefixed.read_data(8)) == (b"plain", b"prefixed")


def test_another_version(stage: Stage) -> None:
    """grip-55: of HTTP, whose body is not chunked."""
    channel = fresh_channel()
    reply = stream_reply(channel, b"welcome")
    new, old = hold(stage, reply), hold(stage, reply, version="1.0")
    assert (new.read_head().framing, old.read_head().framing) == ("chunked", "close")
    assert new.read_data(7) == b"welcome"
    publish_ok(stage.proxy.control_port, stream_item(channel, "news"))
    assert new.read_data(4) == b"news"
    assert old.read_exactly(11) == b"welcomenews"


def test_after_a_faulty_one(stage: Stage) -> None:
    """Answers that hold nobody are not followed by the next."""
    channel = fresh_channel()
    reply = stream_reply(channel, b"welcome")
    faulty = Reply(headers=[("Grip-Hold", "strea"), ("Grip-Channel", channel)], body=b"welcome")
    for _ in range(2):
        hold(stage, reply).read_head()
        path = stage.backend.serve(in_one_write(faulty))
        assert fetch(stage.proxy.port, path).status == 502


def test_head_requests_stay_what_they_are(stage: Stage) -> None:
    """Deviation of grip spec §6.1: head only, though the answer is that of the one before."""
    channel = fresh_channel()
    reply = stream_reply(channel)
    hold(stage, reply).read_head()
    path = stage.backend.serve(in_one_write(reply))
    for _ in range(2):
        response = fetch(stage.proxy.port, path, method="HEAD")
        assert (response.status, response.body) == (200, b"")


def test_too_many_channels_are_told_each_time(stage: Stage, metrics_port: int) -> None:
    """grip spec §3.2"""

    def refused() -> float:
        lines = fetch(metrics_port, "/").text.splitlines()
        return next(
            float(line.split()[1]) for line in lines if line.startswith("holdfast_subscriptions_refused_total ")
        )

    before = refused()
    for _ in range(3):
        hold(stage, stream_reply("a, b, c, d, e"))
    assert refused() == before + 6


def test_nothing_is_kept_of_those_who_have_left(stage: Stage, metrics_port: int) -> None:
    def plans() -> float:
        return scrape(metrics_port)["hold_plans"]

    eventually(lambda: plans() == 0, "no plan from before")
    clients = [hold(stage, stream_reply(fresh_channel())) for _ in range(2)]
    assert plans() == 2
    for client in clients:
        client.close()
    eventually(lambda: plans() == 0, "plans are forgotten")


def test_a_client_that_has_not_taken_its_answers(stage: Stage) -> None:
    """It cannot be parked before it has, and is held all the same."""
    channel = fresh_channel()
    body = bytes(3_000_000)
    turns: Iterator[AnyReply] = itertools.cycle([Reply(body=body), in_one_write(stream_reply(channel, b"welcome"))])

    def answer(_request: Request) -> AnyReply:
        return next(turns)

    path = stage.backend.serve(answer)
    client = stage.client()
    client.request(path)
    client.request(path)
    assert client.read_response().body == body
    client.read_head()
    assert client.read_data(7) == b"welcome"
    publish_ok(stage.proxy.control_port, stream_item(channel, "news"))
    assert client.read_data(4) == b"news"
