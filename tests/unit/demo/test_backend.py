"""The demo's backend as Holdfast sees it, with a scripted control port behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import RawClient, fetch
from tests.harness.ports import free_port

from holdfast.demo.backend import HOLDS, MAX_BODY_BYTES, MAX_CHARACTERS, DemoBackend, items_for, running_backend
from holdfast.grip.instruct import parse_instruct
from holdfast.grip.item import parse_item
from holdfast.grip.values import HoldMode


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
    answer = Reply(headers=[("Content-Type", "application/json")], body=b'{"message":"Published","items":[]}\n')
    path = control.serve(answer, "/publish/")
    response = fetch(demo.server_port, "/publish", method="POST", body="  grüß dich \n".encode())
    assert (response.status, response.header("Content-Type"), response.body) == (200, "application/json", answer.body)
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
        pytest.param("/publish", None, 413, id="no length"),
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
        "formats": {"http-stream": {"content": f"{text}\n"}, "http-response": {"body": f"{text}\n"}},
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
