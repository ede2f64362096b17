"""Hostile backends: what they found once must not come back."""

from __future__ import annotations

import pytest
from tests.harness.backend import Framing, RawReply, Reply, ScriptedBackend
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs

GRIP_STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "unused")]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param([b"Content-Length: 20\r\n\r\nhalf"], id="sized"),
        pytest.param([b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"], id="chunked"),
        pytest.param([b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalfZ\r\n"], id="broken chunks"),
    ],
)
def test_an_instruct_that_breaks_off(stage: Stage, rest: list[bytes]) -> None:
    """Nothing was sent to the client yet, so it gets a proper error, and keeps its connection."""
    head = b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: x\r\n"
    path = stage.backend.serve(RawReply([head, *rest]))
    client = stage.client()
    client.request(path)
    response = client.read_response()
    assert (response.status, response.text) == (502, "Error while proxying to origin.\n")
    client.request(stage.backend.serve(Reply(body=b"ok")))
    assert client.read_response().text == "ok"


@differs("head-length")
@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.UNTIL_CLOSE])
def test_head_without_a_length(stage: Stage, framing: Framing) -> None:
    """A length that the backend does not state is not known, and above all it is not 0."""
    path = stage.backend.serve(RawReply([Reply(framing=framing).head()]))
    client = stage.client()
    client.request(path, method="HEAD")
    response = client.read_head(method="HEAD")
    assert response.status == 200
    assert response.header("Content-Length") is None


@pytest.mark.parametrize("status", [204, 304])
class TestStatusWithoutBody:
    """A stream is held with a status that cannot have a body."""

    @staticmethod
    def large(status: int) -> Reply:
        """A body that is too large to be read before the head is sent."""
        return Reply(headers=[*GRIP_STREAM, ("Grip-Status", str(status))], body=b"x" * 150_000)

    def test_nothing_follows_the_head(self, stage: Stage, status: int) -> None:
        """What followed would be taken for the next response."""
        client = stage.client()
        client.request(stage.backend.serve(self.large(status)))
        response = client.read_head()
        assert (response.status, response.header("Transfer-Encoding")) == (status, None)
        client.assert_silent(0.2)

    @differs("status-without-body")
    def test_the_connection_goes_on(self, stage: Stage, status: int) -> None:
        client = stage.client()
        client.request(stage.backend.serve(self.large(status)))
        client.read_head()
        client.request(stage.backend.serve(Reply(body=b"ok")))
        assert client.read_response(timeout_s=1).text == "ok"
