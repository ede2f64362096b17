"""Next links that fail: asked again after a while, or the end of the stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from tests.harness.backend import Framing, RawReply, Reply, ScriptedBackend
from tests.harness.client import RawClient
from tests.harness.grip import Stage, fresh_channel, instruct_reply, poll_reply
from tests.harness.links import NextLink, next_link
from tests.harness.messages import HeaderList
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import close_item, hint_item, publish_ok, recover, stream_item, with_ids
from tests.harness.timing import scaled

FAILED = b"\n\nFailed to retrieve next link.\n"
DOWN = Reply(500, "Internal Server Error", body=b"down")
RETRIES_S = [1, 2, 4, 8, 16]  # each with up to a second more
JITTER_S = 1.0


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(f"* {target}", f"debug,debug {target}")


def begin(stage: Stage, first: Reply, host: str = "localhost") -> RawClient:
    """A client that has the head of a stream and the body of its first answer."""
    client = stage.client()
    client.request(stage.backend.serve(first), host=host)
    client.read_head()
    body = b"".join(piece for piece in first.pieces() if isinstance(piece, bytes))
    assert client.read_data(len(body)) == body
    return client


def assert_retry_times(times: list[float]) -> None:
    """Assert that each request came its time after the one before."""
    for delay, (before, after) in zip(RETRIES_S, pairwise(times), strict=False):
        assert delay - 0.01 < after - before < delay + JITTER_S + scaled(0.5), times


class TestRetry:
    @pytest.mark.spec("grip-66")
    def test_status(self, stage: Stage, backend: ScriptedBackend) -> None:
        """Anything but 2xx is asked again after a second or two; redirects are not followed."""
        elsewhere = backend.serve(Reply(body=b"elsewhere"))
        streams = []
        for status in (301, 302, 303, 304, 307, 400, 401, 404, 500, 502, 503):
            link = NextLink(backend)
            failure = Reply(
                status, "No", [("Location", elsewhere), ("Retry-After", "9")], b"" if status == 304 else b"no"
            )
            link.answers(failure, Reply(body=b"last"))
            streams.append((link, begin(stage, link.leads_on(b"first "))))
        for link, client in streams:
            assert client.read_chunks() == b"last"
            link.asked(2)
            assert_retry_times(link.times)
        assert backend.requests(elsewhere) == []

    def test_no_answer(self, stage: Stage, backend: ScriptedBackend) -> None:
        """A connection that breaks off before the body, or does not speak HTTP."""
        cut = [b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\n", b"garbage\r\n\r\n"]
        streams = []
        for data in cut:
            link = NextLink(backend)
            link.answers(RawReply([data]), Reply(body=b"last"))
            streams.append((link, begin(stage, link.leads_on(b"first "))))
        for link, client in streams:
            assert client.read_chunks() == b"last"
            link.asked(2)
            assert_retry_times(link.times)

    def test_nobody_there(self, stage: Stage, channel: str) -> None:
        """A refused connection; the server is back in time for the second attempt."""
        other = ScriptedBackend()
        try:
            path = other.serve(Reply(body=b"last"))
            other.stop()
            start = time.monotonic()
            client = begin(stage, Reply(headers=[next_link(f"http://127.0.0.1:{other.port}{path}")], body=b"first "))
            client.assert_silent(0.5)
            other.start()
            assert client.read_chunks() == b"last"
            assert 1 <= time.monotonic() - start < 2 + scaled(1)
        finally:
            other.stop()

    def test_longer_and_longer(self, stage: Stage, link: NextLink) -> None:
        link.answers(DOWN, DOWN, Reply(body=b"last"))
        client = begin(stage, link.leads_on(b"first "))
        assert client.read_chunks(timeout_s=8) == b"last"
        link.asked(3)
        assert_retry_times(link.times)

    def test_success_starts_anew(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """The next failure is a first one again."""
        link.answers(DOWN, link.holds(channel, b"held "), DOWN, Reply(body=b"last"))
        client = begin(stage, link.leads_on(b"first "))
        assert client.read_data(5) == b"held "
        time.sleep(0.2)
        publish_ok(control_port, hint_item(channel))
        assert client.read_chunks() == b"last"
        link.asked(4)
        assert_retry_times(link.times[:2])
        assert_retry_times(link.times[2:])

    def test_kept_connection_is_gone(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """grip spec §6.7: that is no failure; it is asked on a new one at once."""
        link.answers(Reply(body=b"last"))
        client = link.stream(stage, channel)
        stage.backend.cut_connections()
        start = time.monotonic()
        publish_ok(control_port, hint_item(channel))
        assert client.read_chunks() == b"last"
        assert time.monotonic() - start < 0.9
        link.asked(1)


class TestWait:
    """What happens to the stream before the next attempt."""

    def test_items_wait(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        channel, other = next(names), next(names)
        link.answers(DOWN, link.holds(f"{channel}; prev-id=2", b"next "))
        client = link.stream(stage, f"{channel}; prev-id=1, {other}")
        publish_ok(control_port, hint_item(other))
        link.asked(1)
        for number in (2, 3, 4):
            publish_ok(control_port, with_ids(stream_item(channel, str(number)), str(number), str(number - 1)))
        client.assert_silent(0.3)
        assert client.read_data(7) == b"next 34"
        assert [request.all("Grip-Last") for request in link.asked(2)] == [[f"{channel}; last-id=1"]] * 2

    @differs("link-asked-after-the-wish")
    def test_hint_and_recover_do_not_hasten(
        self, stage: Stage, link: NextLink, channel: str, control_port: int
    ) -> None:
        """The next try is an answer to them as well, because it comes after them."""
        link.answers(DOWN, link.holds(channel, b"next "), Reply(body=b"last"))
        client = link.stream(stage, channel)
        publish_ok(control_port, hint_item(channel))
        link.asked(1)
        time.sleep(0.1)
        recover(control_port)
        assert client.read_data(5) == b"next "
        client.assert_silent(0.4)
        link.asked(2)
        assert_retry_times(link.times[:2])

    def test_close_waits(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        link.answers(DOWN, link.holds(channel, b"next "))
        client = link.stream(stage, channel)
        publish_ok(control_port, hint_item(channel))
        link.asked(1)
        time.sleep(0.1)
        publish_ok(control_port, stream_item(channel, "item"), close_item(channel), stream_item(channel, "no"))
        assert client.read_chunks() == b"next item"
        link.asked(2)

    @pytest.mark.spec("grip-70")
    def test_keep_alive_goes_on(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        link.answers(DOWN, DOWN, DOWN, DOWN, DOWN, Reply(body=b"last"))
        client = stage.hold(link.holds(channel, headers=[("Grip-Keep-Alive", "-; timeout=1")]))
        client.read_head()
        publish_ok(control_port, hint_item(channel))
        assert client.read_data(4) == b"----"

    @differs("link-retry-keep-alive")
    def test_keep_alive_does_not_hasten(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        link.answers(DOWN, DOWN, Reply(body=b"last"))
        client = stage.hold(link.holds(channel, headers=[("Grip-Keep-Alive", "-; timeout=1; mode=interval")]))
        client.read_head()
        publish_ok(control_port, hint_item(channel))
        assert client.read_chunks(timeout_s=8).strip(b"-") == b"last"
        assert_retry_times(link.times)

    def test_client_leaves(self, stage: Stage, link: NextLink, channel: str, control_port: int) -> None:
        """Nobody asks for it any more."""
        link.answers(DOWN)
        client = link.stream(stage, channel)
        publish_ok(control_port, hint_item(channel))
        link.asked(1)
        client.close()
        time.sleep(2.3)
        link.asked(1)


class TestSixFailures:
    @pytest.mark.slow
    @pytest.mark.spec("grip-65")
    def test_end(self, stage: Stage, backend: ScriptedBackend, names: Iterator[str], control_port: int) -> None:
        """The stream ends cleanly after half a minute, whatever failed; what waited is lost."""
        held, chained, quiet = NextLink(backend), NextLink(backend), NextLink(backend)
        for link in (held, chained, quiet):
            link.answers(DOWN)
        channel = next(names)
        refused = Reply(headers=[next_link(f"http://127.0.0.1:{free_port()}/")], body=b"first ")
        clients = [
            begin(stage, chained.leads_on(b"first "), "debug"),
            begin(stage, quiet.leads_on(b"first ")),
            begin(stage, refused, "debug"),
            held.stream(stage, channel, host="debug"),
        ]
        publish_ok(control_port, hint_item(channel))
        held.asked(1)
        publish_ok(control_port, stream_item(channel, "lost"))
        ends = [client.read_chunks(timeout_s=45) for client in clients]
        assert ends == [FAILED, b"", FAILED, FAILED]
        for link in (held, chained, quiet):
            link.asked(6)
            assert_retry_times(link.times)
        plain = backend.serve(Reply(body=b"plain"))
        for client in clients:
            client.request(plain)
            assert client.read_response().text == "plain"


def cut(has_hold: bool, is_chunked: bool, gate: threading.Event) -> Reply:
    """An answer that breaks off in the middle of its body, after the gate."""
    headers = [("Grip-Hold", "stream")] if has_hold else []
    framing, length = (Framing.CHUNKED, None) if is_chunked else (Framing.SIZED, 10)
    return Reply(headers=headers, body=[b"half", gate], framing=framing, length=length, breaks_off=True)


class TestBrokenBody:
    """Body bytes that the client has cannot be taken back, so there is no second attempt."""

    @differs("link-broken-off")
    @pytest.mark.parametrize("is_chunked", [False, True], ids=["sized", "chunked"])
    @pytest.mark.parametrize("has_hold", [False, True], ids=["no hold", "hold"])
    def test_end(self, stage: Stage, link: NextLink, has_hold: bool, is_chunked: bool) -> None:
        gates = [threading.Event(), threading.Event()]
        link.answers(*(cut(has_hold, is_chunked, gate) for gate in gates))
        for gate, (host, text) in zip(gates, [("debug", FAILED), ("localhost", b"")], strict=True):
            client = begin(stage, link.leads_on(b"first "), host)
            assert client.read_data(4) == b"half"
            gate.set()
            assert client.read_chunks(timeout_s=1.5) == text
            client.request(stage.backend.serve(Reply(body=b"plain")))
            assert client.read_response().text == "plain"
        link.asked(2)

    @differs("link-broken-off")
    def test_before_the_first_byte(self, stage: Stage, link: NextLink) -> None:
        """There is nothing to take back, so it is asked again."""
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        link.answers(RawReply([chunked, 0.2]), Reply(body=b"last"))
        assert begin(stage, link.leads_on(b"first ")).read_chunks() == b"last"
        link.asked(2)
        assert_retry_times(link.times)


BAD_INSTRUCTS = pytest.mark.parametrize(
    ("headers", "error"),
    [
        pytest.param(
            [("Grip-Hold", "response"), ("Grip-Channel", "c")],
            "Next link returned non-stream hold.",
            id="response hold",
        ),
        pytest.param(
            [("Grip-Hold", "nonsense")], "Grip-Hold must be set to either 'response' or 'stream'", id="unknown hold"
        ),
        pytest.param(
            [("Grip-Hold", "stream"), ("Grip-Status", "1000")], "Grip-Status contains invalid status code", id="status"
        ),
        pytest.param([("Grip-Link", "/x; rel=next")], "failed to parse Grip-Link value", id="link"),
        pytest.param(
            [("Grip-Link", "</x>; rel=next; timeout=a")], "failed to parse Grip-Link timeout value", id="link timeout"
        ),
        pytest.param([("Grip-Keep-Alive", "x; mode=no")], "no such Grip-Keep-Alive mode 'no'", id="keep-alive"),
    ],
)


class TestBadAnswer:
    """Answers that no second attempt would make better: the stream ends, cleanly."""

    @pytest.mark.spec("grip-67")
    @BAD_INSTRUCTS
    def test_instruct(self, stage: Stage, link: NextLink, headers: HeaderList, error: str) -> None:
        link.answers(Reply(headers=headers))
        for host, text in [("debug", f"\n\n{error}\n"), ("localhost", "")]:
            client = begin(stage, link.leads_on(b"first "), host)
            assert client.read_chunks() == text.encode()
            client.request(stage.backend.serve(Reply(body=b"plain")))
            assert client.read_response().text == "plain"
        link.asked(2)

    @pytest.mark.spec("grip-67")
    @differs("link-judged-late")
    @BAD_INSTRUCTS
    def test_its_body(self, stage: Stage, link: NextLink, headers: HeaderList, error: str) -> None:
        """It is not relayed (grip spec §14, row 8)."""
        link.answers(Reply(headers=headers, body=b"no"))
        for host, text in [("debug", f"\n\n{error}\n"), ("localhost", "")]:
            assert begin(stage, link.leads_on(b"first "), host).read_chunks() == text.encode()

    @differs("link-judged-late")
    def test_instruct_in_json(self, stage: Stage, link: NextLink, channel: str) -> None:
        """A next link can speak in headers only."""
        link.answers(instruct_reply({"hold": {"mode": "stream", "channels": [{"name": channel}]}}))
        end = begin(stage, link.leads_on(b"first "), "debug").read_chunks()
        assert end == b"\n\nfailed to parse application/grip-instruct content as JSON\n"

    @pytest.mark.spec("grip-67")
    def test_of_a_hold(self, stage: Stage, link: NextLink, names: Iterator[str], control_port: int) -> None:
        """A stream that was held ends just the same; it is not held any more."""
        channel, other = next(names), next(names)
        link.answers(poll_reply(other, b""))
        client = link.stream(stage, channel, host="debug")
        publish_ok(control_port, stream_item(channel, "item"), hint_item(channel))
        assert client.read_chunks() == b"item\n\nNext link returned non-stream hold.\n"
        publish_ok(control_port, stream_item(channel, "no"), stream_item(other, "no"))
        client.assert_silent(0.2)

    def test_http_1_0(self, stage: Stage, link: NextLink) -> None:
        link.answers(poll_reply(fresh_channel(), b""))
        client = stage.client()
        client.request(stage.backend.serve(link.leads_on(b"first")), version="1.0", host="debug")
        assert client.read_response().text == "first\n\nNext link returned non-stream hold.\n"
