"""The publishers' HTTP door (grip spec §15.1), with a fake exchange before it and a real publisher behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.unit.push.helpers import Mood, World

from holdfast.control.publish_http import PublishDoor, choose_format
from holdfast.errors import WireError
from holdfast.net.exchange import ClientExchange, ClientGone
from holdfast.push import fanout
from holdfast.wire.headers import Headers, get_first
from holdfast.wire.http1.head import HEADER_TOO_LARGE, INVALID_CONTENT_LENGTH, HeadLimits, RequestHead

MAX_BODY = 4000
PUBLISHED = b"Published\n"


@dataclass(eq=False)
class FakeExchange:
    """A request whose body comes in pieces (the first is here at once), and its answer.

    An empty piece stands for a client that leaves.
    """

    head: RequestHead
    pieces: list[bytes] = field(default_factory=list)
    answers: list[tuple[int, bytes, Headers, bytes]] = field(default_factory=list)

    @property
    def is_body_complete(self) -> bool:
        return len(self.pieces) <= 1

    def take(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def read_chunk(self) -> bytes:
        await asyncio.sleep(0)
        piece = self.take()
        if not piece and self.pieces:
            raise ClientGone
        return piece

    def respond(self, code: int, reason: bytes, headers: Headers, body: bytes) -> None:
        self.answers.append((code, reason, headers, body))

    @property
    def status(self) -> int:
        [(code, _, _, _)] = self.answers
        return code

    @property
    def body(self) -> bytes:
        [(_, _, _, body)] = self.answers
        return body

    def header(self, lower: bytes) -> bytes | None:
        [(_, _, headers, _)] = self.answers
        return get_first(headers, lower)


class Door:
    """A door with its world. `ask` makes a request and returns it with its answer."""

    def __init__(self) -> None:
        self.world = World(id_cache_ttl_s=60)
        self.recovered = 0
        self.door = PublishDoor(self.world.publisher, self.recover, self.world.counters, HeadLimits(), MAX_BODY)

    def recover(self) -> None:
        self.recovered += 1

    def start(
        self,
        method: bytes = b"POST",
        path: bytes = b"/publish",
        *pieces: bytes,
        accept: bytes | None = None,
        has_length: bool = True,
        is_chunked: bool = False,
        declared: int | None = None,
    ) -> tuple[FakeExchange, Coroutine[Any, Any, None] | None]:
        length = sum(map(len, pieces)) if declared is None else declared
        head = RequestHead(
            method,
            path,
            True,
            [] if accept is None else [(b"Accept", accept)],
            content_length=length if has_length and not is_chunked else None,
            is_chunked=is_chunked,
        )
        exchange = FakeExchange(head, list(pieces))
        return exchange, self.door.serve(cast(ClientExchange, exchange))

    def ask(self, method: bytes = b"POST", path: bytes = b"/publish", *pieces: bytes, **options: Any) -> FakeExchange:
        exchange, coroutine = self.start(method, path, *pieces, **options)
        if coroutine is not None:
            asyncio.run(_run(coroutine))
        self.world.run()
        return exchange

    def publish(self, *items: object, **options: Any) -> FakeExchange:
        return self.ask(b"POST", b"/publish", encode(*items), **options)


async def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    await coroutine


def encode(*items: object) -> bytes:
    return json.dumps({"items": items}).encode()


def stream_item(channel: str, content: str) -> dict[str, object]:
    return {"channel": channel, "formats": {"http-stream": {"content": content}}}


ANSWERS: list[tuple[str, bytes, bytes, int, bytes]] = [
    ("root", b"GET", b"/", 200, b"Pushpin API\n"),
    ("root, any method", b"DELETE", b"/", 200, b"Pushpin API\n"),
    ("root, POST", b"POST", b"/", 200, b"Pushpin API\n"),
    ("root with slash", b"GET", b"//", 200, b"Pushpin API\n"),
    ("unknown", b"GET", b"/x", 404, b"Not Found\n"),
    ("query", b"POST", b"/publish?x", 404, b"Not Found\n"),
    ("two slashes", b"POST", b"/publish//", 404, b"Not Found\n"),
    ("absolute URI", b"POST", b"http://localhost/publish", 404, b"Not Found\n"),
    ("case", b"POST", b"/Publish", 404, b"Not Found\n"),
    ("method", b"GET", b"/publish", 405, b"Method not allowed: GET.\n"),
    ("method, with slash", b"PUT", b"/publish/", 405, b"Method not allowed: PUT.\n"),
    ("method of recover", b"OPTIONS", b"/recover", 405, b"Method not allowed: OPTIONS.\n"),
    ("recover", b"POST", b"/recover", 200, b"Updated\n"),
    ("recover, with slash", b"POST", b"/recover/", 200, b"Updated\n"),
]


@pytest.mark.parametrize(
    ("method", "path", "code", "body"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS]
)
def test_paths_and_methods(method: bytes, path: bytes, code: int, body: bytes) -> None:
    """grip-101, grip-102"""
    exchange = Door().ask(method, path)
    assert (exchange.status, exchange.body) == (code, body)
    assert exchange.header(b"content-type") == b"text/plain"
    assert exchange.header(b"allow") == (b"POST" if code == 405 else None)


@pytest.mark.parametrize(
    ("accept", "body"),
    [(None, b"Updated\n"), (b"text/plain", b"Updated\n"), (b"application/json", b'{"message":"Updated"}\n')],
)
def test_recover(accept: bytes | None, body: bytes) -> None:
    """grip spec §15.1: the body of the request is ignored."""
    door = Door()
    exchange = door.ask(b"POST", b"/recover", b"no JSON", accept=accept)
    assert (exchange.status, exchange.body, door.recovered) == (200, body, 1)
    assert exchange.header(b"content-type") == (accept or b"text/plain")
    for method, path in [(b"GET", b"/recover"), (b"POST", b"/publish"), (b"POST", b"/recover/x")]:
        door.ask(method, path)
    assert door.recovered == 1


class TestLength:
    @pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
    @pytest.mark.parametrize("path", [b"/publish", b"/", b"/x"])
    def test_required(self, method: bytes, path: bytes) -> None:
        """grip-104: before anything else is looked at."""
        exchange = Door().ask(method, path, has_length=False, accept=b"image/png")
        assert (exchange.status, exchange.body) == (411, b"Request requires Content-Length.\n")

    @pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
    def test_not_required(self, method: bytes) -> None:
        assert Door().ask(method, b"/", has_length=False).status == 200

    @pytest.mark.parametrize(("length", "code"), [(MAX_BODY, 400), (MAX_BODY + 1, 400)])
    def test_declared(self, length: int, code: int) -> None:
        """grip-104"""
        exchange = Door().ask(b"POST", b"/publish", b"x" * length)
        is_too_large = exchange.body == b"Request body too large.\n"
        assert (exchange.status, is_too_large) == (code, length > MAX_BODY)

    def test_is_refused_before_the_body_is_read(self) -> None:
        exchange, coroutine = Door().start(b"POST", b"/publish", b"x", declared=MAX_BODY + 1)
        assert coroutine is None
        assert exchange.status == 400

    @pytest.mark.parametrize("pieces", [[b"x" * (MAX_BODY + 1)], [b"x" * MAX_BODY, b"x", b"y"]])
    def test_chunked(self, pieces: list[bytes]) -> None:
        """The bound holds whether all of it is here already or not."""
        exchange = Door().ask(b"POST", b"/publish", *pieces, is_chunked=True)
        assert (exchange.status, exchange.body) == (400, b"Request body too large.\n")


class TestAccept:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([], b"text/plain"),
            ([b"text/plain"], b"text/plain"),
            ([b"text/*"], b"text/plain"),
            ([b"*/*"], b"text/plain"),
            ([b"*"], b"text/plain"),
            ([b"application/json"], b"application/json"),
            ([b"application/*"], b"application/json"),
            ([b"application/json;q=0, text/plain ; q=1"], b"text/plain"),
            ([b"text/plain, application/json"], b"application/json"),
            ([b"application/json, image/png"], b"application/json"),
            ([b"text/plain", b"application/json"], b"application/json"),
            ([b"text/html"], None),
            ([b""], None),
            ([b"TEXT/plain"], None),
        ],
    )
    def test_the_last_that_is_known_wins(self, values: list[bytes], expected: bytes | None) -> None:
        """grip-103"""
        assert choose_format(values) == expected

    @pytest.mark.parametrize("path", [b"/publish", b"/", b"/x"])
    def test_not_acceptable(self, path: bytes) -> None:
        """grip-103: also for paths that do not exist."""
        exchange = Door().ask(b"POST", path, accept=b"text/html")
        assert (exchange.status, exchange.body) == (
            406,
            b"Not Acceptable. Supported formats are text/plain and application/json.\n",
        )

    def test_errors_are_text(self) -> None:
        exchange = Door().ask(b"POST", b"/publish", b"nonsense", accept=b"application/json")
        assert (exchange.status, exchange.header(b"content-type")) == (400, b"text/plain")


class TestPublishing:
    @pytest.mark.parametrize("path", [b"/publish", b"/publish/"])
    def test_text(self, path: bytes) -> None:
        """grip-102"""
        door = Door()
        client = door.world.stream("c")
        exchange = door.ask(b"POST", path, encode(stream_item("c", "x")))
        assert (exchange.status, exchange.body, exchange.header(b"content-type")) == (200, PUBLISHED, b"text/plain")
        assert client.content == "x"

    def test_text_is_answered_before_anything_is_written(self) -> None:
        """grip spec §13.5"""
        door = Door()
        client = door.world.stream("c")
        exchange, coroutine = door.start(b"POST", b"/publish", encode(stream_item("c", "x")))
        assert coroutine is None
        assert (exchange.body, client.content) == (PUBLISHED, "")

    def test_in_order(self) -> None:
        """grip-87"""
        door = Door()
        client = door.world.stream("c")
        door.publish(*[stream_item("c", f"{number};") for number in range(20)])
        assert client.content == "".join(f"{number};" for number in range(20))

    def test_nothing(self) -> None:
        """grip spec §8.5"""
        assert Door().publish().body == PUBLISHED
        assert json.loads(Door().publish(accept=b"application/json").body) == {"message": "Published", "items": []}

    def test_json_tells_what_became_of_each_item(self) -> None:
        """grip-103"""
        door = Door()
        for channel in ("a", "a", "b"):
            door.world.stream(channel)
        door.world.stream("b").outlet.mood = Mood.REFUSES
        items = [stream_item("a", "x"), stream_item("nobody", "x"), stream_item("b", "x")]
        exchange, coroutine = door.start(b"POST", b"/publish", encode(*items), accept=b"application/json")
        assert coroutine is None
        assert exchange.answers == []
        door.world.run()
        assert (exchange.status, exchange.header(b"content-type")) == (200, b"application/json")
        assert exchange.body.endswith(b"}\n")
        assert json.loads(exchange.body) == {
            "message": "Published",
            "items": [
                {"channel": "a", "receivers": 2, "dropped": 0, "queued": 0, "state": "delivered"},
                {"channel": "nobody", "receivers": 0, "dropped": 0, "queued": 0, "state": "delivered"},
                {"channel": "b", "receivers": 1, "dropped": 1, "queued": 0, "state": "delivered"},
            ],
        }

    def test_json_tells_what_the_sequencer_decided(self) -> None:
        """grip-103: a publisher whose item is lost learns of it."""
        door = Door()
        client = door.world.stream("c")
        ids = [("1", None), ("1", None), ("3", "2"), ("4", "2"), ("2", "1")]
        items = [
            stream_item("c", f"{number};") | {"id": own, "prev-id": prev} for number, (own, prev) in enumerate(ids)
        ]
        items = [{key: value for key, value in item.items() if value is not None} for item in items]
        answer = json.loads(door.publish(*items, accept=b"application/json").body)
        states = ["delivered", "duplicate", "buffered", "refused", "delivered"]
        assert [item["state"] for item in answer["items"]] == states
        assert [item["receivers"] for item in answer["items"]] == [1, 0, 0, 0, 1]
        assert client.content == "0;4;2;"

    def test_json_when_too_many_wait(self) -> None:
        """grip-85"""
        door = Door()
        door.world.stream("c")
        door.publish(stream_item("c", "x") | {"id": "first"})
        items = [stream_item("c", "x") | {"id": f"{number}", "prev-id": f"p{number}"} for number in range(101)]
        pieces = [encode(*items[:50]), encode(*items[50:])]
        door.door = PublishDoor(door.world.publisher, door.recover, door.world.counters, HeadLimits(), 100_000)
        answers = [json.loads(door.ask(b"POST", b"/publish", one, accept=b"application/json").body) for one in pieces]
        states = [item["state"] for answer in answers for item in answer["items"]]
        assert states == ["buffered"] * 100 + ["refused"]

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b"", b"Body is not valid JSON.\n"),
            (b"[]", b"Invalid format.\n"),
            (b"{}", b"Invalid format: object does not contain 'items'\n"),
            (b'{"items": [{}]}', b"Invalid format: publish item object does not contain 'channel'\n"),
        ],
    )
    def test_invalid(self, body: bytes, text: bytes) -> None:
        """grip-74"""
        door = Door()
        exchange = door.ask(b"POST", b"/publish", body)
        assert (exchange.status, exchange.body) == (400, text)
        assert (door.world.counters.publishes_refused, door.world.counters.items_received) == (1, 0)

    def test_one_bad_item_publishes_none(self) -> None:
        """grip-75"""
        door = Door()
        client = door.world.stream("c")
        assert door.publish(stream_item("c", "x"), {"channel": "c"}).status == 400
        assert client.content == ""


class TestWaiting:
    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_for_the_rest_of_the_body(self, is_chunked: bool) -> None:
        door = Door()
        client = door.world.stream("c")
        body = encode(stream_item("c", "x"))
        exchange = door.ask(b"POST", b"/publish", body[:5], body[5:20], body[20:], is_chunked=is_chunked)
        assert (exchange.body, client.content) == (PUBLISHED, "x")

    def test_the_publisher_leaves(self) -> None:
        """Its item is not published, and nothing is said."""
        door = Door()
        client = door.world.stream("c")
        exchange = door.ask(b"POST", b"/publish", encode(stream_item("c", "x")), b"", b"never read", declared=900)
        assert (exchange.answers, client.content) == ([], "")

    def test_while_too_much_is_outstanding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fanout, "BACKLOG_WRITES", 2)
        door = Door()
        clients = [door.world.stream("c") for _ in range(3)]
        door.publish(stream_item("nobody", "x"))
        first, coroutine = door.start(b"POST", b"/publish", encode(stream_item("c", "1")))
        assert coroutine is None
        second, coroutine = door.start(b"POST", b"/publish", encode(stream_item("c", "2")))
        assert coroutine is not None

        async def wait_and_write(waiting: Coroutine[Any, Any, None]) -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(0.01, door.world.run)
            await asyncio.wait_for(waiting, 5)

        assert second.answers == []
        asyncio.run(wait_and_write(coroutine))
        door.world.run()
        assert (first.body, second.body) == (PUBLISHED, PUBLISHED)
        assert [client.content for client in clients] == ["12"] * 3


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (WireError(400, "x", fault=HEADER_TOO_LARGE), 400, b"Request header too large.\n"),
        (WireError(400, "x", fault=INVALID_CONTENT_LENGTH), 400, b"Bad Content-Length.\n"),
        (WireError(400, "x"), 400, b"Failed to parse request header.\n"),
        (WireError(408, "Too slow."), 408, b"Too slow.\n"),
    ],
    ids=["too large", "length", "anything else", "not the parser's"],
)
def test_requests_that_do_not_parse(error: WireError, status: int, text: bytes) -> None:
    """grip spec §15.1"""
    code, _, headers, body = Door().door.describe_refusal(error)
    assert (code, headers, body) == (status, [(b"Content-Type", b"text/plain")], text)
