"""`log_level` of a route: a ceiling for what is logged of its requests (routes spec §1.4)."""

from __future__ import annotations

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, Connect, fetch
from tests.harness.grip import poll_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest

LEVELS = {"unset": "", "negative": ",log_level=-1", "no-number": ",log_level=all", "zero": ",log_level=0"}
LEVELS |= {"one": ",log_level=1", "two": ",log_level=2", "four": ",log_level=4"}


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    dead = free_port()
    return launch(*(f"{host}{props} 127.0.0.1:{dead} 127.0.0.1:{backend.port}" for host, props in LEVELS.items()))


def logged(proxy: ProxyUnderTest, path: str) -> str:
    """The levels of what the log has about a path, once everything before now is in it."""
    fetch(proxy.port, "/mark" + path, host="unset")
    proxy.wait_log(rf"unset/mark{path} ")
    return " ".join(line.split()[0] for line in proxy.log_lines(rf"//[a-z-]+{path}[: ]"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("unset", "[INFO]"),
        ("negative", "[INFO]"),
        ("no-number", ""),
        ("zero", ""),
        ("one", ""),
        ("two", "[INFO]"),
        ("four", "[INFO]"),
    ],
)
def test_request_lines(proxy: ProxyUnderTest, backend: ScriptedBackend, host: str, expected: str) -> None:
    path = backend.serve(Reply(body=b"ok"))
    before = len(proxy.log_lines(r"target 127\.0\.0\.1:\d+: "))
    assert fetch(proxy.port, path, host=host).status == 200
    failovers = len(proxy.log_lines(r"target 127\.0\.0\.1:\d+: ")) - before
    assert logged(proxy, path) == expected
    assert failovers == (1 if expected else 0)


@pytest.mark.parametrize(("host", "expected"), [("unset", "[WARN] [INFO]"), ("one", "[WARN]"), ("zero", "")])
def test_messages(proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, host: str, expected: str) -> None:
    path = backend.serve(Reply(body=b"begin", length=100, breaks_off=True))
    client = connect(proxy.port)
    client.request(path, host=host)
    with pytest.raises(ClosedByServer):
        client.read_response()
    assert logged(proxy, path) == expected


@pytest.mark.parametrize(("host", "count"), [("unset", 1), ("one", 1), ("zero", 0)])
def test_wrong_instruct(proxy: ProxyUnderTest, backend: ScriptedBackend, host: str, count: int) -> None:
    path = backend.serve(Reply(headers=[("Grip-Hold", "wrong"), ("Grip-Channel", "c")]))
    before = len(proxy.log_lines("Failed to parse accept instructions"))
    assert fetch(proxy.port, path, host=host).status == 502
    logged(proxy, path)
    assert len(proxy.log_lines("Failed to parse accept instructions")) - before == count


@pytest.mark.parametrize(("host", "count"), [("unset", 1), ("one", 1), ("zero", 0)])
def test_too_many_channels(proxy: ProxyUnderTest, backend: ScriptedBackend, host: str, count: int) -> None:
    many = [("Grip-Channel", f"{host}-{number}") for number in range(30)]
    path = backend.serve(poll_reply("c", headers=[*many, ("Grip-Timeout", "1")]))
    before = len(proxy.log_lines("channels too many"))
    with pytest.raises(TimeoutError):
        fetch(proxy.port, path, host=host, timeout_s=0.5)
    assert len(proxy.log_lines("channels too many")) - before == count


def test_what_the_ceiling_of_the_process_hides_stays_hidden(launch_once: Launch, backend: ScriptedBackend) -> None:
    proxy = launch_once(f"*,log_level=4 127.0.0.1:{backend.port}", settings={"runner": {"log_level": 1}})
    path = backend.serve(RawReply([b"no response\r\n\r\n"]))
    assert fetch(proxy.port, path).status == 502
    assert proxy.log_lines("INFO") == []
