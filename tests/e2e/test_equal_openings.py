"""Very many WebSockets over HTTP that get the same acceptance are opened alike; one that differs, in its own way."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend, in_one_write
from tests.harness.client import Connect, fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.messages import HeaderList
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually
from tests.harness.tokens import make_token
from tests.harness.watch import scrape
from tests.harness.websocket import Frame, WebSocketClient, close, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import Event, EventsBackend, events_reply, opening, text_event
from tests.harness.ws_stage import WebSocketStage, control, frame_as_event, ws_item

DEFLATE = [("Sec-WebSocket-Extensions", "permessage-deflate")]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port},over_http"
    return launch(
        f"events,sockjs=/s {target}",
        f"prefix,prefix=p- {target}",
        f"implicit {target},sub=implicit",
        f"no-grip,no_grip {target}",
        settings={
            "proxy": {"upstream_key": "up"},
            "runner": {"allow_compression": "true"},
            "handler": {"connection_subscription_max": 3, "prometheus_port": f"127.0.0.1:{metrics_port}"},
        },
    )


@pytest.fixture
def ws(
    proxy: ProxyUnderTest, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
) -> WebSocketStage:
    return WebSocketStage(proxy, backend, ws_backend, connect)


@pytest.fixture(autouse=True)
def idle_connection(stage: Stage) -> None:
    """WebSockets are opened without a task only where a connection to the backend is idle."""
    path = stage.backend.serve(Reply())
    fetch(stage.proxy.port, path, host="events")


def subscribe(channel: str, **fields: object) -> Event:
    return frame_as_event(control("subscribe", channel=channel, **fields))


def accepting(*events: Event, headers: HeaderList | None = None) -> RawReply:
    """An acceptance in one write, as most are."""
    return in_one_write(opening(*events, grip=True, headers=headers or []))


def welcoming(channel: str) -> RawReply:
    """The usual acceptance."""
    return accepting(subscribe(channel), text_event("m:welcome"))


def opened(ws: WebSocketStage, reply: RawReply, **options: object) -> tuple[WebSocketClient, EventsBackend]:
    return ws.over_http(first=reply, **options)  # type: ignore[arg-type]


def test_subscribed_and_welcome(ws: WebSocketStage) -> None:
    channel = fresh_channel()
    both = [opened(ws, welcoming(channel)) for _ in range(5)]
    for client, _ in both:
        client.expect_text("welcome")
    ws.publish(ws_item(channel, "news"))
    for client, script in both:
        client.expect_text("news")
        client.send_text("hi")
        script.wait_for(text_event("hi"))
        client.close()
        assert script.wait_events(3) == [Event("DISCONNECT")]


def test_what_the_client_says_with_its_handshake(ws: WebSocketStage) -> None:
    for _ in range(4):
        script = EventsBackend(ws.backend, welcoming(fresh_channel()))
        client = ws.client()
        client.handshake(script.path, host="events")
        client.send_text("early")
        client.accepted()
        client.expect_text("welcome")
        script.wait_for(text_event("early"))


DIFFERENT: list[tuple[str, Callable[[str], RawReply], list[Frame], bool]] = [
    ("another message", lambda c: accepting(subscribe(c), text_event("m:Welcome")), [text("Welcome")], True),
    ("no message", lambda c: accepting(subscribe(c)), [], True),
    ("another channel", lambda c: accepting(subscribe(f"{c}-2"), text_event("m:welcome")), [text("welcome")], False),
    ("without GRIP", lambda c: in_one_write(opening(text_event("m:welcome"))), [text("m:welcome")], False),
    ("left again", lambda c: accepting(subscribe(c), frame_as_event(control("unsubscribe", channel=c))), [], False),
    (
        "a delayed message",
        lambda c: accepting(subscribe(c), frame_as_event(control("send-delayed", content="x"))),
        [],
        True,
    ),
    ("a filter", lambda c: accepting(subscribe(c, filters=["skip-users"])), [], True),
    ("several", lambda c: accepting(subscribe(f"{c}-2"), subscribe(c)), [], True),
    ("too many", lambda c: accepting(*(subscribe(f"{c}-{n}") for n in range(3)), subscribe(c)), [], False),
]


@pytest.mark.parametrize(
    ("make", "first", "is_subscribed"), [case[1:] for case in DIFFERENT], ids=[case[0] for case in DIFFERENT]
)
def test_another_acceptance(
    ws: WebSocketStage, make: Callable[[str], RawReply], first: list[Frame], is_subscribed: bool
) -> None:
    """Between some that are equal, and thrice."""
    channel = fresh_channel()
    plain, other = welcoming(channel), make(channel)
    replies = [plain, other, plain, plain, plain, other, other, other, plain, plain]
    clients = [(reply, opened(ws, reply)[0]) for reply in replies]
    for reply, client in clients:
        client.expect(*([text("welcome")] if reply is plain else first))
    ws.publish(ws_item(channel, "news"))
    for reply, client in clients:
        if reply is plain or is_subscribed:
            client.expect_text("news")
    for reply, client in clients:
        if reply is other and not is_subscribed:
            client.assert_silent(0.02)


def test_a_close(ws: WebSocketStage) -> None:
    """Each is closed, and none of the others."""
    channel = fresh_channel()
    closing = accepting(subscribe(channel), Event("CLOSE", (4000).to_bytes(2, "big")))
    open_clients = []
    for reply in [welcoming(channel), closing, closing, closing, welcoming(channel)]:
        client, _ = opened(ws, reply)
        if reply is closing:
            client.expect(close(4000))
        else:
            open_clients.append(client)
    ws.publish(ws_item(channel, "news"))
    for client in open_clients:
        client.expect_text("welcome", "news")


def test_other_routes(ws: WebSocketStage) -> None:
    """Prefix and implicit channels make other subscriptions of the same acceptance; without GRIP it is another."""
    channel = fresh_channel()
    hosts = ["events", "prefix", "implicit", "no-grip"]
    clients = {
        (host, number): opened(ws, welcoming(channel), host=host)[0]
        for host, number in itertools.product(hosts, range(3))
    }
    for (host, _), client in clients.items():
        if host == "no-grip":
            client.expect(control("subscribe", channel=channel), text("m:welcome"))
        else:
            client.expect_text("welcome")
    ws.publish(ws_item(channel, "plain"), ws_item(f"p-{channel}", "prefixed"), ws_item("implicit", "implied"))
    heard = {"events": ["plain"], "prefix": ["prefixed"], "implicit": ["plain", "implied"], "no-grip": []}
    for (host, _), client in clients.items():
        client.expect_text(*heard[host])


def test_behind_another_proxy(ws: WebSocketStage) -> None:
    """A GRIP proxy that we trust gets what the backend says as it is, its own acceptance included."""
    channel = fresh_channel()
    trusted = [("Grip-Sig", make_token({"iss": "x", "exp": int(time.time()) + 600}, b"up"))]
    for headers in ([], [], trusted, trusted, trusted, []):
        client, _ = opened(ws, welcoming(channel), headers=headers)
        if headers:
            client.expect(control("subscribe", channel=channel), text("m:welcome"))
        else:
            client.expect_text("welcome")


def test_compressed(ws: WebSocketStage) -> None:
    """A message is as the client wants it."""
    channel = fresh_channel()
    message = "m:" + 1000 * "x"
    for headers in ([], [], DEFLATE, DEFLATE, DEFLATE, []):
        client, _ = opened(ws, accepting(subscribe(channel), text_event(message)), headers=headers)
        frame = client.read_frame()
        assert (len(frame.payload) < 100) is bool(headers)
        assert frame.payload == message[2:].encode() or headers


def test_sockjs_over_a_websocket(ws: WebSocketStage) -> None:
    """It has a greeting, which comes first."""
    channel = fresh_channel()
    for _ in range(4):
        EventsBackend(ws.backend, welcoming(channel), path="/s/websocket")
        client = ws.client()
        client.handshake("/s/1/abc/websocket", host="events")
        client.accepted()
        client.expect_text("o", 'a["welcome"]')
        ws.publish(ws_item(channel, "news"))
        client.expect_text('a["news"]')


def test_fields(ws: WebSocketStage) -> None:
    """Those of the backend are in the 101; those for later requests are in these."""
    reply = accepting(
        text_event("m:welcome"), headers=[("X-Mine", "1"), ("Set-Meta-User", "u"), ("Keep-Alive-Interval", "30")]
    )
    both = []
    for _ in range(4):
        script = EventsBackend(ws.backend, reply)
        client = ws.client()
        client.handshake(script.path, host="events")
        response = client.accepted()
        both.append((client, script))
        assert response.header("X-Mine") == "1"
        assert [name for name, _ in response.headers if name.startswith(("Set-", "Keep-", "Content-"))] == []
    for client, script in both:
        client.expect_text("welcome")
        script.then(in_one_write(events_reply(text_event("m:re"), text_event("dropped"))))
        client.send_text("hi")
        client.expect_text("re")
        assert script.wait_request(2).header("Meta-User") == "u"


def test_too_many_channels_are_told_each_time(ws: WebSocketStage, metrics_port: int) -> None:
    """ws spec §2.4"""

    def refused() -> float:
        return scrape(metrics_port)["subscriptions_refused_total"]

    before = refused()
    reply = accepting(*(subscribe(name) for name in "abcde"))
    for _ in range(4):
        opened(ws, reply)
    eventually(lambda: refused() == before + 8, "all are told")


def test_nothing_is_kept_of_those_who_have_left(ws: WebSocketStage, metrics_port: int) -> None:
    def plans() -> float:
        return scrape(metrics_port)["hold_plans"]

    channel = fresh_channel()
    for _ in range(2):
        eventually(lambda: plans() == 0, "no plan from before")
        clients = [opened(ws, welcoming(channel))[0] for _ in range(3)]
        for client in clients:
            client.expect_text("welcome")
        eventually(lambda: plans() == 1, "all have the same plan")
        ws.publish(ws_item(channel, "news"))
        for client in clients:
            client.expect_text("news")
            client.close()
    eventually(lambda: plans() == 0, "plans are forgotten")
