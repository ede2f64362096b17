"""The request for a next link: its head, what it tells of the stream, whom it goes to, and who shares it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.links import NextLink, deliver, lasts, next_link
from tests.harness.proxy import IS_PUSHPIN, Launch, ProxyUnderTest, differs
from tests.harness.publish import hint_item, publish_ok, recover, stream_item, with_ids
from tests.harness.tokens import token_claims

BY_DEFAULT = {"Accept", "Accept-Encoding"} if IS_PUSHPIN else set()  # headers that zurl adds to every request
LAST = Reply(body=b"last")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"prefix,prefix=p- {target}",
        f'headers,header="X-Set: 1",header="Accept: x/y" {target}',
        f"rewritten,path_beg=/outer,replace_beg=/inner {target}",
        f"renamed,as_host=other.example {target}",
        f"signed,sig_key=of-the-route,sig_iss=route {target}",
        f"127.0.0.1,path_beg=/narrow {target}",
        settings={"proxy": {"x_forwarded_for": "append"}},
    )


def followed(stage: Stage, uri: str, host: str = "localhost", path: str | None = None) -> None:
    """Make a request whose answer names ``uri``, which ends the stream with ``last``."""
    reply = Reply(headers=[next_link(uri)], body=b"first ")
    path = stage.backend.serve(reply, path)
    assert fetch(stage.proxy.port, path, host=host).text == "first last"


class TestHead:
    @pytest.mark.spec("grip-62", "grip-3")
    def test_nothing_of_the_client(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """A plain GET with the proxy's own headers: not even the client's address is told."""
        sent = [("X-A", "1"), ("Cookie", "a=b"), ("X-Forwarded-For", "9.9.9.9"), ("Authorization", "Basic eDp5")]
        sent += [("Accept-Language", "de"), ("Grip-Last", "other; last-id=9")]
        link.answers(LAST)
        path = stage.backend.serve(link.holds(f"{channel}; prev-id=1", b"first "))
        client = stage.client()
        client.request(path, method="POST", headers=sent, body=b"body")
        assert client.read_head().status == 200
        stage.proxy.wait_held(path)
        recover(control_port)
        assert client.read_chunks() == b"first last"
        (request,) = link.asked(1)
        assert (request.method, request.target, bytes(request.body)) == ("GET", link.path, b"")
        own = {"Host", "Grip-Last", "Grip-Sig", "Grip-Feature"}
        assert sorted(request.names()) == sorted(own | BY_DEFAULT)
        assert (request.header("Host"), request.all("Grip-Last")) == ("localhost", [f"{channel}; last-id=1"])
        assert token_claims(request.header("Grip-Sig"), b"changeme")["iss"] == "pushpin"
        assert request.header("Grip-Feature") == stage.backend.request(path).header("Grip-Feature")

    @pytest.mark.spec("grip-62")
    def test_chain(self, stage: Stage, link: NextLink) -> None:
        """Without a hold there is nothing to tell of."""
        link.answers(Reply(headers=[("Grip-Channel", "c; prev-id=1"), link.header()]), LAST)
        first = Reply(headers=[("Grip-Channel", "c; prev-id=1"), link.header()], body=b"first ")
        assert fetch(stage.proxy.port, stage.backend.serve(first)).text == "first last"
        assert [request.all("Grip-Last") for request in link.asked(2)] == [[], []]

    def test_host_with_port(self, stage: Stage, link: NextLink) -> None:
        link.answers(LAST)
        followed(stage, link.path, "localhost:8080")
        assert link.asked(1)[0].header("Host") == "localhost:8080"

    @differs("grip-features")
    def test_features(self, stage: Stage) -> None:
        """grip spec §1.3, the row of 2.0."""
        assert stage.received().header("Grip-Feature") == (
            "status, session, link:next, link:gone, filter:skip-self, filter:skip-users, filter:require-sub, "
            "filter:build-id, filter:var-subst, filter:http-check, filter:http-modify"
        )


class TestLastIds:
    @pytest.mark.spec("grip-62")
    def test_channels_with_ids(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """One line for each, none for a channel without ``prev-id``."""
        one, two, plain = next(names), next(names), next(names)
        link.answers(LAST)
        client = link.stream(stage, f"{one}; prev-id=a, {plain}, {two}; prev-id=b")
        publish_ok(control_port, hint_item(plain))
        assert client.read_chunks() == b"last"
        assert lasts(link.asked(1)[0]) == [f"{one}; last-id=a", f"{two}; last-id=b"]

    @pytest.mark.spec("grip-63")
    def test_newest_that_was_delivered(
        self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int
    ) -> None:
        channel, other = next(names), next(names)
        link.answers(LAST)
        client = link.stream(stage, f"{channel}; prev-id=1, {other}")
        items = [with_ids(stream_item(channel, "x"), str(number), str(number - 1)) for number in (2, 3, 4)]
        publish_ok(control_port, *items, hint_item(other))
        assert client.read_chunks() == b"xxxlast"
        assert lasts(link.asked(1)[0]) == [f"{channel}; last-id=4"]

    @pytest.mark.spec("grip-93")
    def test_dropped_by_a_filter(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """It counts as delivered."""
        channel, other = next(names), next(names)
        link.answers(LAST)
        meta = [("Grip-Set-Meta", "user=bob")]
        client = stage.hold(link.holds(f"{channel}; prev-id=1; filter=skip-self, {other}", headers=meta))
        client.read_head()
        own = {**with_ids(stream_item(channel, "no"), "2", "1"), "meta": {"sender": "bob"}}
        publish_ok(control_port, own, with_ids(stream_item(channel, "yes "), "3", "2"), hint_item(other))
        assert client.read_chunks() == b"yes last"
        assert lasts(link.asked(1)[0]) == [f"{channel}; last-id=3"]

    def test_item_without_sequence(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """``no-seq`` is not about the hold."""
        channel, other = next(names), next(names)
        link.answers(LAST)
        client = link.stream(stage, f"{channel}; prev-id=1, {other}")
        publish_ok(control_port, {**with_ids(stream_item(channel, "x"), "2", "1"), "no-seq": True}, hint_item(other))
        assert client.read_chunks() == b"xlast"
        assert lasts(link.asked(1)[0]) == [f"{channel}; last-id=2"]

    def test_item_without_id(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """It ends the counting of its channel: no later item is told of either, and another channel still is."""
        channel, other = next(names), next(names)
        link.answers(LAST)
        client = link.stream(stage, f"{channel}; prev-id=1, {other}; prev-id=a")
        publish_ok(
            control_port,
            with_ids(stream_item(channel, "1"), None, "1"),
            with_ids(stream_item(channel, "2"), "9", "8"),
            with_ids(stream_item(other, "3"), "b", "a"),
        )
        assert client.read_data(3) == b"123"
        recover(control_port)
        assert client.read_chunks() == b"last"
        assert lasts(link.asked(1)[0]) == [f"{other}; last-id=b"]

    @differs("hint-with-id-to-stream")
    def test_hint_with_ids(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """It was no content: the client does not have what has its id."""
        link.answers(LAST)
        client = link.stream(stage, f"{channel}; prev-id=1")
        publish_ok(control_port, with_ids(hint_item(channel), "2", "1"))
        assert client.read_chunks() == b"last"
        assert lasts(link.asked(1)[0]) == [f"{channel}; last-id=1"]

    @pytest.mark.parametrize(("prev_id", "last_id"), [("", ""), ("a b", "a b"), ('"a,b"', "a,b"), ('"a\\"b"', 'a"b')])
    def test_unusual_ids(
        self, stage: Stage, link: NextLink, channel: str, control_port: int, prev_id: str, last_id: str
    ) -> None:
        """Just as they are, without quotes."""
        link.answers(LAST)
        client = link.stream(stage, f"{channel}; prev-id={prev_id}")
        recover(control_port)
        assert client.read_chunks() == b"last"
        assert link.asked(1)[0].all("Grip-Last") == [f"{channel}; last-id={last_id}".rstrip()]

    def test_prefix_is_not_told(self, stage: Stage, link: NextLink, control_port: int) -> None:
        link.answers(LAST)
        client = link.stream(stage, "bare; prev-id=1", host="prefix")
        publish_ok(control_port, with_ids(stream_item("p-bare", "x"), "2", "1"))
        assert client.read_data(1) == b"x"
        recover(control_port)
        assert client.read_chunks() == b"last"
        assert link.asked(1)[0].all("Grip-Last") == ["bare; last-id=2"]


class TestRoute:
    """Links to the scheme, host and port of the client's request are served by its route, if the path fits."""

    def test_headers_of_the_route(self, stage: Stage, link: NextLink) -> None:
        link.answers(LAST)
        followed(stage, link.path, "headers")
        (request,) = link.asked(1)
        assert (request.header("X-Set"), request.header("Accept")) == ("1", "x/y")

    def test_path_is_rewritten(self, stage: Stage) -> None:
        """The link is what the client would ask for."""
        inner = stage.backend.serve(LAST, "/inner/next")
        stage.backend.serve(Reply(headers=[next_link("next?q")], body=b"first "), "/inner/first")
        assert fetch(stage.proxy.port, "/outer/first", host="rewritten").text == "first last"
        assert [request.target for request in stage.backend.requests(inner)] == ["/inner/next?q"]

    def test_host_is_renamed(self, stage: Stage, link: NextLink) -> None:
        link.answers(LAST)
        followed(stage, link.path, "renamed")
        assert link.asked(1)[0].header("Host") == "other.example"

    def test_key_of_the_route(self, stage: Stage, link: NextLink) -> None:
        link.answers(LAST)
        followed(stage, link.path, "signed")
        assert token_claims(link.asked(1)[0].header("Grip-Sig"), b"of-the-route")["iss"] == "route"

    @pytest.mark.parametrize(
        ("host", "authority"),
        [("localhost", "LocalHost"), ("localhost", "localhost:80"), ("localhost:80", "localhost"), ("a:81", "A:81")],
    )
    def test_same_authority(self, stage: Stage, link: NextLink, host: str, authority: str) -> None:
        """The backend of the route is asked, not what has that name."""
        link.answers(LAST)
        followed(stage, f"http://{authority}{link.path}", host)
        link.asked(1)

    @differs("link-other-path")
    def test_path_must_match(self, stage: Stage, elsewhere: ScriptedBackend) -> None:
        """grip spec §6.6, the rule of 2.0: otherwise it is a direct request to that authority."""
        outside = elsewhere.serve(LAST, "/outside")
        stage.backend.serve(Reply(body=b"of the route"), outside)
        followed(stage, outside, f"127.0.0.1:{elsewhere.port}", "/narrow/first")
        assert stage.backend.requests(outside) == []


class TestDirect:
    """Links to any other authority are requested there, whatever the routes say of it."""

    @pytest.mark.spec("grip-72", "grip-62")
    def test_request(self, stage: Stage, elsewhere: ScriptedBackend, channel: str, control_port: int) -> None:
        """As to the route's backend, but for what the route adds."""
        path = elsewhere.serve(LAST)
        uri = f"http://127.0.0.1:{elsewhere.port}{path}?q"
        client = stage.hold(stream_reply(f"{channel}; prev-id=1", headers=[next_link(uri)]), host="headers")
        client.read_head()
        recover(control_port)
        assert client.read_chunks() == b"last"
        request = elsewhere.request(path)
        assert (request.method, request.target, request.version) == ("GET", f"{path}?q", "HTTP/1.1")
        own = {"Host", "Grip-Last", "Grip-Sig", "Grip-Feature"}
        assert sorted(request.names()) == sorted(own | BY_DEFAULT)
        assert request.header("Host") == f"127.0.0.1:{elsewhere.port}"
        assert request.all("Grip-Last") == [f"{channel}; last-id=1"]

    @pytest.mark.spec("grip-72")
    def test_key_of_the_route(self, stage: Stage, elsewhere: ScriptedBackend) -> None:
        path = elsewhere.serve(LAST)
        followed(stage, f"http://localhost:{elsewhere.port}{path}", "signed")
        assert token_claims(elsewhere.request(path).header("Grip-Sig"), b"of-the-route")["iss"] == "route"

    def test_other_port(self, stage: Stage, elsewhere: ScriptedBackend) -> None:
        """The port counts, be it only in the client's Host."""
        path = elsewhere.serve(LAST)
        followed(stage, f"http://localhost:{elsewhere.port}{path}", "localhost:8080")
        assert len(elsewhere.requests(path)) == 1

    def test_hold(self, stage: Stage, elsewhere: ScriptedBackend, channel: str, control_port: int) -> None:
        """Who answers makes no difference, nor does the prefix of the route."""
        path = elsewhere.serve(stream_reply(channel, b"held "))
        client = stage.client()
        first = Reply(headers=[next_link(f"http://127.0.0.1:{elsewhere.port}{path}")])
        client.request(stage.backend.serve(first))
        client.read_head()
        assert client.read_data(5) == b"held "
        deliver(client, control_port, stream_item(channel, "item"), b"item")

    @differs("link-of-direct-answer")
    def test_relative_link_stays_there(self, stage: Stage, elsewhere: ScriptedBackend) -> None:
        """grip spec §6.6, the rule of 2.0: what counts is the client's request, not the link before."""
        base = f"/{fresh_channel()}"
        elsewhere.serve(Reply(headers=[next_link("b/two?q")], body=b"one "), f"{base}/one")
        two = elsewhere.serve(LAST, f"{base}/b/two")
        path = stage.backend.serve(Reply(headers=[next_link(f"http://127.0.0.1:{elsewhere.port}{base}/one")]))
        assert fetch(stage.proxy.port, path).text == "one last"
        assert elsewhere.request(two).header("Host") == f"127.0.0.1:{elsewhere.port}"

    @differs("link-leads-back")
    def test_back_to_the_route(self, stage: Stage, link: NextLink, elsewhere: ScriptedBackend) -> None:
        """grip spec §6.6, the rule of 2.0."""
        link.answers(LAST)
        path = elsewhere.serve(Reply(headers=[next_link(f"http://localhost{link.path}")], body=b"there "))
        first = Reply(headers=[next_link(f"http://127.0.0.1:{elsewhere.port}{path}")])
        assert fetch(stage.proxy.port, stage.backend.serve(first)).text == "there last"
        link.asked(1)
