"""What Holdfast promises about TLS clients beyond what Pushpin has: bounds, a good end, certificates that change."""

from __future__ import annotations

import contextlib
import ctypes
import re
import signal
import ssl
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, encode_request, fetch
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import close_item, publish_ok, stream_item
from tests.harness.timing import eventually, scaled
from tests.harness.tls import (
    ANY_NAME,
    TlsClient,
    client_context,
    connecting_to,
    make_certificate,
    wait_tls_port,
)  # fmt: skip
from tests.harness.watch import MB, Watch
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage

PORT, METRICS_PORT = free_port(), free_port()
OUTBOX_BYTES = 100_000


@pytest.fixture(scope="module")
def tls_port() -> int:
    return PORT


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launched(launch, backend, ws_backend, PORT)


def launched(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, port: int) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    proxy = launch(
        f"* {target}",
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events {target},over_http",
        settings={
            "runner": {"https_ports": f"127.0.0.1:{port}", "log_level": 3},
            "handler": {"prometheus_port": f"127.0.0.1:{METRICS_PORT if port == PORT else free_port()}"},
            "holdfast": {"header_timeout": 1, "outbox_max_bytes": OUTBOX_BYTES},
        },
        files=make_certificate("default.test").files(f"default_{port}"),
    )
    wait_tls_port(proxy, port)
    return proxy


def counted(name: str) -> int:
    """What a metric says now."""
    match = re.search(rf"^{name} (\d+)", fetch(METRICS_PORT, "/metrics").text, re.MULTILINE)
    assert match is not None, name
    return int(match[1])


# --- handshakes that come to nothing ----------------------------------------------------------------------------------


def test_silent_client_is_cut(proxy: ProxyUnderTest, connect: Connect) -> None:
    """`header_timeout` holds for handshakes, too."""
    start = time.monotonic()
    client = connect(PORT)
    client.send(b"\x16\x03\x01")
    assert client.read_to_close() == b""
    assert 0.7 < time.monotonic() - start < scaled(3)
    proxy.wait_log(r"\[INFO\].*TLS handshake failed.*longer than 1")


def test_failures_are_counted_and_named(proxy: ProxyUnderTest, connect: Connect) -> None:
    before = counted("holdfast_tls_handshakes_failed_total")
    plain = connect(PORT)
    plain.request("/")
    plain.read_to_close()
    address = "{}:{}".format(*plain.local_address)
    proxy.wait_log(rf"\[INFO\].*client {re.escape(address)}: TLS handshake failed: http request")
    connect(PORT).close()
    proxy.wait_log(r"\[DEBUG\].*TLS handshake failed: the other side has left")
    eventually(lambda: counted("holdfast_tls_handshakes_failed_total") >= before + 2, "both are counted")
    assert not proxy.log_lines("Traceback")


def test_host_name_in_other_bytes(proxy: ProxyUnderTest, connect: Connect) -> None:
    """The ssl module cannot even tell us of such a name; one line in the log is enough."""
    hello = client_hello("wild.test").replace(b"wild.test", b"w\xff\xfed.test")
    client = connect(PORT)
    client.send(hello)
    client.read_to_close()
    proxy.wait_log(r"\[DEBUG\].*ignored.*UnicodeDecodeError")
    assert not proxy.log_lines("Traceback")


def client_hello(host: str) -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_http2_is_not_offered(proxy: ProxyUnderTest) -> None:
    context = client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TlsClient(PORT, context=context) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1"


def test_resumption(tls: Stage) -> None:
    path = tls.backend.serve(Reply(body=b"ok"))
    context = client_context(newest=ssl.TLSVersion.TLSv1_2)
    with TlsClient(PORT, context=context) as client:
        client.request(path)
        client.read_response()
        session = client.tls.session
    raw = RawClient(PORT)
    with context.wrap_socket(raw.raw, server_hostname=ANY_NAME, session=session) as again:
        assert again.session_reused


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="there is no glibc")
def test_memory_goes_back_to_the_system(tls: Stage) -> None:
    """Most of what each client took, however many others came between."""
    watch = Watch(tls.proxy.pid, METRICS_PORT)
    path = tls.backend.serve(stream_reply(fresh_channel()))
    before = watch.memory()
    with ExitStack() as stack:
        for _ in range(400):
            client = stack.enter_context(TlsClient(PORT))
            client.request(path)
            client.read_head()
        taken = watch.memory() - before
        assert taken > 5 * MB
    watch.wait_empty()
    eventually(lambda: watch.memory() - before < taken / 2, "half of it is back", timeout_s=30)


def test_plain_and_tls_clients_share_one_limit(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """And so do clients that have not finished their handshake; whoever has to wait is served later."""
    port = free_port()
    proxy = launch_once(
        f"* 127.0.0.1:{backend.port}",
        settings={"runner": {"https_ports": f"127.0.0.1:{port}", "client_maxconn": 3}},
        files=make_certificate("x").files(f"default_{port}"),
    )
    wait_tls_port(proxy, port)
    time.sleep(0.1)  # the ports were looked at
    path = backend.serve(Reply(body=b"ok"))
    plain, shaking = connect(proxy.port), connect(port)
    with TlsClient(port) as client:
        proxy.wait_log("limit of 3 connections reached")
        late = connect(proxy.port)
        late.request(path)
        late.assert_silent(0.3)
        shaking.close()
        assert late.read_response().text == "ok"
        late_tls = connect(port)
        late_tls.send(client_hello("x"))
        late_tls.assert_silent(0.3)
        plain.close()
        assert late_tls.read_exactly(1) == b"\x16"
        client.request(path)
        assert client.read_response().text == "ok"


def test_last_response_ends_with_close_notify(tls: Stage) -> None:
    """Also if the client has sent more than is answered."""
    path = tls.backend.serve(Reply(body=b"x" * 200_000))
    for more in (b"", encode_request("/more") * 3):
        client = tls.client()
        client.send(encode_request(path, headers=[("Connection", "close")]) + more)
        assert len(client.read_response().body) == 200_000
        client.assert_closed()


def test_slow_reader_of_a_large_response(tls: Stage, connect_tls: Connect) -> None:
    """It is waited for, and it gets everything; the backend is not read to its end meanwhile."""
    size = 16_000_000
    path = tls.backend.serve(Reply(body=b"x" * size, framing=Framing.CHUNKED))
    client = connect_tls(PORT, receive_buffer=4096)
    before = resident_bytes(tls.proxy.pid)
    client.request(path)
    client.read_head()
    time.sleep(0.5)
    assert resident_bytes(tls.proxy.pid) - before < 6_000_000
    assert client.read_data(size, timeout_s=20) == b"x" * size


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        match = re.search(r"VmRSS:\s+(\d+) kB", status.read())
    assert match is not None
    return int(match[1]) * 1024


@pytest.mark.parametrize("is_websocket", [False, True])
def test_slow_reader_of_a_hold_is_disconnected(
    tls: Stage, ws_backend: WebSocketBackend, connect_tls: Connect, is_websocket: bool
) -> None:
    """What waits for it is bounded by `outbox_max_bytes` and what a transport keeps."""
    channel = fresh_channel()
    if is_websocket:
        ws = WebSocketStage(tls.proxy, tls.backend, ws_backend, connect_tls)
        ws.grip(channel, receive_buffer=4096)
    else:
        path = tls.backend.serve(stream_reply(channel))
        connect_tls(PORT, receive_buffer=4096).request(path)
        tls.proxy.wait_held(path)
    before = resident_bytes(tls.proxy.pid)
    content = "x" * 50_000
    item = stream_item(channel, content)
    item["formats"]["ws-message"] = {"content": content}
    disconnected = r"is too slow: (\d+) bytes are waiting.*; disconnected"
    count = len(tls.proxy.log_lines(disconnected))
    for _ in range(400):
        publish_ok(tls.proxy.control_port, item)
        if len(lines := tls.proxy.log_lines(disconnected)) > count:
            break
    assert len(lines) == count + 1
    (waiting,) = re.findall(disconnected, lines[-1])
    assert int(waiting) <= OUTBOX_BYTES
    assert resident_bytes(tls.proxy.pid) - before < 3_000_000


def test_client_that_says_too_much_while_it_is_held(tls: Stage) -> None:
    """Who is no longer listened to could leave without being noticed, and its hold would stay for ever."""
    before = counted("holdfast_talkative_clients_disconnected_total")
    client = tls.stream(fresh_channel())
    with contextlib.suppress(OSError):
        client.send(encode_request("/next") * 100_000)
    client.close()
    eventually(lambda: counted("holdfast_open_connections") == 0, "the client is gone")
    assert counted("holdfast_talkative_clients_disconnected_total") == before + 1


# --- the end ----------------------------------------------------------------------------------------------------------


def test_orderly_stop(
    launch_once: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
) -> None:
    """Streams get their last chunk, WebSockets 1001, everybody a close_notify, and handshakes do not matter."""
    port = free_port()
    proxy = launched(launch_once, backend, ws_backend, port)
    with connecting_to(port) as connect_tls:
        tls, ws = Stage(proxy, backend, connect_tls), WebSocketStage(proxy, backend, ws_backend, connect_tls)
        stream, idle = tls.stream(fresh_channel()), tls.client()
        (relayed, _), (over_http, _) = ws.grip(fresh_channel()), ws.grip_over_http(fresh_channel())
        shaking = connect(port)
        proxy.send_signal(signal.SIGTERM)
        assert stream.read_chunk() == b""
        for client in (stream, idle):
            client.assert_closed()
            client.close()
        for websocket in (relayed, over_http):
            assert websocket.read_frame().close_code == 1001
            websocket.connection.close()
        assert shaking.read_to_close() == b""
        assert proxy.wait_exit(4) == 0
    assert not proxy.log_lines("Traceback|did not finish|unclosed")


# --- certificates that change -----------------------------------------------------------------------------------------


def test_unusable_pair_is_named_once(proxy: ProxyUnderTest) -> None:
    directory = proxy.directory / "runner" / "certs"
    (directory / "bad.test.crt").write_bytes(make_certificate("bad.test").crt)
    for _ in range(3):
        with TlsClient(PORT, server_name="bad.test") as client:
            assert client.subject == "default.test"
    (line,) = proxy.wait_log(r"certificate bad\.test")
    assert "[WARN]" in line and "No such file or directory" in line


@dataclass
class Traffic:
    """What a thread of requests has seen: certificates by name, and what went wrong."""

    subjects: list[str]
    problems: list[str]


def test_replaced_under_load(
    launch_once: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
) -> None:
    """Nobody who is connected or connects notices, but for the new certificate; a bad pair changes nothing."""
    port = free_port()
    proxy = launch_once(
        f"* 127.0.0.1:{backend.port}",
        settings={"runner": {"https_ports": f"127.0.0.1:{port}"}},
        files=make_certificate("0").files(f"default_{port}"),
    )
    wait_tls_port(proxy, port)
    directory, name = proxy.directory / "runner" / "certs", f"default_{port}"
    path, channel = backend.serve(Reply(body=b"ok")), fresh_channel()
    held_path = backend.serve(stream_reply(channel))
    holds = [TlsClient(port) for _ in range(20)]
    for hold in holds:
        hold.request(held_path)
    proxy.wait_held(held_path, len(holds))
    traffic, is_over = Traffic([], []), threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            try:
                with TlsClient(port) as client:
                    client.request(path)
                    assert client.read_response().text == "ok"
                    traffic.subjects.append(client.subject)
            except Exception as exc:
                traffic.problems.append(repr(exc))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        make_certificate(str(number)).write(directory, name)
        eventually(lambda: traffic.subjects[-1:] == [str(number)], "the new certificate is used")  # noqa: B023 -- now
        (directory / f"{name}.key").write_text("no key")
        count = len(traffic.subjects)
        eventually(lambda: len(traffic.subjects) >= count + 5, "requests go on")  # noqa: B023 -- asked at once
    is_over.set()
    for thread in threads:
        thread.join()
    assert traffic.problems == []
    # Once for each state in between that a handshake may see: either file empty, or one of them still the old one.
    assert len(proxy.log_lines(rf"certificate {name}.*the one before stays in use")) <= 4 * 5
    publish_ok(proxy.control_port, stream_item(channel, "still here"), close_item(channel))
    for hold in holds:
        hold.read_head()
        assert hold.read_chunks() == b"still here"
        hold.close()
