"""Large, slow, cut to pieces, and very many: HTTP clients and backends that cost as much as they can.

Memory stays flat, processor time grows with the bytes only, and somebody else is served all the time.
``HOLDFAST_SURVIVAL_MB`` makes the large bodies larger.
"""

from __future__ import annotations

import itertools
import time

import pytest
from tests.harness.backend import Framing, Reply
from tests.harness.bodies import LARGE, PIECE, LargeBody, framing_header, read_body, send_body
from tests.harness.client import RawClient, RawConnection, encode_chunk, encode_request
from tests.harness.grip import Stage
from tests.harness.timing import scaled
from tests.harness.watch import MB, Bystander, Watch, in_thread
from tests.harness.ws_backend import WebSocketBackend

STALL_S = 0.25
"""The longest that somebody else may wait, on a machine that is busy with the attack as well."""

_numbers = itertools.count()


@pytest.mark.slow
class TestLargeBodies:
    @pytest.mark.parametrize("framing", [Framing.SIZED, Framing.CHUNKED])
    def test_response(self, watch: Watch, bystander: Bystander, stage: Stage, framing: Framing) -> None:
        path = stage.backend.serve(Reply(body=LargeBody(), framing=framing, length=LARGE))
        client = stage.client()
        client.request(path)
        head = client.read_head(20)
        start = watch.memory()
        assert read_body(client, head.framing) == LARGE
        assert watch.peak_memory() - start < 8 * MB

    @pytest.mark.parametrize("framing", ["sized", "chunked"])
    def test_request(
        self, watch: Watch, bystander: Bystander, stage: Stage, ws_backend: WebSocketBackend, framing: str
    ) -> None:
        path = f"/upload{next(_numbers)}"
        client = stage.client()
        start = watch.memory()
        client.request(path, method="POST", host="raw", headers=[framing_header(framing)])
        sender = in_thread(lambda: send_body(client, framing))
        peer = ws_backend.take(path)
        is_chunked = peer.request.header("Transfer-Encoding") == "chunked"
        assert read_body(peer.connection, "chunked" if is_chunked else None) == LARGE
        peer.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        sender.join()
        assert client.read_response().text == "ok"
        assert watch.peak_memory() - start < 8 * MB
        ws_backend.close_connections()

    def test_nobody_takes_the_responses(self, watch: Watch, bystander: Bystander, stage: Stage) -> None:
        """The backend waits, as the clients do."""
        path = stage.backend.serve(Reply(body=LargeBody(), length=LARGE))
        clients = [stage.client() for _ in range(20)]
        start = watch.memory()
        for client in clients:
            client.request(path)
        time.sleep(1)
        assert watch.peak_memory() - start < 20 * MB
        for client in clients:
            client.close()

    def test_the_backend_takes_no_request(
        self, watch: Watch, bystander: Bystander, stage: Stage, ws_backend: WebSocketBackend
    ) -> None:
        """The clients wait, as the backend does."""
        clients = [stage.client() for _ in range(20)]
        start = watch.memory()
        for client in clients:
            path = f"/upload{next(_numbers)}"
            client.request(path, method="POST", host="raw", headers=[framing_header("sized")])
            client.send(PIECE)
            ws_backend.take(path)
            client.raw.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.raw.sendall(PIECE * 200)
        assert watch.peak_memory() - start < 20 * MB
        for client in clients:
            client.close()
        ws_backend.close_connections()


class TestPieces:
    """What comes in very small pieces costs in proportion to its bytes, and does not keep others waiting."""

    CHUNKS = 10_000

    def test_tiny_chunks_of_a_response(self, watch: Watch, bystander: Bystander, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=[b"x"] * self.CHUNKS, framing=Framing.CHUNKED))
        client = stage.client()
        start_s = watch.cpu_s()
        client.request(path)
        assert client.read_response(timeout_s=20).body == b"x" * self.CHUNKS
        print("processor time:", watch.cpu_s() - start_s)
        assert watch.cpu_s() - start_s < scaled(5)

    @pytest.mark.parametrize("is_at_once", [True, False])
    def test_tiny_chunks_of_a_request(self, watch: Watch, bystander: Bystander, stage: Stage, is_at_once: bool) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        start_s = watch.cpu_s()
        client.request(path, method="POST", headers=[("Transfer-Encoding", "chunked")])
        if is_at_once:
            client.send(encode_chunk(b"x") * self.CHUNKS * 10)
        else:
            for _ in range(self.CHUNKS):
                client.send(encode_chunk(b"x"))
        client.send(encode_chunk(b""))
        assert client.read_response(timeout_s=20).text == "ok"
        print("processor time:", watch.cpu_s() - start_s)
        assert watch.cpu_s() - start_s < scaled(5)
        assert len(stage.backend.request(path).body) == self.CHUNKS * (10 if is_at_once else 1)

    def test_head_in_single_bytes(self, watch: Watch, bystander: Bystander, stage: Stage) -> None:
        """Every byte may have the whole head read again: that is bounded by the longest head."""
        path = stage.backend.serve(Reply(body=b"ok"))
        head = encode_request(path, headers=[("X-Long", "x" * 5_000)])
        client = stage.client()
        start_s = watch.cpu_s()
        for number in range(len(head)):
            client.send(head[number : number + 1])
        assert client.read_response(timeout_s=20).text == "ok"
        print("processor time:", watch.cpu_s() - start_s)
        assert watch.cpu_s() - start_s < scaled(3)

    def test_very_many_header_fields(self, watch: Watch, bystander: Bystander, stage: Stage) -> None:
        """As many as fit, from many clients at once; and as many as do not."""
        path = stage.backend.serve(Reply(body=b"ok"))
        fits = encode_request(path, headers=[("a", "")] * 60)
        too_long = encode_request(path, headers=[("a", "")] * 20_000)
        for _ in range(30):
            clients = [stage.client() for _ in range(2)]
            clients[0].send(fits)
            clients[1].send(too_long)
            assert clients[0].read_response().status == 200
            assert clients[1].read_response().status in (400, 431)
            for client in clients:
                client.close()
        assert watch.peak_memory() < 150 * MB


class TestPipelines:
    REQUESTS = 5_000

    @pytest.mark.parametrize("host", ["localhost", "builtin", "nowhere.example"])
    def test_long(self, watch: Watch, bystander: Bystander, stage: Stage, host: str) -> None:
        """Whether a backend answers, we do, or there is no route: the others have their turn."""
        path = stage.backend.serve(Reply(body=b"ok"))
        request = encode_request(path, host=host)
        client = stage.client()
        start = watch.memory()
        sender = in_thread(lambda: client.send(request * self.REQUESTS, 30))
        reader = RawConnection(client.raw.dup())
        for _ in range(self.REQUESTS):
            reader.read_response(timeout_s=20)
        sender.join()
        reader.close()
        assert watch.peak_memory() - start < 10 * MB

    def test_nobody_reads_the_answers(self, watch: Watch, bystander: Bystander, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"x" * 10_000))
        clients = [stage.client() for _ in range(10)]
        start = watch.memory()
        for client in clients:
            client.raw.settimeout(0.1)
            try:
                client.raw.sendall(encode_request(path) * self.REQUESTS)
            except TimeoutError:
                continue
        time.sleep(0.5)
        assert watch.peak_memory() - start < 20 * MB
        for client in clients:
            client.close()


class TestSlow:
    def test_many_dripping_heads_and_bodies(self, watch: Watch, bystander: Bystander, stage: Stage) -> None:
        """Slowloris: they cost a descriptor and their bytes, and time limits end them (test_time_limits)."""
        path = stage.backend.serve(Reply(body=b"ok"))
        heads = [stage.client() for _ in range(150)]
        bodies = [stage.client() for _ in range(150)]
        start = watch.memory()
        for client in bodies:
            client.request(path, method="POST", headers=[("Content-Length", "1000000")])
        for number in range(8):
            for client in heads:
                client.send(b"GET / HTTP/1.1\r\n" if number == 0 else b"x: y\r\n")
            for client in bodies:
                client.send(b"x")
        assert watch.metric("open_connections") >= 300
        assert watch.memory() - start < 10 * MB
        for client in [*heads, *bodies]:
            client.close()

    def test_one_byte_at_a_time(self, watch: Watch, bystander: Bystander, stage: Stage) -> None:
        """A client that takes a response very slowly costs what it has been sent, and no more."""
        path = stage.backend.serve(Reply(body=LargeBody(), length=LARGE))
        slow = RawClient(stage.proxy.port, receive_buffer=2048)
        slow.request(path)
        start = watch.memory()
        for _ in range(50):
            slow.raw.recv(100)
            time.sleep(0.005)
        assert watch.memory() - start < 5 * MB
        slow.close()
