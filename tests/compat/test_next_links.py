"""Next links of streams: how a chain of answers looks to the client, and where relative links lead."""

from __future__ import annotations

import random
import threading
import time

import pytest
from tests.harness.backend import Framing, RawReply, Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.links import NextLink, deliver, next_link
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import hint_item, publish_ok, stream_item
from tests.harness.timing import scaled

BINARY = random.Random(3).randbytes(300_000)
CHAIN_LIMIT = 100


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(f"* {target}", f"debug,debug {target}")


def whole(stage: Stage, first: Reply, host: str = "localhost") -> bytes:
    """The body of a stream that ends by itself."""
    return fetch(stage.proxy.port, stage.backend.serve(first), host=host).body


class TestChain:
    """Answers without a hold, each of which names the next one."""

    @pytest.mark.spec("grip-61")
    def test_bodies_follow_each_other(self, stage: Stage, link: NextLink) -> None:
        """Under the head of the first answer; status and headers of the others count for nothing."""
        first = link.leads_on(
            b"first ", headers=[("Grip-Status", "404 Nope"), ("X-A", "1"), ("Content-Type", "text/x")]
        )
        link.answers(
            link.leads_on(b"second ", 201, [("X-B", "2"), ("Content-Type", "text/y")]),
            link.leads_on(b"third ", 206, [("Grip-Status", "500"), ("Grip-Expose-Headers", "X-A")]),
            Reply(299, body=b"last", headers=[("Set-Cookie", "c")]),
        )
        response = fetch(stage.proxy.port, stage.backend.serve(first))
        assert (response.status, response.reason, response.framing) == (404, "Nope", "chunked")
        assert response.headers[:-2] == [("X-A", "1"), ("Content-Type", "text/x")]
        assert response.body == b"first second third last"
        link.asked(3)

    def test_connection_goes_on(self, stage: Stage, link: NextLink) -> None:
        link.answers(Reply(body=b"last"))
        path, plain = stage.backend.serve(link.leads_on(b"first ")), stage.backend.serve(Reply(body=b"plain"))
        client = stage.client()
        for _ in range(2):
            client.request(path)
            client.request(plain)
            assert client.read_response().text == "first last"
            assert client.read_response().text == "plain"

    def test_http_1_0(self, stage: Stage, link: NextLink) -> None:
        """The end is the close."""
        link.answers(link.leads_on(b"second "), Reply(body=b"last"))
        response = fetch(stage.proxy.port, stage.backend.serve(link.leads_on(b"first ")), version="1.0")
        assert (response.framing, response.text) == ("close", "first second last")

    @pytest.mark.spec("grip-61", "grip-58")
    def test_empty_answers(self, stage: Stage, link: NextLink) -> None:
        """They write nothing, above all no last chunk."""
        link.answers(link.leads_on(), link.leads_on(status=204), link.leads_on(b"x"), link.leads_on(), Reply(204))
        assert whole(stage, link.leads_on()) == b"x"
        link.asked(5)

    @pytest.mark.parametrize("framing", [Framing.SIZED, Framing.CHUNKED, Framing.UNTIL_CLOSE])
    def test_long_answer(self, stage: Stage, link: NextLink, framing: Framing) -> None:
        """There is no limit to its length."""
        link.answers(Reply(body=BINARY, framing=framing))
        assert whole(stage, link.leads_on(b"first ")) == b"first " + BINARY

    @pytest.mark.spec("grip-6")
    def test_long_first_answer(self, stage: Stage, link: NextLink) -> None:
        """The limit of 100 000 bytes is not for one with a next link."""
        link.answers(Reply(body=b"last"))
        assert whole(stage, link.leads_on(BINARY)) == BINARY + b"last"

    def test_answer_arrives_piece_by_piece(self, stage: Stage, link: NextLink) -> None:
        gate = threading.Event()
        link.answers(Reply(body=[b"one ", gate, b"two"]))
        client = stage.client()
        client.request(stage.backend.serve(link.leads_on(b"first ")))
        client.read_head()
        assert client.read_data(10) == b"first one "
        client.assert_silent(0.2)
        gate.set()
        assert client.read_chunks() == b"two"

    def test_interim_answers_are_skipped(self, stage: Stage, link: NextLink) -> None:
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        link.answers(RawReply([early, Reply(body=b"last").head(), b"last"]))
        assert whole(stage, link.leads_on(b"first ")) == b"first last"

    def test_many_answers(self, stage: Stage, link: NextLink) -> None:
        """One after the other, without any delay."""
        link.answers(*[link.leads_on(b"x")] * 60, Reply(body=b"end"))
        start = time.monotonic()
        assert whole(stage, link.leads_on()) == b"x" * 60 + b"end"
        assert time.monotonic() - start < scaled(4)

    @differs("link-chain")
    def test_chain_has_an_end(self, stage: Stage, link: NextLink) -> None:
        """Deviation of grip spec §6.5: after 100 answers in a row that hold nothing, as if the link had failed."""
        link.answers(*[link.leads_on(b"x")] * (CHAIN_LIMIT + 20), Reply())
        expected = b"x" * CHAIN_LIMIT + b"\n\nNext link chain is too long.\n"
        assert whole(stage, link.leads_on(), host="debug") == expected
        link.asked(CHAIN_LIMIT)
        link.answers(*[link.leads_on(b"x")] * (CHAIN_LIMIT + 20), Reply())
        assert whole(stage, link.leads_on()) == b"x" * CHAIN_LIMIT

    def test_hold_begins_a_new_chain(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """Of two chains of 60 none is too long."""
        chain = [link.leads_on(b"x")] * 60
        link.answers(*chain, link.holds(channel, b"held "), *chain, Reply(body=b"end"))
        client = stage.client()
        client.request(stage.backend.serve(link.leads_on()))
        client.read_head()
        assert client.read_data(65) == b"x" * 60 + b"held "
        deliver(client, control_port, stream_item(channel, "item"), b"item")
        publish_ok(control_port, hint_item(channel))
        assert client.read_chunks() == b"x" * 60 + b"end"

    @differs("held-head")
    def test_head_request(self, stage: Stage, link: NextLink) -> None:
        """Deviation of grip spec §6.1: head only, and then the connection goes on."""
        link.answers(Reply(body=b"last"))
        client = stage.client()
        client.request(stage.backend.serve(link.leads_on(b"first")), method="HEAD")
        assert client.read_response("HEAD").status == 200
        client.assert_silent(0.2)
        client.request(stage.backend.serve(Reply(body=b"plain")))
        assert client.read_response().text == "plain"


class TestAddresses:
    """A relative link is one of the request whose answer named it."""

    @pytest.mark.parametrize(
        ("uri", "target"),
        [
            ("n", "{base}/a/n"),
            ("./n", "{base}/a/n"),
            ("../n", "{base}/n"),
            ("../../../../../n", "/n"),
            ("b/../n?x=1&y=%20", "{base}/a/n?x=1&y=%20"),
            ("n#fragment", "{base}/a/n"),
            ("?only=query", "{base}/a/first?only=query"),
            ("{base}/n", "{base}/n"),
            ("//localhost{base}/n", "{base}/n"),
            ("http://localhost{base}/n?", "{base}/n?"),
            ("http://LOCALHOST:80{base}/n", "{base}/n"),
            ("http://localhost", "/"),
            ("http://localhost?q=1", "/?q=1"),
            ("http://localhost/#fragment", "/"),
        ],
    )
    def test_relative_to_the_first(self, stage: Stage, uri: str, target: str) -> None:
        base = f"/{fresh_channel()}"
        first, expected = f"{base}/a/first", target.format(base=base)
        stage.backend.serve(Reply(body=b"last"), expected.partition("?")[0])
        is_itself = expected.startswith(first)
        replies = [Reply(headers=[next_link(uri.format(base=base))], body=b"first "), Reply(body=b"last")]
        stage.backend.serve_in_turn(*replies[: 1 + is_itself], path=first)
        assert fetch(stage.proxy.port, f"{first}?z=2").text == "first last"
        assert stage.backend.requests(expected.partition("?")[0])[-1].target == expected

    def test_relative_along_the_chain(self, stage: Stage) -> None:
        base = f"/{fresh_channel()}"
        steps = [("/a/first", "b/one"), ("/a/b/one", "two?x"), ("/a/b/two", "?y"), ("/a/b/two", "../three")]
        for number, (path, uri) in enumerate(steps):
            reply = Reply(headers=[next_link(uri)], body=str(number).encode())
            if number == 2:
                continue
            turns = [Reply(headers=[next_link(steps[2][1])], body=b"2")] if number == 3 else []
            stage.backend.serve_in_turn(*turns, reply, path=base + path)
        stage.backend.serve(Reply(body=b"end"), f"{base}/a/three")
        assert fetch(stage.proxy.port, f"{base}/a/first").text == "0123end"
        assert [request.target for request in stage.backend.requests(f"{base}/a/b/two")] == [
            f"{base}/a/b/two?x",
            f"{base}/a/b/two?y",
        ]

    def test_relative_to_the_link_of_a_hold(self, stage: Stage, channel: str, control_port: int) -> None:
        base = f"/{fresh_channel()}"
        stage.backend.serve(stream_reply(channel, b"one ", [next_link("b/two")]), f"{base}/a/one")
        stage.backend.serve(Reply(body=b"two"), f"{base}/a/b/two")
        client = stage.hold(stream_reply(channel, headers=[next_link(f"{base}/a/one")]))
        client.read_head()
        publish_ok(control_port, hint_item(channel))
        assert client.read_data(4) == b"one "
        publish_ok(control_port, hint_item(channel))
        assert client.read_chunks() == b"two"

    @pytest.mark.spec("grip-27")
    def test_last_of_several(self, stage: Stage, link: NextLink) -> None:
        link.answers(Reply(body=b"last"))
        unused = stage.backend.serve(Reply(body=b"wrong"))
        links = [next_link(unused), ("Grip-Link", f"<{unused}>; rel=next, {link.header()[1]}, <{unused}>; rel=prev")]
        assert whole(stage, Reply(headers=links, body=b"first ")) == b"first last"
        assert stage.backend.requests(unused) == []

    def test_other_relations(self, stage: Stage, link: NextLink) -> None:
        """They are not looked at, however they are written."""
        link.answers(Reply(body=b"last"))
        others = [("Grip-Link", value) for value in ("</x>", "x; rel=prev", "<>; rel=prev", "</x>; rel=Next")]
        assert whole(stage, Reply(headers=[link.header(), *others], body=b"first ")) == b"first last"
