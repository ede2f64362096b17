"""The demo's backend as Holdfast sees it, with a scripted control port behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import RawClient, fetch
from tests.harness.ports import free_port

from holdfast.demo.backend import (
    ACCEPTANCE,
    HOLDS,
    MAX_BODY_BYTES,
    MAX_CHARACTERS,
    MAX_EVENTS_BYTES,
    DemoBackend,
    event,
    events_in,
    items_for,
    running_backend,
)
from holdfast.grip.instruct import parse_instruct
from holdfast.grip.item import parse_item
from holdfast.grip.values import HoldMode
from holdfast.grip.ws_control import Subscribe, parse_control
from holdfast.grip.ws_extension import DEFAULT_PREFIX, parse_grip_extension
from holdfast.wire.ws_events import MEDIA_TYPE, Event, EventType, encode_events, read_events

PUBLISHED = Reply(headers=[("Content-Type", "application/json")], body=b'{"message":"Published","items":[]}\n')


@pytest.fixture(scope="module")
def control() -> Iterator[ScriptedBackend]:
    server = ScriptedBackend()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def demo(control: ScriptedBackend) -> Iterator[DemoBackend]:
    with running_backend(control.port) as server:
        yield server


@pytest.mark.parametrize("path", sorted(HOLDS))
def test_holds_are_complete_answers_with_grip_headers(demo: DemoBackend, path: str) -> None:
    with RawClient(demo.server_port) as client:
        for _ in range(2):  # the connection is kept: nothing of the hold is the backend's business
            client.request(path)
            response = client.read_response()
            assert (response.status, response.body) == (200, HOLDS[path].body)
            assert {name: response.header(name) for name in HOLDS[path].headers} == dict(HOLDS[path].headers)


@pytest.mark.parametrize(
    ("path", "content_type", "text"),
    [
        ("/", "text/html; charset=utf-8", "<title>Holdfast demo</title>"),
        ("/?a=b", "text/html; charset=utf-8", "Grip-Hold: stream"),
        ("/page.css", "text/css; charset=utf-8", "prefers-color-scheme"),
        ("/page.js", "text/javascript; charset=utf-8", "new EventSource("),
        ("/logo.svg", "image/svg+xml", "</svg>"),
    ],
)
def test_pages(demo: DemoBackend, path: str, content_type: str, text: str) -> None:
    response = fetch(demo.server_port, path)
    assert (response.status, response.header("Content-Type")) == (200, content_type)
    assert text in response.text
    assert "${" not in response.text or path == "/page.js"
    assert "default-src 'none'" in (response.header("Content-Security-Policy") or "")


def test_the_page_names_the_control_port(demo: DemoBackend) -> None:
    assert f'content="http://localhost:{demo.control_port}/publish/"' in fetch(demo.server_port, "/").text


def test_head_has_no_body(demo: DemoBackend) -> None:
    with RawClient(demo.server_port) as client:
        client.request("/", method="HEAD")
        assert int(client.read_response(method="HEAD").header("Content-Length") or 0) > 1000
        client.request("/nowhere")
        assert client.read_response().status == 404


def test_publish_sends_the_items_and_passes_the_answer_on(demo: DemoBackend, control: ScriptedBackend) -> None:
    path = control.serve(PUBLISHED, "/publish/")
    response = fetch(demo.server_port, "/publish", method="POST", body="  grüß dich \n".encode())
    assert (response.status, response.header("Content-Type"), response.body) == (
        200,
        "application/json",
        PUBLISHED.body,
    )
    request = control.requests(path)[-1]
    assert (request.header("Content-Type"), request.header("Accept")) == ("application/json", "application/json")
    assert json.loads(bytes(request.body)) == {"items": items_for("grüß dich")}


def test_a_refused_publish_is_shown_to_the_user(demo: DemoBackend, control: ScriptedBackend) -> None:
    control.serve(Reply(400, "Bad Request", body=b"Invalid format: no.\n"), "/publish/")
    response = fetch(demo.server_port, "/publish", method="POST", body=b"hello")
    assert (response.status, response.text) == (400, "Invalid format: no.\n")


def test_publishing_without_a_control_port_is_shown_to_the_user() -> None:
    with running_backend(free_port()) as server:
        response = fetch(server.server_port, "/publish", method="POST", body=b"hello")
    assert response.status == 502
    assert response.text.startswith("The message could not be published: ")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("/publish", b" \n", 400, id="nothing to say"),
        pytest.param("/publish", b"x" * (MAX_BODY_BYTES + 1), 413, id="too long"),
        pytest.param("/publish", b"x" * (MAX_CHARACTERS + 1), 413, id="too many characters"),
        pytest.param("/publish", None, 413, id="no length"),
        pytest.param("/socket", b"hello", 404, id="not an event"),
        pytest.param("/stream", b"hello", 404, id="not a place to post to"),
    ],
)
def test_messages_that_are_not_published(demo: DemoBackend, path: str, body: bytes | None, status: int) -> None:
    assert fetch(demo.server_port, path, method="POST", body=body).status == status


def test_every_message_that_the_page_allows_is_short_enough() -> None:
    assert len("😀".encode() * MAX_CHARACTERS) <= MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("text", "event"),
    [("hello", "data: hello\n\n"), ("two\nlines", "data: two\ndata: lines\n\n")],
    ids=["one line", "two lines"],
)
def test_items_are_in_the_format_of_their_holds(text: str, event: str) -> None:
    demo, events = items_for(text)
    assert demo == {
        "channel": "demo",
        "formats": {
            "http-stream": {"content": f"{text}\n"},
            "http-response": {"body": f"{text}\n"},
            "ws-message": {"content": text},
        },
    }
    assert events == {"channel": "demo-events", "formats": {"http-stream": {"content": event}}}


def test_items_are_valid_for_holdfast() -> None:
    assert [parse_item(item).channel for item in items_for("hello")] == ["demo", "demo-events"]


@pytest.mark.parametrize(
    ("path", "mode", "keep_alive"),
    [
        ("/stream", HoldMode.STREAM, b"\n"),
        ("/events", HoldMode.STREAM, b":\n\n"),
        ("/poll", HoldMode.RESPONSE, None),
    ],
)
def test_answers_are_valid_instructs(path: str, mode: HoldMode, keep_alive: bytes | None) -> None:
    headers = [(name.encode(), value.encode()) for name, value in HOLDS[path].headers.items()]
    instruct = parse_instruct(200, b"OK", headers, HOLDS[path].body)
    assert (instruct.mode, instruct.response.body) == (mode, HOLDS[path].body)
    assert (instruct.keep_alive.data if instruct.keep_alive else None) == keep_alive


def post_events(demo: DemoBackend, *events: Event, body: bytes | None = None) -> list[Event]:
    """The events with which the backend answers these."""
    sent = encode_events(list(events)) if body is None else body
    headers = [("Content-Type", MEDIA_TYPE.decode())]
    response = fetch(demo.server_port, "/socket", method="POST", headers=headers, body=sent)
    assert (response.status, response.header("Content-Type")) == (200, MEDIA_TYPE.decode()), response.text
    return [*filter(None, read_events(response.body))]


def text(content: str) -> Event:
    return Event(EventType.TEXT, content.encode())


def test_a_websocket_is_accepted_subscribed_and_greeted(demo: DemoBackend) -> None:
    accepted, order, greeting = post_events(demo, Event(EventType.OPEN))
    assert accepted == Event(EventType.OPEN)
    assert parse_grip_extension([ACCEPTANCE.headers["Sec-WebSocket-Extensions"].encode()]) == DEFAULT_PREFIX
    assert parse_control(order.content.removeprefix(b"c:")) == Subscribe("demo")
    assert greeting.content.startswith(DEFAULT_PREFIX)


def test_what_a_websocket_says_is_published(demo: DemoBackend, control: ScriptedBackend) -> None:
    path = control.serve(PUBLISHED, "/publish/")
    before = len(control.requests(path))
    assert post_events(demo, text("grüß dich "), Event(EventType.PING, b"x"), text("again")) == []
    bodies = [json.loads(bytes(request.body)) for request in control.requests(path)[before:]]
    assert bodies == [{"items": items_for("grüß dich")}, {"items": items_for("again")}]


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (" ", "m:There is no message to publish."),
        ("x" * (MAX_CHARACTERS + 1), f"m:A message has at most {MAX_CHARACTERS} characters."),
    ],
    ids=["nothing to say", "too long"],
)
def test_what_is_not_published_is_answered(demo: DemoBackend, content: str, answer: str) -> None:
    assert post_events(demo, text(content)) == [text(answer)]


def test_a_refused_publish_is_answered(demo: DemoBackend, control: ScriptedBackend) -> None:
    control.serve(Reply(400, "Bad Request", body=b"Invalid format: no.\n"), "/publish/")
    assert post_events(demo, text("hello")) == [text("m:Invalid format: no.")]


@pytest.mark.parametrize("content", [b"", b"\x03\xe9bye"], ids=["without a code", "with a code"])
def test_a_close_is_answered_with_itself(demo: DemoBackend, content: bytes) -> None:
    assert post_events(demo, Event(EventType.CLOSE, content)) == [Event(EventType.CLOSE, content)]


def test_requests_without_a_need_for_an_answer(demo: DemoBackend) -> None:
    assert post_events(demo, body=b"") == []
    assert post_events(demo, Event(EventType.DISCONNECT)) == []


def test_more_events_than_holdfast_queues_are_refused(demo: DemoBackend) -> None:
    headers = [("Content-Type", MEDIA_TYPE.decode())]
    response = fetch(demo.server_port, "/socket", method="POST", headers=headers, body=b"x" * (MAX_EVENTS_BYTES + 1))
    assert response.status == 413


@pytest.mark.parametrize("content", [b"", b"hello", b"TEXT 5\r\n\r\n" * 100], ids=["empty", "short", "long"])
def test_events_are_those_of_holdfast(content: bytes) -> None:
    ours = event("TEXT", content) + event("OPEN")
    assert ours == encode_events([Event(EventType.TEXT, content), Event(EventType.OPEN)])
    assert list(events_in(ours)) == [("TEXT", content), ("OPEN", b"")]
